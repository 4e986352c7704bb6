"""What the targets showed last, by walks and by answers: of what both tell of a target driver, the later counts.

Walks are in the histories of target drivers, answers in those of deliveries, so the rows are collected in tables of
their own, with the position of the report that they are from.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

from domain.event import Event
from domain.report import CallAnswered, ReportEvent
from domain.storing import Row, Store, Stored, Unit
from services.decider import read_models as decider
from services.decider.sightings import marks_told_of, row_after
from services.projector.known import Sighting, keys_of, shown_after
from services.projector.read_models import RosterRow
from services.rebuilding.histories import History

_PAGE = 1000

K = TypeVar("K", bound=Hashable)
R = TypeVar("R", bound=Row)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown(RosterRow):
    """A row of a projector's roster, and the position of the report that it is from."""

    TABLE: ClassVar[str] = "shown"

    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed(decider.RosterRow):
    """A row of the decider's roster, whether there is such a target driver, and the position of the report."""

    TABLE: ClassVar[str] = "followed"

    is_there: bool
    position: int


def shown(beside: Store, histories: Sequence[History]) -> Unit:
    """A projector's roster, as far as these histories tell it."""
    told = _last(histories, _of_keys)
    known = _known(beside, Shown, "key", ((account, key) for account, key, _ in told))
    rows = {(row.account, row.key): row for row in known}
    for (account, key, _), (position, report) in told.items():
        row = rows.get((account, key)) or _not_shown(account, key)
        rows[account, key] = _shown_after(row, position, report)
    unit = Unit()
    unit.keep(rows.values())
    return unit


def _of_keys(event: Event) -> Iterator[tuple[tuple[str, str, bool], Sighting]]:
    """A walk's sightings are numbered, an answer's are not: the last of each counts."""
    if isinstance(event, Sighting):
        for key in keys_of(event):
            yield (event.account, key, isinstance(event, CallAnswered)), event


def _not_shown(account: str, key: str) -> Shown:
    return Shown(account=account, key=key, version=0, is_there=False, active=False, fingerprint="", position=0)


def _shown_after(row: Shown, position: int, report: Sighting) -> Shown:
    if position > row.position:
        return replace(shown_after(row, report), position=position)
    return row if isinstance(report, CallAnswered) else replace(row, version=report.originator_version)


def shown_rows(beside: Store, _: Store) -> Iterator[Stored]:
    """The rows of a projector's roster, as they are stored, in the order of keys."""
    return (values[:-1] for values in beside.scan(Shown))


def followed(beside: Store, histories: Sequence[History]) -> Unit:
    """The decider's rosters, as far as these histories tell them."""
    told = _last(histories, _of_marks)
    known = _known(beside, Followed, "mark", ((account, mark) for account, _, mark in told))
    positions = {(row.account, row.target, row.mark): row.position for row in known}
    unit = Unit()
    unit.keep(
        _followed(place, position, row_after(place[2], report))
        for place, (position, report) in told.items()
        if position > positions.get(place, 0)
    )
    return unit


def _of_marks(event: Event) -> Iterator[tuple[tuple[str, str, str], ReportEvent]]:
    if isinstance(event, ReportEvent):
        for mark in marks_told_of(event):
            yield (event.account, event.target, mark), event


def _followed(place: tuple[str, str, str], position: int, row: decider.RosterRow | None) -> Followed:
    account, target, mark = place
    return Followed(
        account=account,
        target=target,
        mark=mark,
        key=row.key if row else "",
        active=row.active if row else False,
        profile=row.profile if row else {},
        seen_at=row.seen_at if row else "",
        is_there=row is not None,
        position=position,
    )


def followed_rows(beside: Store, _: Store) -> Iterator[Stored]:
    """The rows of the decider's rosters, as they are stored, in the order of keys."""
    return (values[:-2] for values in beside.scan(Followed) if values[-2])


def followed_marks(beside: Store) -> Iterator[Unit]:
    """The marks to which the target drivers of the decider's rosters answer."""
    for account, target in sorted(beside.count(Followed, by=["account", "target"])):
        place, after = {"account": account, "target": target, "is_there": True}, None
        while page := beside.select(Followed, place, order_by="mark", after=after, limit=_PAGE):
            unit = Unit()
            unit.keep(mark for row in page for mark in decider.to_roster_marks(row))
            yield unit
            after = page[-1].mark


def _last(histories: Iterable[History], told: Callable[[Event], Iterable[tuple[K, T]]]) -> Mapping[K, tuple[int, T]]:
    """What was told of everything last, and at which position."""
    last: dict[K, tuple[int, T]] = {}
    for history in histories:
        for position, event in history:
            for what, each in told(event):
                if what not in last or last[what][0] <= position:
                    last[what] = position, each
    return last


def _known(beside: Store, kind: type[R], column: str, wanted: Iterable[tuple[str, str]]) -> list[R]:
    """The rows of these accounts and values, by one query for each account."""
    by_account: dict[str, set[str]] = {}
    for account, value in wanted:
        by_account.setdefault(account, set()).add(value)
    pages = (
        beside.select(kind, {"account": account, column: sorted(values)}) for account, values in by_account.items()
    )
    return [row for page in pages for row in page]
