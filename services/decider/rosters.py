"""What the targets' reports say of rosters, scans and outages, and which target drivers are unmanaged."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter

from domain.identity import AccountId, Key, Target
from domain.matching import ObservedDriver, key_identifier
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
from domain.store import Store, Unit, Where
from services.decider.read_models import (
    ClaimRow,
    LinkRow,
    Look,
    ObservedRow,
    OutageRow,
    Place,
    RosterIdentifier,
    RosterScanRow,
    ScanFailureRow,
    UnreadableRow,
    rows_among,
    to_roster_identifiers,
    to_roster_row,
)


class RosterChanges:
    """What the batch in hand has learnt of one roster, before it is stored."""

    def __init__(self) -> None:
        self.rows: dict[str, ObservedRow | None] = {}
        """What is known now of each reported target driver, by the identifier of its key; None: it is gone."""
        self.before: Sequence[ObservedRow] = ()
        """What was known of them before, as far as anything was."""

    def take(self, report: ReportEvent) -> None:
        """Add what a report says of the roster."""
        self.rows.update((identifier, row_after(identifier, report)) for identifier in identifiers_reported(report))

    def over(self, stored: Iterable[ObservedRow]) -> list[ObservedRow]:
        """The stored rows, with the changes in their place."""
        current = [row for row in stored if row.identifier not in self.rows]
        return [*current, *(row for row in self.rows.values() if row)]

    @property
    def given_up(self) -> set[RosterIdentifier]:
        """The identifiers that target drivers had before, and have no longer."""
        return _all_identifiers(self.before) - _all_identifiers(self.rows.values())

    def store(self, unit: Unit, account: AccountId, target: Target) -> None:
        """Put the changes into the unit: only rows that change."""
        place = {"account": str(account), "target": str(target)}
        for gone in sorted(row.identifier for row in self.before if self.rows[row.identifier] is None):
            unit.remove(ObservedRow, {**place, "identifier": gone})
        for each in _in_order(self.given_up):
            unit.remove(RosterIdentifier, {**place, "identifier": each.identifier, "driver": each.driver})
        unit.keep(filter(None, self.rows.values()))
        unit.keep(_in_order(_all_identifiers(self.rows.values()) - _all_identifiers(self.before)))


def _all_identifiers(rows: Iterable[ObservedRow | None]) -> set[RosterIdentifier]:
    return {each for row in rows if row for each in to_roster_identifiers(row)}


def _in_order(identifiers: Iterable[RosterIdentifier]) -> list[RosterIdentifier]:
    return sorted(identifiers, key=attrgetter("driver", "identifier"))


def roster_changes(store: Store, reports: Iterable[ReportEvent]) -> dict[Place, RosterChanges]:
    """What these reports change in each roster; every account and target in them has an entry. Raises `StoreFailed`."""
    changes: dict[Place, RosterChanges] = {}
    for report in reports:
        place = AccountId(report.account), Target(report.target)
        changes.setdefault(place, RosterChanges()).take(report)
    before = rows_among(store, ObservedRow, "identifier", {place: each.rows.keys() for place, each in changes.items()})
    for place, each in changes.items():
        each.before = before[place]
    return changes


def looks_at_claimants(store: Store, rosters: Mapping[Place, RosterChanges]) -> list[Look]:
    """Looks at the claimants of identifiers that target drivers give up by these changes, which are not stored yet.

    The target may have refused such an identifier to its claimant so far. Raises `StoreFailed`.
    """
    given_up = {place: {row.identifier for row in each.given_up} for place, each in rosters.items()}
    return [
        Look(account=row.account, target=row.target, driver=row.driver)
        for rows in rows_among(store, ClaimRow, "identifier", given_up).values()
        for row in rows
    ]


def keep_scans(reports: Iterable[ReportEvent]) -> Unit:
    """The rows of the last scans after these reports: a complete one ends a failure, and what was unreadable before."""
    unit = Unit()
    last: dict[tuple[str, str], RosterScanned | RosterScanFailed] = {}
    scanned: dict[tuple[str, str], RosterScanned] = {}
    for report in reports:
        if isinstance(report, RosterScanned | RosterScanFailed):
            last[report.account, report.target] = report
        if isinstance(report, RosterScanned):
            scanned[report.account, report.target] = report
    for report in last.values():
        place, at = {"account": report.account, "target": report.target}, report.at.isoformat()
        unit.remove(ScanFailureRow, place)
        if isinstance(report, RosterScanFailed):
            unit.keep([ScanFailureRow(**place, at=at, failure=f"{report.reason}: {report.detail}")])
    for scan in scanned.values():
        place, at = {"account": scan.account, "target": scan.target}, scan.at.isoformat()
        unit.keep([RosterScanRow(**place, policy_generation=scan.policy_generation, drivers=scan.drivers, at=at)])
        unit.remove(UnreadableRow, place)
        if scan.unreadable:
            unit.keep([UnreadableRow(**place, at=at, total=scan.unreadable, records=scan.unreadable_records)])
    return unit


def keep_outages(reports: Iterable[ReportEvent]) -> Unit:
    """The rows of the outages after these reports: one begins when a breaker opens, and is over when it closes."""
    unit = Unit()
    breakers = (report for report in reports if isinstance(report, BreakerOpened | BreakerClosed))
    for report in {(report.account, report.target): report for report in breakers}.values():
        place, at = {"account": report.account, "target": report.target}, report.at.isoformat()
        unit.remove(OutageRow, place)
        if isinstance(report, BreakerOpened):
            unit.keep([OutageRow(**place, at=at, reason=report.reason, detail=report.detail)])
    return unit


def identifiers_reported(report: ReportEvent) -> Iterator[str]:
    """The target drivers that a report is about, by the identifiers of their keys."""
    target = Target(report.target)
    if isinstance(report, CallAnswered) and report.left:
        yield key_identifier(target, Key(report.left))
    if isinstance(report, CallAnswered | ObservedDriverSeen | ObservedDriverGone) and report.key:
        yield key_identifier(target, Key(report.key))


def row_after(identifier: str, report: ReportEvent) -> ObservedRow | None:
    """The target driver with this identifier after a report about it; None: it is gone."""
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
    """The identifiers of the active target drivers that no link has as its key, or is about to have.

    Only the columns needed are read: whole rows of a large fleet would take seconds. Raises `StoreFailed`.
    """
    place = {"account": account, "target": str(target)}
    linked = {key_identifier(target, Key(str(key))) for (key,) in store.count(LinkRow, place, by=["key"])}
    shown = store.count(ObservedRow, {**place, "active": True}, by=["identifier"])
    unclaimed = sorted({str(identifier) for (identifier,) in shown} - linked)
    claimed: set[str] = set()
    for start in range(0, len(unclaimed), _PAGE):
        claims = store.select(ClaimRow, {**place, "identifier": unclaimed[start : start + _PAGE]})
        claimed |= {row.identifier for row in claims}
    return {*unclaimed} - claimed


def unmanaged_by_place(store: Store, where: Where) -> Counter[tuple[str, str]]:
    """How many target drivers are unmanaged, by account and target, of those that match, by three queries.

    Raises `StoreFailed`.
    """
    linked = {
        (str(account), str(target), key_identifier(Target(str(target)), Key(str(key))))
        for account, target, key in store.count(LinkRow, where, by=["account", "target", "key"])
    }
    shown = store.count(ObservedRow, {**where, "active": True}, by=["account", "target", "identifier"])
    free = [place for each in shown if (place := (str(each[0]), str(each[1]), str(each[2]))) not in linked]
    claims = store.among(ClaimRow, ("account", "target", "identifier"), free) if free else []
    claimed = {(row.account, row.target, row.identifier) for row in claims}
    return Counter(
        (account, target) for account, target, identifier in free if (account, target, identifier) not in claimed
    )
