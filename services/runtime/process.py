"""A service as a process of its own. It runs until it is stopped or cannot go on.

A process does not recover from a failure: it ends, and whatever started it starts it again. What it had in memory is
then a guess, and starting from the store is the way that every kill takes as well.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from domain.store import Misconfigured, StoreFailed
from services.runtime.health import EndsNot, Health, Measured, Progress, watch
from services.runtime.outbox import Relay
from services.runtime.partitions import Action, Partitions, nothing
from services.runtime.service import Service
from services.runtime.serving import LONGEST_ENDING


class Member(Protocol):
    """A member of the service's consumer group."""

    @property
    def silence(self) -> float:
        """Seconds since Kafka last said where the streams end."""
        ...

    async def run(self) -> None:
        """Read until cancelled. Raises `StoreFailed` when it cannot go on."""
        ...


class InstanceLocks(Protocol):
    """The locks that show that this process runs; they are lost with the database."""

    def check(self) -> None:
        """Raise `StoreFailed` when they are lost."""
        ...

    def close(self) -> None:
        """Release them."""
        ...


class Process:
    """One service with its relay and, where it consumes logs, its membership of the group, joined when it runs."""

    def __init__(
        self,
        service: Service,
        relay: Relay,
        instance_lock: InstanceLocks,
        *,
        work: Action,
        close: Action = nothing,
        partitions: Partitions | None = None,
        join: Callable[[], Member] | None = None,
    ) -> None:
        self._service = service
        self._relay = relay
        self._instance_lock = instance_lock
        self._work = work
        self._close = close
        self._partitions = partitions
        self._join = join
        self._member: Member | None = None
        self._failure: StoreFailed | None = None

    @property
    def follows(self) -> Sequence[str]:
        """The logs that it follows, by name."""
        return self._service.follows

    async def run(self, patience: float) -> None:
        """Work until cancelled. Raises `StoreFailed`, alone or in a group."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._work())
                group.create_task(self._relay.run())
                group.create_task(watch(self, patience))
                if self._join and self._partitions:
                    self._member = self._join()
                    group.create_task(self._partitions.run())
                    group.create_task(self._member.run())
        except BaseExceptionGroup as failures:
            of_stores, _ = failures.split(StoreFailed)
            self._failure = _first(of_stores) if of_stores else None
            raise
        finally:
            await self.close()

    async def close(self) -> None:
        """Close everything."""
        await self._close()
        await asyncio.to_thread(self._disconnect)

    def _disconnect(self) -> None:
        """Close what has connections, which may take long while the database is away."""
        self._service.close()
        self._relay.close()
        self._instance_lock.close()

    async def progress(self) -> Progress:
        """How far this process has come. Raises `StoreFailed`: the one that ended it, once it has failed."""
        if self._failure:
            raise self._failure
        await self._service.call(self._instance_lock.check)
        unsent, behind = await self._service.call(lambda: (self._relay.lag(), self._service.lag()))
        return Progress(
            taken=self._service.taken,
            behind=behind,
            sent=self._relay.sent,
            unsent=unsent,
            relaying=self._relay.is_relaying,
            partitions=self._partitions.held if self._partitions else 0,
            silence=self._member.silence if self._member else None,
            stuck=self._relay.stuck(),
        )


class Runnable(Measured, Protocol):
    """An opened process."""

    async def run(self, patience: float) -> None:
        """Work until cancelled. Raises `StoreFailed`, alone or in a group."""
        ...


Opening = Callable[[], Awaitable[Runnable]]
"""Opens everything that a process needs. Raises `StoreFailed`."""


async def run_process(opening: Opening, health: Health, *, stop: asyncio.Event, patience: float) -> None:
    """Run a process until `stop` is set, then let its work end.

    Raises `StoreFailed` when it cannot go on: `Stuck` when it made no progress for `patience` seconds, or does not end.
    """
    running = asyncio.create_task(_run(opening, health, patience))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    running.cancel()
    if not (await asyncio.wait((running,), timeout=LONGEST_ENDING))[0]:
        raise EndsNot(LONGEST_ENDING)
    try:
        await running
    except asyncio.CancelledError:
        return
    except BaseExceptionGroup as failures:
        raise _store_failed(failures) from failures


async def _run(opening: Opening, health: Health, patience: float) -> None:
    process = await opening()
    health.begins(process)
    await process.run(patience)


def _store_failed(failures: BaseExceptionGroup[BaseException]) -> StoreFailed:
    """What to report of failures at once: `Misconfigured` first. Raises the group when it has another kind in it."""
    _, rest = failures.split(StoreFailed)
    if rest is not None:
        raise failures
    lasting, _ = failures.split(Misconfigured)
    return _first(lasting or failures)


def _first(failure: BaseException) -> StoreFailed:
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    if not isinstance(failure, StoreFailed):
        raise failure
    return failure
