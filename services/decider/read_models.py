"""What the decider knows: the Portal's desired states, the targets' rosters, and the state of every link."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar, cast

from domain.driver_link import REFUSED, DeleteDecided, DriverLink, LinkEvent
from domain.identity import AccountId, Key, PortalDriverId, Target
from domain.matching import DesiredDriver, ObservedDriver, claims, key_identifier, to_desired
from domain.portal import Change, DriverDeleted
from domain.profile import tidy
from domain.reconciliation import found_by
from domain.store import Row, Store, Where


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
    """A target driver as it was last seen, and since when it was; `identifier` is that of its key."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRow(Row):
    """The state of a link now: `state` is one of in_sync, pending, parked, held, kept, ended.

    Only a parked link has a `reason`: in our own word, or in the target's where that refused it for good. Only a held
    one has a `hold`, the version at which it was held. In the most rows these are empty, and no index has a column that
    changes with every call, so that a database can write a row where it stands.
    `reconciliation` is the number of the last reconciliation that decided something for it (0: none did), `finding`
    what that found; `drifted` the fields that had drifted then, and `at_odds` those of them that had in the
    reconciliation before too.
    """

    TABLE: ClassVar[str] = "links"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target", "driver")
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("account", "target", "driver", "reason"),
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
    waits_for: str
    hold: int
    reconciliation: int
    finding: str
    drifted: list[str]
    at_odds: list[str]


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

    `after` is the position of the last one that it has looked at.
    `reconciliation` is its number, `scan` the version of the scan, which read as many target `drivers` under this
    `policy_generation`, and `request` the version of the account at which a person requested it; 0 if none did.
    Nothing is decided while there is a `plan`: the hash of what it may do, not compared yet with what it would.
    `found`, `drifted` and `at_odds` count as those of `ReconciliationCompleted` do, as far as it has come.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationRow(Row):
    """The last reconciliation of an account on a target: `version` is its number, the others as in its event.

    One that `is_refused` found nothing, because it would have done something else than its plan. `answered` is the
    latest request that a reconciliation was for, this one or one before.
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
