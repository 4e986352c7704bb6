"""Commits that Kafka answers late or never: what they fail with troubles nothing else."""

import asyncio
import gc
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, NotCoordinatorForGroupError

from adapters.kafka.consumer import OffsetCommitter

pytestmark = pytest.mark.anyio

PLACE = TopicPartition("upstream.v1", 0)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Consumer:
    """Commits as the library does: the request is shielded, so that it outlives its caller."""

    def __init__(self) -> None:
        self.commits: list[Mapping[TopicPartition, int]] = []
        self.answers: list[asyncio.Future[None]] = []

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.commits.append(offsets)
        self.answers.append(asyncio.get_running_loop().create_future())
        await asyncio.shield(self._request(self.answers[-1]))

    async def _request(self, answer: asyncio.Future[None]) -> None:
        await answer


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


@pytest.fixture
def hints(consumer: Consumer) -> OffsetCommitter:
    return OffsetCommitter(lambda: consumer)


async def given(hints: OffsetCommitter, offsets: Mapping[TopicPartition, int]) -> None:
    """Give a hint, and do not wait for Kafka's answer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(0.01):
            await hints.give(offsets)


class Lost(list[str]):
    """What failed in the event loop without being looked at."""

    def take(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.append(f"{context['message']}: {context.get('exception')!r}")

    async def found(self) -> list[str]:
        """After everything under way has gone on, and what is not held is gone."""
        for _ in range(5):
            await asyncio.sleep(0)
        gc.collect()
        return [*self]


@pytest.fixture
async def lost() -> AsyncIterator[Lost]:
    lost, loop = Lost(), asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lost.take)
    yield lost
    loop.set_exception_handler(before)


async def test_the_failure_of_a_commit_that_is_not_waited_for_any_more_is_looked_at(
    hints: OffsetCommitter, consumer: Consumer, lost: Lost
) -> None:
    await given(hints, {PLACE: 5})
    consumer.answers.pop().set_exception(NotCoordinatorForGroupError())
    assert await lost.found() == []


async def test_a_commit_that_outlives_the_consumer_is_ended_with_it(
    hints: OffsetCommitter, consumer: Consumer, lost: Lost
) -> None:
    await given(hints, {PLACE: 5})
    consumer.answers.pop().set_exception(KafkaConnectionError())
    await hints.end(1)
    assert await lost.found() == []


async def test_there_is_one_commit_at_a_time_and_the_next_one_is_newer(
    hints: OffsetCommitter, consumer: Consumer, lost: Lost
) -> None:
    await given(hints, {PLACE: 5})
    await given(hints, {PLACE: 6})
    assert consumer.commits == [{PLACE: 5}]
    consumer.answers.pop().set_exception(NotCoordinatorForGroupError())
    await given(hints, {PLACE: 7})
    assert consumer.commits == [{PLACE: 5}, {PLACE: 7}]
    assert await lost.found() == []


async def test_a_commit_that_does_not_end_keeps_no_process_from_leaving(
    hints: OffsetCommitter, consumer: Consumer
) -> None:
    await given(hints, {PLACE: 5})
    await hints.end(0)
    assert len(consumer.answers) == 1


async def test_what_is_not_a_failure_of_kafka_is_raised(hints: OffsetCommitter, consumer: Consumer) -> None:
    await given(hints, {PLACE: 5})
    consumer.answers.pop().set_exception(RuntimeError("a mistake"))
    with pytest.raises(RuntimeError, match="a mistake"):
        await hints.give({PLACE: 6})
