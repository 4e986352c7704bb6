"""A broker that goes away and comes back, and one that does not."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from adapters.kafka import consumer
from adapters.kafka.connection import PublishFailed
from adapters.kafka.producer import KafkaPublisher
from tests.contract.stands import fact
from tests.support.counted_waiting import COUNTED, waited
from tests.support.hanging import HANGS
from tests.support.servers import OwnKafka, needed, own_kafka
from tests.system.kafka_members import PARTITIONS, deployed

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return COUNTED


@pytest.fixture(scope="module")
def server() -> Iterator[OwnKafka]:
    with needed(own_kafka()) as server:
        yield server


@pytest.fixture
def broker(server: OwnKafka) -> OwnKafka:
    """A Kafka that a test may leave stopped."""
    if not server.answers():
        server.start()
    return server


@pytest.mark.parametrize("hard", [pytest.param(False, marks=pytest.mark.long), True], ids=["in good order", "killed"])
async def test_a_process_and_a_publisher_outlive_a_restart(broker: OwnKafka, *, hard: bool) -> None:
    events = [fact(str(number)) for number in range(40)]
    async with deployed(broker.servers) as deployment, deployment.process() as process:
        await deployment.publish(deployment.topics[0], events[:20])
        await process.take(20)
        await asyncio.to_thread(broker.stop, hard=hard)
        publishing = asyncio.create_task(deployment.publish(deployment.topics[0], events[20:]))
        await asyncio.to_thread(broker.start)
        await publishing
        await process.take(40)
        assert [record.event for record in deployment.database.taken] == events


async def test_a_process_ends_soon_though_kafka_is_away(broker: OwnKafka) -> None:
    async with deployed(broker.servers) as deployment, deployment.process() as process:
        await process.until(lambda: len(process.streams) == 2 * PARTITIONS)
        await asyncio.to_thread(broker.stop, hard=True)
        before = waited()
        await process.end()
        assert waited() - before < 15
        assert process.happened[-1] == "revoked 8"


async def test_kafka_that_is_away_is_silent(broker: OwnKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_EXCHANGE", "_TIMEOUT"):
        monkeypatch.setattr(consumer, name, 0.2)
    async with deployed(broker.servers) as deployment, deployment.process() as process, asyncio.timeout(HANGS):
        await process.until(lambda: len(process.streams) == 2 * PARTITIONS)
        await asyncio.to_thread(broker.stop)
        before, at = process.member.silence, asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() - at < 1:  # noqa: ASYNC110 - silence has no event
            await asyncio.sleep(0.1)
        assert process.member.silence >= before + 1


async def test_after_a_failure_a_new_publisher_sends_everything_in_order(broker: OwnKafka) -> None:
    events = [fact(version=version) for version in (1, 2, 3)]
    async with deployed(broker.servers) as deployment:
        await asyncio.to_thread(broker.stop)
        with pytest.raises(PublishFailed):
            await deployment.publish(deployment.topics[0], events)
        await asyncio.to_thread(broker.start)
        await deployment.publisher.close()
        deployment.publisher = KafkaPublisher(deployment.access, service="upstream")
        await deployment.publish(deployment.topics[0], events)
        async with deployment.process() as process:
            await process.take(3)
        assert [record.event for record in deployment.database.taken] == events
