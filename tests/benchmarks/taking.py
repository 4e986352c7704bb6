"""A topic of Kafka, and how long it takes until a service's process has taken all of it."""

import asyncio
import gc
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from threading import Event as Signal
from time import perf_counter
from typing import Any
from uuid import uuid4

from adapters.events import new_mapper, to_record
from adapters.kafka.connection import KafkaAccess
from adapters.kafka.consumer import Group, KafkaConsumer, TopicSubscription
from adapters.kafka.producer import KafkaPublisher
from adapters.kafka.streams import KafkaStream
from adapters.kafka.topics import create
from domain.store import Event, Stream
from services.runtime.consumer import BATCH
from services.runtime.serving import collect_rarely

Step = Callable[[], int]
"""Takes what there is, at most a batch; how many records."""

Following = Callable[[Stream], Step]
"""What a service does with a stream that it is given."""

_PATIENCE = 120.0


class Topic:
    """A topic of one partition, filled as a service's relay fills it."""

    def __init__(self, servers: str) -> None:
        self.name = f"bench.{uuid4().hex}.v1"
        self._access = KafkaAccess(servers=tuple(servers.split(",")))
        self._records = 0

    async def fill(self, events: Sequence[Event]) -> None:
        """Make the topic, and relay these facts to it."""
        await create(self._access, [self.name], partitions=1, replication=1)
        mapper, publisher = new_mapper(), KafkaPublisher(self._access, service="intake")
        records = [to_record(mapper, at, mapper.to_stored_event(event)) for at, event in enumerate(events, 1)]
        for start in range(0, len(records), BATCH):
            await publisher.publish(self.name, records[start : start + BATCH])
        await publisher.close()
        self._records = len(records)

    async def taken(self, following: Following) -> float:
        """The seconds from when the partition is assigned until all of it is taken."""
        taking = _Taking(following, self._records)
        subscription = TopicSubscription(topics=[self.name], partitions=1, group=Group(name=f"{self.name}.followers"))
        member = asyncio.create_task(KafkaConsumer(self._access, subscription, taking).run())
        try:
            waited: set[asyncio.Future[Any]] = {member, taking.seconds}
            await asyncio.wait(waited, timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            if member.done():
                await member
            return taking.seconds.result()
        finally:
            taking.give_up()
            member.cancel()
            with suppress(asyncio.CancelledError):
                await member


class _Taking:
    """What a process does with a partition of a topic: it takes its records, in a thread."""

    def __init__(self, following: Following, records: int) -> None:
        self.seconds: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._following = following
        self._records = records
        self._arrived = Signal()
        self._is_over = False
        self._work: asyncio.Task[None] | None = None

    async def assigned(self, streams: Sequence[KafkaStream]) -> Mapping[str, int]:
        """The partition is ours."""
        self._work = asyncio.create_task(self._take(self._following(streams[0])))
        return {streams[0].name: 0}

    async def begins(self, positions: Mapping[str, int]) -> None:
        """Nothing was removed from the topic."""

    async def revoked(self, names: Collection[str]) -> None:  # noqa: ARG002 - there is only one
        """It is ours no more."""
        if self._work:
            await self._work

    def arrived(self) -> None:
        """There is something to read."""
        self._arrived.set()

    def give_up(self) -> None:
        """Stop."""
        self._is_over = True
        self._arrived.set()

    async def _take(self, step: Step) -> None:
        self.seconds.set_result(await asyncio.to_thread(self._timed, step))

    def _timed(self, step: Step) -> float:
        # As a service's process does, which does not hold all of a fleet to look through, either.
        threshold = gc.get_threshold()
        collect_rarely()
        began, taken = perf_counter(), 0
        while taken < self._records and not self._is_over:
            self._arrived.clear()
            done = step()
            taken += done
            if not done:
                self._arrived.wait()
        seconds = perf_counter() - began
        gc.unfreeze()
        gc.set_threshold(*threshold)
        return seconds
