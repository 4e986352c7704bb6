"""What a projector's read models are after the events of each log: the rows that its handlers store live."""

from collections.abc import Callable
from functools import partial

from domain.driver_link import LinkEvent
from domain.identity import Target
from domain.outcomes import (
    BreakerClosed,
    BreakerOpened,
    CallAnswered,
    DriverLookedUp,
    RosterScanFailed,
    RosterScanned,
)
from services.accounts.handlers import READ_MODELS as ACCOUNT_MODELS
from services.projector.read_models import (
    BreakerRow,
    DeliveryRow,
    DriverReport,
    RosterRow,
    ScanRow,
    breaker_after,
    decided,
    keys_of,
    reported,
    scan_after,
    shown_after,
    unscanned,
    unseen,
)
from services.runtime.context import DECISIONS, outcomes_of
from services.runtime.read_models import Events, ReadModel, Rows


def project_decisions(
    target: Target,
    events: Events,
    rows: Rows,
    when_changed: Callable[[DeliveryRow, int], DeliveryRow] = lambda row, _: row,
) -> None:
    """What there is to deliver for each link; `when_changed` adds the work that follows live from a change there."""
    facts = [(at, event) for at, event in events if isinstance(event, LinkEvent) and event.target == target]
    rows.load(DeliveryRow, ((fact.account, fact.driver) for _, fact in facts))
    for at, fact in facts:
        known = rows.get(DeliveryRow, fact.account, fact.driver)
        before = known or DeliveryRow(account=fact.account, driver=fact.driver)
        after = decided(before, fact)
        if after is not before:
            rows.put(when_changed(after, at))


def _project_answers(events: Events, rows: Rows) -> None:
    """How often the target answered about each link."""
    answers = [event for _, event in events if isinstance(event, CallAnswered)]
    rows.load(DeliveryRow, ((answer.account, answer.driver) for answer in answers))
    for answer in answers:
        known = rows.get(DeliveryRow, answer.account, answer.driver)
        rows.put(reported(known or DeliveryRow(account=answer.account, driver=answer.driver), answer))


def project_roster(events: Events, rows: Rows) -> None:
    """The target drivers as we last saw them."""
    reports = [event for _, event in events if isinstance(event, DriverReport)]
    rows.load(RosterRow, ((report.account, key) for report in reports for key in keys_of(report)))
    for report in reports:
        for key in keys_of(report):
            known = rows.get(RosterRow, report.account, key) or unseen(report.account, key)
            rows.put(shown_after(known, report))


def _project_scans(events: Events, rows: Rows) -> None:
    """The last scan of each roster."""
    for _, event in events:
        if isinstance(event, RosterScanned | RosterScanFailed | DriverLookedUp):
            rows.put(scan_after(rows.get(ScanRow, event.account) or unscanned(event.account), event))


def _project_breakers(events: Events, rows: Rows) -> None:
    """The circuit breaker of each account."""
    for _, event in events:
        if isinstance(event, BreakerOpened | BreakerClosed):
            rows.put(breaker_after(rows.get(BreakerRow, event.account) or BreakerRow(account=event.account), event))


def read_models_of(target: Target) -> tuple[ReadModel, ...]:
    """What the projector of this target keeps of the logs."""
    outcomes = outcomes_of(target)
    return (
        *ACCOUNT_MODELS,
        ReadModel(
            tables=(DeliveryRow,),
            projections=lambda _: {DECISIONS: partial(project_decisions, target), outcomes: _project_answers},
        ),
        ReadModel(tables=(RosterRow,), projections=lambda _: {outcomes: project_roster}),
        ReadModel(tables=(ScanRow,), projections=lambda _: {outcomes: _project_scans}),
        ReadModel(tables=(BreakerRow,), projections=lambda _: {outcomes: _project_breakers}),
    )
