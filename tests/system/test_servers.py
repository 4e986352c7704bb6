"""The servers that other tests rely on answer, and keep what they were given."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, LiteralString

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.support.servers import Kafka, OwnKafka, OwnPostgres, Postgres, finding, needed
from tests.support.servers.finding import KAFKA, POSTGRES

GIVEN = [POSTGRES, KAFKA]

HARD = pytest.mark.parametrize(
    "hard", [pytest.param(False, marks=pytest.mark.long), True], ids=["gracefully", "killed"]
)


def _query(url: str, statement: LiteralString) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


async def _make_topic(servers: str, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def _send(servers: str, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def _read(servers: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=servers)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.seek_to_beginning()
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


async def _keep(servers: str, topic: str) -> None:
    await _make_topic(servers, topic)
    await _send(servers, topic, b"before")


def test_a_database_is_empty_and_its_own(postgres: Postgres) -> None:
    """What one test writes, another one never sees."""
    one, other = postgres.database(), postgres.database()
    _query(one, "CREATE TABLE known AS SELECT 1")
    tables: LiteralString = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    assert (_query(one, tables), _query(other, tables)) == ([(1,)], [(0,)])


def test_a_dropped_database_is_gone_although_a_client_is_connected(postgres: Postgres) -> None:
    url = postgres.database()
    with psycopg.connect(url):
        postgres.drop(url)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)


@pytest.fixture(scope="module")
def own_kafka() -> Iterator[OwnKafka]:
    """A Kafka of this file's own, which every test leaves running."""
    with needed(finding.own_kafka()) as server:
        yield server


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[OwnPostgres]:
    """The same of PostgreSQL."""
    with needed(finding.own_postgres()) as server:
        yield server


@HARD
def test_postgres_keeps_what_was_committed(own_postgres: OwnPostgres, *, hard: bool) -> None:
    """A restart loses no commit, and the URL stays."""
    url = own_postgres.database()
    _query(url, "CREATE TABLE kept AS SELECT 1")
    own_postgres.restart(hard=hard)
    assert _query(url, "SELECT * FROM kept") == [(1,)]


def test_a_stopped_postgres_does_not_answer_until_it_is_started(own_postgres: OwnPostgres) -> None:
    own_postgres.stop()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(own_postgres.url)
    own_postgres.start()
    assert _query(own_postgres.url, "SELECT 1") == [(1,)]


def test_kafka_gives_back_what_it_took(kafka: Kafka) -> None:
    asyncio.run(_keep(kafka.servers, "test-servers"))
    assert asyncio.run(_read(kafka.servers, "test-servers", 1)) == [b"before"]


@HARD
def test_kafka_keeps_what_was_acknowledged(own_kafka: OwnKafka, *, hard: bool) -> None:
    """A restart loses no acknowledged record, the address stays, and the topic takes records at once."""
    topic = f"kept-{hard}"
    asyncio.run(_keep(own_kafka.servers, topic))
    own_kafka.restart(hard=hard)
    asyncio.run(_send(own_kafka.servers, topic, b"after"))
    assert asyncio.run(_read(own_kafka.servers, topic, 2)) == [b"before", b"after"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in which every user may work, PostgreSQL's too."""
    with TemporaryDirectory() as path:
        Path(path).chmod(0o755)
        yield Path(path)


@contextmanager
def _serving(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    environment = {name: value for name, value in os.environ.items() if name not in GIVEN}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.servers"],
        env={**environment, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _given(process: "subprocess.Popen[str]") -> dict[str, str]:
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in GIVEN]
    assert all(lines), process.communicate()
    return dict(line.removeprefix("export ").strip().split("=", 1) for line in lines)


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=pytest.mark.long), signal.SIGKILL], ids=["interrupted", "killed"]
)
def test_nothing_outlives_the_process_that_started_it(folder: Path, number: signal.Signals) -> None:
    """Neither a server nor a file, even if there was no chance to tidy up."""
    with _serving(folder) as process:
        given = _given(process)
        postgres, kafka = Postgres(given[POSTGRES]), Kafka(given[KAFKA])
        assert (postgres.answers(), kafka.answers()) == (True, True)
        process.send_signal(number)
        # The process that tidies up holds on to the output until it is done.
        process.communicate(timeout=60)
    assert (postgres.answers(), kafka.answers(), list(folder.iterdir())) == (False, False, [])
