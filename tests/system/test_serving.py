"""`driverlink serve` where something is not set up as it has to be: it ends at once, and one line says what to do."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from socket import create_server
from subprocess import PIPE, Popen
from urllib.parse import urlsplit, urlunsplit

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from adapters.store.locks import InstanceLock
from adapters.store.postgres_connection import connect
from services.api import V1
from services.intake.handlers import new_snapshot
from services.runtime.context import ACCOUNTS, CHANGES, DECISIONS, OUTCOMES, WEBHOOKS, utc_now
from services.wiring import registry
from services.wiring.distributed import Distributed
from services.wiring.registry import LOGS, VIEWS
from services.wiring.settings import DistributedSettings, read_settings
from tests.support.hanging import HANGS
from tests.support.patience import commanded
from tests.support.servers import OwnKafka, Postgres, needed
from tests.support.servers.kafka_program import kafka_of_the_jars
from tests.support.servers.kafka_settings import Guarded
from tests.system.conftest import Command

DRIVERI, MOTIVE = OUTCOMES
TOPICS = [*LOGS, *(view.topic for view in VIEWS)]
SERVICES = {
    ("accounts",): [ACCOUNTS],
    ("intake",): [CHANGES],
    ("decider",): sorted({*LOGS} - {WEBHOOKS}),
    ("projector", "--target", "driveri"): sorted([ACCOUNTS, DECISIONS, DRIVERI]),
    ("projector", "--target", "motive"): sorted([ACCOUNTS, DECISIONS, MOTIVE]),
    ("views",): sorted(view.topic for view in VIEWS),
    ("webhooks",): sorted([DECISIONS, WEBHOOKS]),
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
        while set(await admin.list_topics()) & set(TOPICS):  # noqa: ASYNC110 - Kafka gives no event
            await asyncio.sleep(0.05)
    finally:
        await admin.close()


def refused(command: Command, service: tuple[str, ...], settings: dict[str, str]) -> str:
    """What a process says that ends at once."""
    status, out, err = command("serve", *service, **settings)
    assert (status, out, err.count("\n")) == (1, "", 1)
    return err.removeprefix("driverlink: ").rstrip("\n")


@pytest.mark.usefixtures("topics")
def test_without_its_tables_nothing_runs(command: Command, settings: dict[str, str]) -> None:
    for service in SERVICES:
        told = refused(command, service, settings)
        assert told.startswith("the schema "), service
        assert told.endswith(": run `driverlink database migrate`"), service


@pytest.mark.usefixtures("topics")
def test_without_its_topics_nothing_runs_and_none_is_made(
    kafka: OwnKafka, command: Command, settings: dict[str, str]
) -> None:
    assert command("database", "migrate", **settings)[0] == 0
    for service, topics in SERVICES.items():
        told = refused(command, service, settings)
        assert told == f"topics are missing: {', '.join(topics)}; run `driverlink topics create`"
    assert asyncio.run(_topics(kafka.servers)) == []


@pytest.mark.usefixtures("topics")
def test_with_another_number_of_partitions_nothing_runs(command: Command, settings: dict[str, str]) -> None:
    for preparing in (("database", "migrate"), ("topics", "create")):
        assert command(*preparing, **settings)[0] == 0
    for service in SERVICES:
        told = refused(command, service, {**settings, "kafka_partitions": "3"})
        assert told.endswith(
            " has 2 partitions, not 3: their number must never change, so set DRIVERLINK_KAFKA_PARTITIONS to 2"
        ), service


@pytest.mark.usefixtures("topics")
def test_a_topic_made_again_stops_the_process(command: Command, settings: dict[str, str], database: str) -> None:
    for preparing in (("database", "migrate"), ("topics", "create")):
        assert command(*preparing, **settings)[0] == 0
    with closing(connect(database, "")) as connection:
        connection.execute("INSERT INTO decider.tracking VALUES (%s, 7)", [f"1/{CHANGES}/1"])
    status, _, err = command("serve", "decider", **settings)
    lost = f"driverlink: stream 1/{CHANGES}/1 was read up to 7, but ends at 0: its topic was made again, so set another"
    assert (status, err.splitlines()[-1]) == (1, f"{lost} DRIVERLINK_EPOCH")


@pytest.mark.usefixtures("topics")
def test_topics_are_made_without_a_database(kafka: OwnKafka, command: Command) -> None:
    status, out, _ = command("topics", "create", kafka_servers=kafka.servers, kafka_partitions="2")
    assert (status, out) == (0, f"created {', '.join(TOPICS)}\n")


@pytest.mark.usefixtures("topics")
def test_a_process_that_cannot_reach_the_database_ends_with_one_line(
    command: Command, settings: dict[str, str]
) -> None:
    told = refused(command, ("accounts",), {**settings, "database_url": "postgresql://u@127.0.0.1:1/d"})
    assert told.startswith("the database cannot be reached: see that it runs")


@pytest.mark.usefixtures("topics")
def test_two_processes_of_a_service_cannot_have_the_same_name(
    command: Command, settings: dict[str, str], database: str
) -> None:
    for preparing in (("database", "migrate"), ("topics", "create")):
        assert command(*preparing, **settings)[0] == 0
    with closing(InstanceLock(database, "", ["decider"])) as other:
        other.acquire_name("first")
        status, _, err = command("serve", "decider", **{**settings, "member": "first"})
    told = "driverlink: another process of decider is named first: give each its own DRIVERLINK_MEMBER"
    assert (status, err.splitlines()[-1]) == (1, told)


def test_a_port_that_is_taken_is_named_with_the_settings_for_another(
    command: Command, settings: dict[str, str]
) -> None:
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
            process = await Distributed(read_settings(DistributedSettings)).process(registry.SERVICES["intake"])
            running = asyncio.create_task(process.run(60.0))
            async with asyncio.timeout(HANGS):
                while len(left()) > 1:  # noqa: ASYNC110 - Kafka gives no event
                    await asyncio.sleep(0.05)
            running.cancel()
            await asyncio.wait({running})

        asyncio.run(forget())
        assert left() == [going_on]


async def _remove_records(servers: str, topic: str) -> None:
    """Do to each partition what retention does in time."""
    places = [TopicPartition(topic, number) for number in range(2)]
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        for place in places:
            await producer.send_and_wait(topic, b"{}", partition=place.partition)
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.delete_records({place: RecordsToDelete(before_offset=1) for place in places})
    finally:
        await admin.close()


async def _relayed(servers: str, topic: str) -> None:
    """Wait until the topic has a record."""
    places = [TopicPartition(topic, number) for number in range(2)]
    async with AIOKafkaConsumer(bootstrap_servers=servers) as consumer:
        while not any((await consumer.end_offsets(places)).values()):  # noqa: ASYNC110 - Kafka gives no event
            await asyncio.sleep(0.05)


@contextmanager
def serving(settings: dict[str, str], *service: str) -> Iterator[Popen[str]]:
    """A process while it works."""
    variables = {f"DRIVERLINK_{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "services.cli", "-v", "serve", *service]
    with Popen(command, env={**os.environ, **variables}, stderr=PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def takes_partitions_over(settings: dict[str, str], *service: str) -> bool:
    """Whether a process comes so far that it works; the other end is that it ends."""
    with serving(settings, *service) as process:
        assert process.stderr
        return any("partitions assigned" in line for line in process.stderr)


def add_account(command: Command, settings: dict[str, str]) -> None:
    """Let there be something to relay."""

    async def add() -> None:
        async with commanded(read_settings(DistributedSettings)) as (client, _):
            body = {"account": "acme", "tier": "pro", "mode": "full", "master_user": "ann"}
            assert (await client.post(f"{V1}/accounts", json=body)).is_success

    status, _, err = command("database", "migrate", **settings)
    assert status == 0, err
    asyncio.run(add())


async def accounts(settings: dict[str, str]) -> list[str]:
    """The accounts of an installation."""
    async with commanded(DistributedSettings.model_validate(settings)) as (client, _):
        return [each["account"] for each in (await client.get(f"{V1}/accounts")).json()]


@pytest.fixture
def neighbour(postgres: Postgres, settings: dict[str, str]) -> Iterator[dict[str, str]]:
    """Settings of another installation that has its own database and the same Kafka."""
    url = postgres.database()
    yield {**settings, "database_url": settings["database_url"].rpartition("/")[0] + urlsplit(url).path}
    postgres.drop(url)


@pytest.mark.usefixtures("topics")
def test_after_retention_another_epoch_goes_on(kafka: OwnKafka, command: Command, settings: dict[str, str]) -> None:
    assert command("topics", "create", **settings)[0] == 0
    add_account(command, settings)
    asyncio.run(_remove_records(kafka.servers, CHANGES))
    assert takes_partitions_over({**settings, "epoch": "2"}, "decider")


@pytest.mark.usefixtures("topics")
def test_a_second_installation_over_one_kafka_stops_before_it_mixes(
    kafka: OwnKafka, command: Command, settings: dict[str, str], neighbour: dict[str, str]
) -> None:
    assert command("topics", "create", **settings)[0] == 0
    add_account(command, settings)
    with serving(settings, "accounts"):
        asyncio.run(_relayed(kafka.servers, ACCOUNTS))
    add_account(command, neighbour)
    for service in ("accounts", "decider"):
        status, _, err = command("serve", service, **neighbour)
        assert status == 1
        assert err.splitlines()[-1].startswith("driverlink: topic accounts.v1 holds a record of another installation ")
        assert "give one of the two its own DRIVERLINK_KAFKA_PREFIX" in err.splitlines()[-1]
    assert takes_partitions_over(settings, "decider")


@pytest.mark.usefixtures("topics")
def test_with_a_prefix_a_second_installation_works_over_the_same_kafka(
    kafka: OwnKafka, command: Command, settings: dict[str, str], neighbour: dict[str, str]
) -> None:
    for each in (settings, {**neighbour, "kafka_prefix": "west."}):
        assert command("topics", "create", **each)[0] == 0
        add_account(command, each)
        with serving(each, "accounts"):
            asyncio.run(_relayed(kafka.servers, f"{each.get('kafka_prefix', '')}{ACCOUNTS}"))
        assert takes_partitions_over(each, "decider")


def test_a_database_of_another_installation_is_not_used(command: Command, settings: dict[str, str]) -> None:
    assert command("database", "migrate", **settings, installation="east")[0] == 0
    assert command("database", "migrate", **settings, installation="")[0] == 0
    for refused_command in (("database", "migrate"), ("serve", "api"), ("serve", "accounts")):
        status, out, err = command(*refused_command, **settings, installation="west")
        assert (status, out) == (1, "")
        assert err == (
            "driverlink: the database is of the installation east, and DRIVERLINK_INSTALLATION is west: set "
            "DRIVERLINK_DATABASE_URL to that one's database, or give it its own DRIVERLINK_DATABASE_PREFIX\n"
        )


def test_two_installations_in_one_database_have_schemas_of_their_own(
    command: Command, settings: dict[str, str]
) -> None:
    add_account(command, settings)
    west = {**settings, "database_prefix": "west_"}
    assert command("database", "migrate", **west)[0] == 0
    assert asyncio.run(accounts(west)) == []
    assert asyncio.run(accounts({**settings, "database_prefix": ""})) == ["acme"]
