"""The partitions of topics as streams that a service consumes, and what happens when Kafka assigns them.

Streams are closed and opened from the stored positions. What FastStream fetches waits in the partition's buffer,
between the event loop, which fills it, and the thread of the service, which reads it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from itertools import groupby, islice
from operator import attrgetter
from threading import Condition
from typing import Any, Protocol, TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from adapters.events import again, new_mapper
from adapters.kafka.cloud_events import ConsumerRecord, to_records
from adapters.kafka.connection import StreamsMisconfigured
from adapters.kafka.topics import Epochs, Namespace, start
from domain.ports import ProfileKeys
from domain.store import Record, Resubmission

MOST_RECORDS = 2_000
MOST_BYTES = 4 * 1024 * 1024
"""At either bound a buffer is full, until a quarter of it is free again."""

_OVERHEAD = 2 * 1024
"""Bytes that a record takes besides its own."""


class PartitionBuffer:
    """A contiguous piece of a partition: every record behind the position `start`, up to the position `reached`.

    It opens when it is started, and gives nothing before, nor after it is closed. A full one still takes what was
    fetched already, which is bounded too.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._messages: deque[ConsumerRecord] = deque()
        self._bytes = 0
        self._end = 0
        self._is_open = False
        self.start = 0
        self.reached = 0
        self.is_halted = False

    @property
    def end(self) -> int:
        """The position of the partition's last record, as far as is known."""
        return max(self._end, self.reached)

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be fetched."""
        return len(self._messages) >= MOST_RECORDS or self._bytes >= MOST_BYTES

    @property
    def wants_more(self) -> bool:
        """Whether fetching was halted, and may go on."""
        return self.is_halted and len(self._messages) <= MOST_RECORDS * 3 // 4 and self._bytes <= MOST_BYTES * 3 // 4

    def restart(self, start: int, end: int) -> None:
        """Forget everything, and go on behind this position in a partition with such an end."""
        with self._changed:
            self._is_open = True
            self._messages.clear()
            self._bytes = 0
            self._end = end
            self.start = self.reached = start
            self._changed.notify_all()

    def put(self, messages: Sequence[ConsumerRecord], reached: int, end: int) -> None:
        """Append what follows on the position reached so far; there is nothing else up to the one that is now."""
        with self._changed:
            self._messages.extend(messages)
            self._bytes += sum(map(_size, messages))
            self._end = end
            self.reached = reached
            self._changed.notify_all()

    def ends_at(self, end: int) -> None:
        """Note where the partition ends now, by Kafka."""
        self._end = end

    def take(self, after: int, limit: int) -> Sequence[ConsumerRecord] | None:
        """The records behind this position, at most `limit`; those up to it are dropped. None if not held here."""
        with self._changed:
            if not self._is_open:
                return ()
            if not self.start <= after <= self.reached:
                return None
            while self._messages and self._messages[0].offset < after:
                self._bytes -= _size(self._messages.popleft())
            self.start = after
            return list(islice(self._messages, limit))

    def wait(self, after: int, limit: int, timeout: float) -> Sequence[ConsumerRecord]:
        """The same once it starts there and has `limit` records or all there are, or after `timeout` seconds."""

        def is_over() -> bool:
            has_enough = len(self._messages) >= limit or self.reached >= self._end
            return not self._is_open or (self.start == after and has_enough)

        with self._changed:
            self._changed.wait_for(is_over, timeout)
        return self.take(after, limit) or ()

    def close(self) -> None:
        """Return nothing any more, and release a waiting reader."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()


def _size(message: ConsumerRecord) -> int:
    headers = sum(len(name) + len(value or b"") for name, value in message.headers)
    return _OVERHEAD + len(message.value or b"") + len(message.key or b"") + headers


FETCH_TIMEOUT = 5.0
"""Seconds that a reader waits for records that have to be fetched again."""


class Source(Protocol):
    """Where a stream's records come from; called in any thread, it answers by filling the buffer."""

    def go_to(self, stream: "KafkaStream", position: int) -> None:
        """Restart the buffer at this position."""
        ...

    def go_on(self, stream: "KafkaStream") -> None:
        """The buffer takes records again."""
        ...


