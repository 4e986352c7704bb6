"""A service as a process of its own, and whether it is alive and ready. It runs until it is stopped or cannot go on.

A process does not recover from a failure: it ends, and whatever started it starts it again. What it had in memory is
then a guess, and starting from the store is the way that every kill takes as well.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar, Protocol

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from domain.store import Misconfigured, StoreFailed
from services.runtime.outbox import Relay
from services.runtime.partitions import Action, Partitions, nothing
from services.runtime.service import Service
from services.runtime.serving import LONGEST_ENDING

_EVERY = 5.0
"""Seconds between looks at the progress."""

_SILENT = 30.0
"""Seconds without news of where the streams end, which comes every five, after which Kafka counts as silent.

Longer than a broker's restart takes.
"""

_ANSWER = 2.0
"""Seconds after which `/ready` answers even if the progress cannot be measured."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a process has come: records (and pieces of work) done since it began, and how many it is behind.

    `partitions` are those that it holds; `relaying` says whether it has the leader lock, and relays. `silence` is
    for how many seconds Kafka has not said where the streams end, so `behind` is as old; None without streams. `stuck`
    says that the log of the service does not get out, and for how long.
    """

    taken: int
    behind: int
    sent: int
    unsent: int
    relaying: bool
    partitions: int
    silence: float | None = None
    stuck: str | None = None

    @property
    def is_behind(self) -> bool:
        """Whether there is something that this process should be doing."""
        return self.behind > 0 or (self.relaying and self.unsent > 0)

    @property
    def done(self) -> int:
        """Everything that was done."""
        return self.taken + self.sent

    @property
    def trouble(self) -> str:
        """Why the process is not ready, or its figures cannot be relied upon; empty where all is well."""
        if self.stuck:
            return f"{self.stuck}: see the log for the reason"
        if self.silence is None or self.silence < _SILENT:
            return ""
        return f"Kafka has not said for {self.silence:.0f} seconds where the streams end, so behind may be more"

    def to_json(self) -> dict[str, object]:
        """The figures that there are, for scripts."""
        figures = {**asdict(self), "silence": None if self.silence is None else round(self.silence)}
        return {name: figure for name, figure in figures.items() if figure is not None}


class Measured(Protocol):
    """What has a progress that can be measured."""

    async def progress(self) -> Progress:
        """How far it has come. Raises `StoreFailed`."""
        ...


class Stuck(StoreFailed):
    """There is work, and none of it gets done; or an end, and it does not come."""

    part: ClassVar[str] = "process"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"there has been work for {seconds:.0f} seconds, and no progress")


class StillRunning(Stuck):
    """A process that has to end does not."""

    def __init__(self, seconds: float) -> None:
        StoreFailed.__init__(self, f"the process has not come to an end within {seconds:.0f} seconds")


async def watch(measured: Measured, patience: float) -> None:
    """Raise `Stuck` when nothing gets done for `patience` seconds though there is work, or none can be measured."""
    clock = asyncio.get_running_loop().time
    before, since = -1, clock()
    while True:
        try:
            async with asyncio.timeout(patience):
                now = await measured.progress()
        except TimeoutError:
            raise Stuck(patience) from None
        if now.done != before or not now.is_behind:
            before, since = now.done, clock()
        if clock() - since > patience:
            raise Stuck(patience)
        await asyncio.sleep(min(_EVERY, patience / 2))


class Health:
    """What `/live` and `/ready` answer: live if the event loop answers, ready if everything needed is reached."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._measured: Measured | None = None

    def begins(self, measured: Measured) -> None:
        """Everything that is needed was reached."""
        self._measured = measured

    def to_app(self) -> Starlette:
        """The web application that answers."""
        return Starlette(routes=[Route("/live", self._live), Route("/ready", self._ready)])

    async def _live(self, _: Request) -> Response:
        return JSONResponse({"service": self._name, "live": True})

    async def _ready(self, _: Request) -> Response:
        found = await self._look()
        is_ready = "trouble" not in found
        return JSONResponse({"service": self._name, "ready": is_ready, **found}, 200 if is_ready else 503)

    async def _look(self) -> dict[str, object]:
        """The figures, if there are any; where something is wrong the `part` of the installation, and the `trouble`."""
        if self._measured is None:
            return {"part": Stuck.part, "trouble": "is starting"}
        try:
            async with asyncio.timeout(_ANSWER):
                progress = await self._measured.progress()
        except StoreFailed as failure:
            return {"part": failure.part, "trouble": str(failure)}
        except TimeoutError:
            why = f"the database has not answered within {_ANSWER:.0f} seconds, or the service is busy for longer"
            return {"part": StoreFailed.part, "trouble": why}
        except Exception as failure:  # noqa: BLE001 - a request gets an answer, whatever happens here
            _log.warning("progress cannot be measured", failure=type(failure).__name__)
            return {"part": Stuck.part, "trouble": f"the progress cannot be measured: {type(failure).__name__}"}
        trouble = {"part": "kafka", "trouble": progress.trouble} if progress.trouble else {}
        return {**progress.to_json(), **trouble}


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
    def consumes(self) -> Sequence[str]:
        """The logs that it consumes, by name."""
        return self._service.consumes

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

        def disconnect() -> None:
            # This may take long while the database is away.
            self._service.close()
            self._relay.close()
            self._instance_lock.close()

        await self._close()
        await asyncio.to_thread(disconnect)

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

    Raises `StoreFailed` when it cannot go on: `Stuck` when it made no progress for `patience` seconds, or does not end;
    of several failures at once `Misconfigured` first.
    """

    async def run() -> None:
        process = await opening()
        health.begins(process)
        await process.run(patience)

    running = asyncio.create_task(run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    running.cancel()
    if not (await asyncio.wait((running,), timeout=LONGEST_ENDING))[0]:
        raise StillRunning(LONGEST_ENDING)
    try:
        await running
    except asyncio.CancelledError:
        return
    except BaseExceptionGroup as failures:
        if failures.split(StoreFailed)[1] is not None:
            raise
        lasting, _ = failures.split(Misconfigured)
        raise _first(lasting or failures) from failures


def _first(failure: BaseException) -> StoreFailed:
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    if not isinstance(failure, StoreFailed):
        raise failure
    return failure
