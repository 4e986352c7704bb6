"""Scans of a target's roster: what differs from what was known is reported, then that the scan is complete.

When each account's roster has to be scanned next, kept in memory, and looked up where something has changed.

Scans rosters and looks drivers up when it is time, some at once, in the place that comes free next.

Reads one roster, page by page, and decides whom to believe gone.
"""

import asyncio
from bisect import bisect_left, insort
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Coroutine, Iterable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import islice, takewhile
from typing import Final, Protocol

import structlog

from domain.account import Account, Mode
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
from domain.identity import AccountId, Key, Target, scan_stream
from domain.matching import ObservedDriver, UnreadableRecord, UnreadableRecords
from domain.outcomes import RosterScanFailed, RosterScanned
from domain.ports import TargetDrivers
from domain.reconciliation import is_doubtful, next_reconciliation, sample
from domain.store import Store, StoreConflict, StoreFailed, Unit, Where
from services.accounts.handlers import AccountRow, to_account
from services.projector.breaker import Breakers, EndedCall
from services.projector.connections import Connecting
from services.projector.known import scan_after, unscanned
from services.projector.lookups import Freshness, LookUps, Newer, Sightings, is_there_before, look_up
from services.projector.read_models import LookUp, NewestDecision, RosterRow, ScanProgress, ScanRow
from services.runtime.confining import own_trouble, stored_anyhow, unexpected_failure
from services.runtime.context import Assignment, Clock
from services.runtime.service import Notifier, Service, notified


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ScheduledScan:
    """A scan that is to come: before all daily ones, where somebody waits for it; then by the moment."""

    is_daily: bool
    moment: datetime
    account: AccountId
    policy_generation: int
    request: int


class ScanSchedule:
    """The scans to come of the accounts of our share, in order.

    All of them are looked up at first, then only those that `look_up_again` names, so thousands of
    accounts cost nothing while nothing happens.
    """

    def __init__(self, store: Store, target: Target, clock: Clock, share: Assignment) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._assignment = share
        self._changed: set[str] | None = None
        self._in_order: list[ScheduledScan] = []
        self._of: dict[str, ScheduledScan] = {}

    def look_up_again(self, accounts: Iterable[str]) -> None:
        """Something may have changed with these accounts."""
        if self._changed is not None:
            self._changed.update(accounts)

    def reload(self) -> None:
        """Other accounts may be ours, and somebody else may have scanned meanwhile."""
        self._changed = None

    @property
    def has_changed(self) -> bool:
        """Whether something has to be looked up before it is known what is due."""
        return self._changed is None or bool(self._changed)

    def due(self) -> Iterator[ScheduledScan]:
        """The scans whose time has come, those first that are to be first."""
        self._look()
        now = self._clock()
        return takewhile(lambda coming: coming.moment <= now, self._in_order)

    def next_moment(self) -> datetime | None:
        """When the next scan becomes due that is not due yet, as far as was looked up."""
        now = self._clock()
        return next((coming.moment for coming in self._in_order if coming.moment > now), None)

    def _look(self) -> None:
        """Look up what has changed since the last time."""
        if not self.has_changed:
            return
        changed, self._changed = self._changed, set()
        found = self._found(changed)
        if changed is None:
            self._in_order = sorted(found)
            self._of = {coming.account: coming for coming in found}
            return
        for account in changed & self._of.keys():
            del self._in_order[bisect_left(self._in_order, self._of.pop(account))]
        for coming in found:
            self._of[coming.account] = coming
            insort(self._in_order, coming)

    def _found(self, accounts: Collection[str] | None) -> list[ScheduledScan]:
        """The scans to come of these accounts, or of all, by one query for each kind of thing."""
        where = {} if accounts is None else {"account": sorted(accounts)}
        turned_on = [
            row for row in self._store.select(AccountRow, {**where, "is_on": True}) if self._assignment.has(row.account)
        ]
        scanned = {row.account: row for row in self._store.select(ScanRow, where)} if turned_on else {}
        accounts_on = [account for row in turned_on if (account := to_account(row)).mode(self._target) is not Mode.OFF]
        return [self._coming(account, scanned.get(account.account)) for account in accounts_on]

    def _coming(self, account: Account, scanned: ScanRow | None) -> ScheduledScan:
        last, name = scanned or unscanned(account.account), account.account
        policy_generation, request = (
            account.policy_generation.get(self._target, 0),
            account.reconciliations.get(self._target, 0),
        )
        is_daily = bool(last.at) and last.policy_generation == policy_generation and last.request >= request
        moment = self._daily(account, last) if is_daily else self._clock()
        return ScheduledScan(
            is_daily=is_daily, moment=moment, account=name, policy_generation=policy_generation, request=request
        )

    def _daily(self, account: Account, last: ScanRow) -> datetime:
        # A clock that was put right can have been far ahead at the last scan.
        after = min(datetime.fromisoformat(last.at), self._clock())
        return next_reconciliation(account.account, self._target, account.reconcile_at, after)


