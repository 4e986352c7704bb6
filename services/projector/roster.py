"""What is reported about a target's roster, as far as it differs from what was known.

The order of reports decides, never the clock: a driver that was reported while a roster, or one driver, is being read
is newer than what is read. One process reports about an account at a time, and reads begin again with a process, so
what is newer is kept in memory.
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID
from weakref import WeakSet

from domain.event import Event
from domain.identity import AccountId, Key, Target, scan_stream, target_driver_stream
from domain.matching import ObservedDriver
from domain.outcomes import ObservedDriverGone, ObservedDriverSeen, ReportOrigin
from domain.store import Store, Unit, Where
from services.projector.known import DriverReport, fingerprint, keys_of, shown_after, unscanned, unseen
from services.projector.read_models import RosterRow, ScanRow
from services.runtime.context import Clock


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
        self._reads: dict[str, WeakSet[Newer]] = {}

    def begin(self, account: str) -> Newer:
        """A read of this account begins."""
        newer = Newer()
        self._reads.setdefault(account, WeakSet()).add(newer)
        return newer

    def note(self, events: Iterable[Event], by: Newer | None = None) -> None:
        """These events are about to be stored; `by` is the read that they come from, if any."""
        for event in events:
            if isinstance(event, DriverReport):
                for newer in list(self._reads.get(event.account, ())):
                    if newer is not by:
                        newer.add(keys_of(event))


class RosterReports:
    """Makes the reports of one target's drivers and scans."""

    def __init__(self, store: Store, target: Target, clock: Clock) -> None:
        self._store = store
        self._target = target
        self._clock = clock

    def add_seen(self, unit: Unit, account: AccountId, drivers: Sequence[ObservedDriver], newer: Newer) -> int:
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
                seen = ObservedDriverSeen(
                    **self._driver_origin(row), key=row.key, active=driver.active, profile=dict(driver.profile)
                )
                unit.events.append(seen)
                unit.keep([shown_after(row, seen)])
        return as_known

    def add_gone(self, unit: Unit, account: AccountId, keys: Iterable[Key], newer: Newer) -> None:
        """Report that these drivers are gone, as far as they were known to be there."""
        for row in self._known(account, [*keys]).values():
            if is_there_before(row, newer):
                gone = ObservedDriverGone(**self._driver_origin(row), key=row.key)
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
