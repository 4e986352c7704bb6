"""The servers that all measurements of a run share."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.servers import Postgres, shared_kafka, shared_postgres

PARTITIONS = 12
"""Of every topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """A Kafka and a PostgreSQL, which may have other users: every deployment has topics and a database of its own."""

    kafka: str
    postgres: Postgres

    def database(self) -> str:
        """The URL of a new, empty database."""
        return self.postgres.database()


@contextmanager
def servers() -> Iterator[Servers]:
    """While this lasts, both run. Raises Unavailable."""
    with shared_postgres() as postgres, shared_kafka() as kafka:
        yield Servers(kafka=kafka.servers, postgres=postgres)
