"""One driver looked up because a person asked for it: what differs is reported, then that it was done or why not.

Which target drivers were reported of while a roster, or one driver, is being read: that is newer than what is read.

The order of reports decides, never the clock. One process reports of an account at a time, and reads begin again with
a process, so what is newer is kept in memory.

What was seen of target drivers as reports, as far as it differs from what was known.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID
from weakref import WeakSet

from domain.account import Mode
from domain.event import Event
from domain.failures import CallFailure, Reason, Rejected
from domain.identity import AccountId, Key, Target, scan_stream, target_driver_stream
from domain.matching import ObservedDriver
from domain.outcomes import DriverLookedUp, ObservedDriverGone, ObservedDriverSeen, ReportOrigin
from domain.ports import TargetDrivers
from domain.store import Store, StoreConflict, Unit, Where
from services.accounts.handlers import accounts_of
from services.projector.breaker import Breakers, EndedCall
from services.projector.known import DriverReport, fingerprint, keys_of, scan_after, shown_after, unscanned, unseen
from services.projector.read_models import LookUp, RosterRow, ScanRow
from services.runtime.context import Assignment, Clock


class Newer:
    """The target drivers of an account of whom others have reported since a read began."""

    def __init__(self) -> None:
        self._keys: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def add(self, keys: Iterable[str]) -> None:
        """Others have reported of these."""
        self._keys.update(keys)


class Freshness:
    """All reads that are under way; one that is given up needs no word of it."""

    def __init__(self) -> None:
        self._of: dict[str, WeakSet[Newer]] = {}

    def begin(self, account: str) -> Newer:
        """A read of this account begins."""
        newer = Newer()
        self._of.setdefault(account, WeakSet()).add(newer)
        return newer

    def note(self, events: Iterable[Event], by: Newer | None = None) -> None:
        """These are about to be stored; `by` is the read that they come from, if any."""
        for event in events:
            if isinstance(event, DriverReport):
                for newer in self._others(event.account, by):
                    newer.add(keys_of(event))

    def _others(self, account: str, by: Newer | None) -> list[Newer]:
        return [newer for newer in self._of.get(account, ()) if newer is not by]


NOT_WANTED: Final = Rejected(
    reason=Reason.NOT_CONFIGURED, detail="nothing of the account is synchronised with this target now"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Whom looking a driver up has found, and the keys that nobody has."""

    drivers: Sequence[ObservedDriver]
    nobody: Sequence[Key]


class LookUps:
    """Which look-ups are due, and what they store."""

    def __init__(
        self, store: Store, target: Target, clock: Clock, share: Assignment, breakers: Breakers, freshness: Freshness
    ) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._assignment = share
        self._breakers = breakers
        self._freshness = freshness
        self._sightings = Sightings(store, target, clock)

    def due(self, busy: Collection[AccountId], most: int) -> list[LookUp]:
        """Look-ups for accounts of our share that get through: of each account the first, those under way left out."""
        if most <= 0:
            return []
        first: dict[str, LookUp] = {}
        for row in self._store.select(LookUp, order_by="request"):
            first.setdefault(row.account, row)
        closed = {*busy, *self._breakers.open_accounts()}
        return [row for row in first.values() if row.account not in closed and self._assignment.has(row.account)][:most]

    def is_wanted(self, row: LookUp) -> bool:
        """Whether anything of the account is synchronised with the target now."""
        account = accounts_of(self._store, [row.account]).get(row.account)
        return account is not None and account.mode(self._target) is not Mode.OFF

    def begin(self, row: LookUp) -> Newer:
        """The target is asked from now on; of whom others report meanwhile."""
        return self._freshness.begin(row.account)

    def report(self, row: LookUp, found: Found, newer: Newer) -> None:
        """Report what was found otherwise than it was known, then that the driver was looked up."""
        unit, account = Unit(), AccountId(row.account)
        self._sightings.add_seen(unit, account, found.drivers, newer)
        self._sightings.add_gone(unit, account, found.nobody, newer)
        self._breakers.record(unit, [self._ended_call(row, None)])
        self._end(unit, row, None)

    def fail(self, row: LookUp, failure: CallFailure) -> None:
        """Report that the driver could not be looked up; nothing is tried again, because somebody waits for it."""
        unit = Unit()
        self._breakers.record(unit, [self._ended_call(row, failure)])
        self._end(unit, row, failure)

    def turn_down(self, row: LookUp) -> None:
        """Report that the driver is not looked up, because nothing is synchronised with the target any more."""
        self._end(Unit(), row, NOT_WANTED)

    def _end(self, unit: Unit, row: LookUp, failure: CallFailure | None) -> None:
        """Raises `StoreConflict` when the account has gone to another process meanwhile."""
        if not self._assignment.has(row.account):
            raise StoreConflict(f"account {row.account} is another process's now")
        last = self._sightings.last_scan(AccountId(row.account))
        done = DriverLookedUp(
            **self._sightings.origin(last),
            driver=row.driver,
            request=row.request,
            reason=str(failure.reason) if failure else "",
            detail=failure.detail if failure else "",
        )
        unit.events.append(done)
        unit.keep([scan_after(last, done)])
        unit.remove(LookUp, {"account": row.account, "driver": row.driver, "request": row.request})
        self._freshness.note(unit.events)
        self._store.commit(unit)

    def _ended_call(self, row: LookUp, failure: CallFailure | None) -> EndedCall:
        return EndedCall(account=AccountId(row.account), subject=row.driver, failure=failure)


