"""What the Portal states, turned into changes. Accepted means committed.

A list may be cut, filtered, or read with few rights: one that lacks too many drivers is not believed. The name of a
complete list says when it began, so that what is left of an unfinished one can be removed.
A list that would re-key many drivers waits for an approval.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from domain.guard import APPROVAL_LASTS, WINDOW, Identifiers, ReKeyingGuard, digest_of_rekeying, replaced
from domain.identity import AccountId, PortalDriverId
from domain.portal import (
    ListChange,
    Meant,
    PortalDriver,
    PortalDriverEvent,
    PushedChange,
    RefusedLine,
    Statement,
    apply,
    candidates,
    identified,
    replay,
    shown_by,
)
from domain.ports import PortalLine
from domain.profile import NOTHING_STATED, StatedProfile
from domain.store import JournalRow, Store, Unit
from services.intake.read_models import (
    KnownDriver,
    ReKeyingRow,
    SnapshotDriver,
    keep_terms,
    to_portal_driver,
    to_row,
)
from services.runtime.context import Clock

PASSED: Final = "passed"
HELD: Final = "held"
APPROVED: Final = "approved"

_CHUNK = 500


class ReKeyingHeld(Exception):
    """More drivers would be re-keyed than allowed without an approval; the message says what to do."""


@dataclass(slots=True, kw_only=True)
class Absences:
    """How many drivers a list should have shown, and how many of those it lacks."""

    known: int = 0
    lacking: int = 0

    def count(self, *, is_shown: bool) -> None:
        """One more driver who is known."""
        self.known += 1
        self.lacking += not is_shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """What the review of a whole list has found: the drivers it would re-key, those new in it, and all that it shows.

    `refused` are lines that could not be stored and name a driver. `approve` is the hash that a person saw. `is_dry`:
    nothing will follow.
    """

    rekeyed: Sequence[tuple[PortalDriverId, Identifiers]]
    new: Collection[PortalDriverId]
    shown: Collection[PortalDriverId]
    refused: Sequence[PortalLine] = ()
    is_complete: bool = False
    may_lack_many: bool = False
    approve: str | None = None
    is_dry: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Whether a list may be stored.

    It would re-key `rekeyed` drivers, and show new ones in the place of `replaced` known ones. `digest` names them.
    """

    is_held: bool
    digest: str
    rekeyed: int
    replaced: int
    known: int
    lacking: int
    counted: int
    limit: int


def digest_of(account: AccountId, rows: Iterable[ReKeyingRow]) -> str:
    """The hash of these held re-keyings."""
    return digest_of_rekeying(account, ((PortalDriverId(row.driver), row.after) for row in rows))


