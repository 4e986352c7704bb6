"""What the decider knows: the Portal's wishes, the targets' rosters, and how every link stands.

What the targets' reports tell of rosters, walks and outages, whatever is decided because of it.

Target drivers that no link claims.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from domain.driver_link import REFUSED, DeleteDecided, DriverLink
from domain.identity import AccountId, Key, PortalDriverId, Target
from domain.matching import TargetDriver, Wish, claims, key_mark, to_wish
from domain.outcomes import (
    BreakerClosed,
    BreakerOpened,
    CallAnswered,
    ReportEvent,
    TargetDriverGone,
    TargetDriverSeen,
    WalkCompleted,
    WalkFailed,
)
from domain.portal import Change, DriverDeleted
from domain.profile import tidy
from domain.reconciliation import found_by
from domain.store import Row, Store, Unit, Where


@dataclass(frozen=True, slots=True, kw_only=True)
class WishRow(Row):
    """What the Portal last stated of a driver; `position` is that change's place in the stream."""

    TABLE: ClassVar[str] = "wishes"
    KEY: ClassVar[tuple[str, ...]] = ("account", "driver")
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("account", "position"),)

    account: str
    driver: str
    sequence: int
    is_wanted: bool
    position: int
    profile: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedRow(Row):
    """A target driver as it was last seen, and since when it was; `mark` is its key as a mark."""

    TABLE: ClassVar[str] = "roster"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target", "mark")

    account: str
    target: str
    mark: str
    key: str
    active: bool
    profile: dict[str, str]
    seen_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterMark(Row):
    """One mark to which a target driver answers.

    The key and the index begin with what they tell apart, so that neither can be taken for the other.
    """

    TABLE: ClassVar[str] = "roster_marks"
    KEY: ClassVar[tuple[str, ...]] = ("mark", "account", "target", "driver")
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("driver", "account", "target"),)

    account: str
    target: str
    mark: str
    driver: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterScanRow(Row):
    """The last walk that read a whole roster, and under which terms of the account."""

    TABLE: ClassVar[str] = "walks"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target")

    account: str
    target: str
    terms: int
    drivers: int
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkFailureRow(Row):
    """Why a roster cannot be read at present."""

    TABLE: ClassVar[str] = "walk_failures"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target")

    account: str
    target: str
    at: str
    failure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableRow(Row):
    """How many records of a roster the last walk could not read, or only in part, and which the first of them are.

    There is a row only if there are any; `records` are as in `WalkCompleted`.
    """

    TABLE: ClassVar[str] = "unreadable_records"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target")

    account: str
    target: str
    at: str
    total: int
    records: list[dict[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageRow(Row):
    """Why no calls are made for an account to a target at present: its breaker is open."""

    TABLE: ClassVar[str] = "outages"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target")

    account: str
    target: str
    at: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRow(Row):
    """How a link stands now: `state` is one of in_step, pending, parked, held, kept, ended.

    `reason` says why it is parked: in our own word, or in the target's where that refused it for good. `sweep` is the
    number of the last sweep that decided something for it (0: none did), `finding` what that found; `drifted` the
    fields that had drifted then, and `at_odds` those of them that had in the sweep before too.
    """

    TABLE: ClassVar[str] = "links"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target", "driver")
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("account", "target", "state", "reason"),
        ("account", "target", "waits_for"),
        ("account", "target", "key"),
    )

    account: str
    target: str
    driver: str
    version: int
    state: str
    key: str
    is_live: bool
    is_deleting: bool
    reason: str
    detail: str
    waits_for: str
    hold: int
    sweep: int
    finding: str
    drifted: list[str]
    at_odds: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRow(Row):
    """A mark that one portal driver has for itself."""

    TABLE: ClassVar[str] = "claims"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target", "mark")

    account: str
    target: str
    mark: str
    driver: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRow(Row):
    """When a delete was last decided for a driver; the guard counts them."""

    TABLE: ClassVar[str] = "deletes"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target", "driver")
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("account", "target", "at"),)

    account: str
    target: str
    driver: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Look(Row):
    """Work in hand: a link to look at again, because what it waited for came free."""

    TABLE: ClassVar[str] = "looks"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target", "driver")

    account: str
    target: str
    driver: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CatchUp(Row):
    """Work in hand: a sweep, which looks at all of an account's wishes, from behind a position on, after a walk.

    `sweep` is its number, `walk` the version of the walk, which read so many target `drivers` under these `terms`, and
    `request` the version of the account at which a person requested it; 0 if nobody did. Nothing is decided while
    there is a `plan`: the hash of what it may do, not compared yet with what it would. `found`, `drifted` and
    `at_odds` count as those of `SweepCompleted` do, as far as it has come.
    """

    TABLE: ClassVar[str] = "catch_ups"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target")

    account: str
    target: str
    sweep: int
    after: int
    walk: int
    terms: int
    request: int
    plan: str
    drivers: int
    found: dict[str, int]
    drifted: dict[str, int]
    at_odds: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow(Row):
    """The last sweep of an account on a target: `version` is its number, the others as in its fact.

    One that `is_refused` found nothing, because it was to go by another plan. `answered` is the latest request that a
    sweep was for, be it this one or one before.
    """

    TABLE: ClassVar[str] = "sweeps"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target")

    account: str
    target: str
    version: int
    walk: int
    request: int
    answered: int
    at: str
    is_refused: bool
    drivers: int
    found: dict[str, int]
    drifted: dict[str, int]
    at_odds: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry(Row):
    """Work in hand: the parked links of a target to look at again, from behind a driver on.

    `driver` and `reasons` say which; empty means any. `cause` and `ref` are what is told of why.
    """

    TABLE: ClassVar[str] = "retries"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target", "cause", "ref")

    account: str
    target: str
    cause: str
    ref: str
    driver: str
    reasons: list[str]
    after: str


