"""The partitions that Kafka assigns to a process, and the work for the accounts in them.

One process has the same partitions of every topic, so all that concerns an account is in one process.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import structlog

from domain.store import Position, Store, StoreConflict, Stream, Unit
from services.runtime.context import Assignment
from services.runtime.service import Service, notified

_LOOK = 0.02
"""Seconds between two checks whether the streams have been consumed up to where they ended when they were assigned."""

_CHECK = 5.0
"""Seconds between two checks whether the store knows the partitions as ours."""

_log = structlog.get_logger()

Action = Callable[[], Coroutine[Any, Any, None]]


async def nothing() -> None:
    """Nothing to be done."""


class OwnedStore(Store, Protocol):
    """A store in which only the process that owns a partition can write for its accounts."""

    def own(self, partitions: Collection[int]) -> None:
        """Own these partitions from now on, and no other process. Raises `StoreFailed`."""
        ...

    def disown(self, partitions: Collection[int]) -> None:
        """Release these partitions."""
        ...

    def lost(self) -> Collection[int]:
        """Those of the owned partitions that another process has owned since. Raises `StoreFailed`."""
        ...


class OpenedStream(Stream, Protocol):
    """A stream that is opened some time after it was assigned; `first_end` is where it ended then, None before."""

    first_end: int | None


class Partitions:
    """The partitions of one process: the same ones of every topic, with all work for the accounts in them.

    That work begins when everything is consumed that was there when they were assigned, so that no call follows from
    an old policy. `resume` begins the work in hand for accounts that were assigned; `drain` ends it for those that go.

    Kafka says whose a partition is, and the store who owned it last. A process that was away for a while can own
    partitions that have been another's meanwhile, before it learns so; then the other one owns them again.
    """

    def __init__(
        self,
        service: Service,
        store: OwnedStore,
        assignment: Assignment,
        *,
        resume: Action = nothing,
        drain: Action = nothing,
    ) -> None:
        self._service = service
        self._store = store
        self._assignment = assignment
        self._resume = resume
        self._drain = drain
        self._streams: dict[str, OpenedStream] = {}
        self._suspected: Mapping[str, OpenedStream] | None = None
        self._came = asyncio.Event()

    @property
    def held(self) -> int:
        """How many partitions this process holds."""
        return len(_numbers(self._streams))

    async def run(self) -> None:
        """Begin the work for partitions when they are assigned, until cancelled. Raises `StoreFailed`."""
        while True:
            if await notified(self._came, _CHECK):
                self._came.clear()
                await self._begin()
            else:
                await self._check()

    async def _begin(self) -> None:
        streams, loop = self._streams, asyncio.get_running_loop()
        checked_at = loop.time()
        while streams is self._streams and not self._are_consumed():
            await asyncio.sleep(_LOOK)  # It comes about in the service's thread.
            if loop.time() - checked_at >= _CHECK:
                checked_at = loop.time()
                await self._check()
        if streams is self._streams:
            partitions = _numbers(streams)
            self._assignment.hold(partitions)
            _log.info("partitions assigned", service=self._service.name, partitions=sorted(partitions))
            try:
                await self._resume()
            except StoreConflict:
                _log.info("partitions have gone to another process", service=self._service.name)

    async def _check(self) -> None:
        """Own the partitions again that were another's at two checks in a row, while Kafka did not take them away."""
        streams = self._streams
        is_lost = bool(streams) and bool(await self._service.call(self._store.lost))
        if is_lost and streams is self._suspected is self._streams:
            self._streams = streams = {**streams}
            self._assignment.hold(())
            await self._drain()
            await self._service.call(self._own_again, streams)
            self._came.set()
        self._suspected = streams if is_lost else None

    async def assigned(self, streams: Sequence[OpenedStream]) -> Mapping[str, int]:
        """Consume these streams, and no others; by stream, the stored position from which it goes on."""
        held, self._streams = self._streams, {stream.name: stream for stream in streams}
        positions = await self._service.call(self._open, held)
        self._came.set()
        return positions

    async def revoked(self, names: Collection[str]) -> None:
        """Stop consuming these streams; returns when no work for the accounts in them is under way."""
        self._streams = {name: stream for name, stream in self._streams.items() if name not in names}
        self._assignment.hold(_numbers(self._streams))
        await self._drain()
        await self._service.call(self._close, names)

    async def begins(self, positions: Mapping[str, int]) -> None:
        """Consume these streams from here, by name: nothing was read of them, and nothing before has to be."""
        await self._service.call(self._begin_at, positions)

    def arrived(self) -> None:
        """There is something to read."""
        self._service.notify()

    def _are_consumed(self) -> bool:
        """Whether all streams are consumed up to where they ended when they were assigned."""
        return all(
            each.first_end is not None and self._service.has_reached(each.name, each.first_end)
            for each in self._streams.values()
        )

    def _open(self, held: Collection[str]) -> Mapping[str, int]:
        self._store.own(_numbers(self._streams) - _numbers(held))
        self._service.leave(set(held) - self._streams.keys())
        self._service.follow(each for name, each in self._streams.items() if name not in held)
        return {name: self._store.position(name) for name in self._streams}

    def _own_again(self, streams: Mapping[str, OpenedStream]) -> None:
        if streams is self._streams:
            _log.warning("partitions are owned again", partitions=sorted(_numbers(streams)), service=self._service.name)
            self._store.own(_numbers(streams))
            self._service.leave(streams)
            self._service.follow(streams.values())

    def _begin_at(self, positions: Mapping[str, int]) -> None:
        with suppress(StoreConflict):  # Another process has the partitions, and Kafka is about to say so.
            self._store.commit(Unit(positions=[Position(name=name, at=at) for name, at in positions.items()]))
        streams = [self._streams[name] for name in positions if name in self._streams]
        self._service.leave(positions)
        self._service.follow(streams)

    def _close(self, names: Collection[str]) -> None:
        self._service.leave(names)
        self._store.disown(_numbers(names) - _numbers(self._streams))


def _numbers(streams: Iterable[str]) -> set[int]:
    return {int(name.rpartition("/")[2]) for name in streams}