async def look_up(row: LookUp, drivers: TargetDrivers) -> Found:
    """Ask the target for each key, and for whoever carries our external id. Raises `TargetFailed`."""
    keys = [Key(key) for key in row.keys]
    answers = [await drivers.find(key, {}) for key in keys]
    carrier = await drivers.find(None, {"portal_driver_id": row.driver})
    found = {driver.key: driver for driver in (*answers, carrier) if driver is not None}
    return Found(drivers=[*found.values()], nobody=[key for key in keys if key not in found])


class Sightings:
    """Makes the reports. A sighting older than an answer of the target to us says nothing new."""

    def __init__(self, store: Store, target: Target, clock: Clock) -> None:
        self._store = store
        self._target = target
        self._clock = clock

    def add_seen(self, unit: Unit, account: AccountId, drivers: Sequence[ObservedDriver], newer: Newer) -> int:
        """Report those of these drivers who are otherwise than they were known, unless something newer tells of them.

        Tells how many of them were known as they are.
        """
        shown = {driver.key: fingerprint(driver.key, driver.profile, active=driver.active) for driver in drivers}
        where: Where = {"account": str(account), "key": [*shown], "fingerprint": [*shown.values()]}
        if (as_known := self._store.count(RosterRow, where)[()]) < len(drivers):
            self._add_others(unit, account, drivers, shown, newer)
        return as_known

    def _add_others(
        self,
        unit: Unit,
        account: AccountId,
        drivers: Sequence[ObservedDriver],
        shown: Mapping[Key, str],
        newer: Newer,
    ) -> None:
        """Report those who are not known like this, unless something newer tells of them."""
        known = self._known(account, [*shown])
        for driver in drivers:
            row = known.get(driver.key) or unseen(account, driver.key)
            if row.fingerprint != shown[driver.key] and driver.key not in newer:
                self._add_seen(unit, row, driver)

    def add_gone(self, unit: Unit, account: AccountId, keys: Iterable[Key], newer: Newer) -> None:
        """Report those of these drivers who were there as far as was known, unless something newer tells of them."""
        for row in self._known(account, [*keys]).values():
            if is_there_before(row, newer):
                self._add_gone(unit, row)

    def origin(self, last: ScanRow) -> ReportOrigin:
        """The beginning of the next report of a roster's scans."""
        account = AccountId(last.account)
        return self._origin(account, scan_stream(account, self._target), last.version + 1)

    def last_scan(self, account: AccountId) -> ScanRow:
        """What was reported of an account's scans so far."""
        rows = self._store.select(ScanRow, {"account": str(account)})
        return rows[0] if rows else unscanned(account)

    def _known(self, account: AccountId, keys: Sequence[Key]) -> Mapping[str, RosterRow]:
        rows = self._store.select(RosterRow, {"account": str(account), "key": keys}) if keys else []
        return {row.key: row for row in rows}

    def _add_seen(self, unit: Unit, row: RosterRow, seen: ObservedDriver) -> None:
        fact = ObservedDriverSeen(**self._of(row), key=row.key, active=seen.active, profile=dict(seen.profile))
        unit.events.append(fact)
        unit.keep([shown_after(row, fact)])

    def _add_gone(self, unit: Unit, row: RosterRow) -> None:
        fact = ObservedDriverGone(**self._of(row), key=row.key)
        unit.events.append(fact)
        unit.keep([shown_after(row, fact)])

    def _of(self, row: RosterRow) -> ReportOrigin:
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
    """Whether a driver was there as far as was known when a read began, and nothing newer tells of it."""
    return row.is_there and row.key not in newer