def to_wish_row(change: Change, position: int) -> WishRow:
    """What the Portal states by a change."""
    return WishRow(
        account=change.account,
        driver=change.driver,
        sequence=change.sequence,
        is_wanted=not isinstance(change, DriverDeleted),
        position=position,
        profile=tidy(change.profile),
    )


def wish_of(row: WishRow, target: Target) -> Wish:
    """What this row wants a target to show."""
    return to_wish(
        AccountId(row.account),
        target,
        PortalDriverId(row.driver),
        sequence=row.sequence,
        profile=row.profile,
        is_wanted=row.is_wanted,
    )


def to_roster_row(account: AccountId, target: Target, seen: TargetDriver) -> ObservedRow:
    """A target driver as a row."""
    return ObservedRow(
        account=account,
        target=target,
        mark=key_mark(target, seen.key),
        key=seen.key,
        active=seen.active,
        profile=dict(seen.profile),
        seen_at=seen.seen_at,
    )


def to_target_driver(row: ObservedRow) -> TargetDriver:
    """The target driver that a row stands for."""
    return TargetDriver(key=Key(row.key), active=row.active, profile=row.profile, seen_at=row.seen_at)


def to_roster_marks(row: ObservedRow) -> Iterable[RosterMark]:
    """All marks to which this target driver answers, and those that it has for itself alone."""
    for mark in sorted(claims(Target(row.target), Key(row.key), row.profile)):
        yield RosterMark(account=row.account, target=row.target, mark=mark, driver=row.mark)


def to_link_row(link: DriverLink) -> LinkRow:
    """How a link stands, as a row."""
    parked = link.parked
    sweep = link.swept.because["sweep"] if link.swept else 0
    drift = link.drift if link.drift and link.drift.sweep == sweep else None
    return LinkRow(
        account=link.account,
        target=link.target,
        driver=link.driver,
        version=link.version,
        state=_state(link),
        key=link.key or "",
        is_live=link.is_live,
        is_deleting=isinstance(link.pending, DeleteDecided),
        reason=parked_for(link),
        detail=parked.detail if parked else "",
        waits_for=link.waits_for,
        hold=link.held.originator_version if link.held else 0,
        sweep=sweep,
        finding=str(found_by(link.swept)) if link.swept else "",
        drifted=list(drift.fields) if drift else [],
        at_odds=list(drift.at_odds) if drift else [],
    )


