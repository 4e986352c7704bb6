"""What the decider knows: the Portal's desired states, the targets' rosters, and how every link stands.

What the targets' reports tell of rosters, scans and outages, whatever is decided because of it.

Target drivers that no link claims.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from domain.driver_link import REFUSED, DeleteDecided, DriverLink
from domain.identity import AccountId, Key, PortalDriverId, Target
from domain.matching import DesiredDriver, ObservedDriver, claims, key_identifier, to_desired
from domain.outcomes import (
    BreakerClosed,
    BreakerOpened,
    CallAnswered,
    ObservedDriverGone,
    ObservedDriverSeen,
    ReportEvent,
    RosterScanFailed,
    RosterScanned,
)
from domain.portal import Change, DriverDeleted
from domain.profile import tidy
from domain.reconciliation import found_by
from domain.store import Row, Store, Unit, Where


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredRow(Row):
    """What the Portal last stated of a driver; `position` is that change's place in the stream."""

    TABLE: ClassVar[str] = "desired_drivers"
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
    """A target driver as it was last seen, and since when it was; `identifier` is its key as a mark."""

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
    """One mark to which a target driver answers.

    The key and the index begin with what they tell apart, so that neither can be taken for the other.
    """

    TABLE: ClassVar[str] = "roster_identifiers"
    KEY: ClassVar[tuple[str, ...]] = ("identifier", "account", "target", "driver")
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("driver", "account", "target"),)

    account: str
    target: str
    identifier: str
    driver: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterScanRow(Row):
    """The last scan that read a whole roster, and under which terms of the account."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRow(Row):
    """How a link stands now: `state` is one of in_sync, pending, parked, held, kept, ended.

    `reason` says why it is parked: in our own word, or in the target's where that refused it for good.
    `reconciliation` is the number of the last reconciliation that decided something for it (0: none did), `finding`
    what that found; `drifted` the fields that had drifted then, and `at_odds` those of them that had in the
    reconciliation before too.
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
    reconciliation: int
    finding: str
    drifted: list[str]
    at_odds: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRow(Row):
    """A mark that one portal driver has for itself."""

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
class CatchUp(Row):
    """Work in hand: a reconciliation, which looks at all of an account's desired states.

    From behind a position on, after a scan.

    `reconciliation` is its number, `scan` the version of the scan, which read so many target `drivers` under these
    `policy_generation`, and `request` the version of the account at which a person requested it; 0 if nobody did.
    Nothing is decided while there is a `plan`: the hash of what it may do, not compared yet with what it would.
    `found`, `drifted` and `at_odds` count as those of `ReconciliationCompleted` do, as far as it has come.
    """

    TABLE: ClassVar[str] = "catch_ups"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationRow(Row):
    """The last reconciliation of an account on a target: `version` is its number, the others as in its fact.

    One that `is_refused` found nothing, because it was to go by another plan. `answered` is the latest request that a
    reconciliation was for, be it this one or one before.
    """

    TABLE: ClassVar[str] = "reconciliations"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target")

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry(Row):
    """Work in hand: the parked links of a target to look at again, from behind a driver on.

    `driver` and `reasons` say which; empty means any. `trigger` and `ref` are what is told of why.
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


def to_desired_row(change: Change, position: int) -> DesiredRow:
    """What the Portal states by a change."""
    return DesiredRow(
        account=change.account,
        driver=change.driver,
        sequence=change.sequence,
        is_wanted=not isinstance(change, DriverDeleted),
        position=position,
        profile=tidy(change.profile),
    )


def desired_of(row: DesiredRow, target: Target) -> DesiredDriver:
    """What this row wants a target to show."""
    return to_desired(
        AccountId(row.account),
        target,
        PortalDriverId(row.driver),
        sequence=row.sequence,
        profile=row.profile,
        is_wanted=row.is_wanted,
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
    """All marks to which this target driver answers, and those that it has for itself alone."""
    for identifier in sorted(claims(Target(row.target), Key(row.key), row.profile)):
        yield RosterIdentifier(account=row.account, target=row.target, identifier=identifier, driver=row.identifier)


def to_link_row(link: DriverLink) -> LinkRow:
    """How a link stands, as a row."""
    parked = link.parked
    reconciliation = link.reconciled.rationale["reconciliation"] if link.reconciled else 0
    drift = link.drift if link.drift and link.drift.reconciliation == reconciliation else None
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
        reconciliation=reconciliation,
        finding=str(found_by(link.reconciled)) if link.reconciled else "",
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
    at_rest = ("kept" if link.let_stay else "in_sync") if link.is_live else "ended"
    return next((name for name, fact in states.items() if fact is not None), at_rest)


Place = tuple[AccountId, Target]
"""An account on a target: what is decided there, is decided at one batch."""


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
        self._rows.update((identifier, row_after(identifier, report)) for identifier in identifiers_reported(report))

    def over(self, stored: Iterable[ObservedRow]) -> list[ObservedRow]:
        """The stored rows, with the batch's own news in their place."""
        current = {row.identifier: row for row in stored if row.identifier not in self._rows}
        return [*current.values(), *(row for row in self._rows.values() if row)]

    def store(self, unit: Unit, account: AccountId, target: Target) -> None:
        """Put the news into the unit."""
        if not self._rows:
            return
        place = {"account": str(account), "target": str(target)}
        unit.remove(RosterIdentifier, {**place, "driver": list(self._rows)})
        unit.remove(
            ObservedRow, {**place, "identifier": [identifier for identifier, row in self._rows.items() if row is None]}
        )
        for row in self._rows.values():
            if row:
                unit.keep([row, *to_roster_identifiers(row)])


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


