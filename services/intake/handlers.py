"""What the Portal states, turned into changes. Accepted means committed.

A list may be cut, filtered, or read with few rights: one that lacks too many drivers is not believed. The name of a
complete list says when it began, so that what is left of an unfinished one can be removed.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from domain.identity import AccountId, PortalDriverId
from domain.portal import (
    ListChange,
    Meant,
    PortalDriver,
    PortalDriverEvent,
    RefusedLine,
    Statement,
    candidates,
    identified,
    replay,
    shown_by,
)
from domain.ports import PortalLine
from domain.profile import NOTHING_STATED, StatedProfile
from domain.store import Store, Unit
from services.intake.read_models import KnownDriver, SnapshotDriver, to_portal_driver, to_row
from services.intake.rekeying import Absences, Judgement, ReKeyings, Reviewed
from services.runtime.context import Clock

_SHARE: Final = 1 / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The share of the known drivers that a list may lack; up to `always` drivers may be lacking in any case."""

    share: float
    always: int

    def covers(self, absences: Absences) -> bool:
        """Whether the list lacks no more than this."""
        return absences.lacking <= max(self.always, self.share * absences.known)


OF_AN_EXPORT: Final = Allowance(share=_SHARE, always=3)
"""A person says that an export is complete: of a small fleet it may lack as many as the guard lets go in a day."""

OF_A_READING: Final = Allowance(share=_SHARE, always=1)
"""Nothing checks what the API answers, and what it shows depends on rights."""

UNLIMITED: Final = Allowance(share=1.0, always=0)
"""A person has said that it is so."""


_PAGE = 500


@dataclass(slots=True, kw_only=True)
class Taken:
    """What follows from a list: how many of each change, the lines that were refused, the drivers that it shows.

    `differences` has the drivers that change; `set_aside` is what the list states of those that were left out.
    """

    changes: Counter[str] = field(default_factory=Counter)
    refused: list[RefusedLine] = field(default_factory=list)
    shown: set[PortalDriverId] = field(default_factory=set)
    differences: list[ListChange] = field(default_factory=list)
    set_aside: list[PortalLine] = field(default_factory=list)


class SnapshotRefused(Exception):
    """A list cannot count as a full snapshot; the message says why."""


class UnknownDriver(Exception):
    """The Portal has no such driver, as far as intake knows."""


