"""`driverlink serve views` over a real Kafka: killed at any moment, its topics are right in the end."""

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from adapters.kafka.cloud_events import to_outgoing_state
from adapters.kafka.connection import KafkaAccess, PublishFailed
from adapters.kafka.producer import KafkaPublisher
from adapters.kafka.topics import create
from adapters.store.postgres import PostgresStore
from domain.driver_link import LinkEvent
from domain.store import Event
from services.decider.read_models import LinkProjection, LinkRow
from services.runtime.context import DECISIONS
from services.runtime.read_models import projected
from services.sandbox.demo import RunningSandboxes
from services.views.link_states import STATES, all_states, key_of_link, tombstone
from services.views.relays import request_all_states
from services.wiring.registry import DECIDER_ROWS
from tests.support.distributed import Deployment, Serving
from tests.support.hanging import HANGS
from tests.support.servers import Kafka, Postgres
from tests.support.stepped_services import SteppedServices, both_targets, person

pytestmark = pytest.mark.anyio

_SECONDS = HANGS


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def deployment(kafka: Kafka, postgres: Postgres, tmp_path: Path) -> Iterator[Deployment]:
    """Topics and schemas, in which nothing runs."""
    database = postgres.database()
    nowhere = RunningSandboxes(driveri="http://127.0.0.1:9", motive="http://127.0.0.1:9")
    deployment = Deployment(
        kafka=kafka.servers,
        database=database,
        targets=nowhere,
        folder=tmp_path,
        partitions=2,
        prefix=f"{uuid4().hex}.",
    )
    deployment.prepare()
    yield deployment
    postgres.drop(database)


@pytest.fixture
def decided(tmp_path: Path) -> Sequence[Event]:
    """What a decider has stored of a small fleet."""
    folder = tmp_path / "data"
    folder.mkdir()
    services = SteppedServices(folder, both_targets())
    services.add()
    for number in range(1, 6):
        services.state(f"p{number}", person(number))
    services.run()
    services.state("p2", person(2, driveri_driver_id="D1"))
    services.delete("p4")
    services.run()
    stored = [record.event for record in services.decider_store.log.read(0, 1_000)]
    services.close()
    return [event for event in stored if isinstance(event, LinkEvent)]


def store_of(deployment: Deployment) -> PostgresStore:
    settings = deployment.settings
    return PostgresStore(
        str(settings.database_url),
        settings.database_password.get_secret_value(),
        schema="decider",
        log_name=DECISIONS,
        rows=DECIDER_ROWS,
    )


def commit(store: PostgresStore, events: Sequence[Event]) -> None:
    """Store events as the decider does."""
    unit = projected(store, LinkProjection(store).project, [(0, event) for event in events])
    unit.events.extend(events)
    store.commit(unit)


@asynccontextmanager
async def reading(deployment: Deployment, topic: str) -> AsyncIterator["Reader"]:
    consumer = AIOKafkaConsumer(bootstrap_servers=deployment.kafka, isolation_level="read_committed")
    await consumer.start()
    places = [TopicPartition(f"{deployment.prefix}{topic}", number) for number in range(deployment.partitions)]
    consumer.assign(places)
    await consumer.seek_to_beginning(*places)
    try:
        yield Reader(consumer)
    finally:
        await consumer.stop()


class Reader:
    """What a consumer knows of a topic that was read from its beginning."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self.values: list[bytes] = []
        self.kept: dict[bytes, dict[str, Any] | None] = {}
        self.ids: list[str] = []

    async def read(self) -> None:
        for messages in (await self._consumer.getmany(timeout_ms=200)).values():
            for message in messages:
                self.ids.append(dict(message.headers).get("ce_id", b"").decode())
                self.kept[message.key] = json.loads(message.value) if message.value else None
                self.values.append(message.value)

    async def until(self, expected: dict[bytes, int]) -> None:
        """Read until each of these links is known in this version, and no other one is."""
        async with asyncio.timeout(_SECONDS):
            while {key: each["version"] for key, each in self.kept.items() if each} != expected:
                await self.read()


def links_in(store: PostgresStore) -> dict[bytes, int]:
    return {
        key_of_link(row.account, row.target, row.driver): row.version
        for row in store.select(LinkRow)
        if row.state != "ended"
    }


async def test_killed_at_any_moment_the_topics_are_right_in_the_end(
    deployment: Deployment, decided: Sequence[Event]
) -> None:
    views = Serving(service=("views",), name="views", deployment=deployment)
    with closing(store_of(deployment)) as store:
        try:
            for start in range(0, len(decided), 6):
                views.start()
                commit(store, decided[start : start + 6])
                await asyncio.sleep(start / 40)
                views.kill()
            views.start()
            async with reading(deployment, STATES) as states, reading(deployment, f"{DECISIONS}.ids") as ids:
                await states.until(links_in(store))
                expected = {record.id: record.body for record in store.log.read(0, 1_000)}
                async with asyncio.timeout(_SECONDS):
                    while set(ids.ids) != set(expected):
                        await ids.read()
                assert all(b"profile" not in value for value in ids.values)
                store.erase("acme", DECIDER_ROWS, ())
                request_all_states(store)
                await states.until({})
        finally:
            views.kill()


async def test_the_topic_of_states_is_compacted(deployment: Deployment) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=deployment.kafka)
    await admin.start()
    policies = {}
    for topic in (STATES, f"{DECISIONS}.ids"):
        name = f"{deployment.prefix}{topic}"
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        policies[topic] = {entry[0]: entry[1] for entry in answer.resources[0][4]}["cleanup.policy"]
    await admin.close()
    assert policies == {STATES: "compact", f"{DECISIONS}.ids": "delete"}


async def test_a_process_that_was_frozen_cannot_overwrite_what_its_successor_sent(
    kafka: Kafka, decided: Sequence[Event], deployment: Deployment
) -> None:
    access, topic = KafkaAccess(servers=(kafka.servers,)), f"{uuid4().hex}.v1"
    await create(access, [], partitions=1, replication=1, compacted=[topic])
    with closing(store_of(deployment)) as store:
        commit(store, decided)
        ((record, *_),) = list(all_states(store))
    assert record.key is not None

    def publisher() -> KafkaPublisher:
        return KafkaPublisher(access, service="decider", to_outgoing=to_outgoing_state, alone_as=topic)

    former, successor = publisher(), publisher()
    await former.publish(topic, [record])
    assert await known(successor, topic) == [record.key]
    with pytest.raises(PublishFailed):
        await former.publish(topic, [tombstone(record.key)])
    await former.close()
    assert await known(successor, topic) == [record.key]
    await successor.publish(topic, [tombstone(record.key)])
    assert await known(successor, topic) == []
    await successor.close()


async def known(publisher: KafkaPublisher, topic: str) -> Collection[bytes]:
    return sorted(await publisher.keys(topic))
