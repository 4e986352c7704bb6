"""The rows of read models that a rebuild makes of the histories of a log, by the functions that make them live too.

Where a row follows from several histories, these are collected in a table of their own first. Of the links that ever
claimed an identifier the first has it: where there were several, which is rare, their events are applied once more in
the order of the log. Of what scans and answers show of a target driver the later counts, so its position is kept.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import groupby
from operator import itemgetter
from typing import Any, ClassVar, TypeVar

from domain.claims import Batch, claims_of
from domain.driver_link import Confirmed, Decision, DeleteDecided, DriverLink, LinkEvent, apply
from domain.identity import AccountId, Key, PortalDriverId, Target, link_stream
from domain.matching import ObservedDriver, claims
from domain.outcomes import (
    BreakerClosed,
    BreakerOpened,
    CallAnswered,
    DriverLookedUp,
    ReportEvent,
    RosterScanFailed,
    RosterScanned,
)
from domain.portal import Change, PortalDriver, PortalDriverEvent, replay
from domain.reconciliation import ReconciliationCompleted, ReconciliationRefused
from domain.store import Event, Row, Store, Stored, Unit
from services.accounts.handlers import keep_accounts
from services.decider import read_models as decider
from services.decider.read_models import ClaimRow, to_delete_row, to_desired_row, to_link_row, to_roster_row
from services.decider.reconciliations import reconciliation_after
from services.decider.rosters import identifiers_reported, keep_outages, keep_scans, row_after
from services.intake.read_models import to_row
from services.projector.read_models import (
    DriverReport,
    RosterRow,
    breaker_after,
    count_after,
    keys_of,
    newest_after,
    scan_after,
    shown_after,
    unanswered,
    unbroken,
    unscanned,
    unseen,
)
from services.runtime.consumer import Fold, History


@dataclass(frozen=True, slots=True)
class ReadModel:
    """A table that can be rebuilt.

    Its rows are made directly or, where `settled` is given, from what is `collected` in another table and from the
    service's own store.
    """

    row: type[Row]
    collected: type[Row] | None = None
    settled: Callable[[Store, Store], Iterator[Stored]] | None = None

    @property
    def table(self) -> type[Row]:
        """The table that is filled while the logs are read."""
        return self.collected or self.row

    def rows(self, beside: Store, store: Store) -> Iterator[Stored]:
        """The rebuilt rows, in the order of keys."""
        return self.settled(beside, store) if self.settled else beside.scan(self.row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilding:
    """How a service's read models are rebuilt: what it makes of each log, by the log's name.

    `finish` adds what can be made only when everything was read.
    """

    models: tuple[ReadModel, ...]
    folds: Mapping[str, Sequence[Fold]]
    finish: Callable[[Store], Iterator[Unit]] = field(default=lambda _: iter(()))


def each(row_of: Callable[[History], Row | None]) -> Fold:
    """Keep the row that is made of each history; None: it makes no row."""

    def fold(_: Store, histories: Sequence[History]) -> Unit:
        unit = Unit()
        unit.keep(row for history in histories if (row := row_of(history)))
        return unit

    return fold


def accounts(beside: Store, histories: Sequence[History]) -> Unit:
    """The accounts, as every service keeps them that consumes them."""
    return keep_accounts(beside, (event for history in histories for _, event in history))


@each
def known_drivers(history: History) -> Row:
    """What intake knows of a driver in the Portal."""
    events = [event for _, event in history if isinstance(event, PortalDriverEvent)]
    start = PortalDriver(account=AccountId(events[0].account), driver=PortalDriverId(events[0].driver))
    return to_row(replay(start, events))


@each
def desired_drivers(history: History) -> Row | None:
    """The last change of a driver, as the decider keeps it."""
    return next((to_desired_row(event, at) for at, event in reversed(history) if isinstance(event, Change)), None)


def decisions_for(target: Target) -> Fold:
    """The newest decision of each link, as the projector of this target keeps it."""

    @each
    def newest(history: History) -> Row | None:
        events = (event for _, event in reversed(history) if isinstance(event, LinkEvent) and event.target == target)
        return next((row for event in events if (row := newest_after(event))), None)

    return newest


@each
def deliveries(history: History) -> Row | None:
    """How often the target answered about a link."""
    row = None
    for _, event in history:
        if isinstance(event, CallAnswered):
            row = count_after(row or unanswered(event.account, event.driver), event)
    return row


@each
def scans(history: History) -> Row | None:
    """The last scan of a roster, as its projector keeps it."""
    row = None
    for _, event in history:
        if isinstance(event, RosterScanned | RosterScanFailed | DriverLookedUp):
            row = scan_after(row or unscanned(event.account), event)
    return row


@each
def breakers(history: History) -> Row | None:
    """The state of an account's circuit breaker."""
    row = None
    for _, event in history:
        if isinstance(event, BreakerOpened | BreakerClosed):
            row = breaker_after(row or unbroken(event.account), event)
    return row