PAGE = 500
"""Drivers whose rows are held at a time."""

MOST_UNREADABLE_TOLD = 20
"""Records that could not be read of which a report tells more than how many they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterScan:
    """One scan of an account's roster, under the terms, and after the request, that asked for it.

    `newer` are those of whom others have reported since it began; `began` is for people to read only.
    """

    account: AccountId
    policy_generation: int
    request: int
    began: datetime
    newer: Newer = field(default_factory=Newer, compare=False, repr=False)


class Scans:
    """Which scans are due, and what a scan stores."""

    def __init__(
        self, store: Store, target: Target, clock: Clock, share: Assignment, breakers: Breakers, freshness: Freshness
    ) -> None:
        self.schedule = ScanSchedule(store, target, clock, share)
        self._store = store
        self._clock = clock
        self._assignment = share
        self._breakers = breakers
        self._freshness = freshness
        self._sightings = Sightings(store, target, clock)

    def due(self) -> list[RosterScan]:
        """The scans that are due, of accounts of our share that get through; those first that are to be first."""
        return [*self.in_turn()]

    def in_turn(self) -> Iterator[RosterScan]:
        """The same one by one, so that nobody has to look at more than are begun."""
        unreachable = self._breakers.open_accounts()
        ready = (coming for coming in self.schedule.due() if coming.account not in unreachable)
        return map(self._to_scan, (coming for coming in ready if self._assignment.has(coming.account)))

    def reload(self) -> None:
        """Forget what was known of scans to come, and of those that were under way before."""
        self.schedule.reload()
        unit = Unit()
        for row in self._store.select(ScanProgress):
            if self._assignment.has(row.account):
                unit.remove(ScanProgress, {"account": row.account})
        self._store.commit(unit)

    def take_page(self, scan: RosterScan, page: Sequence[ObservedDriver]) -> int:
        """Report what this page shows otherwise than it was known; how much of it was known so."""
        unit = Unit()
        as_known = self._sightings.add_seen(unit, scan.account, page, scan.newer)
        if unit.events:
            self._commit(scan, unit)
        return as_known

    def expected(self, scan: RosterScan) -> int:
        """How many drivers we know in the Portal: those of whom anything was ever decided."""
        return self._store.count(NewestDecision, {"account": str(scan.account)}).get((), 0)

    def last_event(self) -> int:
        """The position of what was stored last."""
        return self._store.log.end()

    def is_nobody_lacking(self, scan: RosterScan, as_known: int, last_event: int) -> bool:
        """Whether those who were shown as they were known are all who are known, because nothing was stored since."""
        where: Where = {"account": str(scan.account), "is_there": True}
        return self.last_event() == last_event and self._store.count(RosterRow, where) == {(): as_known}

    def tell_progress(self, scan: RosterScan, drivers: int) -> None:
        """Let others know how many drivers have been read so far."""
        unit = Unit()
        unit.keep([ScanProgress(account=scan.account, began=scan.began.isoformat(), drivers=drivers)])
        self._commit(scan, unit)

    def known(self, scan: RosterScan, after: str | None) -> Sequence[RosterRow]:
        """A page of the account's drivers as they were last known, behind this key."""
        where: Where = {"account": str(scan.account)}
        return self._store.select(RosterRow, where, order_by="key", after=after, limit=PAGE)

    def take_gone(self, scan: RosterScan, keys: Sequence[Key]) -> None:
        """Report that these drivers, some at a time, are there no more."""
        unit = Unit()
        self._sightings.add_gone(unit, scan.account, keys, scan.newer)
        if unit.events:
            self._commit(scan, unit)

    def complete(self, scan: RosterScan, seen: Collection[Key], unreadable: UnreadableRecords | None = None) -> None:
        """Report that the whole roster was read, but for these records, and all was reported that follows."""
        last, unit = self._sightings.last_scan(scan.account), Unit()
        completed = RosterScanned(
            **self._sightings.origin(last),
            policy_generation=scan.policy_generation,
            drivers=len(seen),
            request=scan.request,
            unreadable=len(unreadable or ()),
            unreadable_records=[_told(record) for record in islice(unreadable or (), MOST_UNREADABLE_TOLD)],
        )
        unit.events.append(completed)
        unit.keep([scan_after(last, completed)])
        self._end(scan, unit, None)

    def fail(self, scan: RosterScan, failure: CallFailure, *, got_through: bool = False) -> bool:
        """Report that the roster cannot be read, unless that is known; whether it is news.

        Where the target was got through to all the same, that says nothing against making calls.
        """
        last, unit = self._sightings.last_scan(scan.account), Unit()
        is_news = last.failure != failure.detail
        if is_news:
            origin = self._sightings.origin(last)
            failed = RosterScanFailed(
                **origin, policy_generation=scan.policy_generation, reason=str(failure.reason), detail=failure.detail
            )
            unit.events.append(failed)
            unit.keep([scan_after(last, failed)])
        self._end(scan, unit, None if got_through else failure)
        return is_news

    def _end(self, scan: RosterScan, unit: Unit, failure: CallFailure | None) -> None:
        call = EndedCall(account=scan.account, subject=f"scan of {scan.began.isoformat()}", failure=failure)
        self._breakers.record(unit, [call])
        unit.remove(ScanProgress, {"account": str(scan.account)})
        self._commit(scan, unit)
        self.schedule.look_up_again([scan.account])

    def _commit(self, scan: RosterScan, unit: Unit) -> None:
        """Store what a scan saw; raises `StoreConflict` when the account has gone to another process meanwhile."""
        if not self._assignment.has(scan.account):
            raise StoreConflict(f"account {scan.account} is another process's now")
        self._freshness.note(unit.events, by=scan.newer)
        self._store.commit(unit)

    def _to_scan(self, coming: ScheduledScan) -> RosterScan:
        return RosterScan(
            account=coming.account,
            policy_generation=coming.policy_generation,
            request=coming.request,
            began=self._clock(),
            newer=self._freshness.begin(coming.account),
        )