class Intake:
    """The intake service: owns what is known of the Portal's drivers and writes `portal.driver-changes.v1`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._rekeyings = ReKeyings(store, clock)

    def take_list(
        self, account: AccountId, drivers: Sequence[PortalLine], *, source: str, snapshot: str | None = None
    ) -> Taken:
        """Store a part of a list in one transaction; of two lines for one driver the last one counts.

        Raises `SnapshotRefused` when it is part of a snapshot that began too long ago, and `ReKeyingHeld` when it would
        re-key more drivers than allowed without an approval.
        """
        self._check_time(snapshot)
        taken, unit = self.taking(account, drivers, source=source)
        self._rekeyings.pass_through(account, taken.differences, unit)
        if snapshot:
            unit.keep(
                SnapshotDriver(account=account, snapshot=snapshot, driver=driver) for driver in sorted(taken.shown)
            )
        self._store.commit(unit)
        return taken

    def taking(
        self,
        account: AccountId,
        drivers: Sequence[PortalLine],
        *,
        source: str,
        aside: Collection[PortalDriverId] = (),
    ) -> tuple[Taken, Unit]:
        """What follows from a part of a list, and what to store for it; the statements about some are set aside."""
        meant = self._meant(account, drivers)
        stated, refused = identified(meant)
        taken = Taken(shown=shown_by(meant), refused=refused)
        known = self._known(account, stated)
        statement = Statement(at=self._clock(), source=source)
        unit = Unit()
        for driver, profile in stated.items():
            if driver in aside:
                taken.set_aside.append(PortalLine(line=0, driver=driver, profile=profile))
                continue
            facts = statement.present(known[driver], profile)
            self._add(unit, known[driver], facts)
            change = type(facts[0]).__name__ if facts else "unchanged"
            taken.changes[change] += 1
            if facts:
                taken.differences.append(ListChange.between(known[driver], replay(known[driver], facts), change))
        return taken, unit

    def review(self, account: AccountId, drivers: Sequence[PortalLine], *, source: str) -> Taken:
        """What would follow from a part of a list; nothing is stored."""
        return self.taking(account, drivers, source=source)[0]

    def judge(self, account: AccountId, reviewed: Reviewed, *, source: str) -> tuple[Judgement, Taken]:
        """Whether a list that was reviewed from its beginning to its end may be stored; that is noted, if so.

        And what would follow for the drivers that a complete one lacks.
        Raises `SnapshotRefused` as `finish_snapshot` would.
        """
        absent = Taken()
        if reviewed.is_complete:
            absent, _ = self.concluding(
                account,
                reviewed.shown,
                source=source,
                refused=reviewed.refused,
                allowance=UNLIMITED if reviewed.may_lack_many else OF_AN_EXPORT,
                joining=reviewed.new,
            )
        return self._rekeyings.judge(account, reviewed, self.absences(account, reviewed.shown)), absent

    def absences(self, account: AccountId, shown: Collection[PortalDriverId]) -> Absences:
        """How many drivers are known, and how many of them are not among those that a list has shown."""
        absences = Absences()
        for known in self._there(account):
            absences.count(is_shown=known.driver in shown)
        return absences

    def finish_snapshot(
        self,
        account: AccountId,
        *,
        source: str,
        snapshot: str,
        refused: Sequence[PortalLine],
        may_lack_many: bool = False,
    ) -> Taken:
        """The list was complete: a driver that it lacks is missed the first time, and deleted the second in a row.

        `refused` are the lines that could not be stored but do name a driver, who is thus not absent.
        Raises `SnapshotRefused` when it showed no driver, began too long ago, or lacks more than it may.
        """
        self._check_time(snapshot)
        seen = {row.driver for row in self._store.select(SnapshotDriver, {"account": account, "snapshot": snapshot})}
        allowance = UNLIMITED if may_lack_many else OF_AN_EXPORT
        taken, unit = self.concluding(account, seen, source=source, refused=refused, allowance=allowance)
        unit.remove(SnapshotDriver, {"account": account, "snapshot": snapshot})
        self._store.commit(unit)
        return taken

    def concluding(
        self,
        account: AccountId,
        seen: Collection[str],
        *,
        source: str,
        refused: Sequence[PortalLine],
        allowance: Allowance,
        expected: Collection[str] | None = None,
        joining: Collection[str] = (),
    ) -> tuple[Taken, Unit]:
        """What follows from a complete list that has shown these drivers, and what to store for it.

        Absence says nothing about drivers who were not expected in it; None: all were. Drivers who are `joining` by
        this list are not known yet, and are shown by it.
        Raises `SnapshotRefused` when it showed no driver, or lacks more than it may.
        """
        if not seen:
            raise SnapshotRefused("the list shows no driver at all; an empty list never deletes a driver")
        seen = {*seen, *shown_by(self._meant(account, refused))}
        taken, unit, absences = Taken(), Unit(), Absences(known=len(joining))
        statement = Statement(at=self._clock(), source=source)
        for known in self._there(account):
            if known.driver not in seen and expected is not None and known.driver not in expected:
                continue
            absences.count(is_shown=known.driver in seen)
            # Shown only by a line that was refused, a driver is there all the same.
            facts = statement.present(known, NOTHING_STATED) if known.driver in seen else statement.absent(known)
            self._add(unit, known, facts)
            taken.changes.update(type(fact).__name__ for fact in facts)
            taken.differences.extend(
                ListChange.between(known, replay(known, facts), type(fact).__name__) for fact in facts
            )
        if not allowance.covers(absences):
            command = f"driverlink drivers import FILE --account {account} --complete --may-lack-many"
            raise SnapshotRefused(
                f"the list lacks {absences.lacking} of {absences.known} drivers; "
                f"if they have left the Portal, run `{command}`"
            )
        return taken, unit

    def forget_unfinished_snapshots(self) -> int:
        """Remove what unfinished snapshots have shown that began long ago, as after a kill; how many snapshots."""
        now = self._clock()
        begun = (str(snapshot) for (snapshot,) in self._store.count(SnapshotDriver, by=["snapshot"]))
        forgotten = sorted(name for name in begun if (began := _began(name)) is None or now - began > _KEPT)
        if forgotten:
            unit = Unit()
            unit.remove(SnapshotDriver, {"snapshot": forgotten})
            self._store.commit(unit)
        return len(forgotten)

    def state(self, account: AccountId, driver: PortalDriverId, profile: StatedProfile, *, source: str) -> str:
        """Store what is stated of one driver; the name of the change, or `unchanged`."""
        taken, unit = self.taking(account, [PortalLine(line=1, driver=driver, profile=profile)], source=source)
        self._store.commit(unit)
        return next(iter(taken.changes))

    def delete(self, account: AccountId, driver: PortalDriverId, *, source: str) -> str:
        """Store that the Portal deleted a driver. Raises `UnknownDriver`."""
        known = self.show(account, driver)
        unit = Unit()
        facts = Statement(at=self._clock(), source=source).deleted(known)
        self._add(unit, known, facts)
        self._store.commit(unit)
        return type(facts[0]).__name__

    def show(self, account: AccountId, driver: PortalDriverId) -> PortalDriver:
        """A driver that the Portal has. Raises `UnknownDriver`."""
        known = self._known(account, [driver])[driver]
        if not known.is_there:
            raise UnknownDriver(f"the Portal has no driver {driver} in account {account}")
        return known

    def _check_time(self, snapshot: str | None) -> None:
        """An old snapshot may lose what it has shown, and then the rest of it must not count as the whole."""
        began = _began(snapshot) if snapshot else None
        if began is not None and self._clock() - began > LONGEST:
            hours = LONGEST // timedelta(hours=1)
            raise SnapshotRefused(f"the list has taken more than {hours} hours: import it again from the beginning")

    def _meant(self, account: AccountId, drivers: Sequence[PortalLine]) -> list[Meant]:
        refs = sorted({stated.profile.text("ref_id") for stated in drivers} - {""})
        by_ref: dict[str, list[PortalDriverId]] = {}
        for row in self._store.select(KnownDriver, {"account": account, "ref_id": refs, "is_there": True}):
            by_ref.setdefault(row.ref_id, []).append(PortalDriverId(row.driver))
        known = self._known(account, [stated.driver for stated in drivers if stated.driver])
        new = {driver for driver, each in known.items() if not each.version}
        return [(stated, candidates(stated, by_ref, new)) for stated in drivers]

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


LONGEST = timedelta(days=1)
"""How long importing a complete list may take; after that it can neither be added to nor finished."""

_KEPT = 2 * LONGEST
"""Age at which it is removed: long after its end, also by the clock of another machine."""


def new_snapshot(at: datetime) -> str:
    """A new name for a complete list that begins now."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}/{uuid4().hex}"


def _began(snapshot: str) -> datetime | None:
    """When a complete list began; None if its name does not say so."""
    try:
        return datetime.strptime(snapshot.partition("/")[0], "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        return None


class Hourly:
    """A chore that is done once an hour, however often it is called."""

    def __init__(self, chore: Callable[[], int], clock: Clock) -> None:
        self._chore = chore
        self._clock = clock
        self._done_at: datetime | None = None

    def __call__(self) -> int:
        """How much was done."""
        now = self._clock()
        if self._done_at is not None and now - self._done_at < timedelta(hours=1):
            return 0
        self._done_at = now
        return self._chore()
