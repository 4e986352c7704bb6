"""Reads of single drivers: because a person asked for one, or because its target hinted that it has changed.

What differs from what was known is reported. A hint alone is not believed: a false one would cause one read.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from domain.account import Mode
from domain.failures import CallFailure, Reason, Rejected, doubled
from domain.identity import AccountId, Key, Target
from domain.matching import ObservedDriver
from domain.outcomes import DriverLookedUp
from domain.ports import TargetDrivers
from domain.store import Store, Unit
from services.accounts.handlers import accounts_of
from services.projector.breaker import Breakers, EndedCall
from services.projector.read_models import Hint, LookUp, scan_after
from services.projector.scans import Freshness, Newer, RosterReports
from services.runtime.context import Assignment, Clock

MOST_HINTS: Final = 10_000
"""Hints of an account that wait; of more the daily reconciliation finds what has changed."""

_MOST_TRIES = 5
"""How often a driver is read because of a hint; a look-up is not tried again, because a person waits for it."""

NOT_WANTED: Final = Rejected(
    reason=Reason.NOT_CONFIGURED, detail="nothing of the account is synchronised with this target now"
)

DriverRead = LookUp | Hint
"""A driver to be read, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The drivers that a read has found, and the keys that no driver has."""

    drivers: Sequence[ObservedDriver]
    missing: Sequence[Key]


class DriverReads:
    """Which drivers are to be read, and what reading one stores."""

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
        self._clock = clock
        self._assignment = assignment
        self._breakers = breakers
        self._freshness = freshness
        self._reports = RosterReports(store, target, clock)
        self._put_off: dict[str, tuple[datetime, timedelta]] = {}

    def keep(self, account: AccountId, keys: Collection[Key]) -> int:
        """Keep hints about these drivers, many about one as one; how many there was no room for."""
        unit, at = Unit(), self._clock().isoformat()
        room = MOST_HINTS - self._store.count(Hint, {"account": account}).get((), 0)
        wanted = list(dict.fromkeys(keys))
        unit.keep(Hint(account=account, key=key, mark=f"{at}/{uuid4().hex}") for key in wanted[: max(0, room)])
        self._store.commit(unit)
        return max(0, len(wanted) - max(0, room))

    def due(self, busy: Collection[AccountId], most: int) -> list[DriverRead]:
        """Up to this many: one of each of our accounts that is not busy and whose breaker is closed.

        What people wait for is first, then the oldest hints.
        """
        if most <= 0:
            return []
        look_ups: dict[str, LookUp] = {}
        for row in self._store.select(LookUp, order_by="request"):
            look_ups.setdefault(row.account, row)
        hints = self._store.least(Hint, "mark", by=["account"])
        stopped = {*busy, *self._breakers.open_accounts()} if look_ups or hints else set()
        due: list[DriverRead] = [row for row in look_ups.values() if self._is_ours(row.account, stopped)]
        stopped |= look_ups.keys()
        marks = {
            (str(account), str(mark))
            for (account,), mark in hints.items()
            if self._is_ours(str(account), stopped) and not self._has_to_wait(str(account))
        }
        if marks and len(due) < most:
            found = sorted(self._store.among(Hint, ("account", "mark"), marks), key=lambda row: row.mark)
            due += found
        return due[:most]

    def begin(self, row: DriverRead) -> Newer | None:
        """Begin to keep what is reported meanwhile; None if nothing of the account is synchronised."""
        account = accounts_of(self._store, [row.account]).get(row.account)
        if account is None or account.mode(self._target) is Mode.OFF:
            self._end(Unit(), row, NOT_WANTED)
            return None
        return self._freshness.begin(row.account)

    def report(self, row: DriverRead, found: Found, newer: Newer) -> None:
        """Report what differs from what was known, then that a driver was looked up."""
        unit, account, is_hinted = Unit(), AccountId(row.account), isinstance(row, Hint)
        self._reports.add_seen(unit, account, found.drivers, newer, is_hinted=is_hinted)
        self._reports.add_gone(unit, account, found.missing, newer, is_hinted=is_hinted)
        self._breakers.record(unit, [EndedCall(account=account, subject=row.subject, failure=None)])
        self._put_off.pop(row.account, None)
        self._end(unit, row, None)

    def fail(self, row: DriverRead, failure: CallFailure) -> None:
        """Report that a driver could not be looked up; let a hint be followed again later.

        After some tries, or a refusal, the driver of a hint is not read before the next scan.
        """
        unit = Unit()
        self._breakers.record(unit, [EndedCall(account=AccountId(row.account), subject=row.subject, failure=failure)])
        if isinstance(row, LookUp):
            self._end(unit, row, failure)
            return
        wait = timedelta(seconds=doubled(row.tries))
        self._put_off[row.account] = self._clock() + wait, wait
        if row.tries + 1 < _MOST_TRIES and not isinstance(failure, Rejected):
            unit.keep([replace(row, tries=row.tries + 1)])
            self._commit(unit, row)
        else:
            self._end(unit, row, failure)

    def _is_ours(self, account: str, stopped: Collection[str]) -> bool:
        return account not in stopped and self._assignment.has(account)

    def _has_to_wait(self, account: str) -> bool:
        moment, wait = self._put_off.get(account, (None, timedelta()))
        # A clock that was put right can have been far ahead.
        return moment is not None and self._clock() < moment <= self._clock() + wait

    def _end(self, unit: Unit, row: DriverRead, failure: CallFailure | None) -> None:
        """What comes meanwhile stays: another hint has another mark, and another look-up another request."""
        if isinstance(row, Hint):
            unit.remove(Hint, {"account": row.account, "key": row.key, "mark": row.mark})
        else:
            self._add_looked_up(unit, row, failure)
            unit.remove(LookUp, {"account": row.account, "driver": row.driver, "request": row.request})
        self._commit(unit, row)

    def _add_looked_up(self, unit: Unit, row: LookUp, failure: CallFailure | None) -> None:
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

    def _commit(self, unit: Unit, row: DriverRead) -> None:
        """Raises `StoreConflict` when the account has gone to another process meanwhile."""
        self._assignment.check(row.account)
        self._freshness.note(unit.events)
        self._breakers.commit(unit)


async def read_driver(row: DriverRead, drivers: TargetDrivers) -> Found:
    """Read by each key; look-ups by our external id as well. Raises `TargetFailed`."""
    keys = [Key(key) for key in row.keys]
    answers = [await drivers.find(key, {}) for key in keys]
    if isinstance(row, LookUp):
        answers.append(await drivers.find(None, {"portal_driver_id": row.driver}))
    found = {driver.key: driver for driver in answers if driver is not None}
    return Found(drivers=[*found.values()], missing=[key for key in keys if key not in found])
