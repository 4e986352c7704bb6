"""What a service's process does as Kafka gives it partitions, and takes them away."""

from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, Protocol

import structlog

from domain.storing import Store, Stream
from services.runtime.service import Service
from services.runtime.share import Share

_log = structlog.get_logger()

Doing = Callable[[], Coroutine[Any, Any, None]]


async def nothing() -> None:
    """Nothing to be done."""


class OwnedStore(Store, Protocol):
    """A store in which whoever took a partition over last is the only one to write for its accounts."""

    def own(self, partitions: Collection[int]) -> None:
        """Take these partitions over. Raises `StoreFailed`."""
        ...

    def disown(self, partitions: Collection[int]) -> None:
        """Own these partitions no longer."""
        ...


class Partitions:
    """The partitions of one process: the same ones of every topic, with all work for the accounts in them.

    `resume` takes up the work in hand of accounts that have come; `drain` ends that of accounts that go.
    """

    def __init__(
        self,
        service: Service,
        store: OwnedStore,
        share: Share,
        *,
        resume: Doing = nothing,
        drain: Doing = nothing,
    ) -> None:
        self._service = service
        self._store = store
        self._share = share
        self._resume = resume
        self._drain = drain
        self._streams: frozenset[str] = frozenset()

    @property
    def held(self) -> int:
        """How many partitions this process holds."""
        return len(_numbers(self._streams))

    async def assigned(self, streams: Sequence[Stream]) -> Mapping[str, int]:
        """Work for these partitions, and no others; by stream, the stored position from which it goes on."""
        positions = await self._service.call(self._take_over, streams)
        self._share.hold(_numbers(self._streams))
        _log.info("partitions taken over", service=self._service.name, partitions=sorted(_numbers(self._streams)))
        await self._resume()
        return positions

    async def revoked(self, names: Collection[str]) -> None:
        """Let go of these streams, and of the accounts in them; returns when no work for them is under way."""
        staying = self._streams - set(names)
        self._share.hold(_numbers(staying))
        await self._drain()
        await self._service.call(self._let_go, names, staying)

    def arrived(self) -> None:
        """There is something to read."""
        self._service.ring()

    def _take_over(self, streams: Sequence[Stream]) -> Mapping[str, int]:
        names = frozenset(stream.name for stream in streams)
        self._store.own(_numbers(names) - _numbers(self._streams))
        self._service.leave(self._streams - names)
        self._service.follow((each for each in streams if each.name not in self._streams), may_repeat=True)
        self._streams = names
        return {name: self._store.position(name) for name in names}

    def _let_go(self, names: Collection[str], staying: frozenset[str]) -> None:
        self._service.leave(names)
        self._store.disown(_numbers(names) - _numbers(staying))
        self._streams = staying


def _numbers(streams: Collection[str]) -> set[int]:
    return {int(name.rpartition("/")[2]) for name in streams}
