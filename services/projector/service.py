"""The projector's process: consumes its streams, scans rosters, and keeps a bounded number of calls under way."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from domain.failures import Reason, Rejected, Unavailable
from domain.identity import AccountId, Key
from domain.ports import TargetDrivers, noted_exchanges
from domain.store import StoreConflict
from services.projector.breaker import Breakers, Probing
from services.projector.calls import Attempt, OutcomeUnknown, Pause, Result, TargetCaller
from services.projector.deliveries import Deliveries
from services.projector.read_models import Driver
from services.projector.reads import DriverReads
from services.projector.scanning import Scanning
from services.projector.scans import Scans
from services.runtime.context import Assignment
from services.runtime.service import Service, notified
from services.runtime.serving import CALLS_END, ended

LONGEST_ATTEMPT: Final = 300.0
"""Seconds after which an attempt gives its slot back, with everything that is read back before and after its call."""

_LOOK: Final = 1.0
"""Seconds after which it is looked whether something is due though nothing has happened: clocks can be put right."""

_SHORTEST_WAIT: Final = 0.001
"""Seconds: what is computed from a rate need not be exact."""

_log = structlog.get_logger()


class ProjectorApp:
    """One target's projector: the only caller of that target, one call at a time for each link."""

    def __init__(
        self,
        service: Service,
        *,
        deliveries: Deliveries,
        scans: Scans,
        scanning: Scanning,
        reads: DriverReads,
        breakers: Breakers,
        probing: Probing,
        assignment: Assignment,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self.service = service
        self._deliveries = deliveries
        self._scans = scans
        self._scanning = scanning
        self._reads = reads
        self._breakers = breakers
        self._probing = probing
        self._assignment = assignment
        self._pause = pause
        self._target = deliveries.target
        self._calls: dict[Driver, asyncio.Task[tuple[Attempt, Result]]] = {}
        self._results: list[tuple[Attempt, Result]] = []
        self._abandoned: set[Driver] = set()
        self._changed = asyncio.Event()
        self._storing = asyncio.Lock()

    async def run(self) -> None:
        """Work until cancelled; then let the calls under way end, and store their outcomes.

        Those that do not end in time are abandoned: they were started, so they are read back at the next start.
        """
        await self.resume()
        loop = asyncio.get_running_loop()

        def begin(calls: Sequence[tuple[Attempt, TargetDrivers | Rejected]]) -> None:
            loop.call_soon_threadsafe(self._begin, calls)

        def wake() -> None:
            loop.call_soon_threadsafe(self._changed.set)

        await self.service.call(self._deliveries.begin_by, begin, wake)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.service.run())
                group.create_task(self._keep_calling())
                group.create_task(self._scanning.run())
                group.create_task(self._probing.run())
        finally:
            await self.service.call(self._deliveries.begin_by, None)
            await self._end(self._calls.values())

    async def resume(self) -> None:
        """Read back what was started for our accounts and has no outcome, as after a kill or a new assignment."""
        await self.service.call(self._breakers.reload)
        await self.service.call(self._probing.reload)
        await self.service.call(self._deliveries.resume)
        await self.service.call(self._scans.reload)
        self._changed.set()
        self.service.notify()

    async def reach(self, account: AccountId) -> TargetDrivers:
        """The target as this account reaches it, with the rate limit of all its calls. Raises `TargetFailed`."""
        return await self._scanning.reach(account)

    async def hint(self, account: AccountId, keys: Collection[Key]) -> int:
        """Keep the hints that these drivers have changed, and follow them; how many there was no room for."""
        lost = await self.service.call(self._reads.keep, account, keys)
        self._scanning.look()
        return lost

    async def drain(self) -> None:
        """Wait until the calls for accounts that are not ours any more have ended, and their outcomes are stored."""
        while leaving := [task for driver, task in self._calls.items() if not self._assignment.has(driver[0])]:
            await self._end(leaving)
        await self._turn()
        # Another process scans for these accounts now: what is due for them has to be looked up should they come back.
        await self.service.call(self._scans.schedule.reload)

    async def _end(self, calls: Collection[asyncio.Task[tuple[Attempt, Result]]]) -> None:
        """Wait for these calls, abandon those that take too long, and store the outcomes of the others."""
        await ended(calls, CALLS_END)
        await self._turn()

    async def _keep_calling(self) -> None:
        """Store each outcome as soon as it comes, those that come meanwhile with the next, and start what is due."""
        wait = 0.0
        while True:
            await notified(self._changed, min(wait, _LOOK))
            self._changed.clear()
            wait = max(await self._turn(), _SHORTEST_WAIT)

    async def _turn(self) -> float:
        """Store the results that have come; in how many seconds something can be started though no call ends.

        What was started for accounts that have gone is read back elsewhere.
        """
        async with self._storing:
            results, self._results = self._results, []
            abandoned, self._abandoned = self._abandoned, set()
            if abandoned:
                await self.service.call(self._deliveries.abandon, abandoned)
            try:
                wait = await self.service.call(self._deliveries.turn, results)
            except StoreConflict:
                _log.info("accounts have gone to another process", target=str(self._target))
                gone = {attempt.driver for attempt, _ in results if not self._assignment.has(attempt.driver[0])}
                await self.service.call(self._deliveries.abandon, gone)
                self._results += [result for result in results if result[0].driver not in gone]
                return _LOOK
        if results:
            self.service.announce()
        return wait

    def _begin(self, calls: Sequence[tuple[Attempt, TargetDrivers | Rejected]]) -> None:
        for attempt, drivers in calls:
            call = self._calls[attempt.driver] = asyncio.create_task(self._make_safely(attempt, drivers))
            call.add_done_callback(partial(self._note_end, attempt.driver))

    def _note_end(self, driver: Driver, call: asyncio.Task[tuple[Attempt, Result]]) -> None:
        """A call has ended, or was abandoned."""
        del self._calls[driver]
        if call.cancelled():
            self._abandoned.add(driver)
        else:
            self._results.append(call.result())
        self._changed.set()

    async def _make_safely(self, attempt: Attempt, drivers: TargetDrivers | Rejected) -> tuple[Attempt, Result]:
        """The result of an attempt, whatever goes wrong, with what was exchanged for it."""
        with noted_exchanges() as exchanges:
            result = await self._result_of(attempt, drivers)
        return replace(attempt, exchanges=tuple(exchanges)), result

    async def _result_of(self, attempt: Attempt, drivers: TargetDrivers | Rejected) -> Result:
        try:
            async with asyncio.timeout(LONGEST_ATTEMPT):
                return await self._make(attempt, drivers)
        except TimeoutError:
            detail = f"given up after {LONGEST_ATTEMPT:.0f} seconds, before everything was answered"
            return Unavailable(reason=Reason.NO_ANSWER, detail=detail)
        except Exception as failure:  # noqa: BLE001 - one driver's trouble is its own, whatever it is
            _log.exception("call failed unexpectedly", account=attempt.driver[0], driver=attempt.driver[1])
            return Unavailable(reason=Reason.NO_ANSWER, detail=f"unexpected {type(failure).__name__}")

    async def _make(self, attempt: Attempt, drivers: TargetDrivers | Rejected) -> Result:
        if isinstance(drivers, Rejected):
            return OutcomeUnknown(failure=drivers) if attempt.was_started else drivers

        async def may_repeat(attempt: Attempt) -> bool:
            return await self.service.call(self._deliveries.is_due, attempt)

        caller = TargetCaller(target=self._target, drivers=drivers, pause=self._pause, may_repeat=may_repeat)
        return await caller.make(attempt)
