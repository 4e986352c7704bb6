"""One driver looked up because a person asked for it: what differs is reported, then that it was done or why not."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from domain.account import Mode
from domain.failures import CallFailure, Reason, Rejected
from domain.identity import AccountId, Key, Target
from domain.ports import TargetDrivers
from domain.report import DriverLookedUp
from domain.roster import TargetDriver
from domain.storing import Store, StoreConflict, Unit
from services.accounts.read_models import accounts_of
from services.projector.breaker import Breakers
from services.projector.freshness import Freshness, Newer
from services.projector.known import walk_after
from services.projector.read_models import LookUp
from services.projector.sighting import Sightings
from services.projector.sign import Sign
from services.runtime.clock import Clock
from services.runtime.share import Share

NOT_WANTED: Final = Rejected(
    reason=Reason.NOT_CONFIGURED, detail="nothing of the account is synchronised with this target now"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Whom looking a driver up has found, and the keys that nobody has."""

    drivers: Sequence[TargetDriver]
    nobody: Sequence[Key]


class LookUps:
    """Which look-ups are due, and what they store."""

    def __init__(
        self, store: Store, target: Target, clock: Clock, share: Share, breakers: Breakers, freshness: Freshness
    ) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._share = share
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
        closed = {*busy, *self._breakers.are_open()}
        return [row for row in first.values() if row.account not in closed and self._share.has(row.account)][:most]

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
        self._breakers.heed(unit, [self._sign(row, None)])
        self._end(unit, row, None)

    def fail(self, row: LookUp, failure: CallFailure) -> None:
        """Report that the driver could not be looked up; nothing is tried again, because somebody waits for it."""
        unit = Unit()
        self._breakers.heed(unit, [self._sign(row, failure)])
        self._end(unit, row, failure)

    def turn_down(self, row: LookUp) -> None:
        """Report that the driver is not looked up, because nothing is synchronised with the target any more."""
        self._end(Unit(), row, NOT_WANTED)

    def _end(self, unit: Unit, row: LookUp, failure: CallFailure | None) -> None:
        """Raises `StoreConflict` when the account has gone to another process meanwhile."""
        if not self._share.has(row.account):
            raise StoreConflict(f"account {row.account} is another process's now")
        last = self._sightings.last_walk(AccountId(row.account))
        done = DriverLookedUp(
            **self._sightings.origin(last),
            driver=row.driver,
            request=row.request,
            reason=str(failure.reason) if failure else "",
            detail=failure.detail if failure else "",
        )
        unit.events.append(done)
        unit.keep([walk_after(last, done)])
        unit.remove(LookUp, {"account": row.account, "driver": row.driver, "request": row.request})
        self._freshness.note(unit.events)
        self._store.commit(unit)

    def _sign(self, row: LookUp, failure: CallFailure | None) -> Sign:
        return Sign(account=AccountId(row.account), subject=row.driver, failure=failure)


async def look_up(row: LookUp, drivers: TargetDrivers) -> Found:
    """Ask the target for each key, and for whoever carries our external id. Raises `TargetFailed`."""
    keys = [Key(key) for key in row.keys]
    answers = [await drivers.find(key, {}) for key in keys]
    carrier = await drivers.find(None, {"portal_driver_id": row.driver})
    found = {driver.key: driver for driver in (*answers, carrier) if driver is not None}
    return Found(drivers=[*found.values()], nobody=[key for key in keys if key not in found])
