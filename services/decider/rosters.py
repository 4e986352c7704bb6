"""What the targets' reports say of rosters, scans and outages, and which target drivers are unmanaged."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

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
from domain.store import Row, Store, Where, pages
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
from services.runtime.read_models import Events, Rows, Values, kept_rows, to_unit


def project_rosters(events: Events, rows: Rows) -> None:
    """The target drivers as they were last seen, and their identifiers."""
    reported: dict[tuple[str, str, str], ReportEvent] = {}
    for _, report in events:
        if isinstance(report, ReportEvent):
            for identifier in _identifiers_reported(report):
                reported[report.account, report.target, identifier] = report
    rows.load(ObservedRow, reported)
    for (account, target, identifier), report in reported.items():
        before, after = rows.get(ObservedRow, account, target, identifier), _row_after(identifier, report)
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


class RosterChanges:
    """What the reports of the batch in hand change in rosters, before it is stored."""

    def __init__(self, store: Store, events: Events) -> None:
        """Raises `StoreFailed`."""
        rows = kept_rows(store)
        project_rosters(events, rows)
        changed: dict[type[Row], Mapping[Values, Any]] = dict(rows.changes())
        self.unit = to_unit(changed.items())
        """The rows that change."""
        self.given_up: dict[Place, set[str]] = defaultdict(set)
        """The identifiers that target drivers had before, and have no longer."""
        for (account, target, identifier, _), row in changed.get(RosterIdentifier, {}).items():
            if row is None:
                self.given_up[AccountId(str(account)), Target(str(target))].add(str(identifier))
        self._drivers: dict[Place, dict[str, ObservedRow | None]] = defaultdict(dict)
        for (account, target, identifier), each in changed.get(ObservedRow, {}).items():
            self._drivers[AccountId(str(account)), Target(str(target))][str(identifier)] = each

    def over(self, place: Place, stored: Iterable[ObservedRow]) -> list[ObservedRow]:
        """The stored rows of a roster, with the changes in their place."""
        changed = self._drivers[place]
        current = [row for row in stored if row.identifier not in changed]
        return [*current, *(row for row in changed.values() if row)]


def looks_at_claimants(store: Store, changes: RosterChanges) -> list[Look]:
    """Looks at the claimants of identifiers that target drivers give up by these changes, which are not stored yet.

    The target may have refused such an identifier to its claimant so far. Raises `StoreFailed`.
    """
    return [
        Look(account=row.account, target=row.target, driver=row.driver)
        for rows in rows_among(store, ClaimRow, "identifier", changes.given_up).values()
        for row in rows
    ]


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
    if isinstance(report, CallAnswered | ObservedDriverSeen | ObservedDriverGone) and report.key:
        yield key_identifier(target, Key(report.key))


def _row_after(identifier: str, report: ReportEvent) -> ObservedRow | None:
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
