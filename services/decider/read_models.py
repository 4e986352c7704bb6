"""What the decider knows: the Portal's desired states, the targets' rosters, and the state of every link.

Each row follows from the events of a log; the same functions keep them live, and make them from the logs again.
"""

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import ClassVar, Final, TypeVar, cast

from domain.claims import move_claims
from domain.driver_link import REFUSED, DeleteDecided, DriverLink, LinkEvent, apply, unlinked
from domain.identity import AccountId, Key, PortalDriverId, Target
from domain.matching import DesiredDriver, ObservedDriver, claims, key_identifier, to_desired
from domain.outcomes import (
    BreakerClosed,
    BreakerOpened,
    CallAnswered,
    ObservedDriverErased,
    ObservedDriverGone,
    ObservedDriverSeen,
    ReportEvent,
    RosterScanFailed,
    RosterScanned,
)
from domain.portal import Change, DriverDeleted, DriverErased
from domain.profile import EXTERNAL_ID, SPECS, chosen, is_erased, tidy
from domain.reconciliation import ReconciliationCompleted, ReconciliationRefused, found_by
from domain.rules import RULES, Rules
from domain.store import Row, Store, Where, pages
from domain.values import quick
from services.accounts.handlers import READ_MODELS as ACCOUNT_MODELS
from services.runtime.context import CHANGES, DECISIONS, OUTCOMES
from services.runtime.read_models import Events, Project, ReadModel, Rows


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredRow(Row):
    """What the Portal last stated of a driver; `position` is that change's place in the stream.

    Of one that was `erased`, since then (ISO 8601), there is no profile.
    """

    TABLE: ClassVar[str] = "desired_drivers"
    KEY: ClassVar[tuple[str, ...]] = ("account", "driver")
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("account", "position"),)

    account: str
    driver: str
    sequence: int
    is_wanted: bool
    position: int
    profile: dict[str, str]
    erased: str = ""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedRow(Row):
    """A target driver as it was last seen, and since when it was; `identifier` is that of its key.

    Of one that was linked to a driver who is erased the profile has our external id, where the target keeps one.
    """

    TABLE: ClassVar[str] = "roster"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target", "identifier")

    account: str
    target: str
    identifier: str
    key: str
    active: bool
    profile: dict[str, str]
    seen_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterIdentifier(Row):
    """One identifier that a target driver has; `driver` is the identifier of its key."""

    TABLE: ClassVar[str] = "roster_identifiers"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target", "identifier", "driver")

    account: str
    target: str
    identifier: str
    driver: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterScanRow(Row):
    """The last scan that read a whole roster, and under which policy generation of the account."""

    TABLE: ClassVar[str] = "scans"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target")

    account: str
    target: str
    policy_generation: int
    drivers: int
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanFailureRow(Row):
    """Why a roster cannot be read at present."""

    TABLE: ClassVar[str] = "scan_failures"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target")

    account: str
    target: str
    at: str
    failure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableRow(Row):
    """How many records of a roster the last scan could not read, or only in part, and which the first of them are.

    There is a row only if there are any; `records` are as in `RosterScanned`.
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


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRow(Row):
    """The state of a link now: `state` is one of in_sync, pending, parked, held, kept, ended.

    Only a parked link has a `reason`: in our own word, or in the target's where that refused it for good; it was parked
    `since` then (ISO 8601). Only a held one has a `hold`, the version at which it was held. In the most rows these are
    empty, and no index has a column that changes with every call, so that a database can write a row where it stands.
    `reconciliation` is the number of the last reconciliation that decided something for it (0: none did), `finding`
    what that found; `drifted` the fields that had drifted then, and `at_odds` those of them that had in the
    reconciliation before too.
    """

    TABLE: ClassVar[str] = "links"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target", "driver")
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("account", "target", "driver", "reason"),
        ("reason", "account", "target", "driver"),
        ("account", "target", "driver", "hold"),
        ("account", "target", "waits_for"),
    )
    SPARSE: ClassVar[frozenset[str]] = frozenset({"reason", "waits_for", "hold"})

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
    since: str
    waits_for: str
    hold: int
    reconciliation: int
    finding: str
    drifted: list[str]
    at_odds: list[str]


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRow(Row):
    """An identifier that one portal driver has claimed."""

    TABLE: ClassVar[str] = "claims"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target", "identifier")

    account: str
    target: str
    identifier: str
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
class RunningReconciliation(Row):
    """Work in hand: a reconciliation, which looks at all of an account's desired states after a scan.

    `after` is the position of the last one that it has looked at. `reconciliation` is its number, `scan` the version of
    the scan, which read as many target `drivers` under this `policy_generation`, and `request` the version of the
    account at which a person requested it; 0 if none did. Nothing is decided while there is a `plan`: the hash of what
    it may do, not compared yet with what it would. One that undoes something has a scope in `undo`, the fields of
    `UndoScope`, and looks at no others; None for any other. `found`, `drifted` and `at_odds` count as those of
    `ReconciliationCompleted` do, as far as it has come.
    """

    TABLE: ClassVar[str] = "running_reconciliations"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target")

    account: str
    target: str
    reconciliation: int
    after: int
    scan: int
    policy_generation: int
    request: int
    plan: str
    drivers: int
    found: dict[str, int]
    drifted: dict[str, int]
    at_odds: dict[str, int]
    undo: dict[str, str | int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationRow(Row):
    """The last reconciliation of an account on a target: `version` is its number, the others as in its event.

    One that `is_refused` found nothing, because it would have done something else than its plan. `answered` is the
    latest request that a reconciliation was for, this one or one before. `fields_at_odds` counts those of `at_odds`: in
    the most rows it is 0, so that an index has only the others.
    """

    TABLE: ClassVar[str] = "reconciliations"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target")
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("account", "target", "fields_at_odds"),)
    SPARSE: ClassVar[frozenset[str]] = frozenset({"fields_at_odds"})

    account: str
    target: str
    version: int
    scan: int
    request: int
    answered: int
    at: str
    is_refused: bool
    drivers: int
    found: dict[str, int]
    drifted: dict[str, int]
    at_odds: dict[str, int]
    fields_at_odds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRow(Row):
    """Work in hand: the parked links of a target to look at again, from behind a driver on.

    `driver` and `reasons` say which; empty means any. `trigger` and `ref` say why.
    """

    TABLE: ClassVar[str] = "retries"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target", "trigger", "ref")

    account: str
    target: str
    trigger: str
    ref: str
    driver: str
    reasons: list[str]
    after: str


Place = tuple[AccountId, Target]
"""An account on a target: its links are decided in one batch."""

E = TypeVar("E")
PlacedRow = TypeVar("PlacedRow", ClaimRow, LinkRow, RosterIdentifier, ObservedRow)


def rows_among(
    store: Store,
    kind: type[PlacedRow],
    column: str,
    wanted: Mapping[Place, Collection[str]],
    where: Where | None = None,
) -> dict[Place, list[PlacedRow]]:
    """The rows of each place that have one of its wanted values in this column, by one query."""
    values = [(name, target, value) for (name, target), each in wanted.items() for value in each]
    found: dict[Place, list[PlacedRow]] = defaultdict(list)
    for row in store.among(kind, ("account", "target", column), values, where) if values else ():
        found[cast("Place", (row.account, row.target))].append(row)
    return found


def to_desired_row(change: Change | DriverErased, position: int) -> DesiredRow:
    """What the Portal states by a change, or what is left of that after an erasure."""
    profile = {} if isinstance(change, DriverErased) else change.profile
    return DesiredRow(
        account=change.account,
        driver=change.driver,
        sequence=change.originator_version,
        is_wanted=not isinstance(change, DriverDeleted | DriverErased),
        position=position,
        profile=profile if is_erased(profile) else tidy(profile),
        erased=change.at.isoformat() if isinstance(change, DriverErased) else "",
    )


def desired_of(row: DesiredRow, target: Target, rules: Rules = RULES) -> DesiredDriver:
    """What this row wants a target to show."""
    return to_desired(
        AccountId(row.account),
        target,
        PortalDriverId(row.driver),
        sequence=row.sequence,
        profile=row.profile,
        is_wanted=row.is_wanted,
        specs=rules.specs,
    )


def to_roster_row(account: AccountId, target: Target, seen: ObservedDriver) -> ObservedRow:
    """A target driver as a row."""
    return ObservedRow(
        account=account,
        target=target,
        identifier=key_identifier(target, seen.key),
        key=seen.key,
        active=seen.active,
        profile=dict(seen.profile),
        seen_at=seen.seen_at,
    )


def to_observed_driver(row: ObservedRow) -> ObservedDriver:
    """The target driver that a row stands for."""
    return ObservedDriver(key=Key(row.key), active=row.active, profile=row.profile, seen_at=row.seen_at)


def to_roster_identifiers(row: ObservedRow) -> Iterable[RosterIdentifier]:
    """All identifiers that this target driver has."""
    for identifier in sorted(claims(Target(row.target), Key(row.key), row.profile)):
        yield RosterIdentifier(account=row.account, target=row.target, identifier=identifier, driver=row.identifier)


def to_link_row(link: DriverLink) -> LinkRow:
    """The state of a link, as a row."""
    parked = link.parked
    reconciliation = link.reconciled.rationale["reconciliation"] if link.reconciled else 0
    drift = link.drift if link.drift and link.drift.reconciliation == reconciliation else None
    return LinkRow(
        account=link.account,
        target=link.target,
        driver=link.driver,
        version=link.version,
        state=_state_of(link),
        key=link.key or "",
        is_live=link.is_live,
        is_deleting=isinstance(link.pending, DeleteDecided),
        reason=parked_for(link),
        detail=parked.detail if parked else "",
        since=parked.at.isoformat() if parked else "",
        waits_for=link.waits_for,
        hold=link.held.originator_version if link.held else 0,
        reconciliation=reconciliation,
        finding=str(found_by(link.reconciled)) if link.reconciled else "",
        drifted=list(drift.fields) if drift else [],
        at_odds=list(drift.at_odds) if drift else [],
    )


def _state_of(link: DriverLink) -> str:
    for name, fact in (("parked", link.parked), ("held", link.held), ("pending", link.pending)):
        if fact is not None:
            return name
    if not link.is_live:
        return "ended"
    return "kept" if link.let_stay else "in_sync"


def parked_for(link: DriverLink) -> str:
    """Why a link is parked: in our own word, or in the target's where that refused it for good; empty if it is not."""
    if link.parked is None:
        return ""
    return (link.refusal if link.parked.reason == REFUSED else "") or link.parked.reason


