"""A process that cannot go on ends, and says why; nothing is logged and forgotten."""

from datetime import UTC, datetime, timedelta

import pytest

from adapters.streams.failures import StreamsFailed
from domain.storing import StoreFailed
from tests.contract.stands import fact
from tests.integration.kafka_members import PARTITIONS, deployed
from tests.support.servers import Kafka

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Trouble(Exception):
    """Something that nobody has thought of."""


@pytest.mark.parametrize(
    ("topics", "partitions", "message"),
    [
        (["missing.v1"], PARTITIONS, "topics are missing: missing.v1; run `driverlink topics create`"),
        ([], PARTITIONS + 1, "has 4 partitions, not 5: their number must never change, so set it to 4"),
    ],
    ids=["missing", "other partitions"],
)
async def test_topics_that_are_not_as_expected_are_refused(
    kafka: Kafka, topics: list[str], partitions: int, message: str
) -> None:
    async with deployed(kafka.servers) as deployment:
        deployment.topics += topics
        with pytest.raises(StreamsFailed, match=message):
            await deployment.started(partitions=partitions).running


async def test_a_group_that_refuses_us_ends_the_process(kafka: Kafka) -> None:
    async with deployed(kafka.servers) as deployment:
        process = deployment.started(session_timeout=0.1)
        with pytest.raises(StreamsFailed, match=r"Kafka cannot be read any more: .*InvalidSessionTimeout"):
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


async def test_health_tells_the_streams_and_when_kafka_answered(kafka: Kafka) -> None:
    async with deployed(kafka.servers) as deployment, deployment.process() as process:
        assert process.member.health.streams == ()
        await deployment.publish(deployment.topics[0], [fact()])
        await process.take(1)
        health = process.member.health
        assert set(health.streams) == set(process.streams)
        assert health.answered_at is not None
        assert abs(health.answered_at - datetime.now(UTC)) < timedelta(minutes=1)