def _told(record: UnreadableRecord) -> dict[str, str]:
    """What a report tells of a record: never what stands in it."""
    return {
        "place": record.place,
        "key": record.key,
        "fields": ", ".join(record.fields),
        "driver": "left out" if record.is_left_out else "shown",
    }


MOST_SCANS: Final = 4
"""Rosters that are read at a time, over all accounts; one of an account."""

MOST_SCANS_IN_HAND: Final = 32
"""The same together with those that wait because their target takes no calls just now."""

MOST_LOOK_UPS: Final = 4
"""The same of drivers who are looked up because somebody waits for it."""

MOST_LOOK_UPS_IN_HAND: Final = 32
"""The same together with those that are slow."""

SLOW_SCAN: Final = timedelta(seconds=60)
"""After how long a scan gives its place back, and goes on beside the others."""

SLOW_LOOK_UP: Final = timedelta(seconds=10)
"""The same of a look-up."""

LONGEST_SCAN: Final = 6 * 3600.0
"""Seconds after which a scan is given up; a roster of 100,000 takes half an hour at a call in two seconds."""

LONGEST_LOOK_UP: Final = 120.0
"""Seconds after which a look-up is given up: somebody waits for it."""

_TICK: Final = 1.0
"""Seconds between two looks at the clock, if no notifier rings."""

_LINGER: Final = 0.1
"""Seconds after a ring: what else comes meanwhile is looked at together."""

_LOOK: Final = timedelta(seconds=5)
"""How long nothing is looked up at most while nobody tells of anything."""

