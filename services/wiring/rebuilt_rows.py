"""What a rebuild makes of the histories of a log: the rows of read models, by the functions that make them live too.

Where rows follow from several histories they are collected in tables of their own first, and settled at the end:

- Of the links that ever claimed an identifier the first has it; where there were several, which is rare, their events
  are applied once more in the order of the log.
- Of what scans and answers show of a target driver the later counts, so the position of the outcome is kept.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import ClassVar, TypeVar

from domain.claims import Batch, claims_of
from domain.driver_link import Confirmed, Decision, DeleteDecided, DriverLink, LinkEvent, apply
from domain.identity import AccountId, Key, PortalDriverId, Target, link_stream
from domain.matching import claims
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
from services.decider.read_models import (
    ClaimRow,
    to_delete_row,
    to_desired_row,
    to_link_row,
)
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


def accounts(beside: Store, histories: Sequence[History]) -> Unit:
    """The accounts, as every service keeps them that consumes them."""
    return keep_accounts(beside, (event for history in histories for _, event in history))


def known_drivers(_: Store, histories: Sequence[History]) -> Unit:
    """What intake knows of the Portal's drivers."""
    return _kept(row for history in histories for row in _known_driver(history))


def _known_driver(history: History) -> Iterator[Row]:
    events = [event for _, event in history if isinstance(event, PortalDriverEvent)]
    start = PortalDriver(account=AccountId(events[0].account), driver=PortalDriverId(events[0].driver))
    yield to_row(replay(start, events))


def desired_drivers(_: Store, histories: Sequence[History]) -> Unit:
    """What the decider knows of the Portal's desired states: the last change of each driver."""
    return _kept(row for history in histories for row in _desired_row(history))


def _desired_row(history: History) -> Iterator[Row]:
    last = next(((event, position) for position, event in reversed(history) if isinstance(event, Change)), None)
    if last:
        yield to_desired_row(*last)


def decisions_for(target: Target) -> Fold:
    """The newest decision of each link, as the projector of this target keeps it."""
    return lambda _, histories: _kept(row for history in histories for row in _decision_row(target, history))


def _decision_row(target: Target, history: History) -> Iterator[Row]:
    events = [event for _, event in history if isinstance(event, LinkEvent)]
    if events and events[0].target == target:
        newest = next((row for event in reversed(events) if (row := newest_after(event))), None)
        yield from [newest] if newest else []


def deliveries(_: Store, histories: Sequence[History]) -> Unit:
    """How often the target answered about each link."""
    return _kept(row for history in histories for row in _delivery(history))


def _delivery(history: History) -> Iterator[Row]:
    answers = [event for _, event in history if isinstance(event, CallAnswered)]
    if answers:
        row = unanswered(answers[0].account, answers[0].driver)
        for answer in answers:
            row = count_after(row, answer)
        yield row


def scans(_: Store, histories: Sequence[History]) -> Unit:
    """The last scan of each roster, as its projector keeps it."""
    return _kept(row for history in histories for row in _scan(history))


def _scan(history: History) -> Iterator[Row]:
    reports = [event for _, event in history if isinstance(event, RosterScanned | RosterScanFailed | DriverLookedUp)]
    if reports:
        row = unscanned(reports[0].account)
        for report in reports:
            row = scan_after(row, report)
        yield row


def breakers(_: Store, histories: Sequence[History]) -> Unit:
    """The state of each account's circuit breaker."""
    return _kept(row for history in histories for row in _breaker(history))


def _breaker(history: History) -> Iterator[Row]:
    reports = [event for _, event in history if isinstance(event, BreakerOpened | BreakerClosed)]
    if reports:
        row = unbroken(reports[0].account)
        for report in reports:
            row = breaker_after(row, report)
        yield row


def scans_of_decider(_: Store, histories: Sequence[History]) -> Unit:
    """The last scan of each roster, and why one cannot be read, as the decider keeps them."""
    return keep_scans(event for history in histories for _, event in history if isinstance(event, ReportEvent))


def outages(_: Store, histories: Sequence[History]) -> Unit:
    """Where no calls are made at present, as the decider keeps it."""
    return keep_outages(event for history in histories for _, event in history if isinstance(event, ReportEvent))


def reconciliations(_: Store, histories: Sequence[History]) -> Unit:
    """The last reconciliation of each account on each target."""
    return _kept(row for history in histories for row in _reconciliation(history))


def _reconciliation(history: History) -> Iterator[Row]:
    row = None
    for _, event in history:
        if isinstance(event, ReconciliationCompleted | ReconciliationRefused):
            row = reconciliation_after(row, event)
    yield from [row] if row else []


