"""Roster scans: which are due, and what they report, page by page, until the scan is complete.

Only what differs from what was known is reported. A driver that the scan does not show is reported as gone only after
the target has confirmed it. The order of reports decides, never the clock: a driver that was reported while a roster,
or one driver, is being read is newer than what is read. One process reports about an account at a time, and reads begin
again with a process, so what is newer is kept in memory.
"""

import asyncio
from bisect import bisect_left, insort
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Final, Protocol
from uuid import UUID
from weakref import WeakKeyDictionary

from domain.account import Account, Mode
from domain.failures import CallFailure, Reason, TargetFailed, Unavailable
from domain.identity import AccountId, Key, Target, scan_stream, target_driver_stream
from domain.matching import ObservedDriver, UnreadableRecords
from domain.outcomes import (
    HintedDriverGone,
    HintedDriverSeen,
    ObservedDriverErased,
    ObservedDriverGone,
    ObservedDriverSeen,
    ReportOrigin,
    RosterScanFailed,
    RosterScanned,
)
from domain.ports import TargetDrivers
from domain.reconciliation import is_doubtful, next_reconciliation, sample
from domain.store import Event, Store, Unit, Where
from services.accounts.handlers import AccountRow, to_account
from services.projector.breaker import Breakers, EndedCall
from services.projector.read_models import (
    DeliveryRow,
    DriverReport,
    RosterRow,
    ScanProgress,
    ScanRow,
    as_seen,
    fingerprint,
    keys_of,
    scan_after,
    shown_after,
    unscanned,
    unseen,
)
from services.runtime.context import Assignment, Clock
from services.runtime.service import Service


class Newer:
    """The target drivers of an account that were reported otherwise since a read began."""

    def __init__(self) -> None:
        self._keys: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def add(self, keys: Iterable[str]) -> None:
        """These were reported."""
        self._keys.update(keys)


class Freshness:
    """All reads that are under way; one that is given up is forgotten with its `Newer`."""

    def __init__(self) -> None:
        self._reads: WeakKeyDictionary[Newer, str] = WeakKeyDictionary()

    def begin(self, account: str) -> Newer:
        """A read of this account begins."""
        newer = Newer()
        self._reads[newer] = account
        return newer

    def note(self, events: Iterable[Event], by: Newer | None = None) -> None:
        """These events are about to be stored; `by` is the read that they come from, if any."""
        reads: dict[str, list[Newer]] = {}
        for newer, account in self._reads.items():
            if newer is not by:
                reads.setdefault(account, []).append(newer)
        for event in events if reads else ():
            if isinstance(event, DriverReport):
                for newer in reads.get(event.account, ()):
                    newer.add(keys_of(event))


