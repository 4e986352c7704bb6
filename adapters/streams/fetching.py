"""How what FastStream fetches gets into the inboxes: unbroken pieces, and no more than there is room for."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import groupby
from operator import attrgetter

from aiokafka import AIOKafkaConsumer, TopicPartition

from adapters.streams.cloud_events import Message
from adapters.streams.failures import StreamsMisconfigured
from adapters.streams.namespace import Namespace
from adapters.streams.stream import KafkaStream

_PLACE = attrgetter("topic", "partition")


class Fetching:
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
            stream.inbox.close()
        self._streams.clear()

    async def take(self, messages: Sequence[Message]) -> None:
        """Put what was fetched where it belongs.

        Raises `StreamsMisconfigured` when a partition begins anew, or holds a record of another installation.
        """
        for (topic, partition), piece in groupby(messages, _PLACE):
            if stream := self._streams.get(TopicPartition(topic, partition)):
                await self._put(stream, list(piece))
        self._arrived()

    def go_to(self, stream: KafkaStream, position: int) -> None:
        """Start the inbox again behind this position; in any thread."""
        self._loop.call_soon_threadsafe(self._restart, stream, position)

    def go_on(self, stream: KafkaStream) -> None:
        """There is room again; in any thread."""
        self._loop.call_soon_threadsafe(self._resume, stream)

    async def _put(self, stream: KafkaStream, piece: Sequence[Message]) -> None:
        inbox, consumer = stream.inbox, self._consumer()
        reached = await consumer.position(stream.place)
        if reached <= piece[-1].offset:
            # The stream went back after this piece was fetched, which therefore comes again.
            return
        if reached < inbox.reached:
            raise StreamsMisconfigured(
                f"stream {stream.name} begins anew: its topic was made anew, so set another DRIVERLINK_EPOCH"
            )
        self._namespace.check(piece)
        end = max(reached, consumer.highwater(stream.place) or 0)
        inbox.put([message for message in piece if message.offset >= inbox.reached], reached, end)
        if inbox.is_full:
            inbox.is_halted = True
            consumer.pause(stream.place)

    def _restart(self, stream: KafkaStream, position: int) -> None:
        if self._is_open(stream):
            self._start(stream, position, stream.end())

    def _start(self, stream: KafkaStream, position: int, end: int) -> None:
        """Seek, and start the inbox again, with nothing in between."""
        self._consumer().seek(stream.place, position)
        stream.inbox.restart(position, end)
        self._resume(stream)

    def _resume(self, stream: KafkaStream) -> None:
        if self._is_open(stream):
            stream.inbox.is_halted = False
            self._consumer().resume(stream.place)

    def _is_open(self, stream: KafkaStream) -> bool:
        return self._streams.get(stream.place) is stream
