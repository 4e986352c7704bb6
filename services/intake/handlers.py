"""What the Portal states, turned into changes. Accepted means committed."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from domain.identity import AccountId, PortalDriverId
from domain.portal import PortalDriver, PortalDriverEvent, Statement, replay
from domain.profile import Profile
from domain.storing import Store, Unit
from services.intake.read_models import KnownDriver, SnapshotDriver, to_portal_driver, to_row
from services.intake.snapshots import LONGEST, is_forgettable, is_overdue
from services.runtime.clock import Clock

_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedDriver:
    """A driver as one line of a list states it; without an id of the Portal's own it is known by its RefID."""

    line: int
    driver: PortalDriverId | None
    profile: Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedLine:
    """A line that states no driver that could be taken over."""

    line: int
    column: str
    reason: str


@dataclass(slots=True, kw_only=True)
class Taken:
    """What became of a list: how many of which change, and the lines that were refused."""

    changes: Counter[str] = field(default_factory=Counter)
    refused: list[RefusedLine] = field(default_factory=list)


_Meant = tuple[StatedDriver, list[PortalDriverId]]
"""A line, and the drivers that it can be about: one as a rule; several who share a RefID, or nobody."""


class SnapshotRefused(Exception):
    """A list cannot count as a full snapshot; the message says why."""


class UnknownDriver(Exception):
    """The Portal has no such driver, as far as intake knows."""


class Intake:
    """The intake service: owns what is known of the Portal's drivers and writes `portal.driver-changes.v1`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def take_list(
        self, account: AccountId, drivers: Sequence[StatedDriver], *, source: str, snapshot: str | None = None
    ) -> Taken:
        """Take over a part of a list in one transaction; of two lines for one driver the last one counts.

        Raises `SnapshotRefused` when it is part of a snapshot that began too long ago.
        """
        self._check_time(snapshot)
        taken = Taken()
        meant = self._meant(account, drivers)
        stated = _identified(meant, taken)
        known = self._known(account, stated)
        statement = Statement(at=self._clock(), source=source)
        unit = Unit()
        for driver, profile in stated.items():
            facts = statement.present(known[driver], profile)
            self._add(unit, known[driver], facts)
            taken.changes[type(facts[0]).__name__ if facts else "unchanged"] += 1
        if snapshot:
            unit.keep(
                SnapshotDriver(account=account, snapshot=snapshot, driver=driver) for driver in sorted(_shown(meant))
            )
        self._store.commit(unit)
        return taken

    def finish_snapshot(
        self, account: AccountId, *, source: str, snapshot: str, refused: Sequence[StatedDriver]
    ) -> Taken:
        """The list was complete: what it lacks is noted the first time and taken as deleted the second time in a row.

        `refused` are the lines that could not be taken over but do name a driver, who is thus not absent.
        Raises `SnapshotRefused` when it showed nobody, or began too long ago.
        """
        self._check_time(snapshot)
        seen = {row.driver for row in self._store.select(SnapshotDriver, {"account": account, "snapshot": snapshot})}
        if not seen:
            raise SnapshotRefused("the list shows no driver at all; an empty list never deletes anybody")
        seen.update(_shown(self._meant(account, refused)))
        taken, unit = Taken(), Unit()
        statement = Statement(at=self._clock(), source=source)
        for known in self._there(account):
            # Shown only by a line that was refused, a driver is there all the same.
            facts = statement.present(known, known.profile or {}) if known.driver in seen else statement.absent(known)
            self._add(unit, known, facts)
            taken.changes.update(type(fact).__name__ for fact in facts)
        unit.remove(SnapshotDriver, {"account": account, "snapshot": snapshot})
        self._store.commit(unit)
        return taken

    def forget_unfinished_snapshots(self) -> int:
        """Remove what snapshots have shown that nobody will finish, as after a kill; how many snapshots."""
        now = self._clock()
        begun = (str(snapshot) for (snapshot,) in self._store.count(SnapshotDriver, by=["snapshot"]))
        forgotten = sorted(snapshot for snapshot in begun if is_forgettable(snapshot, now))
        if forgotten:
            unit = Unit()
            unit.remove(SnapshotDriver, {"snapshot": forgotten})
            self._store.commit(unit)
        return len(forgotten)

    def state(self, account: AccountId, driver: PortalDriverId, profile: Profile, *, source: str) -> str:
        """Take over one driver's whole profile; the name of the change, or `unchanged`."""
        taken = self.take_list(account, [StatedDriver(line=1, driver=driver, profile=profile)], source=source)
        return next(iter(taken.changes))

    def delete(self, account: AccountId, driver: PortalDriverId, *, source: str) -> str:
        """Take over that the Portal deleted a driver. Raises `UnknownDriver`."""
        known = self.show(account, driver)
        unit = Unit()
        facts = Statement(at=self._clock(), source=source).deleted(known)
        self._add(unit, known, facts)
        self._store.commit(unit)
        return type(facts[0]).__name__

    def show(self, account: AccountId, driver: PortalDriverId) -> PortalDriver:
        """A driver whom the Portal has. Raises `UnknownDriver`."""
        known = self._known(account, [driver])[driver]
        if not known.is_there:
            raise UnknownDriver(f"the Portal has no driver {driver} in account {account}")
        return known

    def _check_time(self, snapshot: str | None) -> None:
        """What a snapshot has shown may be forgotten later on, so the rest of it must not count as the whole."""
        if snapshot and is_overdue(snapshot, self._clock()):
            hours = LONGEST // timedelta(hours=1)
            raise SnapshotRefused(f"the list has taken more than {hours} hours: import it again from the beginning")

    def _meant(self, account: AccountId, drivers: Sequence[StatedDriver]) -> list[_Meant]:
        by_ref = self._by_ref(account, drivers)
        known = self._known(account, [stated.driver for stated in drivers if stated.driver])
        new = {driver for driver, each in known.items() if not each.version}
        return [(stated, _candidates(stated, by_ref, new)) for stated in drivers]

    def _by_ref(self, account: AccountId, drivers: Sequence[StatedDriver]) -> dict[str, list[PortalDriverId]]:
        refs = sorted({stated.profile.get("ref_id", "").strip() for stated in drivers} - {""})
        found: dict[str, list[PortalDriverId]] = {}
        for row in self._store.select(KnownDriver, {"account": account, "ref_id": refs, "is_there": True}):
            found.setdefault(row.ref_id, []).append(PortalDriverId(row.driver))
        return found

    def _known(self, account: AccountId, drivers: Iterable[PortalDriverId]) -> dict[PortalDriverId, PortalDriver]:
        known = {driver: PortalDriver(account=account, driver=driver) for driver in drivers}
        for row in self._store.select(KnownDriver, {"account": account, "driver": list(known)}):
            known[PortalDriverId(row.driver)] = to_portal_driver(row)
        return known

    def _there(self, account: AccountId) -> Iterable[PortalDriver]:
        where: dict[str, str | bool] = {"account": account, "is_there": True}
        after: str | None = None
        while page := self._store.select(KnownDriver, where, order_by="driver", after=after, limit=_PAGE):
            yield from map(to_portal_driver, page)
            after = page[-1].driver

    @staticmethod
    def _add(unit: Unit, known: PortalDriver, facts: Sequence[PortalDriverEvent]) -> None:
        unit.events.extend(facts)
        if facts:
            unit.keep([to_row(replay(known, facts))])


