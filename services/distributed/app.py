"""One service as a process of its own: it runs, and after a failure runs again, until it is told to stop."""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import structlog

from domain.storing import StoreFailed
from services.distributed.health import Health, Measured, Progress, Stuck, watch
from services.distributed.partitions import Doing, Partitions, nothing
from services.runtime.relaying import Relay
from services.runtime.service import Service

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
"""Seconds until a process that has failed runs again, doubling."""

_STEADY = 30.0
"""Seconds after which a process that runs is taken to have got over what made it fail."""

_log = structlog.get_logger()


class Member(Protocol):
    """The part that a process takes in its service's group."""

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

    async def run(self, patience: float) -> None:
        """Work until cancelled. Raises `StoreFailed`, alone or in a group."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._work())
                group.create_task(self._relay.run())
                group.create_task(watch(self, patience))
                if self._join and self._partitions:
                    group.create_task(self._partitions.run())
                    group.create_task(self._join().run())
        finally:
            await self._close()
            await asyncio.to_thread(self._let_go)

    def _let_go(self) -> None:
        """Close what has connections, which can take its time when the database is away."""
        self._service.close()
        self._relay.close()
        self._presence.close()

    async def progress(self) -> Progress:
        """How far this process has come. Raises `StoreFailed`."""
        await self._service.call(self._presence.check)
        unsent, behind = await self._service.call(lambda: (self._relay.lag(), self._service.lag()))
        return Progress(
            taken=self._service.taken,
            behind=behind,
            sent=self._relay.sent,
            unsent=unsent,
            relaying=self._relay.is_relaying,
            partitions=self._partitions.held if self._partitions else 0,
        )


class Runnable(Measured, Protocol):
    """What is kept running."""

    async def run(self, patience: float) -> None:
        """Work until cancelled. Raises `StoreFailed`, alone or in a group."""
        ...


async def keep_running(
    opening: Callable[[], Runnable], health: Health, *, stop: asyncio.Event, patience: float
) -> None:
    """Run a process until told to stop, again after each failure: recovering from one is starting after a crash.

    Raises `StoreFailed` when it has failed again and again for longer than `patience` seconds, or was stuck so long.
    """
    clock = asyncio.get_running_loop().time
    pause, failing_since = _FIRST_PAUSE, math.inf
    while True:
        began = clock()
        trouble = await _run(opening, health, stop, patience)
        if trouble is None:
            return
        if isinstance(trouble, Stuck):
            raise trouble
        if clock() - began > _STEADY:
            pause, failing_since = _FIRST_PAUSE, math.inf
        failing_since = min(failing_since, clock())
        if clock() - failing_since > patience:
            raise trouble
        health.ends(str(trouble))
        _log.warning("process begins anew", trouble=str(trouble))
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await stop.wait()
        pause = min(pause * 2, _LONGEST_PAUSE)


async def _run(
    opening: Callable[[], Runnable], health: Health, stop: asyncio.Event, patience: float
) -> StoreFailed | None:
    """Run a process until it fails, or until told to stop: then there is no failure."""
    if stop.is_set():
        return None
    try:
        process = await asyncio.to_thread(opening)
    except StoreFailed as failure:
        return failure
    health.begins(process)
    running, stopping = asyncio.create_task(process.run(patience)), asyncio.create_task(stop.wait())
    await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    running.cancel()
    try:
        await running
    except asyncio.CancelledError:
        return None
    except BaseExceptionGroup as failures:
        return _store_failed(failures)
    return None


def _store_failed(failures: BaseExceptionGroup[BaseException]) -> StoreFailed:
    """The failure that can be got over; raises the group when there is another kind in it."""
    _, rest = failures.split(StoreFailed)
    if rest is not None:
        raise failures
    return _first(failures)


def _first(failure: BaseException) -> StoreFailed:
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    if not isinstance(failure, StoreFailed):
        raise failure
    return failure
