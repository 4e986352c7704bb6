"""What the decider's read models are after the events of each log: the rows that its handlers store live."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeVar
from uuid import UUID

from domain.claims import move_claims
from domain.driver_link import DriverLink, LinkEvent, apply, unlinked
from domain.identity import AccountId, PortalDriverId, Target
from domain.portal import Change
from domain.store import Store
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
    to_delete_rows,
    to_desired_row,
    to_link_row,
)
from services.decider.reconciliations import project_reconciliations
from services.decider.rosters import project_outages, project_rosters, project_scans
from services.runtime.context import CHANGES, DECISIONS, OUTCOMES
from services.runtime.read_models import Events, Project, ReadModel, Rows

MOST_LINKS: Final = 20_000
"""Links that are kept in memory while they are made again; others are folded from the log when they are needed."""

E = TypeVar("E")


def project_desired_drivers(events: Events, rows: Rows) -> list[DesiredRow]:
    """The last change of each driver; returns what each change states that says something new.

    Nothing follows from a change whose sequence is not above the last one of its driver.
    """
    changes = [(at, event) for at, event in events if isinstance(event, Change)]
    rows.load(DesiredRow, ((change.account, change.driver) for _, change in changes))
    stated: list[DesiredRow] = []
    for at, change in changes:
        last = rows.get(DesiredRow, change.account, change.driver)
        if last is None or change.sequence > last.sequence:
            stated.append(to_desired_row(change, at))
            rows.put(stated[-1])
    return stated


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
            move_claims(_Claimants(rows, after), before, after)
            self._known[fact.originator_id] = after
            changed[fact.originator_id] = None
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
            link = self._known[fact.originator_id]
            after = apply(link, fact)
            identifiers = link.claimable | after.claimable
            yield from ((fact.account, fact.target, identifier) for identifier in identifiers)

    def _recall(self, facts: Iterable[LinkEvent]) -> None:
        """Know these links as they were before this page: those that are not kept are folded from the log."""
        unknown = [fact for fact in facts if fact.originator_id not in self._known]
        for fact in unknown:
            self._known[fact.originator_id] = unlinked(
                AccountId(fact.account), Target(fact.target), PortalDriverId(fact.driver)
            )
        if self._has_forgotten:
            again = [fact.originator_id for fact in unknown if fact.originator_version > 1]
            for originator, records in (self._store.records(again) if again else {}).items():
                for record in records:
                    if record.event is not None and record.position <= self._end:
                        self._known[originator] = apply(self._known[originator], record.event)


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