def keep_scans(reports: Iterable[ReportEvent]) -> Unit:
    """The rows of the last scans after these reports: a complete one ends a failure, and what was unreadable before."""
    unit = Unit()
    failures: dict[tuple[str, str], ScanFailureRow | None] = {}
    unreadable: dict[tuple[str, str], UnreadableRow | None] = {}
    for report in reports:
        place = {"account": report.account, "target": report.target}
        at = report.at.isoformat()
        if isinstance(report, RosterScanned):
            unit.keep(
                [RosterScanRow(**place, policy_generation=report.policy_generation, drivers=report.drivers, at=at)]
            )
            unreadable[report.account, report.target] = _to_unreadable(report)
            failures[report.account, report.target] = None
        elif isinstance(report, RosterScanFailed):
            failure = f"{report.reason}: {report.detail}"
            failures[report.account, report.target] = ScanFailureRow(**place, at=at, failure=failure)
    for (account, target), failed in failures.items():
        unit.remove(ScanFailureRow, {"account": account, "target": target})
        unit.keep([failed] if failed else [])
    for (account, target), row in unreadable.items():
        unit.remove(UnreadableRow, {"account": account, "target": target})
        unit.keep([row] if row else [])
    return unit


def _to_unreadable(report: RosterScanned) -> UnreadableRow | None:
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


def identifiers_reported(report: ReportEvent) -> Iterator[str]:
    """The target drivers that a report tells of, by the marks of their keys."""
    target = Target(report.target)
    if isinstance(report, CallAnswered) and report.left:
        yield key_identifier(target, Key(report.left))
    if isinstance(report, CallAnswered | ObservedDriverSeen | ObservedDriverGone) and report.key:
        yield key_identifier(target, Key(report.key))


def row_after(identifier: str, report: ReportEvent) -> ObservedRow | None:
    """The target driver of this mark after a report that tells of it; None: there is none any more."""
    target = Target(report.target)
    if not isinstance(report, CallAnswered | ObservedDriverSeen) or not report.key:
        return None
    if key_identifier(target, Key(report.key)) != identifier:
        return None
    seen = ObservedDriver(
        key=Key(report.key), active=report.active, profile=report.profile, seen_at=report.at.isoformat()
    )
    return to_roster_row(AccountId(report.account), target, seen)


_PAGE = 500


def unmanaged_identifiers(store: Store, account: str, target: Target) -> set[str]:
    """The marks of the active target drivers that no link has as its key, or is about to have. Raises `StoreFailed`.

    Only the columns that tell are read, from their indexes: whole rows of a large fleet would take seconds.
    """
    place = {"account": account, "target": str(target)}
    linked = {key_identifier(target, Key(str(key))) for (key,) in store.count(LinkRow, place, by=["key"])}
    shown = store.count(ObservedRow, {**place, "active": True}, by=["identifier"])
    return _unclaimed(store, place, sorted({str(identifier) for (identifier,) in shown} - linked))


def unmanaged_by_place(store: Store, where: Where) -> Counter[tuple[str, str]]:
    """How many target drivers no link claims, by account and target, of those that match. Raises `StoreFailed`.

    What is read is the same, by a number of queries that no number of accounts changes.
    """
    linked = {
        (str(account), str(target), key_identifier(Target(str(target)), Key(str(key))))
        for account, target, key in store.count(LinkRow, where, by=["account", "target", "key"])
    }
    shown = store.count(ObservedRow, {**where, "active": True}, by=["account", "target", "identifier"])
    free = [place for each in shown if (place := (str(each[0]), str(each[1]), str(each[2]))) not in linked]
    claimed = {(row.account, row.target, row.identifier) for row in _claims(store, free)}
    return Counter(
        (account, target) for account, target, identifier in free if (account, target, identifier) not in claimed
    )


def _claims(store: Store, places: Sequence[tuple[str, str, str]]) -> Sequence[ClaimRow]:
    return store.among(ClaimRow, ("account", "target", "identifier"), places) if places else ()


def _unclaimed(store: Store, place: dict[str, str], identifiers: list[str]) -> set[str]:
    unclaimed = set(identifiers)
    for start in range(0, len(identifiers), _PAGE):
        claimed = store.select(ClaimRow, {**place, "identifier": identifiers[start : start + _PAGE]})
        unclaimed -= {row.identifier for row in claimed}
    return unclaimed
