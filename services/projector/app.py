"""The projector's process: follows its streams, walks rosters, and keeps a bounded number of calls under way."""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress

import structlog

from domain.failures import CallFailure, Reason, Rejected, TargetFailed, Unavailable
from domain.identity import AccountId, Key
from domain.ports import TargetDrivers
from domain.storing import StoreConflict, StoreFailed
from services.projector.admission import Connecting
from services.projector.breaker import Breakers
from services.projector.calling import Caller, Pause, Result, Unsettled
from services.projector.handlers import Wishes
from services.projector.jobs import Driver, Job, Jobs
from services.projector.probing import Probing
from services.projector.read_models import Task
from services.projector.reporting import Reporting
from services.projector.walking import Walk, Walks
from services.runtime.service import LINGER, Bell, Service
from services.runtime.share import Share

MOST_CALLS = 128
"""Calls under way at a time, over all accounts."""

_REST = 0.5
_WALK_AGAIN = 5.0
_WALK_LINGER = 0.1
_MOST_WALKS = 4

_log = structlog.get_logger()


class ProjectorApp:
    """One target's projector: the only caller of that target, one call at a time for each link."""

    def __init__(
        self,
        service: Service,
        *,
        wishes: Wishes,
        jobs: Jobs,
        reporting: Reporting,
        walks: Walks,
        breakers: Breakers,
        probing: Probing,
        connect: Connecting,
        bell: Bell,
        share: Share,
        linger: float = LINGER,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self.service = service
        self._wishes = wishes
        self._jobs = jobs
        self._reporting = reporting
        self._walks = walks
        self._breakers = breakers
        self._probing = probing
        self._connect = connect
        self._bell = bell
        self._share = share
        self._linger = linger
        self._pause = pause
        self._target = jobs.target
        self._walk_not_before: dict[AccountId, float] = {}
        self._under_way: dict[Driver, asyncio.Task[tuple[Job, Result]]] = {}
        self._reporting_turn = asyncio.Lock()
        self._may_be_due = True
        self._taken = 0

    async def run(self) -> None:
        """Work until cancelled; then let the calls under way end, and store their answers."""
        await self.resume()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.service.run())
                group.create_task(self._keep_calling())
                group.create_task(self._keep_walking())
                group.create_task(self._probing.run())
        finally:
            if self._under_way:
                await asyncio.wait(self._under_way.values())
                await self._report()

    async def resume(self) -> None:
        """Settle what was started for our accounts and has no answer, as after a kill, or when they come to us."""
        await self.service.call(self._wishes.resume)
        await self.service.call(self._breakers.look_anew)
        self._may_be_due = True
        self.service.ring()

    async def drain(self) -> None:
        """Wait until no call is under way for accounts that are not ours any more, and their answers are stored."""
        while leaving := [task for driver, task in self._under_way.items() if not self._share.has(driver[0])]:
            await asyncio.wait(leaving)
            await self._report()

    def work_left(self) -> int:
        """How much is not done yet: records to take over, orders to carry out, rosters to walk."""
        tasks = sum(self.service.store.count(Task).values())
        return self.service.lag() + tasks + len(self._walks.due())

    async def _keep_calling(self) -> None:
        waiter = self._bell.waiter()
        while True:
            waiter.clear()
            if self._may_be_due and len(self._under_way) < MOST_CALLS:
                await self._start()
            rung = asyncio.create_task(waiter.wait())
            waited_for = {*self._under_way.values(), rung}
            done, _ = await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED, timeout=_REST)
            rung.cancel()
            self._may_be_due |= not done or self.service.taken != self._taken or self._jobs.is_held_up
            await asyncio.sleep(0.03 if len(self._under_way) > MOST_CALLS // 2 else self._linger)
            await self._report()

    async def _start(self) -> None:
        """Start what is due; there may be more as long as something was, or was taken over since."""
        places, self._taken = MOST_CALLS - len(self._under_way), self.service.taken
        try:
            jobs = await self.service.call(self._take, places, frozenset(self._under_way))
        except StoreConflict:
            _log.info("accounts have gone to another process", target=str(self._target))
            return
        self._may_be_due = bool(jobs)
        for job, drivers in jobs:
            self._under_way[job.driver] = asyncio.create_task(self._do_safely(job, drivers))

    def _take(self, places: int, busy: Collection[Driver]) -> list[tuple[Job, TargetDrivers | CallFailure]]:
        """The jobs that are due, each with the target as its account reaches it."""
        jobs = self._jobs.take(places, busy)
        reached = {account: self._reach(account) for account in {job.driver[0] for job in jobs}}
        return [(job, reached[job.driver[0]]) for job in jobs]

    def _reach(self, account: AccountId) -> TargetDrivers | CallFailure:
        try:
            return self._connect(account)
        except StoreFailed:
            raise
        except Exception as failure:  # noqa: BLE001 - one account's trouble is its own, whatever it is
            _log.exception("account cannot be connected", account=account)
            return Unavailable(reason=Reason.DOWN, detail=f"unexpected {type(failure).__name__}")

    async def _report(self) -> None:
        """Store the answers that have come; the calls of accounts that have gone elsewhere are settled there."""
        async with self._reporting_turn:
            done = {driver: task.result() for driver, task in self._under_way.items() if task.done()}
            try:
                await self._store_answers(list(done.values()))
            except StoreConflict:
                done = {driver: answer for driver, answer in done.items() if not self._share.has(driver[0])}
            for driver in done:
                del self._under_way[driver]

    async def _store_answers(self, answers: Sequence[tuple[Job, Result]]) -> None:
        if answers:
            await self.service.call(self._reporting.report, answers)
            self.service.ring()

    async def _do_safely(self, job: Job, drivers: TargetDrivers | CallFailure) -> tuple[Job, Result]:
        try:
            return job, await self._do(job, drivers)
        except Exception as failure:  # noqa: BLE001 - one driver's trouble is its own, whatever it is
            _log.exception("call failed unexpectedly", account=job.driver[0], driver=job.driver[1])
            return job, Unavailable(reason=Reason.NO_ANSWER, detail=f"unexpected {type(failure).__name__}")

    async def _do(self, job: Job, drivers: TargetDrivers | CallFailure) -> Result:
        if isinstance(drivers, Rejected | Unavailable):
            return Unsettled(failure=drivers) if job.started else drivers
        caller = Caller(target=self._target, drivers=drivers, pause=self._pause, may_repeat=self._may_repeat)
        return await caller.make(job)

    async def _may_repeat(self, job: Job) -> bool:
        return await self.service.call(self._jobs.is_due, job)

    async def _keep_walking(self) -> None:
        waiter = self._bell.waiter()
        while True:
            waiter.clear()
            await self._walk_all(await self.service.call(self._walks.due))
            with suppress(TimeoutError):
                # Python 3.11's wait_for would miss being cancelled as the bell rings.
                async with asyncio.timeout(_WALK_AGAIN):
                    await waiter.wait()
            await asyncio.sleep(_WALK_LINGER)

    async def _walk_all(self, walks: Sequence[Walk]) -> None:
        limit = asyncio.Semaphore(_MOST_WALKS)
        now = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for walk in walks:
                if self._walk_not_before.get(walk.account, 0.0) <= now:
                    group.create_task(self._walk(walk, limit))

    async def _walk(self, walk: Walk, limit: asyncio.Semaphore) -> None:
        async with limit:
            drivers = await self.service.call(self._connect, walk.account)
            failure = drivers if isinstance(drivers, Rejected) else await self._read(walk, drivers)
        if failure is not None:
            self._walk_not_before[walk.account] = asyncio.get_running_loop().time() + _WALK_AGAIN
            with suppress(StoreConflict):
                await self._tell(walk, failure)
        self.service.ring()

    async def _tell(self, walk: Walk, failure: CallFailure) -> None:
        if await self.service.call(self._walks.fail, walk, failure):
            reason = str(failure.reason)
            _log.warning("roster cannot be read", account=walk.account, target=str(self._target), reason=reason)

    async def _read(self, walk: Walk, drivers: TargetDrivers) -> Rejected | Unavailable | None:
        seen: set[Key] = set()
        try:
            async for page in drivers.walk():
                seen.update(driver.key for driver in page)
                await self.service.call(self._walks.take_page, walk, page)
            await self.service.call(self._walks.complete, walk, seen)
        except TargetFailed as failed:
            return failed.failure
        except StoreConflict:
            _log.info("walk is given up", account=walk.account, target=str(self._target))
        except StoreFailed:
            raise
        except Exception as failure:  # noqa: BLE001 - one account's trouble is its own, whatever it is
            _log.exception("walk failed unexpectedly", account=walk.account, target=self._target)
            return Unavailable(reason=Reason.DOWN, detail=f"unexpected {type(failure).__name__}")
        return None
