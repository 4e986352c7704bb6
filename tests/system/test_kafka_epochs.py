"""Another epoch, in topics of which records are gone: what is sent once more is read, and a loss is said."""

from collections.abc import Sequence

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from adapters.kafka.connection import StreamsMisconfigured
from adapters.kafka.topics import partition_of
from domain.store import Record
from tests.contract.stands import fact
from tests.support.servers import Kafka
from tests.system.kafka_members import PARTITIONS, Deployment, deployed

pytestmark = pytest.mark.anyio

EVENTS = [fact(str(number)) for number in range(10)]
PARTITION = partition_of("acme", PARTITIONS)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def remove(deployment: Deployment, *, before: int) -> None:
    """What retention does in time: the records before this offset are gone."""
    admin = AIOKafkaAdminClient(**deployment.access.to_options())
    await admin.start()
    try:
        place = TopicPartition(deployment.topics[0], PARTITION)
        await admin.delete_records({place: RecordsToDelete(before_offset=before)})
    finally:
        await admin.close()


async def send(deployment: Deployment, records: Sequence[Record], *, epoch: str) -> None:
    """Relay the whole log in this epoch."""
    async with deployment.publisher_of(epoch) as publisher:
        await publisher.publish(deployment.topics[0], records)


@pytest.mark.parametrize("taken", [0, 4, 10], ids=["nothing was read", "some was", "all was"])
async def test_after_retention_another_epoch_reads_everything_that_is_sent_once_more(kafka: Kafka, taken: int) -> None:
    async with deployed(kafka.servers) as deployment:
        logged = [deployment.logged(event) for event in EVENTS]
        await send(deployment, logged, epoch="1")
        deployment.database.positions[f"1/{deployment.topics[0]}/{PARTITION}"] = taken
        await remove(deployment, before=7)
        await send(deployment, logged, epoch="2")
        async with deployment.process_of("2") as process:
            await process.take(10)
        assert [record.event for record in deployment.database.taken] == EVENTS


async def test_a_follower_may_start_before_the_relay_does(kafka: Kafka) -> None:
    async with deployed(kafka.servers) as deployment:
        logged = [deployment.logged(event) for event in EVENTS]
        await send(deployment, logged, epoch="1")
        await remove(deployment, before=10)
        async with deployment.process_of("2") as process:
            await process.until(lambda: bool(process.streams))
            await send(deployment, logged, epoch="2")
            await process.take(10)
        assert [record.event for record in deployment.database.taken] == EVENTS


async def test_records_of_the_new_epoch_that_are_gone_before_they_were_read_are_a_loss_that_is_said(
    kafka: Kafka,
) -> None:
    async with deployed(kafka.servers) as deployment:
        logged = [deployment.logged(event) for event in EVENTS]
        await send(deployment, logged, epoch="1")
        await send(deployment, logged, epoch="2")
        await remove(deployment, before=12)
        process = deployment.started(epoch="2")
        with pytest.raises(StreamsMisconfigured, match="was read up to 10, but begins at 12: records are gone"):
            await process.running
        assert deployment.database.taken == []


async def test_a_relay_that_begins_once_more_in_its_epoch_moves_no_beginning(kafka: Kafka) -> None:
    async with deployed(kafka.servers) as deployment:
        logged = [deployment.logged(event) for event in EVENTS]
        await send(deployment, logged, epoch="1")
        await send(deployment, logged, epoch="1")
        assert deployment.database.epochs.beginnings(deployment.topics[0])["1"] == dict.fromkeys(range(PARTITIONS), 0)
