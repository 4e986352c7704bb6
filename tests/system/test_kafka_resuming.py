"""From where a process goes on: from what is stored, whatever Kafka was told."""

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from adapters.kafka.connection import StreamsFailed
from adapters.kafka.topics import partition_of
from tests.contract.stands import fact
from tests.support.servers import Kafka
from tests.system.kafka_members import PARTITIONS, Deployment, deployed

pytestmark = pytest.mark.anyio

EVENTS = [fact(str(number)) for number in range(10)]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def stream_of(deployment: Deployment) -> str:
    """The stream in which all the facts of these tests are."""
    return f"1/{deployment.topics[0]}/{partition_of('acme', PARTITIONS)}"


async def committed(deployment: Deployment, *, to: int | None = None) -> int | None:
    """How far Kafka was told that the group is; `to` tells it so before."""
    place = TopicPartition(deployment.topics[0], partition_of("acme", PARTITIONS))
    options = {**deployment.access.to_options(), "group_id": deployment.group, "enable_auto_commit": False}
    async with AIOKafkaConsumer(**options) as consumer:
        consumer.assign([place])
        if to is not None:
            await consumer.commit({place: to})
        found: int | None = await consumer.committed(place)
        return found


@pytest.mark.parametrize("told", [0, 3, 10], ids=["nothing", "less", "more"])
async def test_a_process_resumes_from_what_is_stored_whatever_offset_kafka_has(kafka: Kafka, told: int) -> None:
    async with deployed(kafka.servers) as deployment:
        await deployment.publish(deployment.topics[0], EVENTS)
        await committed(deployment, to=told)
        deployment.database.positions[stream_of(deployment)] = 6
        async with deployment.process() as process:
            await process.take(4)
        assert [record.event for record in deployment.database.taken] == EVENTS[6:]


async def test_the_stored_positions_are_committed_to_kafka_at_the_end(kafka: Kafka) -> None:
    async with deployed(kafka.servers) as deployment:
        await deployment.publish(deployment.topics[0], EVENTS)
        async with deployment.process() as process:
            await process.take(10)
            await process.read()
        assert await committed(deployment) == 10


async def test_what_could_not_be_stored_is_read_again(kafka: Kafka) -> None:
    async with deployed(kafka.servers) as deployment, deployment.process() as process:
        await deployment.publish(deployment.topics[0], EVENTS)
        await process.take(10)
        deployment.database.positions[stream_of(deployment)] = 2
        deployment.database.taken.clear()
        await process.take(8)
        assert [record.event for record in deployment.database.taken] == EVENTS[2:]


async def test_a_record_that_is_relayed_twice_comes_twice_with_the_same_id(kafka: Kafka) -> None:
    async with deployed(kafka.servers) as deployment, deployment.process() as process:
        logged = await deployment.publish(deployment.topics[0], EVENTS)
        await deployment.publisher.publish(deployment.topics[0], logged[5:])
        await process.take(15)
        taken = deployment.database.taken
        assert [record.id for record in taken] == [record.id for record in (*logged, *logged[5:])]
        assert [record.log_position for record in taken] == [*range(1, 11), *range(6, 11)]


async def test_a_topic_that_was_created_again_is_refused(kafka: Kafka) -> None:
    async with deployed(kafka.servers) as deployment:
        deployment.database.positions[stream_of(deployment)] = 3
        process = deployment.started()
        with pytest.raises(StreamsFailed, match=r"was read up to 3, but ends at 0: .* set another DRIVERLINK_EPOCH"):
            await process.running