_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class _InHand:
    """Work for an account since a moment, and what it has read so far; `gives_way`: it ends for others."""

    began: datetime
    drivers: int = 0
    task: asyncio.Task[None] | None = None
    gives_way: bool = False

    def rate(self, now: datetime) -> float:
        """Drivers a second."""
        return self.drivers / max((now - self.began).total_seconds(), 1.0)

    def count(self, drivers: int) -> None:
        """So many have been read so far."""
        self.drivers = drivers


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failed:
    """A scan that failed so many times in a row, and is not made again before a moment."""

    scan: RosterScan
    tries: int
    not_before: datetime
    wait: timedelta

    def holds_up(self, scan: RosterScan, now: datetime) -> bool:
        """Whether this scan has to wait; one that was asked for since then is another."""
        is_same = (scan.policy_generation, scan.request) == (self.scan.policy_generation, self.scan.request)
        return is_same and now < self.not_before <= now + self.wait


class Scanning:
    """One target's scans and look-ups."""

    def __init__(
        self,
        service: Service,
        target: Target,
        *,
        scans: Scans,
        look_ups: LookUps,
        breakers: Breakers,
        connect: Connecting,
        room: Callable[[AccountId], int],
        clock: Clock,
        notifier: Notifier,
    ) -> None:
        self._service = service
        self._target = target
        self._scans = scans
        self._scanner = Scanner(service, scans, clock)
        self._look_ups = look_ups
        self._breakers = breakers
        self._connect = connect
        self._room = room
        self._clock = clock
        self._notifier = notifier
        self._scanning: dict[AccountId, _InHand] = {}
        self._looking_up: dict[AccountId, _InHand] = {}
        self._is_crowded = False
        self._failed: dict[AccountId, _Failed] = {}
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
                await asyncio.sleep(_LINGER)

    def take(self) -> tuple[Sequence[RosterScan], Sequence[LookUp]]:
        """The scans and look-ups to begin now, as far as there is a place for them."""
        self._has_ended = False
        for account in self._failed.keys() & self._breakers.open_accounts():
            del self._failed[AccountId(account)]
        now = self._clock()
        places = self._places(now)
        begun = [*islice(self._ready(now, has_failed=False), places)]
        begun += islice(self._ready(now, has_failed=True), places - len(begun))
        is_full = len(self._scanning) >= MOST_SCANS_IN_HAND
        self._is_crowded = is_full and next(self._ready(now, has_failed=False), None) is not None
        look_ups = self._look_ups.due(self._looking_up, self._places_for_look_ups(now))
        self._look_at = self._next_look(now)
        return begun, look_ups

    async def scan(self, scan: RosterScan) -> None:
        """Read one roster, and store what comes of it."""
        try:
            await self._scan(scan, self._scanning.get(scan.account) or _InHand(began=self._clock()))
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

    async def look_up(self, row: LookUp) -> None:
        """Look one driver up, and store what comes of it."""
        try:
            async with asyncio.timeout(LONGEST_LOOK_UP):
                await self._look_up(row)
        except TargetFailed as failed:
            await self._fail_look_up(row, failed.failure)
        except TimeoutError:
            await self._fail_look_up(row, _down(f"no answer to a look-up within {LONGEST_LOOK_UP:.0f} seconds"))
        except StoreConflict:
            _log.info("look-up is given up", account=row.account, target=str(self._target))
        except StoreFailed:
            raise
        except Exception as failure:  # noqa: BLE001 - one account's trouble is its own, whatever it is
            _log.exception("look-up failed unexpectedly", account=row.account, driver=row.driver)
            await self._fail_look_up(row, unexpected_failure(failure))

    def _is_time(self) -> bool:
        wait = self._look_at - self._clock()
        return self._has_ended or self._scans.schedule.has_changed or not timedelta() < wait <= _LOOK

    async def _begin(self, group: asyncio.TaskGroup) -> None:
        scans, look_ups = await self._service.call(self.take)
        now = self._clock()
        for scan in scans:
            in_hand = self._scanning[scan.account] = _InHand(began=now)
            in_hand.task = group.create_task(self._in_place(self._scanning, scan.account, self.scan(scan)))
        for row in look_ups:
            account = AccountId(row.account)
            self._looking_up[account] = _InHand(began=now)
            group.create_task(self._in_place(self._looking_up, account, self.look_up(row)))
        if self._is_crowded:
            self._let_one_give_way(now)

    def _let_one_give_way(self, now: datetime) -> None:
        """Where every place is taken by scans that are slow, the slowest ends, to be made again after the others."""
        slow = [each for each in self._scanning.values() if now - each.began >= SLOW_SCAN and not each.gives_way]
        slowest = min(slow, key=lambda each: each.rate(now), default=None)
        if slowest and slowest.task:
            slowest.gives_way = True
            slowest.task.cancel()

    async def _in_place(
        self, places: dict[AccountId, _InHand], account: AccountId, work: Coroutine[object, object, None]
    ) -> None:
        try:
            with own_trouble("roster work is given up", account=account, target=str(self._target)):
                await work
        finally:
            places.pop(account, None)
            self._has_ended = True
            self._service.notify()

    def _places(self, now: datetime) -> int:
        """How many scans may begin now.

        Those that outwait a stop of their target hold up nobody else's, and neither do slow ones.
        """
        quick = [account for account, each in self._scanning.items() if abs(now - each.began) < SLOW_SCAN]
        reading = sum(self._room(account) > 0 for account in quick)
        return max(0, min(MOST_SCANS - reading, MOST_SCANS_IN_HAND - len(self._scanning)))

    def _places_for_look_ups(self, now: datetime) -> int:
        quick = sum(abs(now - each.began) < SLOW_LOOK_UP for each in self._looking_up.values())
        return min(MOST_LOOK_UPS - quick, MOST_LOOK_UPS_IN_HAND - len(self._looking_up))

    def _ready(self, now: datetime, *, has_failed: bool) -> Iterator[RosterScan]:
        """The scans that may begin, with or without a failure before: whose fail come after all others."""
        in_turn = (scan for scan in self._scans.in_turn() if (scan.account in self._failed) is has_failed)
        return filter(lambda scan: self._may_begin(scan, now), in_turn)

    def _may_begin(self, scan: RosterScan, now: datetime) -> bool:
        failed = self._failed.get(scan.account)
        return scan.account not in self._scanning and not (failed and failed.holds_up(scan, now))

    def _next_look(self, now: datetime) -> datetime:
        """When to look again though nobody has told of anything."""
        following = self._scans.schedule.next_moment()
        waiting = [failed.not_before for failed in self._failed.values() if failed.not_before > now]
        return min([now + _LOOK, *waiting, *([following] if following else [])])

    async def _scan(self, scan: RosterScan, in_hand: _InHand) -> None:
        try:
            async with asyncio.timeout(LONGEST_SCAN):
                drivers = await self.reach(scan.account)
                await self._scanner.scan(scan, drivers, in_hand.count)
        except TimeoutError:
            hours = LONGEST_SCAN / 3600
            raise RosterWithoutEnd(_down(f"the roster was not read within {hours:g} hours")) from None
        except asyncio.CancelledError:
            if not in_hand.gives_way:
                raise
            _uncancel()
            minutes = (self._clock() - in_hand.began) // timedelta(minutes=1)
            told = f"the roster was not read within {minutes} minutes, and others had to wait"
            raise TargetFailed(_down(told)) from None

    async def _look_up(self, row: LookUp) -> None:
        if not await self._service.call(self._look_ups.is_wanted, row):
            await self._service.call(self._look_ups.turn_down, row)
            return
        newer = await self._service.call(self._look_ups.begin, row)
        found = await look_up(row, await self.reach(AccountId(row.account)))
        await self._service.call(self._look_ups.report, row, found, newer)

    async def reach(self, account: AccountId) -> TargetDrivers:
        """The target as this account reaches it. Raises `TargetFailed`."""
        drivers = await self._service.call(self._connect, account)
        if isinstance(drivers, Rejected):
            raise TargetFailed(drivers)
        return drivers

    async def _fail(self, scan: RosterScan, failed: TargetFailed) -> None:
        is_answered = isinstance(failed, ListNotWhole)
        self._put_off(scan, waiting=seldom if isinstance(failed, RosterWithoutEnd | ListWithoutEnd) else doubled)

        async def store(told: CallFailure) -> bool:
            return await self._service.call(self._scans.fail, scan, told, got_through=is_answered)

        with suppress(StoreConflict):
            if await stored_anyhow(store, failed.failure):
                reason = str(failed.failure.reason)
                _log.warning("roster cannot be read", account=scan.account, target=str(self._target), reason=reason)

    async def _fail_look_up(self, row: LookUp, failure: CallFailure) -> None:
        reason = str(failure.reason)
        _log.warning("driver cannot be looked up", account=row.account, target=str(self._target), reason=reason)
        with suppress(StoreConflict):
            await stored_anyhow(partial(self._service.call, partial(self._look_ups.fail, row)), failure)

    def _put_off(self, scan: RosterScan, waiting: Callable[[int], float] = doubled) -> None:
        former = self._failed.get(scan.account)
        tries = former.tries if former else 0
        seconds = spread(waiting(tries), scan_stream(scan.account, self._target), tries)
        wait = timedelta(seconds=seconds)
        self._failed[scan.account] = _Failed(scan=scan, tries=tries + 1, not_before=self._clock() + wait, wait=wait)


