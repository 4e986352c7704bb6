"""What the targets' reports tell of rosters, walks and outages, whatever is decided because of it."""

from collections.abc import Iterable, Iterator, Mapping

from domain.identity import AccountId, Key, Target
from domain.report import (
    BreakerClosed,
    BreakerOpened,
    CallAnswered,
    ReportEvent,
    TargetDriverGone,
    TargetDriverSeen,
    WalkCompleted,
    WalkFailed,
)
from domain.roster import TargetDriver
from domain.storing import Unit
from domain.wish import key_mark
from services.decider.read_models import (
    OutageRow,
    RosterMark,
    RosterRow,
    UnreadableRow,
    WalkFailureRow,
    WalkRow,
    to_roster_marks,
    to_roster_row,
)

Place = tuple[AccountId, Target]
"""An account on a target: what is decided there, is decided at one desk."""


class RosterChanges:
    """What the batch in hand has learnt of one roster, before it is stored."""

    def __init__(self) -> None:
        self._rows: dict[str, RosterRow | None] = {}

    @property
    def news(self) -> Mapping[str, RosterRow | None]:
        """What is known now of each target driver that was told of, by the mark of its key; None: there is none."""
        return self._rows

    def take(self, report: ReportEvent) -> None:
        """Take over what a report tells of the roster."""
        self._rows.update((mark, row_after(mark, report)) for mark in marks_told_of(report))

    def over(self, stored: Iterable[RosterRow]) -> list[RosterRow]:
        """The stored rows, with the batch's own news in their place."""
        current = {row.mark: row for row in stored if row.mark not in self._rows}
        return [*current.values(), *(row for row in self._rows.values() if row)]

    def store(self, unit: Unit, account: AccountId, target: Target) -> None:
        """Put the news into the unit."""
        if not self._rows:
            return
        place = {"account": str(account), "target": str(target)}
        unit.remove(RosterMark, {**place, "driver": list(self._rows)})
        unit.remove(RosterRow, {**place, "mark": [mark for mark, row in self._rows.items() if row is None]})
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
            unit.keep([WalkRow(**place, terms=report.terms, drivers=report.drivers, at=at)])
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


def row_after(mark: str, report: ReportEvent) -> RosterRow | None:
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
