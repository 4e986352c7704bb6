"""A process that cannot go on ends, and says why; nothing is logged and forgotten."""

import asyncio

import pytest

from adapters.kafka import consumer
from adapters.kafka.connection import StreamsMisconfigured
from domain.store import StoreFailed
from tests.contract.stands import fact
from tests.support.hanging import HANGS
from tests.support.servers import Kafka
from tests.system.kafka_members import PARTITIONS, deployed

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Trouble(Exception):
    """An unforeseen failure."""


async def test_a_group_that_refuses_us_ends_the_process(kafka: Kafka) -> None:
    async with deployed(kafka.servers) as deployment:
        process = deployment.started(session_timeout=0.1)
        with pytest.raises(StreamsMisconfigured, match="set DRIVERLINK_KAFKA_SESSION_TIMEOUT to seconds between"):
            await process.running


async def test_a_store_that_fails_when_streams_are_assigned_ends_the_process(kafka: Kafka) -> None:
    async with deployed(kafka.servers) as deployment:
        deployment.database.failure = StoreFailed("the database is away")
        with pytest.raises(StoreFailed, match="the database is away"):
            await deployment.started().running


async def test_a_fault_while_records_arrive_ends_the_process_instead_of_losing_them(kafka: Kafka) -> None:
    async with deployed(kafka.servers) as deployment:
        process = deployment.started()
        await deployment.publish(deployment.topics[0], [fact()])
        await process.take(1)
        process.trouble = Trouble("unheard of")
        await deployment.publish(deployment.topics[0], [fact(version=2)])
        with pytest.raises(Trouble, match="unheard of"):
            await process.running


async def test_kafka_is_not_silent_as_long_as_it_answers_where_the_streams_end(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "_EXCHANGE", 0.1)
    async with deployed(kafka.servers) as deployment, deployment.process() as process, asyncio.timeout(HANGS):
        await process.until(lambda: len(process.streams) == 2 * PARTITIONS)
        for _ in range(2):
            before = process.member.silence
            while (silence := process.member.silence) >= before:
                before = silence
                await asyncio.sleep(0.01)