def to_delete_rows(events: Iterable[LinkEvent]) -> Iterator[DeleteRow]:
    """The deletes among these facts, as the guard counts them."""
    for fact in events:
        if isinstance(fact, DeleteDecided) and fact.key:
            yield DeleteRow(account=fact.account, target=fact.target, driver=fact.driver, at=fact.at.isoformat())


def project_desired_drivers(events: Events, rows: Rows) -> list[DesiredRow]:
    """The last change of each driver; returns what each change, or erasure, states that says something new.

    Nothing follows from a change whose sequence is not above the last one of its driver.
    """
    changes = [(at, event) for at, event in events if isinstance(event, Change | DriverErased)]
    rows.load(DesiredRow, ((change.account, change.driver) for _, change in changes))
    stated: list[DesiredRow] = []
    for at, change in changes:
        last = rows.get(DesiredRow, change.account, change.driver)
        if last is None or change.originator_version > last.sequence:
            stated.append(to_desired_row(change, at))
            rows.put(stated[-1])
    return stated


MOST_LINKS: Final = 20_000
"""Links that are kept in memory while they are made again; others are folded from the log when they are needed."""


class LinkProjection:
    """Every link, what it claims, and the deletes that the guard counts, from the events of links in their order."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # By the numbers of their ids, which are found faster than the ids themselves.
        self._known: OrderedDict[int, DriverLink] = OrderedDict()
        self._end = 0
        self._has_forgotten = False

    def project(self, events: Events, rows: Rows) -> None:
        """What follows from these events."""
        facts = _of_kind(events, LinkEvent)
        changed = {fact.originator_id.int: fact for fact in facts}
        self._recall(changed)
        if not rows.is_whole:
            rows.load(ClaimRow, self._claims_of(facts))
        known = self._known
        for fact in facts:
            link = fact.originator_id.int
            before = known[link]
            known[link] = after = apply(before, fact)
            move_claims(_Claimants(rows, after), before, after)
        for row in to_delete_rows(facts):
            rows.put(row)
        for each in changed:
            self._known.move_to_end(each)
            rows.put(to_link_row(self._known[each]))
        while len(self._known) > MOST_LINKS:
            self._known.popitem(last=False)
            self._has_forgotten = True
        self._end = events[-1][0] if events else self._end

    def _claims_of(self, facts: Iterable[LinkEvent]) -> Iterator[tuple[str, str, str]]:
        """The claims that these facts may change."""
        for fact in facts:
            link = self._known[fact.originator_id.int]
            after = apply(link, fact)
            identifiers = link.claimable | after.claimable
            yield from ((fact.account, fact.target, identifier) for identifier in identifiers)

    def _recall(self, facts: Mapping[int, LinkEvent]) -> None:
        """Know these links as they were before this page: those that are not kept are folded from the log."""
        unknown = {link: fact for link, fact in facts.items() if link not in self._known}
        for link, fact in unknown.items():
            self._known[link] = unlinked(AccountId(fact.account), Target(fact.target), PortalDriverId(fact.driver))
        if self._has_forgotten:
            again = [fact.originator_id for fact in unknown.values() if fact.originator_version > 1]
            for originator, records in (self._store.records(again) if again else {}).items():
                for record in records:
                    if record.event is not None and record.position <= self._end:
                        self._known[originator.int] = apply(self._known[originator.int], record.event)


class _Claimants:
    """Who has claimed which identifier, of the account and target of a link, as rows."""

    def __init__(self, rows: Rows, link: DriverLink) -> None:
        self._rows = rows
        self._account, self._target = str(link.account), str(link.target)

    def get(self, identifier: str, /) -> PortalDriverId | None:
        row = self._rows.get(ClaimRow, self._account, self._target, identifier)
        return PortalDriverId(row.driver) if row else None

    def __setitem__(self, identifier: str, driver: PortalDriverId, /) -> None:
        self._rows.put(ClaimRow(account=self._account, target=self._target, identifier=identifier, driver=driver))

    def __delitem__(self, identifier: str, /) -> None:
        self._rows.remove(ClaimRow, self._account, self._target, identifier)


def project_rosters(events: Events, rows: Rows) -> None:
    """The target drivers as they were last seen, and their identifiers."""
    reported: dict[tuple[str, str, str], list[ReportEvent]] = defaultdict(list)
    for _, report in events:
        if isinstance(report, ReportEvent):
            for identifier in _identifiers_reported(report):
                reported[report.account, report.target, identifier].append(report)
    rows.load(ObservedRow, reported)
    for (account, target, identifier), reports in reported.items():
        before = rows.get(ObservedRow, account, target, identifier)
        after = reduce(lambda row, report: _row_after(identifier, report, row), reports, before)
        if before == after:
            continue
        if after is None:
            rows.remove(ObservedRow, account, target, identifier)
        else:
            rows.put(after)
        if before is None or after is None or (before.key, before.profile) != (after.key, after.profile):
            _identify(before, after, rows)


def _identify(before: ObservedRow | None, after: ObservedRow | None, rows: Rows) -> None:
    """The identifiers of a target driver who was so before."""
    kept = {row.identifier: row for row in to_roster_identifiers(after)} if after else {}
    for row in to_roster_identifiers(before) if before else ():
        if row.identifier not in kept:
            rows.remove(RosterIdentifier, row.account, row.target, row.identifier, row.driver)
    for row in kept.values():
        rows.put(row)


def project_scans(events: Events, rows: Rows) -> None:
    """The last scans: a complete one ends a failure, and what was unreadable before."""
    for _, report in events:
        if not isinstance(report, RosterScanned | RosterScanFailed):
            continue
        place, at = {"account": report.account, "target": report.target}, report.at.isoformat()
        if isinstance(report, RosterScanFailed):
            rows.put(ScanFailureRow(**place, at=at, failure=f"{report.reason}: {report.detail}"))
            continue
        rows.remove(ScanFailureRow, report.account, report.target)
        rows.put(RosterScanRow(**place, policy_generation=report.policy_generation, drivers=report.drivers, at=at))
        if report.unreadable:
            rows.put(UnreadableRow(**place, at=at, total=report.unreadable, records=report.unreadable_records))
        else:
            rows.remove(UnreadableRow, report.account, report.target)


def project_outages(events: Events, rows: Rows) -> None:
    """The outages: one begins when a breaker opens, and is over when it closes."""
    for _, report in events:
        if isinstance(report, BreakerOpened):
            place, at = {"account": report.account, "target": report.target}, report.at.isoformat()
            rows.put(OutageRow(**place, at=at, reason=report.reason, detail=report.detail))
        elif isinstance(report, BreakerClosed):
            rows.remove(OutageRow, report.account, report.target)


def _identifiers_reported(report: ReportEvent) -> Iterator[str]:
    """The target drivers that a report is about, by the identifiers of their keys."""
    target = Target(report.target)
    if isinstance(report, CallAnswered) and report.left:
        yield key_identifier(target, Key(report.left))
    if isinstance(report, CallAnswered | ObservedDriverSeen | ObservedDriverGone | ObservedDriverErased) and report.key:
        yield key_identifier(target, Key(report.key))


def _row_after(identifier: str, report: ReportEvent, before: ObservedRow | None) -> ObservedRow | None:
    """The target driver with this identifier after a report about it; None: it is gone."""
    target = Target(report.target)
    if isinstance(report, ObservedDriverErased):
        return replace(before, profile=_external_id(target, report.driver)) if before else None
    if not isinstance(report, CallAnswered | ObservedDriverSeen) or not report.key:
        return None
    if key_identifier(target, Key(report.key)) != identifier:
        return None
    profile = report.profile
    if is_erased(profile):
        profile = chosen(before.profile, EXTERNAL_ID.fields) if before else {}
    seen = ObservedDriver(key=Key(report.key), active=report.active, profile=profile, seen_at=report.at.isoformat())
    return to_roster_row(AccountId(report.account), target, seen)


def _external_id(target: Target, driver: str) -> dict[str, str]:
    """What is kept of the profile of a target driver that was linked to this driver: by it a re-hire is recognised."""
    return {EXTERNAL_ID.field: driver} if EXTERNAL_ID in SPECS[target].matched_by and driver else {}


def project_reconciliations(events: Events, rows: Rows) -> None:
    """The last reconciliation of each account on a target."""
    for _, fact in events:
        if not isinstance(fact, ReconciliationCompleted | ReconciliationRefused):
            continue
        last = rows.get(ReconciliationRow, fact.account, fact.target)
        row = ReconciliationRow(
            account=fact.account,
            target=fact.target,
            version=fact.originator_version,
            scan=fact.scan,
            request=fact.request,
            answered=max(fact.request, last.answered if last else 0),
            at=fact.at.isoformat(),
            is_refused=isinstance(fact, ReconciliationRefused),
            drivers=0,
            found={},
            drifted={},
            at_odds={},
            fields_at_odds=0,
        )
        if isinstance(fact, ReconciliationCompleted):
            row = replace(row, drivers=fact.drivers, found=fact.found, drifted=fact.drifted)
            row = replace(row, at_odds=fact.at_odds, fields_at_odds=len(fact.at_odds))
        rows.put(row)


def _of_kind(events: Events, kind: type[E]) -> list[E]:
    return [event for _, event in events if isinstance(event, kind)]


def _links(store: Store) -> Mapping[str, Project]:
    return {DECISIONS: LinkProjection(store).project}


def _of_reports(project: Project) -> Callable[[Store], Mapping[str, Project]]:
    return lambda _: dict.fromkeys(OUTCOMES, project)


READ_MODELS = (
    *ACCOUNT_MODELS,
    ReadModel(tables=(DesiredRow,), projections=lambda _: {CHANGES: project_desired_drivers}),
    ReadModel(tables=(ObservedRow, RosterIdentifier), projections=_of_reports(project_rosters)),
    ReadModel(tables=(RosterScanRow, ScanFailureRow, UnreadableRow), projections=_of_reports(project_scans)),
    ReadModel(tables=(OutageRow,), projections=_of_reports(project_outages)),
    ReadModel(tables=(LinkRow, ClaimRow, DeleteRow), projections=_links, version=2),
    ReadModel(tables=(ReconciliationRow,), projections=lambda _: {DECISIONS: project_reconciliations}),
)
"""What the decider keeps of the logs."""


def unmanaged_identifiers(store: Store, account: str, target: Target) -> set[str]:
    """The identifiers of the active target drivers that no link has as its key, or is about to have.

    Of a large fleet only a page is in memory at a time, and those that nothing claims. Raises `StoreFailed`.
    """
    place, found = {"account": account, "target": str(target)}, set[str]()
    for shown in pages(store, ObservedRow, place, "identifier"):
        active = {row.identifier for row in shown if row.active}
        claimed = store.count(ClaimRow, {**place, "identifier": sorted(active)}, by=["identifier"])
        found |= active - {str(identifier) for (identifier,) in claimed}
    for links in pages(store, LinkRow, place, "driver") if found else ():
        found -= {key_identifier(target, Key(link.key)) for link in links}
    return found


def unmanaged_by_place(store: Store, where: Where) -> Counter[tuple[str, str]]:
    """How many target drivers are unmanaged, by account and target, of those that match, by two queries.

    Keys of links are looked at only of the accounts where something shows a driver that nothing claims: mostly it is
    in none. Raises `StoreFailed`.
    """
    by = ["account", "target", "identifier"]
    shown = store.count(ObservedRow, {**where, "active": True}, by=by, without=ClaimRow)
    free = [(str(account), str(target), str(identifier)) for account, target, identifier in shown]
    accounts = sorted({account for account, _, _ in free})
    keys = store.count(LinkRow, {**where, "account": accounts}, by=["account", "target", "key"]) if free else ()
    linked = {
        (str(account), str(target), key_identifier(Target(str(target)), Key(str(key)))) for account, target, key in keys
    }
    return Counter(each[:2] for each in free if each not in linked)