class RosterReports:
    """Makes the reports of one target's drivers and scans."""

    def __init__(self, store: Store, target: Target, clock: Clock) -> None:
        self._store = store
        self._target = target
        self._clock = clock

    def add_seen(
        self,
        unit: Unit,
        account: AccountId,
        drivers: Sequence[ObservedDriver],
        newer: Newer,
        *,
        is_hinted: bool = False,
    ) -> int:
        """Report the drivers that differ from what was known, unless something newer was reported about them.

        Returns how many of them were known as they are.
        """
        shown = {driver.key: fingerprint(driver.key, driver.profile, active=driver.active) for driver in drivers}
        where: Where = {"account": str(account), "key": [*shown], "fingerprint": [*shown.values()]}
        as_known = self._store.count(RosterRow, where)[()]
        known = self._known(account, [*shown]) if as_known < len(drivers) else {}
        for driver in drivers if as_known < len(drivers) else ():
            row = known.get(driver.key) or unseen(account, driver.key)
            profile, stands_for = as_seen(row, driver.profile), shown[driver.key]
            if row.is_erased:
                stands_for = fingerprint(row.key, profile, active=driver.active)
                as_known += row.fingerprint == stands_for
            if row.fingerprint != stands_for and driver.key not in newer:
                report = HintedDriverSeen if is_hinted else ObservedDriverSeen
                seen = report(**self._driver_origin(row), key=row.key, active=driver.active, profile=dict(profile))
                unit.events.append(seen)
                unit.keep([shown_after(row, seen)])
        return as_known

    def add_gone(
        self, unit: Unit, account: AccountId, keys: Iterable[Key], newer: Newer, *, is_hinted: bool = False
    ) -> None:
        """Report that these drivers are gone, as far as they were known to be there."""
        for row in self._known(account, [*keys]).values():
            if is_there_before(row, newer):
                report = HintedDriverGone if is_hinted else ObservedDriverGone
                gone = report(**self._driver_origin(row), key=row.key)
                unit.events.append(gone)
                unit.keep([shown_after(row, gone)])

    def add_erased(self, unit: Unit, account: AccountId, drivers: Mapping[Key, str]) -> None:
        """Report that what was seen of target drivers is erased, each with its portal driver; see the event."""
        for row in self._known(account, [*drivers]).values():
            erased = ObservedDriverErased(**self._driver_origin(row), key=row.key, driver=drivers[Key(row.key)])
            unit.events.append(erased)
            unit.keep([shown_after(row, erased)])

    def origin(self, last: ScanRow) -> ReportOrigin:
        """The first fields of the next report in the history of a roster's scans."""
        account = AccountId(last.account)
        return self._origin(account, scan_stream(account, self._target), last.version + 1)

    def last_scan(self, account: AccountId) -> ScanRow:
        """What was reported of an account's scans so far."""
        rows = self._store.select(ScanRow, {"account": str(account)})
        return rows[0] if rows else unscanned(account)

    def _known(self, account: AccountId, keys: Sequence[Key]) -> Mapping[str, RosterRow]:
        rows = self._store.select(RosterRow, {"account": str(account), "key": keys}) if keys else []
        return {row.key: row for row in rows}

    def _driver_origin(self, row: RosterRow) -> ReportOrigin:
        account = AccountId(row.account)
        return self._origin(account, target_driver_stream(account, self._target, Key(row.key)), row.version + 1)

    def _origin(self, account: AccountId, history: UUID, version: int) -> ReportOrigin:
        return {
            "originator_id": history,
            "originator_version": version,
            "at": self._clock(),
            "account": account,
            "target": str(self._target),
        }


def is_there_before(row: RosterRow, newer: Newer) -> bool:
    """Whether a driver was known to be there when a read began, and nothing newer was reported about it."""
    return row.is_there and row.key not in newer


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ScheduledScan:
    """A scan to come: those that a person or a change of the account waits for before all daily ones, then by time."""

    is_daily: bool
    moment: datetime
    account: AccountId
    policy_generation: int
    request: int


class ScanSchedule:
    """The scans to come of our accounts, in order.

    All accounts are looked up at first, then only those that `look_up_again` names, so thousands of accounts cost
    nothing while nothing happens.
    """

    def __init__(self, store: Store, target: Target, clock: Clock, assignment: Assignment) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._assignment = assignment
        self._changed: set[str] | None = None
        self._in_order: list[ScheduledScan] = []
        self._by_account: dict[str, ScheduledScan] = {}

    def look_up_again(self, accounts: Iterable[str]) -> None:
        """Something may have changed with these accounts."""
        if self._changed is not None:
            self._changed.update(accounts)

    def reload(self) -> None:
        """Look up all accounts again: other ones may be ours, and another process may have scanned meanwhile."""
        self._changed = None

    @property
    def has_changed(self) -> bool:
        """Whether something has to be looked up before it is known what is due."""
        return self._changed is None or bool(self._changed)

    def due(self) -> Iterator[ScheduledScan]:
        """The scans whose time has come, in order."""
        if self.has_changed:
            changed, self._changed = self._changed, set()
            found = self._scheduled(changed)
            if changed is None:
                self._in_order, self._by_account = [], {}
            for account in (changed or set()) & self._by_account.keys():
                del self._in_order[bisect_left(self._in_order, self._by_account.pop(account))]
            for scheduled in sorted(found):
                self._by_account[scheduled.account] = scheduled
                insort(self._in_order, scheduled)
        now = self._clock()
        return takewhile(lambda scheduled: scheduled.moment <= now, self._in_order)

    def next_moment(self) -> datetime | None:
        """When the next scan becomes due that is not due yet, as far as was looked up."""
        now = self._clock()
        return next((scheduled.moment for scheduled in self._in_order if scheduled.moment > now), None)

    def _scheduled(self, accounts: Collection[str] | None) -> list[ScheduledScan]:
        """The scans to come of these accounts, or of all, by one query for each table."""
        where = {} if accounts is None else {"account": sorted(accounts)}
        rows = self._store.select(AccountRow, {**where, "is_on": True})
        ours = [to_account(row) for row in rows if self._assignment.has(row.account)]
        scanned = {row.account: row for row in self._store.select(ScanRow, where)} if ours else {}
        return [
            self._next_scan(account, scanned.get(account.account) or unscanned(account.account))
            for account in ours
            if account.mode(self._target) is not Mode.OFF
        ]

    def _next_scan(self, account: Account, last: ScanRow) -> ScheduledScan:
        policy_generation = account.policy_generation.get(self._target, 0)
        request = account.reconciliations.get(self._target, 0)
        is_daily = bool(last.at) and last.policy_generation == policy_generation and last.request >= request
        moment = self._clock()
        if is_daily:
            # A clock that was put right can have been far ahead at the last scan.
            after = min(datetime.fromisoformat(last.at), moment)
            moment = next_reconciliation(account.account, self._target, account.reconcile_at, after)
        return ScheduledScan(
            is_daily=is_daily,
            moment=moment,
            account=account.account,
            policy_generation=policy_generation,
            request=request,
        )