def _kept(rows: Iterator[Row]) -> Unit:
    unit = Unit()
    unit.keep(rows)
    return unit


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
        unit.keep(_rows_of(events) if events else ())
    return unit


def _rows_of(events: Sequence[LinkEvent]) -> Iterator[Row]:
    link, ever = _unlinked(events[0]), set[str]()
    for event in events:
        ever |= _claimed_by(event, link)
        link = apply(link, event)
        if isinstance(event, DeleteDecided) and event.key:
            yield to_delete_row(event)
    yield to_link_row(link)
    held = claims_of(link)
    for identifier in ever:
        yield Claimant(
            account=link.account,
            target=link.target,
            identifier=identifier,
            driver=link.driver,
            is_held=identifier in held,
        )


def _claimed_by(event: LinkEvent, link: DriverLink) -> frozenset[str]:
    """What a link may claim by an event; what it confirms was claimed when it was decided, except for the key."""
    match event:
        case Decision(desired_key=desired_key):
            return claims(link.target, Key(desired_key) if desired_key else None, event.profile)
        case Confirmed(key=str() as key) if key != link.key or link.unanswered_at(event.decision) is None:
            return claims(link.target, Key(key), event.profile)
    return frozenset()


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

K = TypeVar("K", bound=Hashable)
R = TypeVar("R", bound=Row)
T = TypeVar("T")


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
    reported = _last(histories, _of_keys)
    known = _rows_known(beside, Shown, "key", ((account, key) for account, key, _ in reported))
    rows = {(row.account, row.key): row for row in known}
    for (account, key, _), (position, report) in reported.items():
        row = rows.get((account, key)) or _not_shown(account, key)
        rows[account, key] = _shown_after(row, position, report)
    unit = Unit()
    unit.keep(rows.values())
    return unit


def _of_keys(event: Event) -> Iterator[tuple[tuple[str, str, bool], DriverReport]]:
    """A scan's sightings are numbered, an answer's are not: the last of each counts."""
    if isinstance(event, DriverReport):
        for key in keys_of(event):
            yield (event.account, key, isinstance(event, CallAnswered)), event


def _not_shown(account: str, key: str) -> Shown:
    return Shown(account=account, key=key, version=0, is_there=False, active=False, fingerprint="", position=0)


def _shown_after(row: Shown, position: int, report: DriverReport) -> Shown:
    if position > row.position:
        return replace(shown_after(row, report), position=position)
    return row if isinstance(report, CallAnswered) else replace(row, version=report.originator_version)


def shown_rows(beside: Store, _: Store) -> Iterator[Stored]:
    """The rows of a projector's roster, as they are stored, in the order of keys."""
    return (values[:-1] for values in beside.scan(Shown))


def observed(beside: Store, histories: Sequence[History]) -> Unit:
    """The decider's rosters, as far as these histories show them."""
    reported = _last(histories, _of_identifiers)
    known = _rows_known(beside, Observed, "identifier", ((account, identifier) for account, _, identifier in reported))
    positions = {(row.account, row.target, row.identifier): row.position for row in known}
    unit = Unit()
    unit.keep(
        _observed_after(place, position, row_after(place[2], report))
        for place, (position, report) in reported.items()
        if position > positions.get(place, 0)
    )
    return unit


def _of_identifiers(event: Event) -> Iterator[tuple[tuple[str, str, str], ReportEvent]]:
    if isinstance(event, ReportEvent):
        for identifier in identifiers_reported(event):
            yield (event.account, event.target, identifier), event


def _observed_after(place: tuple[str, str, str], position: int, row: decider.ObservedRow | None) -> Observed:
    account, target, identifier = place
    return Observed(
        account=account,
        target=target,
        identifier=identifier,
        key=row.key if row else "",
        active=row.active if row else False,
        profile=row.profile if row else {},
        seen_at=row.seen_at if row else "",
        is_there=row is not None,
        position=position,
    )


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


def _last(
    histories: Iterable[History], reported: Callable[[Event], Iterable[tuple[K, T]]]
) -> Mapping[K, tuple[int, T]]:
    """What was last reported of everything, and at which position."""
    last: dict[K, tuple[int, T]] = {}
    for history in histories:
        for position, event in history:
            for what, each in reported(event):
                if what not in last or last[what][0] <= position:
                    last[what] = position, each
    return last


def _rows_known(beside: Store, kind: type[R], column: str, wanted: Iterable[tuple[str, str]]) -> list[R]:
    """The rows of these accounts and values, by one query for each account."""
    by_account: dict[str, set[str]] = {}
    for account, value in wanted:
        by_account.setdefault(account, set()).add(value)
    pages = (
        beside.select(kind, {"account": account, column: sorted(values)}) for account, values in by_account.items()
    )
    return [row for page in pages for row in page]
