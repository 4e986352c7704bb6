"""`driverlink serve` where something is not set up as it has to be: it ends at once, and one line says what to do."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from socket import create_server
from urllib.parse import urlsplit, urlunsplit

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from adapters.store.connecting import connect
from adapters.store.presence import Presence
from services.cli.shape import distributed
from services.distributed.wiring import Distributed
from services.intake.snapshots import new_snapshot
from services.runtime.clock import utc_now
from services.runtime.logs import ACCOUNTS, CHANGES, DECISIONS, LOGS, REPORTS
from tests.integration.conftest import Command
from tests.support.servers import OwnKafka, needed
from tests.support.servers.kafka_program import kafka_of_the_jars
from tests.support.servers.kafka_settings import Guarded

DRIVERI, MOTIVE = REPORTS
SERVICES = {
    ("accounts",): [ACCOUNTS],
    ("intake",): [CHANGES],
    ("decider",): sorted(LOGS),
    ("projector", "--target", "driveri"): sorted([ACCOUNTS, DECISIONS, DRIVERI]),
    ("projector", "--target", "motive"): sorted([ACCOUNTS, DECISIONS, MOTIVE]),
}
"""Every process, and the topics that it needs."""


@contextmanager
def lax_kafka() -> Iterator[OwnKafka]:
    """One that makes each topic that somebody mentions."""
    with closing(kafka_of_the_jars(Guarded(settings={"auto.create.topics.enable": "true"}))) as server:
        yield server


@pytest.fixture(scope="module")
def kafka() -> Iterator[OwnKafka]:
    with needed(lax_kafka()) as server:
        yield server


@pytest.fixture
def topics(kafka: OwnKafka) -> Iterator[None]:
    """The topics are not there at first, and not left behind."""
    asyncio.run(_delete_topics(kafka.servers))
    yield
    asyncio.run(_delete_topics(kafka.servers))


@pytest.fixture
def settings(kafka: OwnKafka, database: str) -> dict[str, str]:
    """Settings for a Kafka without topics, and a database without tables."""
    url = urlsplit(database)
    return {
        "database_url": urlunsplit(url._replace(netloc=f"{url.username}@{url.hostname}:{url.port}")),
        "database_password": url.password or "",
        "secret_key": "a secret key that is only good for tests",
        "kafka_servers": kafka.servers,
        "kafka_partitions": "2",
        "http_port": "0",
    }


async def _topics(servers: str) -> list[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        return [topic for topic in await admin.list_topics() if not topic.startswith("__")]
    finally:
        await admin.close()


async def _delete_topics(servers: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        if found := [topic for topic in await admin.list_topics() if not topic.startswith("__")]:
            await admin.delete_topics(found)
        while set(await admin.list_topics()) & set(LOGS):  # noqa: ASYNC110 - nobody tells when they are gone
            await asyncio.sleep(0.05)
    finally:
        await admin.close()


def refused(command: Command, service: tuple[str, ...], settings: dict[str, str]) -> str:
    """What a process says that ends at once."""
    status, out, err = command("serve", *service, **settings)
    assert (status, out, err.count("\n")) == (1, "", 1)
    return err.removeprefix("driverlink: ").rstrip("\n")


@pytest.mark.usefixtures("topics")
@pytest.mark.parametrize("service", SERVICES)
def test_without_its_tables_nothing_runs(command: Command, settings: dict[str, str], service: tuple[str, ...]) -> None:
    told = refused(command, service, settings)
    assert told.startswith("the schema ")
    assert told.endswith(": run `driverlink database migrate`")


@pytest.mark.usefixtures("topics")
@pytest.mark.parametrize("service", SERVICES)
def test_without_its_topics_nothing_runs_and_none_is_made(
    kafka: OwnKafka, command: Command, settings: dict[str, str], service: tuple[str, ...]
) -> None:
    assert command("database", "migrate", **settings)[0] == 0
    told = refused(command, service, settings)
    assert told == f"topics are missing: {', '.join(SERVICES[service])}; run `driverlink topics create`"
    assert asyncio.run(_topics(kafka.servers)) == []


@pytest.mark.usefixtures("topics")
@pytest.mark.parametrize("service", SERVICES)
def test_with_another_number_of_partitions_nothing_runs(
    command: Command, settings: dict[str, str], service: tuple[str, ...]
) -> None:
    for preparing in (("database", "migrate"), ("topics", "create")):
        assert command(*preparing, **settings)[0] == 0
    told = refused(command, service, {**settings, "kafka_partitions": "3"})
    assert told.endswith(
        " has 2 partitions, not 3: their number must never change, so set DRIVERLINK_KAFKA_PARTITIONS to 2"
    )


@pytest.mark.usefixtures("topics")
def test_where_a_topic_was_made_anew_nobody_goes_on(command: Command, settings: dict[str, str], database: str) -> None:
    for preparing in (("database", "migrate"), ("topics", "create")):
        assert command(*preparing, **settings)[0] == 0
    with closing(connect(database, "")) as connection:
        connection.execute("INSERT INTO decider.tracking VALUES (%s, 7)", [f"1/{CHANGES}/1"])
    status, _, err = command("serve", "decider", **settings)
    lost = f"driverlink: stream 1/{CHANGES}/1 was read up to 7, but ends at 0: its topic was made anew, so set another"
    assert (status, err.splitlines()[-1]) == (1, f"{lost} DRIVERLINK_EPOCH")


@pytest.mark.usefixtures("topics")
def test_topics_are_made_without_a_database(kafka: OwnKafka, command: Command) -> None:
    status, out, _ = command("topics", "create", kafka_servers=kafka.servers, kafka_partitions="2")
    assert (status, out) == (0, f"made {', '.join(LOGS)}\n")


@pytest.mark.usefixtures("topics")
def test_what_may_pass_is_waited_for(command: Command, settings: dict[str, str]) -> None:
    away = {**settings, "database_url": "postgresql://u@127.0.0.1:1/d", "patience": "1"}
    status, out, err = command("serve", "accounts", **away)
    assert (status, out) == (1, "")
    first, last = err.splitlines()
    assert "process begins anew" in first
    assert last.startswith("driverlink: the database cannot be reached: see that it runs")


@pytest.mark.usefixtures("topics")
def test_two_processes_of_a_service_cannot_have_the_same_name(
    command: Command, settings: dict[str, str], database: str
) -> None:
    for preparing in (("database", "migrate"), ("topics", "create")):
        assert command(*preparing, **settings)[0] == 0
    with closing(Presence(database, "", ["decider"])) as other:
        other.be("first")
        status, _, err = command("serve", "decider", **{**settings, "member": "first", "patience": "1"})
    told = "driverlink: another process of decider is named first: give each its own DRIVERLINK_MEMBER"
    assert (status, err.splitlines()[-1]) == (1, told)


def test_a_port_that_is_taken_is_told_with_the_settings_for_another(command: Command, settings: dict[str, str]) -> None:
    with closing(create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        told = refused(command, ("decider",), {**settings, "http_port": port})
    says = f"127.0.0.1:{port} cannot be listened on: Address already in use; set another DRIVERLINK_HTTP_HOST or"
    assert told == f"{says} DRIVERLINK_HTTP_PORT"


@pytest.mark.usefixtures("topics")
def test_intake_forgets_what_killed_imports_have_left(
    command: Command, settings: dict[str, str], database: str
) -> None:
    for preparing in (("database", "migrate"), ("topics", "create")):
        assert command(*preparing, **settings)[0] == 0
    killed, going_on = new_snapshot(utc_now() - timedelta(days=3)), new_snapshot(utc_now())
    with closing(connect(database, "", "intake")) as connection:
        for snapshot in (killed, going_on):
            connection.execute("INSERT INTO snapshot_drivers VALUES ('acme', %s, '417')", [snapshot])

        def left() -> list[str]:
            return [snapshot for (snapshot,) in connection.execute("SELECT snapshot FROM snapshot_drivers")]

        async def forget() -> None:
            process = await Distributed(distributed()).intake()
            running = asyncio.create_task(process.run(60.0))
            async with asyncio.timeout(30):
                while len(left()) > 1:  # noqa: ASYNC110 - nobody tells when they are gone
                    await asyncio.sleep(0.05)
            running.cancel()
            await asyncio.wait({running})

        asyncio.run(forget())
        assert left() == [going_on]