def _down(detail: str) -> Unavailable:
    return Unavailable(reason=Reason.DOWN, detail=detail)


def _uncancel() -> None:
    """The task goes on: that it had to give way is over."""
    if task := asyncio.current_task():
        task.uncancel()


Page = Sequence[ObservedDriver]

_TELL_AFTER: Final = timedelta(seconds=1)
"""How often the progress of a scan is stored at most."""


MOST_DRIVERS: Final = 150_000
"""Drivers that a roster may show, or ten times as many as we know in the Portal, where that is more."""

MOST_PAGES: Final = 30_000
"""Pages in which a roster may come: five readings of all those drivers, in pages of 25."""


class RosterWithoutEnd(TargetFailed):
    """A roster is longer than any can be, or its pages come to no end."""


class ListNotWhole(TargetFailed):
    """A target answered well, but its list lacks drivers who are there."""


@dataclass(slots=True, kw_only=True)
class _Lacking:
    """Whom the list does not show, each with whether the driver was active, and how many active ones were known."""

    known: int = 0
    drivers: dict[Key, bool] = field(default_factory=dict)

    def count(self, rows: Sequence[RosterRow], scan: RosterScan, seen: Collection[Key]) -> None:
        """Look at a page of those who were known before the scan."""
        for row in rows:
            if is_there_before(row, scan.newer):
                self.known += row.active
                if row.key not in seen:
                    self.drivers[Key(row.key)] = row.active