class KafkaStream:
    """Keeps the contract of `Stream`: filled in the event loop, read in the service's thread.

    Records stay in the buffer until a later `after` shows that they are stored, so what has to be handled again is at
    hand. A reader waits only for a position that the buffer does not hold. `log` is what the topic carries, where
    that is not its name, and `keys` open the profiles in it. `first_end` is where the stream ended when it was opened,
    None before.
    """

    def __init__(
        self, epoch: str, place: TopicPartition, source: Source, *, log: str = "", keys: ProfileKeys | None = None
    ) -> None:
        self.name = f"{epoch}/{log or place.topic}/{place.partition}"
        self.place = place
        self._epoch = epoch
        self.buffer = PartitionBuffer()
        self.first_end: int | None = None
        self._source = source
        self._mapper = new_mapper(keys)

    @property
    def partition(self) -> int:
        """The number of the partition; it has the same accounts in every topic."""
        return int(self.place.partition)

    def read(self, after: int, limit: int) -> Sequence[Record]:
        """The records behind this position that have arrived, in order; those up to it count as stored."""
        messages = self.buffer.take(after, limit)
        if messages is None:
            self._source.go_to(self, after)
            messages = self.buffer.wait(after, limit, FETCH_TIMEOUT)
        if self.buffer.wants_more:
            self._source.go_on(self)
        return to_records(self._mapper, messages, self._epoch)

    def end(self) -> int:
        """The position of the last record, as last heard from Kafka; 0 when there is none."""
        return self.buffer.end

    def again(self, resubmission: Resubmission) -> Record:
        """The record that a resubmission stands for, decoded again."""
        return again(self._mapper, resubmission)


_PLACE = attrgetter("topic", "partition")


class StreamFetcher:
    """The source of the streams that are open. It is made in the event loop, and works there.

    `consumer` gives FastStream's consumer, which there is as soon as partitions are assigned.
    """

    def __init__(
        self,
        consumer: Callable[[], AIOKafkaConsumer],
        arrived: Callable[[], None],
        namespace: Namespace = Namespace(),  # noqa: B008 - a frozen value
    ) -> None:
        self._namespace = namespace
        self._consumer = consumer
        self._arrived = arrived
        self._loop = asyncio.get_running_loop()
        self._streams: dict[TopicPartition, KafkaStream] = {}

    @property
    def streams(self) -> Collection[KafkaStream]:
        """The streams that are open."""
        return self._streams.values()

    def hold(self, places: Collection[TopicPartition]) -> None:
        """Fetch nothing from these partitions until they are open."""
        self._consumer().pause(*places)

    def open(
        self, streams: Sequence[KafkaStream], positions: Mapping[str, int], ends: Mapping[TopicPartition, int]
    ) -> None:
        """Fetch for these streams, each behind its position."""
        for stream in streams:
            self._streams[stream.place] = stream
            self._start(stream, positions[stream.name], ends[stream.place])
            stream.first_end = ends[stream.place]

    def close(self) -> None:
        """Fetch for no stream any more."""
        for stream in self._streams.values():
            stream.buffer.close()
        self._streams.clear()

    async def take(self, messages: Sequence[ConsumerRecord]) -> None:
        """Put what was fetched where it belongs.

        Raises `StreamsMisconfigured` when a partition starts again from 0, or holds a record of another installation.
        """
        for (topic, partition), of_partition in groupby(messages, _PLACE):
            stream = self._streams.get(TopicPartition(topic, partition))
            if stream is None:
                continue
            piece, buffer, consumer = list(of_partition), stream.buffer, self._consumer()
            reached = await consumer.position(stream.place)
            if reached <= piece[-1].offset:
                # The stream went back after this piece was fetched, which therefore comes again.
                continue
            if reached < buffer.reached:
                raise StreamsMisconfigured(
                    f"stream {stream.name} starts again from 0: its topic was made again, "
                    "so set another DRIVERLINK_EPOCH"
                )
            self._namespace.check(piece)
            end = max(reached, consumer.highwater(stream.place) or 0)
            buffer.put([message for message in piece if message.offset >= buffer.reached], reached, end)
            if buffer.is_full:
                buffer.is_halted = True
                consumer.pause(stream.place)
        self._arrived()

    def go_to(self, stream: KafkaStream, position: int) -> None:
        """Restart the buffer behind this position; called in any thread."""
        self._loop.call_soon_threadsafe(self._restart, stream, position)

    def go_on(self, stream: KafkaStream) -> None:
        """The buffer takes records again; called in any thread."""
        self._loop.call_soon_threadsafe(self._resume, stream)

    def _restart(self, stream: KafkaStream, position: int) -> None:
        if self._is_open(stream):
            self._start(stream, position, stream.end())

    def _start(self, stream: KafkaStream, position: int, end: int) -> None:
        """Seek, and start the buffer again, with nothing in between."""
        self._consumer().seek(stream.place, position)
        stream.buffer.restart(position, end)
        self._resume(stream)

    def _resume(self, stream: KafkaStream) -> None:
        if self._is_open(stream):
            stream.buffer.is_halted = False
            self._consumer().resume(stream.place)

    def _is_open(self, stream: KafkaStream) -> bool:
        return self._streams.get(stream.place) is stream


