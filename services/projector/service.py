"""The projector's process: consumes its streams, scans rosters, and keeps a bounded number of calls under way."""

import asyncio
from collections.abc import Collection
from typing import Final

import structlog

from domain.failures import CallFailure, Reason, Rejected, Unavailable
from domain.identity import AccountId
from domain.ports import TargetDrivers
from domain.store import StoreConflict
from services.projector.breaker import Breakers, Probing
from services.projector.calls import Attempt, Caller, Connecting, Driver, OutcomeUnknown, Pause, Result
from services.projector.deliveries import DesiredDrivers, DueDeliveries
from services.projector.outcomes import Outcomes
from services.projector.scanning import Scanning
from services.projector.scans import Scans
from services.runtime.context import Assignment
from services.runtime.service import BATCH_WINDOW, Notifier, Service, notified
from services.runtime.serving import CALLS_END, ended

MOST_CALLS = 256
"""Calls under way at a time, over all accounts."""

LONGEST_ATTEMPT: Final = 300.0
"""Seconds after which an attempt gives its slot back, with everything that is read back before and after its call."""

_REST = 0.5

_BUSY_BATCH_WINDOW = 0.03
"""Seconds between two looks while more than half of the slots are taken.

Nothing waits for a slot then, and the outcomes and starts of a longer while share fewer commits.
"""

_log = structlog.get_logger()