@each
def reconciliations(history: History) -> Row | None:
    """The last reconciliation of an account on a target."""
    row = None
    for _, event in history:
        if isinstance(event, ReconciliationCompleted | ReconciliationRefused):
            row = reconciliation_after(row, event)
    return row


def scans_of_decider(_: Store, histories: Sequence[History]) -> Unit:
    """The last scan of each roster, and why one cannot be read, as the decider keeps them."""
    return keep_scans(event for history in histories for _, event in history if isinstance(event, ReportEvent))


def outages(_: Store, histories: Sequence[History]) -> Unit:
    """The accounts for which no calls are made at present, as the decider keeps them."""
    return keep_outages(event for history in histories for _, event in history if isinstance(event, ReportEvent))


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant(ClaimRow):
    """A driver whose link has claimed an identifier, and whether it still does."""

    TABLE: ClassVar[str] = "claimants"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target", "identifier", "driver")

    is_held: bool


def links(_: Store, histories: Sequence[History]) -> Unit:
    """Every link, what it claims and ever claimed, and the deletes that the guard counts."""
    unit = Unit()
    for history in histories:
        events = [event for _, event in history if isinstance(event, LinkEvent)]
        unit.keep(_rows_of_link(events) if events else ())
    return unit


def _rows_of_link(events: Sequence[LinkEvent]) -> Iterator[Row]:
    link, ever = _unlinked(events[0]), set[str]()
    for event in events:
        match event:
            case Decision(desired_key=desired_key):
                ever |= claims(link.target, Key(desired_key) if desired_key else None, event.profile)
            # What a link confirms it claimed by the decision, except for the key.
            case Confirmed(key=str() as key) if key != link.key or link.unanswered_at(event.decision) is None:
                ever |= claims(link.target, Key(key), event.profile)
        link = apply(link, event)
        if isinstance(event, DeleteDecided) and event.key:
            yield to_delete_row(event)
    yield to_link_row(link)
    held, place = claims_of(link), {"account": link.account, "target": link.target, "driver": link.driver}
    yield from (Claimant(**place, identifier=identifier, is_held=identifier in held) for identifier in ever)


def _unlinked(event: LinkEvent) -> DriverLink:
    return DriverLink(
        account=AccountId(event.account), target=Target(event.target), driver=PortalDriverId(event.driver)
    )


def claim_rows(beside: Store, store: Store) -> Iterator[Stored]:
    """The rows of `ClaimRow`, as they are stored, in the order of keys."""
    for place, claimants in groupby(beside.scan(Claimant), key=lambda values: values[:3]):
        several = list(claimants)
        if len(several) > 1:
            holder = _holder(store, str(place[2]), several)
            yield from [(*place, holder)] if holder else []
        elif several[0][4]:
            yield several[0][:4]


def _holder(store: Store, identifier: str, claimants: Sequence[Stored]) -> PortalDriverId | None:
    ids = [
        link_stream(AccountId(str(account)), Target(str(target)), PortalDriverId(str(driver)))
        for account, target, _, driver, _ in claimants
    ]
    records = (record for records in store.records(ids).values() for record in records)
    events = [each.event for each in sorted(records, key=lambda record: record.position)]
    batch = Batch(Target(str(claimants[0][1])))
    by_driver: dict[str, DriverLink] = {}
    for event in events:
        if isinstance(event, LinkEvent):
            before = by_driver.get(event.driver) or _unlinked(event)
            by_driver[event.driver] = apply(before, event)
            batch.record(before, by_driver[event.driver], (event,))
    return batch.holder(identifier)