class Notes(Protocol):
    """Where a scan is noted down as it goes along, as in `Scans`."""

    def expected(self, scan: RosterScan) -> int:
        """How many drivers we know in the Portal."""
        ...

    def last_event(self) -> int:
        """How far everything is that was noted down before."""
        ...

    def take_page(self, scan: RosterScan, page: Sequence[ObservedDriver]) -> int:
        """These are shown; how many of them as they were known."""
        ...

    def is_nobody_lacking(self, scan: RosterScan, as_known: int, last_event: int) -> bool:
        """Whether everybody who is known was shown, as far as that can be told at once."""
        ...

    def tell_progress(self, scan: RosterScan, drivers: int) -> None:
        """So many drivers have been read so far."""
        ...

    def known(self, scan: RosterScan, after: str | None) -> Sequence[RosterRow]:
        """A page of the drivers as they were last known, behind this key."""
        ...

    def take_gone(self, scan: RosterScan, keys: Sequence[Key]) -> None:
        """These are there no more."""
        ...

    def complete(self, scan: RosterScan, seen: Collection[Key], unreadable: UnreadableRecords) -> None:
        """The whole roster was read, but for these records."""
        ...


class Scanner:
    """Does what one scan takes, and has it noted down as it goes along."""

    def __init__(self, service: Service, scans: Notes, clock: Clock) -> None:
        self._service = service
        self._scans = scans
        self._clock = clock

    async def scan(
        self, scan: RosterScan, drivers: TargetDrivers, tell: Callable[[int], None] = lambda _: None
    ) -> None:
        """Read the whole roster, and report it; `tell` learns how many drivers were read so far.

        Raises `TargetFailed` when it cannot be read, `ListNotWhole` when it is not to be believed, and `StoreConflict`
        when the account has gone to another process.
        """
        last_event, unreadable = await self._service.call(self._scans.last_event), UnreadableRecords()
        seen, as_known = await self._read(scan, drivers, tell, unreadable)
        is_in_step = as_known == len(seen) and await self._service.call(
            self._scans.is_nobody_lacking, scan, as_known, last_event
        )
        gone = [] if is_in_step else await self._gone(scan, drivers, seen)
        for start in range(0, len(gone), PAGE):
            await self._service.call(self._scans.take_gone, scan, gone[start : start + PAGE])
        await self._service.call(self._scans.complete, scan, seen, unreadable)

    async def _read(
        self, scan: RosterScan, drivers: TargetDrivers, tell: Callable[[int], None], unreadable: UnreadableRecords
    ) -> tuple[Collection[Key], int]:
        """Report what every page shows; whom they showed, and how many of them as they were known."""
        seen: set[Key] = set()
        told, as_known, pages_read = self._clock(), 0, 0
        most = max(MOST_DRIVERS, 10 * await self._service.call(self._scans.expected, scan))
        async with aclosing(_read_ahead(drivers.scan(unreadable))) as pages:
            async for page in pages:
                seen.update(driver.key for driver in page)
                tell(len(seen))
                pages_read += 1
                _check(len(seen), pages_read, most)
                as_known += await self._service.call(self._scans.take_page, scan, page)
                if (now := self._clock()) - told >= _TELL_AFTER:
                    told = now
                    await self._service.call(self._scans.tell_progress, scan, len(seen))
        return seen, as_known

    async def _gone(self, scan: RosterScan, drivers: TargetDrivers, seen: Collection[Key]) -> Sequence[Key]:
        """Those who are really not there; where they are many, some are looked up before that is believed."""
        lacking = _Lacking()
        async for rows in self._known(scan):
            lacking.count(rows, scan, seen)
        gone = await drivers.gone([*lacking.drivers]) if lacking.drivers else []
        active = [key for key in gone if lacking.drivers[key]]
        if is_doubtful(shown=len(seen), known=lacking.known, lacking=len(active)):
            await _confirm(active, drivers, seen)
        return gone

    async def _known(self, scan: RosterScan) -> AsyncIterator[Sequence[RosterRow]]:
        after: str | None = None
        while rows := await self._service.call(self._scans.known, scan, after):
            yield rows
            after = rows[-1].key


