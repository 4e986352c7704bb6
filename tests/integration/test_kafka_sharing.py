"""Who has which partitions: processes that come, go, come back, and fall silent."""

from contextlib import AsyncExitStack

import pytest

from tests.contract.stands import fact
from tests.integration.kafka_members import PARTITIONS, deployed
from tests.support.servers import Kafka

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_process_alone_has_every_partition_of_every_topic(kafka: Kafka) -> None:
    async with deployed(kafka.servers) as deployment, deployment.process() as alone:
        await alone.until(lambda: len(alone.streams) == 2 * PARTITIONS)
        assert alone.partitions == dict.fromkeys(deployment.topics, set(range(PARTITIONS)))


async def test_two_processes_share_the_partitions_by_the_same_numbers_in_every_topic(kafka: Kafka) -> None:
    async with deployed(kafka.servers) as deployment, deployment.process() as one, deployment.process() as other:
        await one.until(lambda: len(one.streams) == PARTITIONS)
        await other.until(lambda: len(other.streams) == PARTITIONS)
        (ones,), (others,) = ({*map(frozenset, each.partitions.values())} for each in (one, other))
        assert ones | others == set(range(PARTITIONS))
        assert not ones & others


async def test_what_a_process_leaves_goes_on_elsewhere_from_where_it_was(kafka: Kafka) -> None:
    events = [fact(str(number)) for number in range(20)]
    async with deployed(kafka.servers) as deployment:
        async with deployment.process() as leaving:
            await leaving.until(lambda: len(leaving.streams) == 2 * PARTITIONS)
            await deployment.publish(deployment.topics[0], events[:10])
            await leaving.take(10)
        async with deployment.process() as staying:
            await deployment.publish(deployment.topics[0], events[10:])
            await staying.take(20)
        assert [record.event for record in deployment.database.taken] == events
