"""What is reported about a target's roster, as far as it differs from what was known, and look-ups of single drivers.

The order of reports decides, never the clock: a driver that was reported while a roster, or one driver, is being read
is newer than what is read. One process reports about an account at a time, and reads begin again with a process, so
what is newer is kept in memory.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID
from weakref import WeakKeyDictionary

from domain.account import Mode
from domain.failures import CallFailure, Reason, Rejected
from domain.identity import AccountId, Key, Target, scan_stream, target_driver_stream
from domain.matching import ObservedDriver
from domain.outcomes import (
    DriverLookedUp,
    HintedDriverGone,
    HintedDriverSeen,
    ObservedDriverGone,
    ObservedDriverSeen,
    ReportOrigin,
)
from domain.ports import TargetDrivers
from domain.store import Event, Store, Unit, Where
from services.accounts.handlers import accounts_of
from services.projector.breaker import Breakers, EndedCall
from services.projector.read_models import (
    DriverReport,
    LookUp,
    RosterRow,
    ScanRow,
    fingerprint,
    keys_of,
    scan_after,
    shown_after,
    unscanned,
    unseen,
)
from services.runtime.context import Assignment, Clock


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
            if row.fingerprint != shown[driver.key] and driver.key not in newer:
                report = HintedDriverSeen if is_hinted else ObservedDriverSeen
                seen = report(
                    **self._driver_origin(row), key=row.key, active=driver.active, profile=dict(driver.profile)
                )
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


NOT_WANTED: Final = Rejected(
    reason=Reason.NOT_CONFIGURED, detail="nothing of the account is synchronised with this target now"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The drivers that a look-up has found, and the keys that no driver has."""

    drivers: Sequence[ObservedDriver]
    missing: Sequence[Key]


class LookUps:
    """Which look-ups are due, and what they store."""

    def __init__(
        self,
        store: Store,
        target: Target,
        clock: Clock,
        assignment: Assignment,
        breakers: Breakers,
        freshness: Freshness,
    ) -> None:
        self._store = store
        self._target = target
        self._assignment = assignment
        self._breakers = breakers
        self._freshness = freshness
        self._reports = RosterReports(store, target, clock)

    def due(self, busy: Collection[AccountId], most: int) -> list[LookUp]:
        """Up to this many look-ups: the first of each of our accounts that is not busy and whose breaker is closed."""
        if most <= 0:
            return []
        first: dict[str, LookUp] = {}
        for row in self._store.select(LookUp, order_by="request"):
            first.setdefault(row.account, row)
        stopped = {*busy, *self._breakers.open_accounts()}
        return [row for row in first.values() if row.account not in stopped and self._assignment.has(row.account)][
            :most
        ]

    def begin(self, row: LookUp) -> Newer | None:
        """Begin to keep what is reported meanwhile; None if nothing of the account is synchronised, which is stored."""
        account = accounts_of(self._store, [row.account]).get(row.account)
        if account is None or account.mode(self._target) is Mode.OFF:
            self._end(Unit(), row, NOT_WANTED)
            return None
        return self._freshness.begin(row.account)

    def report(self, row: LookUp, found: Found, newer: Newer) -> None:
        """Report what differs from what was known, then that the driver was looked up."""
        unit, account = Unit(), AccountId(row.account)
        self._reports.add_seen(unit, account, found.drivers, newer)
        self._reports.add_gone(unit, account, found.missing, newer)
        self._breakers.record(unit, [EndedCall(account=account, subject=row.driver, failure=None)])
        self._end(unit, row, None)

    def fail(self, row: LookUp, failure: CallFailure) -> None:
        """Report that the driver could not be looked up. It is not tried again, because a person waits for it."""
        unit = Unit()
        self._breakers.record(unit, [EndedCall(account=AccountId(row.account), subject=row.driver, failure=failure)])
        self._end(unit, row, failure)

    def _end(self, unit: Unit, row: LookUp, failure: CallFailure | None) -> None:
        """Raises `StoreConflict` when the account has gone to another process meanwhile."""
        self._assignment.check(row.account)
        last = self._reports.last_scan(AccountId(row.account))
        done = DriverLookedUp(
            **self._reports.origin(last),
            driver=row.driver,
            request=row.request,
            reason=str(failure.reason) if failure else "",
            detail=failure.detail if failure else "",
        )
        unit.events.append(done)
        unit.keep([scan_after(last, done)])
        unit.remove(LookUp, {"account": row.account, "driver": row.driver, "request": row.request})
        self._freshness.note(unit.events)
        self._breakers.commit(unit)


async def look_up(row: LookUp, drivers: TargetDrivers) -> Found:
    """Look up each key, and the driver that carries our external id. Raises `TargetFailed`."""
    keys = [Key(key) for key in row.keys]
    answers = [await drivers.find(key, {}) for key in keys]
    carrier = await drivers.find(None, {"portal_driver_id": row.driver})
    found = {driver.key: driver for driver in (*answers, carrier) if driver is not None}
    return Found(drivers=[*found.values()], missing=[key for key in keys if key not in found])