_ROWS_PAGE = 1000

_GONE = ObservedDriver(key=Key(""), active=False, profile={})

R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown(RosterRow):
    """A row of a projector's roster, and the position of the outcome that it is from."""

    TABLE: ClassVar[str] = "shown"

    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed(decider.ObservedRow):
    """A row of the decider's roster, whether there is such a target driver, and the position of the outcome."""

    TABLE: ClassVar[str] = "observed_states"

    is_there: bool
    position: int


def shown(beside: Store, histories: Sequence[History]) -> Unit:
    """A projector's roster, as far as these histories show it."""
    reported: dict[tuple[str, str, bool], tuple[int, DriverReport]] = {}
    for position, event in _in_order(histories):
        if isinstance(event, DriverReport):
            # What a scan reports of a driver has a version, what an answer reports has none: the last of each counts.
            reported.update(
                {(event.account, key, isinstance(event, CallAnswered)): (position, event) for key in keys_of(event)}
            )
    known = _rows_known(beside, Shown, "key", ((account, key) for account, key, _ in reported))
    rows = {(row.account, row.key): row for row in known}
    for (account, key, is_answer), (position, report) in reported.items():
        row = rows.get((account, key)) or Shown(**_columns(unseen(account, key)), position=0)
        if position > row.position:
            row = replace(shown_after(row, report), position=position)
        elif not is_answer:
            row = replace(row, version=report.originator_version)
        rows[account, key] = row
    unit = Unit()
    unit.keep(rows.values())
    return unit


def shown_rows(beside: Store, _: Store) -> Iterator[Stored]:
    """The rows of a projector's roster, as they are stored, in the order of keys."""
    return (values[:-1] for values in beside.scan(Shown))


def observed(beside: Store, histories: Sequence[History]) -> Unit:
    """The decider's rosters, as far as these histories show them."""
    reported: dict[tuple[str, str, str], tuple[int, ReportEvent]] = {}
    for position, event in _in_order(histories):
        if isinstance(event, ReportEvent):
            places = ((event.account, event.target, identifier) for identifier in identifiers_reported(event))
            reported.update(dict.fromkeys(places, (position, event)))
    known = _rows_known(beside, Observed, "identifier", ((account, identifier) for account, _, identifier in reported))
    positions = {(row.account, row.target, row.identifier): row.position for row in known}
    unit = Unit()
    for place, (position, report) in reported.items():
        if position > positions.get(place, 0):
            account, target, identifier = place
            row = row_after(identifier, report)
            shown_so = row or to_roster_row(AccountId(account), Target(target), _GONE)
            columns = {**_columns(shown_so), "identifier": identifier}
            unit.keep([Observed(**columns, is_there=row is not None, position=position)])
    return unit


def observed_rows(beside: Store, _: Store) -> Iterator[Stored]:
    """The rows of the decider's rosters, as they are stored, in the order of keys."""
    return (values[:-2] for values in beside.scan(Observed) if values[-2])


def roster_identifiers(beside: Store) -> Iterator[Unit]:
    """The identifiers of the target drivers in the decider's rosters."""
    for account, target in sorted(beside.count(Observed, by=["account", "target"])):
        place, after = {"account": account, "target": target, "is_there": True}, None
        while page := beside.select(Observed, place, order_by="identifier", after=after, limit=_ROWS_PAGE):
            unit = Unit()
            unit.keep(identifier for row in page for identifier in decider.to_roster_identifiers(row))
            yield unit
            after = page[-1].identifier


def _in_order(histories: Iterable[History]) -> list[tuple[int, Event]]:
    """The events of these histories in the order of the log, each with its position."""
    return sorted((found for history in histories for found in history), key=itemgetter(0))


def _columns(row: Row) -> dict[str, Any]:
    return {each.name: getattr(row, each.name) for each in fields(row)}


def _rows_known(beside: Store, kind: type[R], column: str, wanted: Iterable[tuple[str, str]]) -> list[R]:
    """The rows of these accounts and values, by one query for each account."""
    by_account: dict[str, set[str]] = {}
    for account, value in wanted:
        by_account.setdefault(account, set()).add(value)
    pages = (
        beside.select(kind, {"account": account, column: sorted(values)}) for account, values in by_account.items()
    )
    return [row for page in pages for row in page]
