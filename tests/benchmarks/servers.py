"""The servers that all measurements of a run share."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.servers import Postgres, own_kafka, shared_postgres

PARTITIONS = 12
"""Of every topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """A Kafka of our own, because the product's topics have names that never change, and a PostgreSQL."""

    kafka: str
    postgres: Postgres

    def database(self) -> str:
        """The URL of a new, empty database."""
        return self.postgres.database()


@contextmanager
def servers() -> Iterator[Servers]:
    """While this lasts, both run. Raises Unavailable."""
    with shared_postgres() as postgres, own_kafka() as kafka:
        yield Servers(kafka=kafka.servers, postgres=postgres)