PAGE = 500
"""Drivers whose rows are held at a time."""

MOST_UNREADABLE_REPORTED = 20
"""Records that could not be read that a report describes; of the others it has only the number."""

MOST_DRIVERS: Final = 150_000
"""Drivers that a roster may show, or ten times as many as we know in the Portal, where that is more."""

MOST_PAGES: Final = 30_000
"""Pages in which a roster may come: five readings of all those drivers, in pages of 25."""

_PROGRESS_AFTER: Final = timedelta(seconds=1)
"""How often the progress of a scan is stored at most."""

Page = Sequence[ObservedDriver]


class RosterWithoutEnd(TargetFailed):
    """A roster is longer than any can be, or its pages come to no end."""


class ListNotWhole(TargetFailed):
    """A target answered well, but its list lacks drivers that are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterScan:
    """One scan of an account's roster, under this policy generation and after this request.

    `newer` are the drivers that were reported otherwise since it began; `began` is for people to read only.
    """

    account: AccountId
    policy_generation: int
    request: int
    began: datetime
    newer: Newer = field(default_factory=Newer, compare=False, repr=False)


class Scans:
    """Which scans are due, and what a scan stores."""

    def __init__(
        self,
        store: Store,
        target: Target,
        clock: Clock,
        assignment: Assignment,
        breakers: Breakers,
        freshness: Freshness,
    ) -> None:
        self.schedule = ScanSchedule(store, target, clock, assignment)
        self._store = store
        self._clock = clock
        self._assignment = assignment
        self._breakers = breakers
        self._freshness = freshness
        self._reports = RosterReports(store, target, clock)

    def due(self) -> Iterator[RosterScan]:
        """The scans that are due, in order, of our accounts whose breakers are not open."""
        stopped = self._breakers.open_accounts()
        return (
            RosterScan(
                account=scheduled.account,
                policy_generation=scheduled.policy_generation,
                request=scheduled.request,
                began=self._clock(),
                newer=self._freshness.begin(scheduled.account),
            )
            for scheduled in self.schedule.due()
            if scheduled.account not in stopped and self._assignment.has(scheduled.account)
        )

    def reload(self) -> None:
        """Forget the schedule, and the progress of scans that ended with the former process."""
        self.schedule.reload()
        unit = Unit()
        for row in self._store.select(ScanProgress):
            if self._assignment.has(row.account):
                unit.remove(ScanProgress, {"account": row.account})
        self._store.commit(unit)

    def take_page(self, scan: RosterScan, page: Page) -> int:
        """Report what this page shows otherwise than it was known; returns how much of it was known so."""
        unit = Unit()
        as_known = self._reports.add_seen(unit, scan.account, page, scan.newer)
        if unit.events:
            self._commit(scan, unit)
        return as_known

    def expected(self, scan: RosterScan) -> int:
        """How many drivers we know in the Portal: those about which anything was ever decided."""
        return self._store.count(DeliveryRow, {"account": str(scan.account)}).get((), 0)

    def last_event(self) -> int:
        """The position of what was stored last."""
        return self._store.log.end()

    def is_none_lacking(self, scan: RosterScan, as_known: int, last_event: int) -> bool:
        """Whether the drivers that were shown as they were known are all, because nothing was stored since."""
        where: Where = {"account": str(scan.account), "is_there": True}
        return self.last_event() == last_event and self._store.count(RosterRow, where) == {(): as_known}

    def keep_progress(self, scan: RosterScan, drivers: int) -> None:
        """Store how many drivers have been read so far."""
        unit = Unit()
        unit.keep([ScanProgress(account=scan.account, began=scan.began.isoformat(), drivers=drivers)])
        self._commit(scan, unit)

    def known(self, scan: RosterScan, after: str | None) -> Sequence[RosterRow]:
        """A page of the account's drivers as they were last known, behind this key."""
        where: Where = {"account": str(scan.account)}
        return self._store.select(RosterRow, where, order_by="key", after=after, limit=PAGE)

    def take_gone(self, scan: RosterScan, keys: Sequence[Key]) -> None:
        """Report that these drivers are gone."""
        unit = Unit()
        self._reports.add_gone(unit, scan.account, keys, scan.newer)
        if unit.events:
            self._commit(scan, unit)

    def complete(self, scan: RosterScan, seen: Collection[Key], unreadable: UnreadableRecords | None = None) -> None:
        """Report that the whole roster was read, but for these records, and that all was reported that follows.

        A record that could not be read is described without its contents.
        """
        last, unit = self._reports.last_scan(scan.account), Unit()
        records = [
            {
                "place": record.place,
                "key": record.key,
                "fields": ", ".join(record.fields),
                "driver": "left out" if record.is_left_out else "shown",
            }
            for record in islice(unreadable or (), MOST_UNREADABLE_REPORTED)
        ]
        completed = RosterScanned(
            **self._reports.origin(last),
            policy_generation=scan.policy_generation,
            drivers=len(seen),
            request=scan.request,
            unreadable=len(unreadable or ()),
            unreadable_records=records,
        )
        unit.events.append(completed)
        unit.keep([scan_after(last, completed)])
        self._end(scan, unit, None)

    def fail(self, scan: RosterScan, failure: CallFailure, *, is_answered: bool = False) -> bool:
        """Report that the roster cannot be read, unless that was the last report; returns whether it was not.

        `is_answered`: the target answered all the same, which says nothing against making calls.
        """
        last, unit = self._reports.last_scan(scan.account), Unit()
        is_new = last.failure != failure.detail
        if is_new:
            failed = RosterScanFailed(
                **self._reports.origin(last),
                policy_generation=scan.policy_generation,
                reason=str(failure.reason),
                detail=failure.detail,
            )
            unit.events.append(failed)
            unit.keep([scan_after(last, failed)])
        self._end(scan, unit, None if is_answered else failure)
        return is_new

    def _end(self, scan: RosterScan, unit: Unit, failure: CallFailure | None) -> None:
        subject = f"scan of {scan.began.isoformat()}"
        self._breakers.record(unit, [EndedCall(account=scan.account, subject=subject, failure=failure)])
        unit.remove(ScanProgress, {"account": str(scan.account)})
        self._commit(scan, unit)
        self.schedule.look_up_again([scan.account])

    def _commit(self, scan: RosterScan, unit: Unit) -> None:
        """Store what a scan saw. Raises `StoreConflict` when the account has gone to another process meanwhile."""
        self._assignment.check(scan.account)
        self._freshness.note(unit.events, by=scan.newer)
        self._breakers.commit(unit)