def parked_for(link: DriverLink) -> str:
    """Why a link is parked: in our own word, or in the target's where that refused it for good; empty if it is not."""
    if link.parked is None:
        return ""
    return link.refusal if link.parked.reason == REFUSED else link.parked.reason


def to_delete_row(decided: DeleteDecided) -> DeleteRow:
    """A delete, as the guard counts it."""
    return DeleteRow(account=decided.account, target=decided.target, driver=decided.driver, at=decided.at.isoformat())


def _state(link: DriverLink) -> str:
    states = {"parked": link.parked, "held": link.held, "pending": link.pending}
    at_rest = ("kept" if link.let_stay else "in_step") if link.is_live else "ended"
    return next((name for name, fact in states.items() if fact is not None), at_rest)


Place = tuple[AccountId, Target]
"""An account on a target: what is decided there, is decided at one desk."""


class RosterChanges:
    """What the batch in hand has learnt of one roster, before it is stored."""

    def __init__(self) -> None:
        self._rows: dict[str, ObservedRow | None] = {}

    @property
    def news(self) -> Mapping[str, ObservedRow | None]:
        """What is known now of each target driver that was told of, by the mark of its key; None: there is none."""
        return self._rows

    def take(self, report: ReportEvent) -> None:
        """Take over what a report tells of the roster."""
        self._rows.update((mark, row_after(mark, report)) for mark in marks_told_of(report))

    def over(self, stored: Iterable[ObservedRow]) -> list[ObservedRow]:
        """The stored rows, with the batch's own news in their place."""
        current = {row.mark: row for row in stored if row.mark not in self._rows}
        return [*current.values(), *(row for row in self._rows.values() if row)]

    def store(self, unit: Unit, account: AccountId, target: Target) -> None:
        """Put the news into the unit."""
        if not self._rows:
            return
        place = {"account": str(account), "target": str(target)}
        unit.remove(RosterMark, {**place, "driver": list(self._rows)})
        unit.remove(ObservedRow, {**place, "mark": [mark for mark, row in self._rows.items() if row is None]})
        for row in self._rows.values():
            if row:
                unit.keep([row, *to_roster_marks(row)])


def roster_changes(reports: Iterable[ReportEvent]) -> dict[Place, RosterChanges]:
    """What these reports tell of each roster; every place that is reported of has an entry."""
    changes: dict[Place, RosterChanges] = {}
    for report in reports:
        place = AccountId(report.account), Target(report.target)
        changes.setdefault(place, RosterChanges()).take(report)
    return changes


def keep_rosters(changes: Mapping[Place, RosterChanges]) -> Unit:
    """The rows of the rosters after these changes."""
    unit = Unit()
    for place, each in changes.items():
        each.store(unit, *place)
    return unit


def keep_walks(reports: Iterable[ReportEvent]) -> Unit:
    """The rows of the last walks after these reports: a complete one ends a failure, and what was unreadable before."""
    unit = Unit()
    failures: dict[tuple[str, str], WalkFailureRow | None] = {}
    unreadable: dict[tuple[str, str], UnreadableRow | None] = {}
    for report in reports:
        place = {"account": report.account, "target": report.target}
        at = report.at.isoformat()
        if isinstance(report, WalkCompleted):
            unit.keep([RosterScanRow(**place, terms=report.terms, drivers=report.drivers, at=at)])
            unreadable[report.account, report.target] = _to_unreadable(report)
            failures[report.account, report.target] = None
        elif isinstance(report, WalkFailed):
            failure = f"{report.reason}: {report.detail}"
            failures[report.account, report.target] = WalkFailureRow(**place, at=at, failure=failure)
    for (account, target), failed in failures.items():
        unit.remove(WalkFailureRow, {"account": account, "target": target})
        unit.keep([failed] if failed else [])
    for (account, target), row in unreadable.items():
        unit.remove(UnreadableRow, {"account": account, "target": target})
        unit.keep([row] if row else [])
    return unit


