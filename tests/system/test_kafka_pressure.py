"""A service that is slower than one of its streams: little is fetched ahead, and the others go on."""

from dataclasses import replace
from functools import partial

import pytest

from adapters.kafka import consumer
from adapters.kafka.streams import MOST_RECORDS, KafkaStream
from adapters.kafka.topics import partition_of
from tests.contract.stands import fact
from tests.support.servers import Kafka
from tests.system.kafka_members import PARTITIONS, deployed

pytestmark = pytest.mark.anyio

MANY = [fact(str(number)) for number in range(4 * MOST_RECORDS)]

ELSEWHERE = next(
    name for name in map(str, range(99)) if partition_of(name, PARTITIONS) != partition_of("acme", PARTITIONS)
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def has_reached(stream: KafkaStream, position: int) -> bool:
    return stream.buffer.reached == position


async def test_an_unread_stream_fills_up_to_a_bound_and_delays_no_other_stream(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "_EXCHANGE", 0.1)
    async with deployed(kafka.servers, topics=1) as deployment, deployment.process() as process:
        await process.until(lambda: len(process.streams) == PARTITIONS)
        await deployment.publish(deployment.topics[0], MANY)
        unread = process.streams[f"1/{deployment.topics[0]}/{partition_of('acme', PARTITIONS)}"]
        other = process.streams[f"1/{deployment.topics[0]}/{partition_of(ELSEWHERE, PARTITIONS)}"]
        await process.until(lambda: unread.buffer.is_full)
        for number in range(1, 4):
            await deployment.publish(deployment.topics[0], [replace(fact(str(number)), account=ELSEWHERE)])
            await process.until(partial(has_reached, other, number))
        assert unread.buffer.reached < 2 * MOST_RECORDS
        await process.until(lambda: unread.end() > unread.buffer.reached)
        await process.take(len(MANY) + 3)
        taken = [record.event for record in deployment.database.taken]
        assert [event for event in taken if event and event.account == "acme"] == MANY
