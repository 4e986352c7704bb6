"""Bad records among good ones, through a real broker."""

from collections.abc import Sequence

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.protocol.produce import ProduceRequest

from adapters.kafka.topics import LARGEST_BATCH, partition_of
from tests.contract.stands import fact
from tests.support.servers import Kafka
from tests.system.kafka_members import PARTITIONS, Deployment, deployed
from tests.unit.adapters.kafka.batches import UNREADABLE, batch, unreadable
from tests.unit.adapters.kafka.messages import FakeMessage
from tests.unit.adapters.kafka.test_cloud_events import POISON

pytestmark = pytest.mark.anyio

GOOD = [fact(str(number)) for number in range(1_000)]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def send(deployment: Deployment, messages: Sequence[FakeMessage]) -> None:
    """Send these to where the account's records are, as they are."""
    options = {**deployment.access.to_options(), "max_request_size": LARGEST_BATCH}
    async with AIOKafkaProducer(**options) as producer:
        for each in messages:
            await producer.send_and_wait(
                deployment.topics[0],
                each.value,
                key=each.key,
                headers=list(each.headers),
                partition=partition_of("acme", PARTITIONS),
            )


async def send_batch(deployment: Deployment, data: bytes, partition: int) -> None:
    """Send a batch byte for byte, as only a producer in another language would."""
    (topic,) = deployment.topics
    async with AIOKafkaProducer(**deployment.access.to_options()) as producer:
        await producer.partitions_for(topic)
        leader = producer.client.cluster.leader_for_partition(TopicPartition(topic, partition))
        answer = await producer.client.send(leader, ProduceRequest(None, -1, 30_000, [(topic, [(partition, data)])]))
        assert answer.topics[0][1][0][1] == 0


async def test_every_kind_of_poison_comes_with_its_reason_and_hides_no_good_record(kafka: Kafka) -> None:
    async with deployed(kafka.servers, topics=1) as deployment, deployment.process() as process:
        await deployment.publish(deployment.topics[0], GOOD[:500])
        await send(deployment, [poison for poison, _ in POISON.values()])
        await deployment.publish(deployment.topics[0], GOOD[500:])
        await process.take(1_000 + len(POISON))
    taken = deployment.database.taken
    assert [record.event for record in taken if record.event] == GOOD
    bad = [record for record in taken if record.event is None]
    assert [reason in record.reason for record, (_, reason) in zip(bad, POISON.values(), strict=True)] == [True] * len(
        bad
    )
    assert [record.body for record in bad] == [poison.value or b"" for poison, _ in POISON.values()]


async def test_a_header_whose_name_is_not_utf8_stops_no_record(kafka: Kafka) -> None:
    partition = partition_of("acme", PARTITIONS)
    async with deployed(kafka.servers, topics=1) as deployment, deployment.process() as process:
        await deployment.publish(deployment.topics[0], GOOD[:10])
        await send_batch(deployment, unreadable(batch([(UNREADABLE, b"1")])), partition)
        await deployment.publish(deployment.topics[0], GOOD[10:20])
        await process.take(21)
    taken = deployment.database.taken
    assert [record.event for record in taken] == [*GOOD[:10], None, *GOOD[10:20]]
    assert (taken[10].body, taken[10].reason) == (b"0", "the name of a header is not UTF-8")
