"""Look-ups: one driver is looked up because a person asked for it; what differs is reported, then that it is done."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from domain.account import Mode
from domain.failures import CallFailure, Reason, Rejected
from domain.identity import AccountId, Key, Target
from domain.matching import ObservedDriver
from domain.outcomes import DriverLookedUp
from domain.ports import TargetDrivers
from domain.store import Store, StoreConflict, Unit
from services.accounts.handlers import accounts_of
from services.projector.breaker import Breakers, EndedCall
from services.projector.known import scan_after
from services.projector.read_models import LookUp
from services.projector.roster import Freshness, Newer, RosterReports
from services.runtime.context import Assignment, Clock

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
        """At most so many look-ups: the first of each of our accounts that is not busy and whose breaker is closed."""
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
        if not self._assignment.has(row.account):
            raise StoreConflict(f"account {row.account} is another process's now")
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
        self._store.commit(unit)


async def look_up(row: LookUp, drivers: TargetDrivers) -> Found:
    """Look up each key, and the driver that carries our external id. Raises `TargetFailed`."""
    keys = [Key(key) for key in row.keys]
    answers = [await drivers.find(key, {}) for key in keys]
    carrier = await drivers.find(None, {"portal_driver_id": row.driver})
    found = {driver.key: driver for driver in (*answers, carrier) if driver is not None}
    return Found(drivers=[*found.values()], missing=[key for key in keys if key not in found])
