"""What was seen of target drivers as reports, as far as it differs from what was known."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from domain.identity import AccountId, Key, Target, target_driver_stream, walk_stream
from domain.report import ReportOrigin, TargetDriverGone, TargetDriverSeen
from domain.roster import TargetDriver
from domain.storing import Store, Unit, Where
from services.projector.freshness import Newer
from services.projector.known import fingerprint, shown_after, unseen, unwalked
from services.projector.read_models import RosterRow, WalkRow
from services.runtime.clock import Clock


class Sightings:
    """Makes the reports. A sighting older than an answer of the target to us says nothing new."""

    def __init__(self, store: Store, target: Target, clock: Clock) -> None:
        self._store = store
        self._target = target
        self._clock = clock

    def add_seen(self, unit: Unit, account: AccountId, drivers: Sequence[TargetDriver], newer: Newer) -> int:
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
        drivers: Sequence[TargetDriver],
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

    def origin(self, last: WalkRow) -> ReportOrigin:
        """The beginning of the next report of a roster's walks."""
        account = AccountId(last.account)
        return self._origin(account, walk_stream(account, self._target), last.version + 1)

    def last_walk(self, account: AccountId) -> WalkRow:
        """What was reported of an account's walks so far."""
        rows = self._store.select(WalkRow, {"account": str(account)})
        return rows[0] if rows else unwalked(account)

    def _known(self, account: AccountId, keys: Sequence[Key]) -> Mapping[str, RosterRow]:
        rows = self._store.select(RosterRow, {"account": str(account), "key": keys}) if keys else []
        return {row.key: row for row in rows}

    def _add_seen(self, unit: Unit, row: RosterRow, seen: TargetDriver) -> None:
        fact = TargetDriverSeen(**self._of(row), key=row.key, active=seen.active, profile=dict(seen.profile))
        unit.events.append(fact)
        unit.keep([shown_after(row, fact)])

    def _add_gone(self, unit: Unit, row: RosterRow) -> None:
        fact = TargetDriverGone(**self._of(row), key=row.key)
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