def _check(drivers: int, pages: int, most: int) -> None:
    """Raise `RosterWithoutEnd` where there are more than can be."""
    advice = "check with the vendor what this account's list shows"
    if drivers > most:
        detail = f"the roster shows more than {most} drivers: {advice}"
    elif pages > MOST_PAGES:
        detail = f"the roster has more than {MOST_PAGES} pages, and shows {drivers} drivers: {advice}"
    else:
        return
    raise RosterWithoutEnd(Unavailable(reason=Reason.DOWN, detail=detail))


async def _read_ahead(pages: AsyncGenerator[Page, None]) -> AsyncGenerator[Page, None]:
    """The same pages; while one is looked at, the next is read."""
    async with aclosing(pages):
        coming = asyncio.create_task(_next(pages))
        try:
            while page := await coming:
                coming = asyncio.create_task(_next(pages))
                yield page[0]
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


async def _next(pages: AsyncGenerator[Page, None]) -> tuple[Page] | None:
    async for page in pages:
        return (page,)
    return None


async def _confirm(lacking: Sequence[Key], drivers: TargetDrivers, seen: Collection[Key]) -> None:
    """Look some of them up. Raises `ListNotWhole` when anybody is there."""
    looked_up = sample(lacking)
    found = [await drivers.find(key, {}) for key in looked_up]
    there = sum(driver is not None and driver.key not in seen for driver in found)
    if there:
        detail = f"the list is not whole: {there} of {len(looked_up)} whom it lacks, and who were looked up, are there"
        raise ListNotWhole(Unavailable(reason=Reason.DOWN, detail=detail))
