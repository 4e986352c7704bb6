"""Scanning: makes scans and look-ups when they are due, some at once, each in the slot that comes free next."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Final

import structlog

from domain.failures import (
    CallFailure,
    ListWithoutEnd,
    Reason,
    Rejected,
    TargetFailed,
    Unavailable,
    doubled,
    seldom,
    spread,
)
from domain.identity import AccountId, Target, scan_stream
from domain.ports import TargetDrivers
from domain.store import StoreConflict, StoreFailed
from services.projector.breaker import Breakers
from services.projector.calls import Connecting
from services.projector.reads import DriverRead, DriverReads, read_driver
from services.projector.scans import ListNotWhole, RosterScan, RosterWithoutEnd, Scanner, Scans
from services.runtime.context import Clock
from services.runtime.service import Notifier, Service, notified, own_trouble, stored_anyhow, unexpected_failure

MOST_SCANS: Final = 4
"""Rosters that are read at a time, over all accounts; one of an account."""

MOST_SCANS_IN_HAND: Final = 32
"""The same together with those that wait because their target takes no calls just now."""

MOST_LOOK_UPS: Final = 4
"""Look-ups at a time, over all accounts; one of an account."""

MOST_LOOK_UPS_IN_HAND: Final = 32
"""The same together with those that are slow."""

SLOW_SCAN: Final = timedelta(seconds=60)
"""After how long a scan gives its slot back, and goes on beside the others."""

SLOW_LOOK_UP: Final = timedelta(seconds=10)
"""The same of a look-up."""

LONGEST_SCAN: Final = 6 * 3600.0
"""Seconds after which a scan is given up; a roster of 100,000 takes half an hour at a call in two seconds."""

LONGEST_LOOK_UP: Final = 120.0
"""Seconds after which a look-up is given up: a person waits for it."""

_TICK: Final = 1.0
"""Seconds between two looks at the clock, if nothing is notified."""

_BATCH_WINDOW: Final = 0.1
"""Seconds after a notification: what else comes meanwhile is looked at together."""

_LOOK: Final = timedelta(seconds=5)
"""How long nothing is looked up at most while nothing changes."""

_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class _Running:
    """A scan or a look-up since a moment, and how many drivers it has read; `gives_way`: it ends for others."""

    began: datetime
    drivers: int = 0
    task: asyncio.Task[None] | None = None
    gives_way: bool = False

    def rate(self, now: datetime) -> float:
        """Drivers a second."""
        return self.drivers / max((now - self.began).total_seconds(), 1.0)

    def on_read(self, drivers: int) -> None:
        """Keep how many have been read so far."""
        self.drivers = drivers


@dataclass(frozen=True, slots=True, kw_only=True)
class _FailedScan:
    """A scan that failed `tries` times in a row, and is not made again before a moment."""

    scan: RosterScan
    tries: int
    not_before: datetime
    wait: timedelta

    def delays(self, scan: RosterScan, now: datetime) -> bool:
        """Whether this scan has to wait; one that was requested since then does not."""
        is_same = (scan.policy_generation, scan.request) == (self.scan.policy_generation, self.scan.request)
        return is_same and now < self.not_before <= now + self.wait


class Scanning:
    """Makes one target's scans and look-ups."""

    def __init__(
        self,
        service: Service,
        target: Target,
        *,
        scans: Scans,
        reads: DriverReads,
        breakers: Breakers,
        connect: Connecting,
        slots: Callable[[AccountId], int],
        clock: Clock,
        notifier: Notifier,
    ) -> None:
        self._service = service
        self._target = target
        self._scans = scans
        self._scanner = Scanner(service, scans, clock)
        self._reads = reads
        self._breakers = breakers
        self._connect = connect
        self._slots = slots
        self._clock = clock
        self._notifier = notifier
        self._scanning: dict[AccountId, _Running] = {}
        self._looking_up: dict[AccountId, _Running] = {}
        self._is_crowded = False
        self._failed: dict[AccountId, _FailedScan] = {}
        self._has_ended = False
        self._look_at = clock()

    async def run(self) -> None:
        """Work until cancelled."""
        waiter = self._notifier.waiter()
        async with asyncio.TaskGroup() as group:
            while True:
                waiter.clear()
                if self._is_time():
                    await self._begin(group)
                await notified(waiter, _TICK)
                await asyncio.sleep(_BATCH_WINDOW)

    def look(self) -> None:
        """Look at once for something to do."""
        self._has_ended = True
        self._service.notify()

    def take(self) -> tuple[Sequence[RosterScan], Sequence[DriverRead]]:
        """The scans and look-ups to begin now, as far as there are slots for them; scans that failed come last."""
        self._has_ended = False
        for account in self._failed.keys() & self._breakers.open_accounts():
            del self._failed[AccountId(account)]
        now = self._clock()
        # Slow scans, and those whose target takes no calls, delay no others.
        reading = [each for each, scan in self._scanning.items() if abs(now - scan.began) < SLOW_SCAN]
        free = MOST_SCANS - sum(self._slots(account) > 0 for account in reading)
        slots = max(0, min(free, MOST_SCANS_IN_HAND - len(self._scanning)))
        begun = [*islice(self._ready(now, has_failed=False), slots)]
        begun += islice(self._ready(now, has_failed=True), slots - len(begun))
        is_full = len(self._scanning) >= MOST_SCANS_IN_HAND
        self._is_crowded = is_full and next(self._ready(now, has_failed=False), None) is not None
        quick = sum(abs(now - each.began) < SLOW_LOOK_UP for each in self._looking_up.values())
        most = min(MOST_LOOK_UPS - quick, MOST_LOOK_UPS_IN_HAND - len(self._looking_up))
        reads = self._reads.due(self._looking_up, most)
        following = self._scans.schedule.next_moment()
        waiting = [failed.not_before for failed in self._failed.values() if failed.not_before > now]
        self._look_at = min([now + _LOOK, *waiting, *([following] if following else [])])
        return begun, reads

    async def scan(self, scan: RosterScan) -> None:
        """Read one roster, and store what comes of it."""
        try:
            await self._scan(scan, self._scanning.get(scan.account) or _Running(began=self._clock()))
        except TargetFailed as failed:
            await self._fail(scan, failed)
        except StoreConflict:
            self._put_off(scan)
            _log.info("scan is given up", account=scan.account, target=str(self._target))
        except StoreFailed:
            raise
        except Exception as failure:  # noqa: BLE001 - one account's trouble is its own, whatever it is
            _log.exception("scan failed unexpectedly", account=scan.account, target=str(self._target))
            await self._fail(scan, TargetFailed(unexpected_failure(failure)))
        else:
            self._failed.pop(scan.account, None)

    async def read(self, row: DriverRead) -> None:
        """Read one driver, and store what comes of it."""
        try:
            async with asyncio.timeout(LONGEST_LOOK_UP):
                newer = await self._service.call(self._reads.begin, row)
                if newer is not None:
                    found = await read_driver(row, await self.reach(AccountId(row.account)))
                    await self._service.call(self._reads.report, row, found, newer)
        except TargetFailed as failed:
            await self._fail_read(row, failed.failure)
        except TimeoutError:
            await self._fail_read(row, _down(f"no answer to a look-up within {LONGEST_LOOK_UP:.0f} seconds"))
        except StoreConflict:
            _log.info("look-up is given up", account=row.account, target=str(self._target))
        except StoreFailed:
            raise
        except Exception as failure:  # noqa: BLE001 - one account's trouble is its own, whatever it is
            _log.exception("look-up failed unexpectedly", account=row.account, target=str(self._target))
            await self._fail_read(row, unexpected_failure(failure))

    async def reach(self, account: AccountId) -> TargetDrivers:
        """The target as this account reaches it. Raises `TargetFailed`."""
        drivers = await self._service.call(self._connect, account)
        if isinstance(drivers, Rejected):
            raise TargetFailed(drivers)
        return drivers

    def _is_time(self) -> bool:
        """Whether something may be due: something has changed, or the time of the next look has come."""
        wait = self._look_at - self._clock()
        return self._has_ended or self._scans.schedule.has_changed or not timedelta() < wait <= _LOOK

    async def _begin(self, group: asyncio.TaskGroup) -> None:
        scans, reads = await self._service.call(self.take)
        now = self._clock()
        for scan in scans:
            running = self._scanning[scan.account] = _Running(began=now)
            running.task = group.create_task(self._in_slot(self._scanning, scan.account, self.scan(scan)))
        for row in reads:
            account = AccountId(row.account)
            self._looking_up[account] = _Running(began=now)
            group.create_task(self._in_slot(self._looking_up, account, self.read(row)))
        if not self._is_crowded:
            return
        # Slow scans have every slot: the slowest ends, and is made again after the others.
        slow = [each for each in self._scanning.values() if now - each.began >= SLOW_SCAN and not each.gives_way]
        slowest = min(slow, key=lambda each: each.rate(now), default=None)
        if slowest and slowest.task:
            slowest.gives_way = True
            slowest.task.cancel()

    async def _in_slot(
        self, running: dict[AccountId, _Running], account: AccountId, work: Coroutine[object, object, None]
    ) -> None:
        try:
            with own_trouble("roster work is given up", account=account, target=str(self._target)):
                await work
        finally:
            running.pop(account, None)
            self._has_ended = True
            self._service.notify()

    def _ready(self, now: datetime, *, has_failed: bool) -> Iterator[RosterScan]:
        """The due scans that may begin, of accounts whose last one failed or of the others."""
        return (
            scan
            for scan in self._scans.due()
            if ((failed := self._failed.get(scan.account)) is not None) is has_failed
            and scan.account not in self._scanning
            and not (failed and failed.delays(scan, now))
        )

    async def _scan(self, scan: RosterScan, running: _Running) -> None:
        try:
            async with asyncio.timeout(LONGEST_SCAN):
                drivers = await self.reach(scan.account)
                await self._scanner.scan(scan, drivers, running.on_read)
        except TimeoutError:
            hours = LONGEST_SCAN / 3600
            raise RosterWithoutEnd(_down(f"the roster was not read within {hours:g} hours")) from None
        except asyncio.CancelledError:
            if not running.gives_way:
                raise
            if task := asyncio.current_task():
                task.uncancel()
            minutes = (self._clock() - running.began) // timedelta(minutes=1)
            detail = f"the roster was not read within {minutes} minutes, and others had to wait"
            raise TargetFailed(_down(detail)) from None

    async def _fail(self, scan: RosterScan, failed: TargetFailed) -> None:
        is_answered = isinstance(failed, ListNotWhole)
        self._put_off(scan, waiting=seldom if isinstance(failed, RosterWithoutEnd | ListWithoutEnd) else doubled)

        async def store(failure: CallFailure) -> bool:
            return await self._service.call(self._scans.fail, scan, failure, is_answered=is_answered)

        with suppress(StoreConflict):
            if await stored_anyhow(store, failed.failure):
                reason = str(failed.failure.reason)
                _log.warning("roster cannot be read", account=scan.account, target=str(self._target), reason=reason)

    async def _fail_read(self, row: DriverRead, failure: CallFailure) -> None:
        reason = str(failure.reason)
        _log.warning("driver cannot be read", account=row.account, target=str(self._target), reason=reason)
        with suppress(StoreConflict):
            await stored_anyhow(partial(self._service.call, partial(self._reads.fail, row)), failure)

    def _put_off(self, scan: RosterScan, waiting: Callable[[int], float] = doubled) -> None:
        former = self._failed.get(scan.account)
        tries = former.tries if former else 0
        wait = timedelta(seconds=spread(waiting(tries), scan_stream(scan.account, self._target), tries))
        self._failed[scan.account] = _FailedScan(scan=scan, tries=tries + 1, not_before=self._clock() + wait, wait=wait)


def _down(detail: str) -> Unavailable:
    return Unavailable(reason=Reason.DOWN, detail=detail)
