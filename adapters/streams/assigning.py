"""What happens when Kafka shares the partitions out: streams are closed and opened, from the positions stored."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from adapters.streams.epochs import Beginnings, Epochs, start
from adapters.streams.fetching import Fetching
from adapters.streams.namespace import Namespace
from adapters.streams.stream import KafkaStream

T = TypeVar("T")


class Followed(Protocol):
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


class Assigning(ConsumerRebalanceListener):  # type: ignore[misc] # the library has no types
    """Tells the service, and opens the streams.

    It opens them beside the member's own work, which keeps the group waiting for nobody's store. What goes wrong is
    handed to `failed`, because the library would only log it and go on.
    """

    def __init__(
        self,
        *,
        epoch: str,
        namespace: Namespace,
        epochs: Epochs,
        fetching: Fetching,
        followed: Followed,
        consumer: Callable[[], AIOKafkaConsumer],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._epoch = epoch
        self._namespace = namespace
        self._epochs = epochs
        self._fetching = fetching
        self._followed = followed
        self._consumer = consumer
        self._failed = failed
        self._streams: list[KafkaStream] = []
        self._closing = asyncio.Lock()
        self._telling: asyncio.Future[Mapping[str, int]] | None = None
        self._opening: asyncio.Future[None] | None = None

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:  # noqa: ARG002 - all are
        """Kafka shares the partitions out anew: none is ours until it says so. It waits for us."""
        await self.close()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """These are ours. No heartbeat is sent before this returns."""
        self._fetching.hold(assigned)
        self._streams = [self._to_stream(place) for place in sorted(assigned)]
        self._telling = self._begun(self._followed.assigned(self._streams))
        self._opening = self._begun(self._open(self._streams, self._telling))

    async def close(self) -> None:
        """Close the streams, and wait until no work on them is under way."""
        async with self._closing:
            await self._opened()
            self._fetching.close()
            names, self._streams = [stream.name for stream in self._streams], []
            if names:
                await asyncio.wait({self._begun(self._followed.revoked(names))})

    async def _opened(self) -> None:
        """The service is told to the end; Kafka, which may be away, is not waited for."""
        if self._telling and self._opening:
            await asyncio.wait({self._telling})
            self._opening.cancel()
            await asyncio.wait({self._opening})

    async def _open(self, streams: Sequence[KafkaStream], telling: Awaitable[Mapping[str, int]]) -> None:
        positions = await asyncio.shield(telling)
        places = [stream.place for stream in streams]
        # The ends come first: what is sent later lies behind them, also when its epoch has not begun by then.
        ends = await self._consumer().end_offsets(places)
        beginnings = await self._consumer().beginning_offsets(places)
        begun = await self._begun_epochs({place.topic for place in places})
        starts = {
            each.name: start(
                each.name,
                positions[each.name],
                beginning=beginnings[each.place],
                end=ends[each.place],
                begun=_of_partition(begun[each.place.topic], each.partition),
            )
            for each in streams
        }
        if moved := {name: at for name, at in starts.items() if at != positions[name]}:
            await asyncio.shield(self._followed.begins(moved))
        self._fetching.open(streams, starts, ends)

    async def _begun_epochs(self, topics: Collection[str]) -> Mapping[str, Beginnings]:
        return {topic: await asyncio.to_thread(self._epochs.beginnings, topic) for topic in topics}

    def _to_stream(self, place: TopicPartition) -> KafkaStream:
        return KafkaStream(self._epoch, place, self._fetching, log=self._namespace.to_log(place.topic))

    def _begun(self, work: Awaitable[T]) -> asyncio.Future[T]:
        """The work as a task whose failure is not lost."""
        task = asyncio.ensure_future(work)
        task.add_done_callback(self._look)
        return task

    def _look(self, done: asyncio.Future[Any]) -> None:
        if not done.cancelled() and (failure := done.exception()):
            self._failed(failure)


def _of_partition(begun: Beginnings, partition: int) -> Mapping[str, int]:
    """By epoch, where it began in this partition."""
    return {epoch: offsets[partition] for epoch, offsets in begun.items() if partition in offsets}