class ReKeyings:
    """The re-keyings of all accounts, as intake keeps count of them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def pass_through(self, account: AccountId, differences: Iterable[ListChange], unit: Unit) -> None:
        """Store in the unit which drivers it re-keys. Raises `ReKeyingHeld` when they are too many.

        A driver who was judged before passes; that uses up an approval.
        """
        rekeyed = [(each.driver, each.after) for each in differences if each.is_rekeying]
        if not rekeyed:
            return
        judged = self._judged(account, rekeyed)
        fresh = [each for each in rekeyed if each[0] not in judged]
        if fresh:
            known = self._store.count(KnownDriver, {"account": account, "is_there": True})[()]
            guard = self._guard(account, known)
            if guard.holds(len(fresh)):
                command = f"driverlink drivers import FILE --account {account}"
                raise ReKeyingHeld(
                    f"the list would re-key {len(fresh)} of {known} drivers, and {guard.limit} may be in a day; "
                    f"import it with `{command}`, which asks for a person's word"
                )
        unit.keep(self._row(account, driver, after, state=PASSED) for driver, after in fresh)
        used = [driver for driver, row in judged.items() if row.state == APPROVED]
        if used:
            unit.remove(ReKeyingRow, {"account": account, "driver": used})

    def hold(self, account: AccountId, differences: Iterable[ListChange]) -> None:
        """Let those of these drivers who are re-keyed, and were not judged before, wait for an approval."""
        rekeyed = {each.driver: each for each in differences if each.is_rekeying}
        judged = self._judged(account, [(driver, each.after) for driver, each in rekeyed.items()])
        unit = Unit()
        unit.keep(
            replace(self._row(account, driver, each.after, state=HELD), before=dict(each.before))
            for driver, each in rekeyed.items()
            if driver not in judged
        )
        self._store.commit(unit)

    def judge(self, account: AccountId, reviewed: Reviewed, absences: Absences) -> Judgement:
        """Whether a list may be stored; if so, and it is going to be, the re-keyings are stored."""
        judged = self._judged(account, reviewed.rekeyed)
        fresh = [each for each in reviewed.rekeyed if each[0] not in judged]
        known, lacking = absences.known, absences.lacking
        instead = replaced(new=len(reviewed.new), known=known - lacking, lacking=lacking)
        newcomers: list[tuple[PortalDriverId, Identifiers]] = [(driver, {}) for driver in sorted(reviewed.new)]
        asked = [*reviewed.rekeyed, *(newcomers if instead else ())]
        guard = self._guard(account, known)
        is_held = guard.holds(len(fresh) + instead)
        judgement = Judgement(
            is_held=is_held and reviewed.approve != digest_of_rekeying(account, asked),
            digest=digest_of_rekeying(account, asked),
            rekeyed=len(reviewed.rekeyed),
            replaced=instead,
            known=known,
            lacking=lacking,
            counted=guard.counted,
            limit=guard.limit,
        )
        if judgement.is_held or reviewed.is_dry:
            return judgement
        unit, state = Unit(), APPROVED if is_held else PASSED
        noted = fresh if is_held else [*fresh, *newcomers[:instead]]
        unit.keep(self._row(account, driver, after, state=state) for driver, after in noted)
        if unit.rows:
            self._store.commit(unit)
        return judgement

    def judge_reading(
        self,
        account: AccountId,
        found: Sequence[ListChange],
        absences: Absences,
        *,
        unsaid: Collection[PortalDriverId],
    ) -> set[PortalDriverId]:
        """The drivers set aside by a reading of the Portal whose changes may be stored; the others are held.

        A driver who was held before, and by this reading would not be any more, is forgotten; but the reading says
        nothing about the identifiers of drivers who are `unsaid`.
        """
        drivers = {each.driver: each.after if each.is_rekeying else {} for each in found}
        judged = self._judged(account, list(drivers.items()))
        fresh = [each for each in found if each.driver not in judged]
        new = sum(each.is_new for each in fresh)
        instead = replaced(new=new, known=absences.known - absences.lacking, lacking=absences.lacking)
        asked = [each for each in fresh if each.is_rekeying or instead]
        is_held = self._guard(account, absences.known).holds(len(asked) - new + instead if instead else len(asked))
        held = {each.driver: each for each in asked} if is_held else {}
        passed = [] if is_held else asked[: len(asked) - new + instead]
        before = {row.driver: row for row in self.held(account)}
        gone = [driver for driver in before if driver not in held and driver not in unsaid]
        unit = Unit()
        if gone:
            unit.remove(ReKeyingRow, {"account": account, "driver": gone})
        for driver, each in held.items():
            row = self._row(account, driver, drivers[driver], state=HELD)
            at = before[driver].at if driver in before else row.at
            unit.keep([replace(row, before=dict(each.before), at=at)])
        unit.keep(self._row(account, each.driver, drivers[each.driver], state=PASSED) for each in passed)
        self._store.commit(unit)
        return drivers.keys() - held.keys()

    def held(self, account: AccountId) -> list[ReKeyingRow]:
        """The drivers who wait for an approval, by id."""
        return self._store.select(ReKeyingRow, {"account": account, "state": HELD}, order_by="driver")

    def approve(self, account: AccountId, digest: str, entry: JournalRow) -> int:
        """Allow exactly the held re-keyings that this hash names, as this entry says; how many they are.

        Raises `ReKeyingHeld`.
        """
        rows = self.held(account)
        if not rows or digest != digest_of(account, rows):
            raise ReKeyingHeld(
                f"{digest} is not what is held now for {account}; "
                f"look at it again: `driverlink rekeyings list {account}`"
            )
        unit = Unit()
        unit.keep(replace(row, state=APPROVED, at=self._clock().isoformat(), by=entry.by) for row in rows)
        unit.keep([entry])
        self._store.commit(unit)
        return len(rows)

    def _judged(
        self, account: AccountId, rekeyed: Sequence[tuple[PortalDriverId, Identifiers]]
    ) -> dict[PortalDriverId, ReKeyingRow]:
        """Which of these were allowed, with these identifiers, recently enough to count."""
        wanted, since = dict(rekeyed), (self._clock() - min(WINDOW, APPROVAL_LASTS)).isoformat()
        drivers = sorted(wanted)
        found: dict[PortalDriverId, ReKeyingRow] = {}
        for start in range(0, len(drivers), _CHUNK):
            where = {"account": account, "driver": drivers[start : start + _CHUNK], "state": [PASSED, APPROVED]}
            for row in self._store.select(ReKeyingRow, where):
                driver = PortalDriverId(row.driver)
                if row.at > since and row.after == wanted[driver]:
                    found[driver] = row
        return found

    def _guard(self, account: AccountId, known: int) -> ReKeyingGuard:
        since = (self._clock() - WINDOW).isoformat()
        passed = self._store.select(ReKeyingRow, {"account": account, "state": PASSED})
        return ReKeyingGuard(known=known, counted=sum(row.at > since for row in passed))

    def _row(self, account: AccountId, driver: PortalDriverId, after: Identifiers, *, state: str) -> ReKeyingRow:
        at = self._clock().isoformat()
        return ReKeyingRow(account=account, driver=driver, state=state, at=at, before={}, after=dict(after))


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


FieldFlaw = tuple[int, str, str]
"""What is wrong with a pushed change: its place among them, from 0 on, the field, and why."""

_NAMELESS: Final = "is missing: the driver is new, and needs a first and a last name"


class ChangesRefused(Exception):
    """Pushed changes that are not as they should be, so that none of them is stored."""

    def __init__(self, flaws: Sequence[FieldFlaw]) -> None:
        super().__init__(f"{len(flaws)} fields are not as they should be")
        self.flaws = flaws


class UnknownDriver(Exception):
    """The Portal does not have this driver, as far as intake knows."""


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
        meant, known = self._meant(account, drivers)
        stated, refused = identified(meant)
        taken = Taken(shown=shown_by(meant), refused=refused)
        known |= self._known(account, stated.keys() - known.keys())
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

    def pushing(self, account: AccountId, changes: Sequence[PushedChange], *, source: str) -> tuple[Taken, Unit]:
        """What follows from changes that the Portal pushes, one after the other, and what to store for them.

        Raises `ChangesRefused` for those by which the Portal would have a driver without a name.
        """
        lines = [PortalLine(driver=change.driver, profile=change.profile) for change in changes]
        meant, found = self._meant(account, lines)
        drivers = [candidate for _, (candidate,) in meant]
        found |= self._known(account, {*drivers} - found.keys())
        before = {driver: found[driver] for driver in drivers}
        known, taken, unit = dict(before), Taken(), Unit()
        statement = Statement(at=self._clock(), source=source)
        nameless: list[FieldFlaw] = []
        for place, (change, driver) in enumerate(zip(changes, drivers, strict=True)):
            facts = (
                statement.deleted(known[driver])
                if change.is_deleted
                else statement.present(known[driver], change.profile)
            )
            if not change.is_deleted and not known[driver].is_there:
                profile = change.profile.onto({})
                nameless += [(place, field, _NAMELESS) for field in ("first_name", "last_name") if field not in profile]
            for fact in facts:
                stated = apply(known[driver], fact)
                keep_terms(unit, known[driver], stated)
                known[driver] = stated
            unit.events.extend(facts)
            taken.changes[type(facts[0]).__name__ if facts else "unchanged"] += 1
        if nameless:
            raise ChangesRefused(nameless)
        changed = [driver for driver in known if known[driver] != before[driver]]
        taken.differences += [ListChange.between(before[each], known[each], "pushed") for each in changed]
        unit.keep(to_row(known[driver]) for driver in changed)
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
        seen = {*seen, *shown_by(self._meant(account, refused)[0])}
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

    def _meant(
        self, account: AccountId, drivers: Sequence[PortalLine]
    ) -> tuple[list[Meant], dict[PortalDriverId, PortalDriver]]:
        """The drivers that each line can be about, and what is known of those that were looked up for this."""
        refs = sorted({stated.profile.text("ref_id") for stated in drivers} - {""})
        known = self._known(account, [stated.driver for stated in drivers if stated.driver])
        new = {driver for driver, each in known.items() if not each.version}
        by_ref: dict[str, list[PortalDriverId]] = {}
        for row in self._store.select(KnownDriver, {"account": account, "ref_id": refs, "is_there": True}):
            by_ref.setdefault(row.ref_id, []).append(PortalDriverId(row.driver))
            known[PortalDriverId(row.driver)] = to_portal_driver(row)
        return [(stated, candidates(stated, by_ref, new)) for stated in drivers], known

    def _known(self, account: AccountId, drivers: Iterable[PortalDriverId]) -> dict[PortalDriverId, PortalDriver]:
        known = {driver: PortalDriver(account=account, driver=driver) for driver in drivers}
        if not known:
            return known
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
        for fact in facts:
            before, known = known, apply(known, fact)
            keep_terms(unit, before, known)
        if facts:
            unit.keep([to_row(known)])


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