class ScanStore(Protocol):
    """Where a scan is stored as it goes along: `Scans`, or what a dry run keeps in memory."""

    def expected(self, scan: RosterScan) -> int:
        """How many drivers we know in the Portal."""
        ...

    def last_event(self) -> int:
        """The position of what was stored last."""
        ...

    def take_page(self, scan: RosterScan, page: Page) -> int:
        """These drivers are shown; returns how many of them were known as they are."""
        ...

    def is_none_lacking(self, scan: RosterScan, as_known: int, last_event: int) -> bool:
        """Whether all known drivers were shown, as far as that can be known at once."""
        ...

    def keep_progress(self, scan: RosterScan, drivers: int) -> None:
        """Keep how many drivers have been read so far."""
        ...

    def known(self, scan: RosterScan, after: str | None) -> Sequence[RosterRow]:
        """A page of the drivers as they were last known, behind this key."""
        ...

    def take_gone(self, scan: RosterScan, keys: Sequence[Key]) -> None:
        """These drivers are gone."""
        ...

    def complete(self, scan: RosterScan, seen: Collection[Key], unreadable: UnreadableRecords) -> None:
        """The whole roster was read, but for these records."""
        ...


class Scanner:
    """Reads rosters, and stores what they show page by page."""

    def __init__(self, service: Service, scans: ScanStore, clock: Clock) -> None:
        self._service = service
        self._scans = scans
        self._clock = clock

    async def scan(
        self, scan: RosterScan, drivers: TargetDrivers, on_read: Callable[[int], None] = lambda _: None
    ) -> None:
        """Read the whole roster, and report it; `on_read` learns how many drivers were read so far.

        Raises `TargetFailed` when it cannot be read, `ListNotWhole` when it is not to be believed, and `StoreConflict`
        when the account has gone to another process.
        """
        last_event, unreadable = await self._service.call(self._scans.last_event), UnreadableRecords()
        seen, as_known = await self._read(scan, drivers, on_read, unreadable)
        is_in_step = as_known == len(seen) and await self._service.call(
            self._scans.is_none_lacking, scan, as_known, last_event
        )
        gone = [] if is_in_step else await self._gone(scan, drivers, seen)
        for start in range(0, len(gone), PAGE):
            await self._service.call(self._scans.take_gone, scan, gone[start : start + PAGE])
        await self._service.call(self._scans.complete, scan, seen, unreadable)

    async def _read(
        self, scan: RosterScan, drivers: TargetDrivers, on_read: Callable[[int], None], unreadable: UnreadableRecords
    ) -> tuple[Collection[Key], int]:
        """Report what every page shows; the keys that were shown, and how many drivers were known as they are."""
        seen: set[Key] = set()
        stored_at, as_known, pages_read = self._clock(), 0, 0
        advice = "check with the vendor what this account's list shows"
        most = max(MOST_DRIVERS, 10 * await self._service.call(self._scans.expected, scan))
        async with aclosing(_read_ahead(drivers.scan(unreadable))) as pages:
            async for page in pages:
                seen.update(driver.key for driver in page)
                on_read(len(seen))
                pages_read += 1
                if len(seen) > most:
                    raise RosterWithoutEnd(_down(f"the roster shows more than {most} drivers: {advice}"))
                if pages_read > MOST_PAGES:
                    detail = f"the roster has more than {MOST_PAGES} pages, and shows {len(seen)} drivers: {advice}"
                    raise RosterWithoutEnd(_down(detail))
                as_known += await self._service.call(self._scans.take_page, scan, page)
                if (now := self._clock()) - stored_at >= _PROGRESS_AFTER:
                    stored_at = now
                    await self._service.call(self._scans.keep_progress, scan, len(seen))
        return seen, as_known

    async def _gone(self, scan: RosterScan, drivers: TargetDrivers, seen: Collection[Key]) -> Sequence[Key]:
        """The drivers that are really gone; where they are many, some are looked up before that is believed."""
        lacking, active_known = dict[Key, bool](), 0
        after: str | None = None
        while rows := await self._service.call(self._scans.known, scan, after):
            after = rows[-1].key
            for row in rows:
                if is_there_before(row, scan.newer):
                    active_known += row.active
                    if row.key not in seen:
                        lacking[Key(row.key)] = row.active
        gone = await drivers.gone([*lacking]) if lacking else []
        active = [key for key in gone if lacking[key]]
        if is_doubtful(shown=len(seen), known=active_known, lacking=len(active)):
            looked_up = sample(active)
            found = [await drivers.find(key, {}) for key in looked_up]
            there = sum(driver is not None and driver.key not in seen for driver in found)
            if there:
                detail = f"the list is not whole: of {len(looked_up)} drivers that it lacks, {there} are there"
                raise ListNotWhole(_down(detail))
        return gone


def _down(detail: str) -> Unavailable:
    return Unavailable(reason=Reason.DOWN, detail=detail)


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