class ProjectorApp:
    """One target's projector: the only caller of that target, one call at a time for each link."""

    def __init__(
        self,
        service: Service,
        *,
        desired_drivers: DesiredDrivers,
        due_deliveries: DueDeliveries,
        outcomes: Outcomes,
        scans: Scans,
        scanning: Scanning,
        breakers: Breakers,
        probing: Probing,
        connect: Connecting,
        notifier: Notifier,
        assignment: Assignment,
        batch_window: float = BATCH_WINDOW,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self.service = service
        self._desired_drivers = desired_drivers
        self._due_deliveries = due_deliveries
        self._outcomes = outcomes
        self._scans = scans
        self._scanning = scanning
        self._breakers = breakers
        self._probing = probing
        self._connect = connect
        self._notifier = notifier
        self._assignment = assignment
        self._batch_window = batch_window
        self._pause = pause
        self._target = due_deliveries.target
        self._under_way: dict[Driver, asyncio.Task[tuple[Attempt, Result]]] = {}
        self._storing = asyncio.Lock()
        self._may_be_due = True
        self._taken = 0

    async def run(self) -> None:
        """Work until cancelled; then let the calls under way end, and store their outcomes.

        Those that do not end in time are abandoned: they were started, so they are read back at the next start.
        """
        await self.resume()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.service.run())
                group.create_task(self._keep_calling())
                group.create_task(self._scanning.run())
                group.create_task(self._probing.run())
        finally:
            await self._end(self._under_way.values())

    async def resume(self) -> None:
        """Read back what was started for our accounts and has no outcome, as after a kill or a new assignment."""
        await self.service.call(self._desired_drivers.resume)
        await self.service.call(self._breakers.reload)
        await self.service.call(self._probing.reload)
        await self.service.call(self._due_deliveries.reload)
        await self.service.call(self._scans.reload)
        self._may_be_due = True
        self.service.notify()

    async def reach(self, account: AccountId) -> TargetDrivers:
        """The target as this account reaches it, with the rate limit of all its calls. Raises `TargetFailed`."""
        return await self._scanning.reach(account)

    async def drain(self) -> None:
        """Wait until the calls for accounts that are not ours any more have ended, and their outcomes are stored."""
        while leaving := [task for driver, task in self._under_way.items() if not self._assignment.has(driver[0])]:
            await self._end(leaving)
        # Another process scans for these accounts now: what is due for them has to be looked up should they come back.
        await self.service.call(self._scans.schedule.reload)

    async def _end(self, calls: Collection[asyncio.Task[tuple[Attempt, Result]]]) -> None:
        """Wait for these calls, abandon those that take too long, and store the outcomes of the others."""
        if calls:
            await ended(calls, CALLS_END)
            await self._store_outcomes()

    async def _keep_calling(self) -> None:
        waiter = self._notifier.waiter()
        while True:
            waiter.clear()
            if self._may_be_due and len(self._under_way) < MOST_CALLS:
                await self._start(waiter)
            has_ended = any(call.done() for call in self._under_way.values())
            is_notified = has_ended or await notified(waiter, _REST)
            has_more = self.service.taken != self._taken or self._due_deliveries.is_held_up
            self._may_be_due |= not is_notified or has_more
            await asyncio.sleep(_BUSY_BATCH_WINDOW if len(self._under_way) > MOST_CALLS // 2 else self._batch_window)
            await self._store_outcomes()

    async def _start(self, waiter: asyncio.Event) -> None:
        """Start what is due, and wake the waiter when it ends; there may be more as long as there was something."""
        slots, self._taken = MOST_CALLS - len(self._under_way), self.service.taken
        try:
            started = await self.service.call(self._take, slots, frozenset(self._under_way))
        except StoreConflict:
            _log.info("accounts have gone to another process", target=str(self._target))
            return
        self._may_be_due = bool(started)
        for attempt, drivers in started:
            call = self._under_way[attempt.driver] = asyncio.create_task(self._make_safely(attempt, drivers))
            call.add_done_callback(lambda _: waiter.set())

    def _take(self, slots: int, busy: Collection[Driver]) -> list[tuple[Attempt, TargetDrivers | CallFailure]]:
        """The attempts that are started now, each with the target as its account reaches it."""
        attempts = self._due_deliveries.take(slots, busy)
        reached = {account: self._connect(account) for account in {attempt.driver[0] for attempt in attempts}}
        return [(attempt, reached[attempt.driver[0]]) for attempt in attempts]

    async def _store_outcomes(self) -> None:
        """Store the results that have come; what was started for accounts that have gone is read back elsewhere."""
        async with self._storing:
            for driver in [driver for driver, task in self._under_way.items() if task.cancelled()]:
                del self._under_way[driver]
            done = {driver: task.result() for driver, task in self._under_way.items() if task.done()}
            if not done:
                return
            try:
                await self.service.call(self._outcomes.store_safely, list(done.values()))
                self.service.notify()
            except StoreConflict:
                done = {driver: result for driver, result in done.items() if not self._assignment.has(driver[0])}
            for driver in done:
                del self._under_way[driver]

    async def _make_safely(self, attempt: Attempt, drivers: TargetDrivers | CallFailure) -> tuple[Attempt, Result]:
        """The result of an attempt, whatever goes wrong."""
        try:
            async with asyncio.timeout(LONGEST_ATTEMPT):
                return attempt, await self._make(attempt, drivers)
        except TimeoutError:
            detail = f"given up after {LONGEST_ATTEMPT:.0f} seconds, before everything was answered"
            return attempt, Unavailable(reason=Reason.NO_ANSWER, detail=detail)
        except Exception as failure:  # noqa: BLE001 - one driver's trouble is its own, whatever it is
            _log.exception("call failed unexpectedly", account=attempt.driver[0], driver=attempt.driver[1])
            return attempt, Unavailable(reason=Reason.NO_ANSWER, detail=f"unexpected {type(failure).__name__}")

    async def _make(self, attempt: Attempt, drivers: TargetDrivers | CallFailure) -> Result:
        if isinstance(drivers, Rejected | Unavailable):
            return OutcomeUnknown(failure=drivers) if attempt.was_started else drivers

        async def may_repeat(attempt: Attempt) -> bool:
            return await self.service.call(self._due_deliveries.is_due, attempt)

        caller = Caller(target=self._target, drivers=drivers, pause=self._pause, may_repeat=may_repeat)
        return await caller.make(attempt)
