"""One service as a process of its own: it runs, and after a failure runs again, until it is told to stop."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

from domain.storing import Misconfigured, StoreFailed
from services.distributed.health import EndsNot, Health, Measured, Progress, Stuck, watch
from services.distributed.partitions import Doing, Partitions, nothing
from services.runtime.ending import LONGEST_ENDING
from services.runtime.relaying import Relay
from services.runtime.service import Service
from services.runtime.troubles import Troubles

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
"""Seconds until a process that has failed runs again, doubling."""

_STEADY = 30.0
"""Seconds after which a process that runs is taken to have got over what made it fail."""

_OVER = 5.0
"""Seconds after which a process that runs again says that its trouble is over."""


class Member(Protocol):
    """The part that a process takes in its service's group."""

    @property
    def silence(self) -> float:
        """Seconds since Kafka last told how far the streams go."""
        ...

    async def run(self) -> None:
        """Read until cancelled. Raises `StoreFailed` when it cannot go on."""
        ...


class Presence(Protocol):
    """The sign that this process runs; it is lost with the database."""

    def check(self) -> None:
        """Raise `StoreFailed` when it is lost."""
        ...

    def close(self) -> None:
        """The process has ended."""
        ...


class Process:
    """One service with its relay and, where it follows others, its part in the group, which it joins when it runs."""

    def __init__(
        self,
        service: Service,
        relay: Relay,
        presence: Presence,
        *,
        work: Doing,
        close: Doing = nothing,
        partitions: Partitions | None = None,
        join: Callable[[], Member] | None = None,
    ) -> None:
        self._service = service
        self._relay = relay
        self._presence = presence
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
        """Let go of everything."""
        await self._close()
        await asyncio.to_thread(self._let_go)

    def _let_go(self) -> None:
        """Close what has connections, which can take its time when the database is away."""
        self._service.close()
        self._relay.close()
        self._presence.close()

    async def progress(self) -> Progress:
        """How far this process has come. Raises `StoreFailed`: that of which it ends, once it does."""
        if self._failure:
            raise self._failure
        await self._service.call(self._presence.check)
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
    """What is kept running."""

    async def run(self, patience: float) -> None:
        """Work until cancelled. Raises `StoreFailed`, alone or in a group."""
        ...


Opening = Callable[[], Awaitable[Runnable]]
"""Opens all that a process needs. Raises `StoreFailed`: `Misconfigured` where waiting does not help."""


async def keep_running(opening: Opening, health: Health, *, stop: asyncio.Event, patience: float) -> None:
    """Run a process until told to stop, again after each failure: recovering from one is starting after a crash.

    Raises `Misconfigured` at once, and `StoreFailed` when it has failed again and again for longer than `patience`
    seconds: `Stuck` when it was stuck so long, or does not end.
    """
    clock = asyncio.get_running_loop().time
    pause, failing_since, troubles = _FIRST_PAUSE, math.inf, Troubles()
    while True:
        began = clock()
        trouble = await _run(opening, health, troubles, stop=stop, patience=patience)
        if trouble is None:
            return
        if isinstance(trouble, Stuck | Misconfigured):
            raise trouble
        if clock() - began > _STEADY:
            pause, failing_since = _FIRST_PAUSE, math.inf
        failing_since = min(failing_since, clock())
        if clock() - failing_since > patience:
            raise trouble
        health.ends(str(trouble), trouble.part)
        troubles.met("process begins anew", str(trouble))
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await stop.wait()
        pause = min(pause * 2, _LONGEST_PAUSE)


async def _run(
    opening: Opening, health: Health, troubles: Troubles, *, stop: asyncio.Event, patience: float
) -> StoreFailed | None:
    """Run a process until it fails, or until told to stop: then there is no failure. Raises `EndsNot`."""
    if stop.is_set():
        return None
    running = asyncio.create_task(_work(opening, health, troubles, patience))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    running.cancel()
    if not (await asyncio.wait((running,), timeout=LONGEST_ENDING))[0]:
        raise EndsNot(LONGEST_ENDING)
    try:
        await running
    except asyncio.CancelledError:
        return None
    except StoreFailed as failure:
        return failure
    except BaseExceptionGroup as failures:
        return _store_failed(failures)
    return None


async def _work(opening: Opening, health: Health, troubles: Troubles, patience: float) -> None:
    process = await opening()
    health.begins(process)
    over = asyncio.get_running_loop().call_later(_OVER, troubles.are_over)
    try:
        await process.run(patience)
    finally:
        over.cancel()


def _store_failed(failures: BaseExceptionGroup[BaseException]) -> StoreFailed:
    """The failure that waiting does not help against, else any; raises the group when there is another kind in it."""
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