def _to_unreadable(report: WalkCompleted) -> UnreadableRow | None:
    if not report.unreadable:
        return None
    return UnreadableRow(
        account=report.account,
        target=report.target,
        at=report.at.isoformat(),
        total=report.unreadable,
        records=report.unreadable_records,
    )


def keep_outages(reports: Iterable[ReportEvent]) -> Unit:
    """The rows of the outages after these reports: one begins when a breaker opens, and is over when it closes."""
    unit = Unit()
    outages: dict[tuple[str, str], OutageRow | None] = {}
    for report in reports:
        if isinstance(report, BreakerOpened):
            outages[report.account, report.target] = _to_outage(report)
        elif isinstance(report, BreakerClosed):
            outages[report.account, report.target] = None
    for (account, target), outage in outages.items():
        unit.remove(OutageRow, {"account": account, "target": target})
        unit.keep([outage] if outage else [])
    return unit


def _to_outage(report: BreakerOpened) -> OutageRow:
    return OutageRow(
        account=report.account,
        target=report.target,
        at=report.at.isoformat(),
        reason=report.reason,
        detail=report.detail,
    )


def marks_told_of(report: ReportEvent) -> Iterator[str]:
    """The target drivers that a report tells of, by the marks of their keys."""
    target = Target(report.target)
    if isinstance(report, CallAnswered) and report.left:
        yield key_mark(target, Key(report.left))
    if isinstance(report, CallAnswered | TargetDriverSeen | TargetDriverGone) and report.key:
        yield key_mark(target, Key(report.key))


def row_after(mark: str, report: ReportEvent) -> ObservedRow | None:
    """The target driver of this mark after a report that tells of it; None: there is none any more."""
    target = Target(report.target)
    if not isinstance(report, CallAnswered | TargetDriverSeen) or not report.key:
        return None
    if key_mark(target, Key(report.key)) != mark:
        return None
    seen = TargetDriver(
        key=Key(report.key), active=report.active, profile=report.profile, seen_at=report.at.isoformat()
    )
    return to_roster_row(AccountId(report.account), target, seen)


_PAGE = 500


def stray_marks(store: Store, account: str, target: Target) -> set[str]:
    """The marks of the active target drivers that no link has as its key, or is about to have. Raises `StoreFailed`.

    Only the columns that tell are read, from their indexes: whole rows of a large fleet would take seconds.
    """
    place = {"account": account, "target": str(target)}
    linked = {key_mark(target, Key(str(key))) for (key,) in store.count(LinkRow, place, by=["key"])}
    shown = store.count(ObservedRow, {**place, "active": True}, by=["mark"])
    return _unclaimed(store, place, sorted({str(mark) for (mark,) in shown} - linked))


def strays_by_place(store: Store, where: Where) -> Counter[tuple[str, str]]:
    """How many target drivers no link claims, by account and target, of those that match. Raises `StoreFailed`.

    What is read is the same, by a number of queries that no number of accounts changes.
    """
    linked = {
        (str(account), str(target), key_mark(Target(str(target)), Key(str(key))))
        for account, target, key in store.count(LinkRow, where, by=["account", "target", "key"])
    }
    shown = store.count(ObservedRow, {**where, "active": True}, by=["account", "target", "mark"])
    free = [place for each in shown if (place := (str(each[0]), str(each[1]), str(each[2]))) not in linked]
    claimed = {(row.account, row.target, row.mark) for row in _claims(store, free)}
    return Counter((account, target) for account, target, mark in free if (account, target, mark) not in claimed)


def _claims(store: Store, places: Sequence[tuple[str, str, str]]) -> Sequence[ClaimRow]:
    return store.among(ClaimRow, ("account", "target", "mark"), places) if places else ()


def _unclaimed(store: Store, place: dict[str, str], marks: list[str]) -> set[str]:
    unclaimed = set(marks)
    for start in range(0, len(marks), _PAGE):
        claimed = store.select(ClaimRow, {**place, "mark": marks[start : start + _PAGE]})
        unclaimed -= {row.mark for row in claimed}
    return unclaimed
