"""What the decider's read models are after the events of each log: the rows that its handlers store live."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeVar
from uuid import UUID

from domain.driver_link import DeleteDecided, DriverLink, LinkEvent, apply
from domain.identity import AccountId, PortalDriverId, Target
from domain.matching import claims, key_identifier
from domain.outcomes import ReportEvent
from domain.portal import Change
from domain.reconciliation import ReconciliationCompleted, ReconciliationRefused
from domain.store import Store, Unit
from services.accounts.handlers import READ_MODELS as ACCOUNT_MODELS
from services.decider.read_models import (
    ClaimRow,
    DeleteRow,
    DesiredRow,
    LinkRow,
    ObservedRow,
    OutageRow,
    ReconciliationRow,
    RosterIdentifier,
    RosterScanRow,
    ScanFailureRow,
    UnreadableRow,
    to_delete_row,
    to_desired_row,
    to_link_row,
    to_roster_identifiers,
)
from services.decider.reconciliations import reconciliation_after
from services.decider.rosters import identifiers_reported, keep_outages, keep_scans, row_after
from services.runtime.context import CHANGES, DECISIONS, OUTCOMES
from services.runtime.read_models import Events, Project, ReadModel, Rows

MOST_LINKS: Final = 20_000
"""Links that are kept in memory while they are made again; others are folded from the log when they are needed."""

E = TypeVar("E")


def project_desired_drivers(events: Events, rows: Rows) -> None:
    """The last change of each driver."""
    last = {(event.account, event.driver): (at, event) for at, event in events if isinstance(event, Change)}
    for at, event in last.values():
        rows.put(to_desired_row(event, at))


def project_reconciliations(events: Events, rows: Rows) -> None:
    """The last reconciliation of each account on a target."""
    for _, fact in events:
        if not isinstance(fact, ReconciliationCompleted | ReconciliationRefused):
            continue
        last = rows.get(ReconciliationRow, fact.account, fact.target)
        rows.put(reconciliation_after(last, fact))


def project_rosters(events: Events, rows: Rows) -> None:
    """The target drivers as they were last seen, and their identifiers."""
    reported: dict[tuple[str, str, str], ReportEvent] = {}
    for report in _of_kind(events, ReportEvent):
        for identifier in identifiers_reported(report):
            reported[report.account, report.target, identifier] = report
    rows.load(ObservedRow, reported)
    for (account, target, identifier), report in reported.items():
        before, after = rows.get(ObservedRow, account, target, identifier), row_after(identifier, report)
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


def _by_unit(unit_of: Callable[[Iterable[ReportEvent]], Unit]) -> Project:
    return lambda events, rows: rows.take(unit_of(_of_kind(events, ReportEvent)))


class LinkProjection:
    """Every link, what it claims, and the deletes that the guard counts, from the events of links in their order."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[UUID, DriverLink] = OrderedDict()
        self._end = 0
        self._has_forgotten = False

    def project(self, events: Events, rows: Rows) -> None:
        """What follows from these events."""
        facts = _of_kind(events, LinkEvent)
        self._recall({fact.originator_id: fact for fact in facts}.values())
        changed: dict[UUID, None] = {}
        if not rows.is_whole:
            rows.load(ClaimRow, self._claims_of(facts))
        for fact in facts:
            before = self._known[fact.originator_id]
            after = apply(before, fact)
            self._claim(before, after, rows)
            self._known[fact.originator_id] = after
            changed[fact.originator_id] = None
            if isinstance(fact, DeleteDecided) and fact.key:
                rows.put(to_delete_row(fact))
        for each in changed:
            self._known.move_to_end(each)
            rows.put(to_link_row(self._known[each]))
        while len(self._known) > MOST_LINKS:
            self._known.popitem(last=False)
            self._has_forgotten = True
        self._end = events[-1][0] if events else self._end

    def _claim(self, before: DriverLink, after: DriverLink, rows: Rows) -> None:
        """Bring who has claimed which identifier to what it is after a change of a link, as `Batch.record` does."""
        if _has_same_claims(before, after):
            return
        claimed = _Claims(rows, after)
        for identifier in before.claims - after.claims:
            claimed.release(identifier)
        for identifier in after.claims:
            claimed.keep(identifier)
        if after.confirmed is not before.confirmed and after.confirmed is not None:
            for identifier in claims(after.target, None, after.confirmed):
                claimed.give(identifier)
        if after.key is not None:
            claimed.give(key_identifier(after.target, after.key))

    def _claims_of(self, facts: Iterable[LinkEvent]) -> Iterator[tuple[str, str, str]]:
        """The claims that these facts may change."""
        for fact in facts:
            link = self._known[fact.originator_id]
            after = apply(link, fact)
            identifiers = link.claimable | after.claimable
            yield from ((fact.account, fact.target, identifier) for identifier in identifiers)

    def _recall(self, facts: Iterable[LinkEvent]) -> None:
        """Know these links as they were before this page: those that are not kept are folded from the log."""
        unknown = [fact for fact in facts if fact.originator_id not in self._known]
        for fact in unknown:
            self._known[fact.originator_id] = DriverLink(
                account=AccountId(fact.account), target=Target(fact.target), driver=PortalDriverId(fact.driver)
            )
        if self._has_forgotten:
            again = [fact.originator_id for fact in unknown if fact.originator_version > 1]
            for originator, records in (self._store.records(again) if again else {}).items():
                for record in records:
                    if record.event is not None and record.position <= self._end:
                        self._known[originator] = apply(self._known[originator], record.event)


class _Claims:
    """Who has claimed which identifier, of the account and target of a link, as rows."""

    def __init__(self, rows: Rows, link: DriverLink) -> None:
        self._rows = rows
        self._account, self._target, self._driver = str(link.account), str(link.target), str(link.driver)

    def keep(self, identifier: str) -> None:
        """Give it to the driver of the link, unless another one has it."""
        if self._row(identifier) is None:
            self._put(identifier)

    def give(self, identifier: str) -> None:
        """Give it to the driver of the link, also if another one has it."""
        row = self._row(identifier)
        if row is None or row.driver != self._driver:
            self._put(identifier)

    def release(self, identifier: str) -> None:
        """Take it back from the driver of the link, if that one has it."""
        row = self._row(identifier)
        if row is not None and row.driver == self._driver:
            self._rows.remove(ClaimRow, self._account, self._target, identifier)

    def _row(self, identifier: str) -> ClaimRow | None:
        return self._rows.get(ClaimRow, self._account, self._target, identifier)

    def _put(self, identifier: str) -> None:
        self._rows.put(ClaimRow(account=self._account, target=self._target, identifier=identifier, driver=self._driver))


def _has_same_claims(before: DriverLink, after: DriverLink) -> bool:
    """Whether nothing has changed from which the claims of a link follow."""
    return (
        before.confirmed is after.confirmed
        and before.key == after.key
        and before.pending is after.pending
        and before.refused is after.refused
        and before.unanswered == after.unanswered
    )


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
    ReadModel(tables=(RosterScanRow, ScanFailureRow, UnreadableRow), projections=_of_reports(_by_unit(keep_scans))),
    ReadModel(tables=(OutageRow,), projections=_of_reports(_by_unit(keep_outages))),
    ReadModel(tables=(LinkRow, ClaimRow, DeleteRow), projections=_links),
    ReadModel(tables=(ReconciliationRow,), projections=lambda _: {DECISIONS: project_reconciliations}),
)
"""What the decider keeps of the logs."""
