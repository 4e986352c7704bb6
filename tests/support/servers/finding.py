"""Where the servers come from: given, or else in a container, or else on this machine."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TypeVar

from tests.support.servers.engines import Unavailable, first_available
from tests.support.servers.kafka import Kafka, OwnKafka
from tests.support.servers.kafka_program import kafka_of_the_jars
from tests.support.servers.postgres import OwnPostgres, Postgres
from tests.support.servers.postgres_program import postgres_of_the_wheel

KAFKA = "DRIVERLINK_TEST_KAFKA"
POSTGRES = "DRIVERLINK_TEST_POSTGRES"

Server = TypeVar("Server", Kafka, Postgres)


@contextmanager
def shared_kafka() -> Iterator[Kafka]:
    """The Kafka that is given by DRIVERLINK_TEST_KAFKA, else one of our own. Raises Unavailable."""
    if servers := os.environ.get(KAFKA):
        yield _answering(Kafka(servers), KAFKA)
        return
    with own_kafka() as kafka:
        yield Kafka(kafka.servers)


@contextmanager
def shared_postgres() -> Iterator[Postgres]:
    """The PostgreSQL that is given by DRIVERLINK_TEST_POSTGRES, else one of our own. Raises Unavailable."""
    if url := os.environ.get(POSTGRES):
        with closing(_answering(Postgres(url), POSTGRES)) as postgres:
            yield postgres
        return
    with own_postgres() as postgres:
        yield Postgres(postgres.url)


@contextmanager
def own_kafka() -> Iterator[OwnKafka]:
    """A Kafka to be stopped and killed at will. Raises Unavailable."""
    with closing(first_available("Kafka", [_kafka_in_docker, kafka_of_the_jars])) as kafka:
        yield kafka


@contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    """A PostgreSQL to be stopped and killed at will. Raises Unavailable."""
    with closing(first_available("PostgreSQL", [_postgres_in_docker, postgres_of_the_wheel])) as postgres:
        yield postgres


def _answering(server: Server, setting: str) -> Server:
    if not server.answers():
        raise Unavailable(f"no server answers at the address in {setting}")
    return server


def _kafka_in_docker() -> OwnKafka:
    from tests.support.servers.containers import kafka_in_docker  # noqa: PLC0415 - slow, and only needed here

    return kafka_in_docker()


def _postgres_in_docker() -> OwnPostgres:
    from tests.support.servers.containers import postgres_in_docker  # noqa: PLC0415 - slow, and only needed here

    return postgres_in_docker()