T = TypeVar("T")


class AssignmentHandler(Protocol):
    """What a service does as streams come and go. All of it is called in the event loop."""

    async def assigned(self, streams: Sequence[KafkaStream]) -> Mapping[str, int]:
        """These streams are ours now, and no others: by name, the stored position from which each goes on."""
        ...

    async def revoked(self, names: Collection[str]) -> None:
        """These streams are not ours any more; it returns when no work on them is under way."""
        ...

    async def begins(self, positions: Mapping[str, int]) -> None:
        """Nothing was read of these streams, by name, and nothing has to be up to these positions: store them."""
        ...

    def arrived(self) -> None:
        """There may be something new to read."""
        ...


class RebalanceListener(ConsumerRebalanceListener):  # type: ignore[misc] # the library has no types
    """Hands the streams to the service, and opens them.

    It opens them in tasks of their own, so that the group does not wait for a store. What goes wrong is handed to
    `failed`, because the library would only log it and go on.
    """

    def __init__(
        self,
        *,
        epoch: str,
        namespace: Namespace,
        epochs: Epochs,
        fetcher: StreamFetcher,
        handler: AssignmentHandler,
        consumer: Callable[[], AIOKafkaConsumer],
        failed: Callable[[BaseException], None],
        keys: ProfileKeys | None = None,
    ) -> None:
        self._keys = keys
        self._epoch = epoch
        self._namespace = namespace
        self._epochs = epochs
        self._fetcher = fetcher
        self._handler = handler
        self._consumer = consumer
        self._failed = failed
        self._streams: list[KafkaStream] = []
        self._closing = asyncio.Lock()
        self._handing_over: asyncio.Future[Mapping[str, int]] | None = None
        self._opening: asyncio.Future[None] | None = None

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:  # noqa: ARG002 - all are
        """Kafka reassigns the partitions: none is ours until it says so. It waits for us."""
        await self.close()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """These are ours. No heartbeat is sent before this returns."""
        self._fetcher.hold(assigned)
        self._streams = [
            KafkaStream(self._epoch, place, self._fetcher, log=self._namespace.to_log(place.topic), keys=self._keys)
            for place in sorted(assigned)
        ]
        self._handing_over = self._begun(self._handler.assigned(self._streams))
        self._opening = self._begun(self._open(self._streams, self._handing_over))

    async def close(self) -> None:
        """Close the streams, and wait until no work on them is under way."""
        async with self._closing:
            if self._handing_over and self._opening:
                # The service is waited for; Kafka, which may be away, is not.
                await asyncio.wait({self._handing_over})
                self._opening.cancel()
                await asyncio.wait({self._opening})
            self._fetcher.close()
            names, self._streams = [stream.name for stream in self._streams], []
            if names:
                await asyncio.wait({self._begun(self._handler.revoked(names))})

    async def _open(self, streams: Sequence[KafkaStream], handing_over: Awaitable[Mapping[str, int]]) -> None:
        positions = await asyncio.shield(handing_over)
        places = [stream.place for stream in streams]
        # The ends come first: what is sent later lies behind them, also when its epoch has not begun by then.
        ends = await self._consumer().end_offsets(places)
        beginnings = await self._consumer().beginning_offsets(places)
        topics = {place.topic for place in places}
        begun = {topic: await asyncio.to_thread(self._epochs.beginnings, topic) for topic in topics}
        starts: dict[str, int] = {}
        for each in streams:
            at = {epoch: offsets.get(each.partition) for epoch, offsets in begun[each.place.topic].items()}
            starts[each.name] = start(
                each.name,
                positions[each.name],
                beginning=beginnings[each.place],
                end=ends[each.place],
                begun={epoch: offset for epoch, offset in at.items() if offset is not None},
            )
        if moved := {name: at for name, at in starts.items() if at != positions[name]}:
            await asyncio.shield(self._handler.begins(moved))
        self._fetcher.open(streams, starts, ends)

    def _begun(self, work: Awaitable[T]) -> asyncio.Future[T]:
        """The work as a task whose failure is not lost."""
        task = asyncio.ensure_future(work)
        task.add_done_callback(self._look)
        return task

    def _look(self, done: asyncio.Future[Any]) -> None:
        if not done.cancelled() and (failure := done.exception()):
            self._failed(failure)
