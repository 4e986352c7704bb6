"""Who has which partitions: processes that come, go, come back, and fall silent."""

import asyncio
from contextlib import closing
from threading import Event

import pytest

from tests.contract.kafka import LoopThread
from tests.contract.stands import fact
from tests.support.servers import Kafka
from tests.system.kafka_members import PARTITIONS, Deployment, Process, deployed

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def started(deployment: Deployment) -> Process:
    """A process in the event loop that this is done in."""
    process = deployment.started()
    await process.until(lambda: len(process.streams) > 0)
    return process


async def silence(until: Event) -> None:
    """Let nothing else happen in the event loop."""
    until.wait()


async def test_a_process_alone_has_every_partition_of_every_topic(kafka: Kafka) -> None:
    async with deployed(kafka.servers) as deployment, deployment.process() as alone:
        await alone.until(lambda: len(alone.streams) == 2 * PARTITIONS)
        assert alone.partitions == {topic: set(range(PARTITIONS)) for topic in deployment.topics}


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


async def test_a_partition_goes_to_another_process_only_after_the_work_on_it_is_done(kafka: Kafka) -> None:
    async with deployed(kafka.servers) as deployment, deployment.process() as busy:
        await busy.until(lambda: len(busy.streams) == 2 * PARTITIONS)
        busy.is_at_work = True
        async with deployment.process() as other:
            await busy.until(lambda: busy.happened[-1] == "revoked 8")
            assert other.happened == []
            busy.finish()
            await other.until(lambda: len(other.streams) == PARTITIONS)


async def test_a_process_with_a_lasting_name_comes_back_to_its_partitions_unnoticed(kafka: Kafka) -> None:
    async with deployed(kafka.servers) as deployment, deployment.process("b") as staying:
        async with deployment.process("a") as first:
            await first.until(lambda: len(first.streams) == PARTITIONS)
            await staying.until(lambda: len(staying.streams) == PARTITIONS)
            before, noticed = first.partitions, list(staying.happened)
        async with deployment.process("a") as again:
            await again.until(lambda: len(again.streams) == PARTITIONS)
            assert again.partitions == before
            assert staying.happened == noticed


async def test_a_process_with_a_lasting_name_that_stays_away_is_replaced(kafka: Kafka) -> None:
    async with deployed(kafka.servers) as deployment, deployment.process("b") as staying:
        async with deployment.process("a") as leaving:
            await leaving.until(lambda: len(leaving.streams) == PARTITIONS)
        await staying.until(lambda: len(staying.streams) == 2 * PARTITIONS)


async def test_a_process_that_fell_silent_learns_that_its_partitions_are_gone(kafka: Kafka) -> None:
    woken = Event()
    async with deployed(kafka.servers) as deployment, deployment.process() as other:
        await other.until(lambda: len(other.streams) == 2 * PARTITIONS)
        with closing(LoopThread()) as elsewhere:
            silent = await asyncio.wrap_future(elsewhere.start(started(deployment)))
            await other.until(lambda: len(other.streams) == PARTITIONS)
            before = len(silent.happened)
            elsewhere.start(silence(woken))
            await other.until(lambda: len(other.streams) == 2 * PARTITIONS)
            woken.set()
            await other.until(lambda: len(other.streams) == PARTITIONS)
            await asyncio.wrap_future(elsewhere.start(silent.end()))
        assert silent.happened[before:][:2] == ["revoked 4", "assigned 4"]
