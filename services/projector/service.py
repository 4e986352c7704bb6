"""The projector's process: follows its streams, scans rosters, and keeps a bounded number of calls under way."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Final

import structlog

from domain.failures import CallFailure, Reason, Rejected, Unavailable
from domain.identity import AccountId
from domain.ports import TargetDrivers
from domain.store import StoreConflict
from services.projector.breaker import Breakers, Probing
from services.projector.calls import Caller, OutcomeUnknown, Pause, Reporting, Result
from services.projector.connections import Connecting
from services.projector.deliveries import DesiredDrivers, Driver, Job, Jobs
from services.projector.scans import Scanning, Scans
from services.runtime.context import Assignment
from services.runtime.service import BATCH_WINDOW, Notifier, Service, notified
from services.runtime.serving import CALLS_END, ended

MOST_CALLS = 256
"""Calls under way at a time, over all accounts."""

LONGEST_JOB: Final = 300.0
"""Seconds after which a call gives its place back, with all that is looked up before and after it."""

_REST = 0.5

_BUSY_LINGER = 0.03
"""Seconds between two looks while more than half of the places are taken.

Nobody waits for a place then, and the answers and starts of a longer while share fewer commits.
"""

_log = structlog.get_logger()


class ProjectorApp:
    """One target's projector: the only caller of that target, one call at a time for each link."""

    def __init__(
        self,
        service: Service,
        *,
        desired_drivers: DesiredDrivers,
        jobs: Jobs,
        reporting: Reporting,
        scans: Scans,
        reconciling: Scanning,
        breakers: Breakers,
        probing: Probing,
        connect: Connecting,
        notifier: Notifier,
        share: Assignment,
        batch_window: float = BATCH_WINDOW,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self.service = service
        self._desired_drivers = desired_drivers
        self._jobs = jobs
        self._reporting = reporting
        self._scans = scans
        self._reconciling = reconciling
        self._breakers = breakers
        self._probing = probing
        self._connect = connect
        self._notifier = notifier
        self._assignment = share
        self._batch_window = batch_window
        self._pause = pause
        self._target = jobs.target
        self._under_way: dict[Driver, asyncio.Task[tuple[Job, Result]]] = {}
        self._reporting_turn = asyncio.Lock()
        self._may_be_due = True
        self._taken = 0

    async def run(self) -> None:
        """Work until cancelled; then let the calls under way end, and store their answers.

        Those that do not end in time are abandoned: they were started, so they are looked up at the next start.
        """
        await self.resume()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.service.run())
                group.create_task(self._keep_calling())
                group.create_task(self._reconciling.run())
                group.create_task(self._probing.run())
        finally:
            await self._end(self._under_way.values())

    async def resume(self) -> None:
        """Settle what was started for our accounts and has no answer, as after a kill, or when they come to us."""
        await self.service.call(self._desired_drivers.resume)
        await self.service.call(self._breakers.look_anew)
        await self.service.call(self._probing.look_anew)
        await self.service.call(self._jobs.look_anew)
        await self.service.call(self._scans.look_anew)
        self._may_be_due = True
        self.service.notify()

    async def reach(self, account: AccountId) -> TargetDrivers:
        """The target as this account reaches it, with the pace of all its calls. Raises `TargetFailed`."""
        return await self._reconciling.reach(account)

    async def drain(self) -> None:
        """Wait until no call is under way for accounts that are not ours any more, and their answers are stored."""
        while leaving := [task for driver, task in self._under_way.items() if not self._assignment.has(driver[0])]:
            await self._end(leaving)
        # Others scan for these accounts now: what is due for them has to be looked up anew should they come back.
        await self.service.call(self._scans.agenda.look_anew)

    async def _end(self, calls: Collection[asyncio.Task[tuple[Job, Result]]]) -> None:
        """Wait for these calls, abandon those that take too long, and store the answers that came."""
        if calls:
            await ended(calls, CALLS_END)
            await self._report()

    async def _keep_calling(self) -> None:
        waiter = self._notifier.waiter()
        while True:
            waiter.clear()
            if self._may_be_due and len(self._under_way) < MOST_CALLS:
                await self._start(waiter)
            is_notified = self._has_answers() or await notified(waiter, _REST)
            self._may_be_due |= not is_notified or self.service.taken != self._taken or self._jobs.is_held_up
            await asyncio.sleep(_BUSY_LINGER if len(self._under_way) > MOST_CALLS // 2 else self._batch_window)
            await self._report()

    async def _start(self, waiter: asyncio.Event) -> None:
        """Start what is due, and let the waiter know when it ends; there may be more as long as there was something."""
        places, self._taken = MOST_CALLS - len(self._under_way), self.service.taken
        try:
            jobs = await self.service.call(self._take, places, frozenset(self._under_way))
        except StoreConflict:
            _log.info("accounts have gone to another process", target=str(self._target))
            return
        self._may_be_due = bool(jobs)
        for job, drivers in jobs:
            call = self._under_way[job.driver] = asyncio.create_task(self._do_safely(job, drivers))
            call.add_done_callback(lambda _: waiter.set())

    def _has_answers(self) -> bool:
        """Whether a call has ended whose answer is not stored yet."""
        return any(call.done() for call in self._under_way.values())

    def _take(self, places: int, busy: Collection[Driver]) -> list[tuple[Job, TargetDrivers | CallFailure]]:
        """The jobs that are due, each with the target as its account reaches it."""
        jobs = self._jobs.take(places, busy)
        reached = {account: self._connect(account) for account in {job.driver[0] for job in jobs}}
        return [(job, reached[job.driver[0]]) for job in jobs]

    async def _report(self) -> None:
        """Store the answers that have come; the calls of accounts that have gone elsewhere are settled there."""
        async with self._reporting_turn:
            abandoned = [driver for driver, task in self._under_way.items() if task.cancelled()]
            for driver in abandoned:
                del self._under_way[driver]
            done = {driver: task.result() for driver, task in self._under_way.items() if task.done()}
            try:
                await self._store_answers(list(done.values()))
            except StoreConflict:
                done = {driver: answer for driver, answer in done.items() if not self._assignment.has(driver[0])}
            for driver in done:
                del self._under_way[driver]

    async def _store_answers(self, answers: Sequence[tuple[Job, Result]]) -> None:
        if answers:
            await self.service.call(self._reporting.report_safely, answers)
            self.service.notify()

    async def _do_safely(self, job: Job, drivers: TargetDrivers | CallFailure) -> tuple[Job, Result]:
        try:
            async with asyncio.timeout(LONGEST_JOB):
                return job, await self._do(job, drivers)
        except TimeoutError:
            detail = f"given up after {LONGEST_JOB:.0f} seconds, before everything was answered"
            return job, Unavailable(reason=Reason.NO_ANSWER, detail=detail)
        except Exception as failure:  # noqa: BLE001 - one driver's trouble is its own, whatever it is
            _log.exception("call failed unexpectedly", account=job.driver[0], driver=job.driver[1])
            return job, Unavailable(reason=Reason.NO_ANSWER, detail=f"unexpected {type(failure).__name__}")

    async def _do(self, job: Job, drivers: TargetDrivers | CallFailure) -> Result:
        if isinstance(drivers, Rejected | Unavailable):
            return OutcomeUnknown(failure=drivers) if job.started else drivers
        caller = Caller(target=self._target, drivers=drivers, pause=self._pause, may_repeat=self._may_repeat)
        return await caller.make(job)

    async def _may_repeat(self, job: Job) -> bool:
        return await self.service.call(self._jobs.is_due, job)
