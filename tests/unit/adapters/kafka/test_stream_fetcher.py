"""What becomes of what was fetched, whenever the stream went elsewhere."""

import asyncio
from collections.abc import Sequence

import pytest
from aiokafka import TopicPartition

from adapters.kafka import streams
from adapters.kafka.connection import StreamsFailed
from adapters.kafka.streams import MOST_RECORDS, KafkaStream, StreamFetcher
from tests.support.hanging import HANGS
from tests.unit.adapters.kafka.messages import FakeMessage, message

pytestmark = pytest.mark.anyio

PLACE = TopicPartition("upstream.v1", 0)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Consumer:
    """As much of a consumer as is asked for; its position moves as records are fetched, and by seeking."""

    def __init__(self) -> None:
        self.at = 0
        self.paused: set[TopicPartition] = set()
        self.sought = asyncio.Event()

    async def position(self, place: TopicPartition) -> int:
        assert place == PLACE
        return self.at

    def highwater(self, place: TopicPartition) -> int | None:
        return 100 if place == PLACE else None

    def seek(self, place: TopicPartition, offset: int) -> None:
        assert place == PLACE
        self.at = offset
        self.sought.set()

    def pause(self, *places: TopicPartition) -> None:
        self.paused |= {*places}

    def resume(self, *places: TopicPartition) -> None:
        self.paused -= {*places}

    def fetched(self, first: int, last: int) -> list[FakeMessage]:
        """Messages of these offsets, both included, as they have just been fetched."""
        self.at = last + 1
        return [message(offset=offset) for offset in range(first, last + 1)]


class Stand:
    """A stream that is open behind the position 5."""

    def __init__(self) -> None:
        self.consumer = Consumer()
        self.notifies = 0
        self.fetching = StreamFetcher(lambda: self.consumer, self._ring)
        self.stream = KafkaStream("1", PLACE, self.fetching)
        self.fetching.hold([PLACE])
        self.fetching.open([self.stream], {self.stream.name: 5}, {PLACE: 20})

    @property
    def held(self) -> list[int]:
        """The offsets in the buffer."""
        return [each.offset for each in self.stream.buffer.take(self.stream.buffer.start, 10_000) or ()]

    async def take(self, messages: Sequence[FakeMessage]) -> None:
        await self.fetching.take(messages)

    def _ring(self) -> None:
        self.notifies += 1


async def settled() -> None:
    """What was asked for from another thread is done."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_nothing_is_fetched_until_the_streams_are_open() -> None:
    consumer = Consumer()
    StreamFetcher(lambda: consumer, lambda: None).hold([PLACE])
    assert consumer.paused == {PLACE}


async def test_an_open_stream_is_fetched_from_its_position() -> None:
    stand = Stand()
    assert (stand.consumer.at, stand.consumer.paused) == (5, set())
    await stand.take(stand.consumer.fetched(5, 9))
    assert (stand.held, stand.notifies) == ([5, 6, 7, 8, 9], 1)


async def test_the_end_is_what_the_broker_said() -> None:
    stand = Stand()
    assert stand.stream.end() == 20
    await stand.take(stand.consumer.fetched(5, 9))
    assert stand.stream.end() == 100


async def test_records_of_a_partition_that_is_not_open_are_left() -> None:
    stand = Stand()
    stand.fetching.close()
    await stand.take(stand.consumer.fetched(5, 9))
    assert stand.held == []


async def test_what_was_fetched_before_going_back_is_left_because_it_comes_again() -> None:
    stand = Stand()
    await stand.take(stand.consumer.fetched(5, 9))
    before = stand.consumer.fetched(10, 12)
    stand.fetching.go_to(stand.stream, 7)
    await settled()
    await stand.take(before)
    assert (stand.held, stand.consumer.at) == ([], 7)
    await stand.take(stand.consumer.fetched(7, 12))
    assert stand.held == [7, 8, 9, 10, 11, 12]


async def test_what_was_fetched_before_going_forward_is_left() -> None:
    stand = Stand()
    before = stand.consumer.fetched(5, 12)
    stand.fetching.go_to(stand.stream, 11)
    await settled()
    await stand.take(before)
    assert stand.held == []
    await stand.take(stand.consumer.fetched(11, 13))
    assert stand.held == [11, 12, 13]


async def test_offsets_that_do_not_exist_are_passed() -> None:
    stand = Stand()
    fetched = stand.consumer.fetched(7, 8)
    stand.consumer.at = 12
    await stand.take(fetched)
    assert (stand.held, stand.stream.buffer.reached) == ([7, 8], 12)


async def test_a_partition_that_starts_again_is_a_failure() -> None:
    stand = Stand()
    await stand.take(stand.consumer.fetched(5, 9))
    with pytest.raises(StreamsFailed, match=r"stream 1/upstream.v1/0 starts again from 0"):
        await stand.take(stand.consumer.fetched(0, 2))


async def test_a_stream_that_is_not_open_yet_makes_no_reader_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "FETCH_TIMEOUT", 2 * HANGS)
    stand = Stand()
    early = KafkaStream("1", PLACE, stand.fetching)
    async with asyncio.timeout(HANGS):
        assert await asyncio.to_thread(early.read, 5, 10) == []


async def test_a_full_inbox_halts_fetching_until_there_is_room() -> None:
    stand = Stand()
    await stand.take(stand.consumer.fetched(5, 5 + MOST_RECORDS))
    assert stand.consumer.paused == {PLACE}
    assert len(await asyncio.to_thread(stand.stream.read, 5 + MOST_RECORDS // 2, 1)) == 1
    await settled()
    assert stand.consumer.paused == set()


async def test_a_reader_who_goes_back_waits_for_what_is_there_already() -> None:
    stand = Stand()
    await stand.take(stand.consumer.fetched(5, 99))
    stand.consumer.sought.clear()
    reading = asyncio.create_task(asyncio.to_thread(stand.stream.read, 2, 10))
    await stand.consumer.sought.wait()
    await stand.take(stand.consumer.fetched(2, 50))
    assert [record.position for record in await reading] == list(range(3, 13))


async def test_a_stream_that_was_closed_moves_nothing_any_more() -> None:
    stand = Stand()
    stand.fetching.close()
    stand.consumer.pause(PLACE)
    stand.fetching.go_to(stand.stream, 1)
    stand.fetching.go_on(stand.stream)
    await settled()
    assert (stand.consumer.at, stand.consumer.paused) == (5, {PLACE})
    assert await asyncio.to_thread(stand.stream.read, 1, 10) == []