def _candidates(
    stated: StatedDriver, by_ref: Mapping[str, list[PortalDriverId]], new: Collection[PortalDriverId]
) -> list[PortalDriverId]:
    """Whom a line can be about: whoever has its id; a driver known by the RefID alone so far keeps that identity."""
    ref = stated.profile.get("ref_id", "").strip()
    by_ref_alone = PortalDriverId(f"ref:{ref}")
    found = by_ref.get(ref, [])
    if stated.driver:
        return [by_ref_alone if stated.driver in new and by_ref_alone in found else stated.driver]
    return found or ([by_ref_alone] if ref else [])


def _identified(meant: Iterable[_Meant], taken: Taken) -> dict[PortalDriverId, Profile]:
    found: dict[PortalDriverId, Profile] = {}
    for stated, candidates in meant:
        if len(candidates) == 1:
            found[candidates[0]] = stated.profile
        else:
            taken.refused.append(RefusedLine(line=stated.line, column="Reference ID", reason=_reason(len(candidates))))
    return found


def _shown(meant: Iterable[_Meant]) -> set[PortalDriverId]:
    """Everybody whom the lines can be about: one that is refused shows that its driver is there all the same."""
    return {driver for _, candidates in meant for driver in candidates}


def _reason(candidates: int) -> str:
    if candidates == 0:
        return "there is neither a Driver ID nor a Reference ID"
    return f"{candidates} drivers have this Reference ID; add a Driver ID column to tell them apart"
