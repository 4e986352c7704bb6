"""Read models whose rows one history feeds alone, by the very functions that the services use as they go along."""

from collections.abc import Iterator, Sequence

from domain.driver_link import LinkEvent
from domain.identity import AccountId, PortalDriverId, Target
from domain.portal import Change, PortalDriver, PortalDriverEvent, replay
from domain.report import (
    BreakerClosed,
    BreakerOpened,
    CallAnswered,
    DriverLookedUp,
    ReportEvent,
    WalkCompleted,
    WalkFailed,
)
from domain.storing import Row, Store, Unit
from domain.sweep import SweepCompleted, SweepRefused
from services.accounts.read_models import keep_accounts
from services.decider.read_models import to_wish_row
from services.decider.sightings import keep_outages, keep_walks
from services.decider.sweeps import sweep_after
from services.intake.read_models import to_row
from services.projector.known import (
    breaker_after,
    delivery_after,
    unbroken,
    undelivered,
    unwalked,
    walk_after,
    wished_after,
)
from services.rebuilding.histories import Fold, History


def accounts(beside: Store, histories: Sequence[History]) -> Unit:
    """The accounts, as everybody who follows them keeps them."""
    return keep_accounts(beside, (event for history in histories for _, event in history))


def known_drivers(_: Store, histories: Sequence[History]) -> Unit:
    """What intake knows of the Portal's drivers."""
    return _kept(row for history in histories for row in _known_driver(history))


def _known_driver(history: History) -> Iterator[Row]:
    events = [event for _, event in history if isinstance(event, PortalDriverEvent)]
    start = PortalDriver(account=AccountId(events[0].account), driver=PortalDriverId(events[0].driver))
    yield to_row(replay(start, events))


def wishes(_: Store, histories: Sequence[History]) -> Unit:
    """What the decider knows of the Portal's wishes: the last change of each driver."""
    return _kept(row for history in histories for row in _wish(history))


def _wish(history: History) -> Iterator[Row]:
    last = next(((event, position) for position, event in reversed(history) if isinstance(event, Change)), None)
    if last:
        yield to_wish_row(*last)


def wished(target: Target) -> Fold:
    """What is left to carry out of each link, as the projector of this target keeps it."""
    return lambda _, histories: _kept(row for history in histories for row in _wished(target, history))


def _wished(target: Target, history: History) -> Iterator[Row]:
    events = [event for _, event in history if isinstance(event, LinkEvent)]
    if events and events[0].target == target:
        newest = next((row for event in reversed(events) if (row := wished_after(event))), None)
        yield from [newest] if newest else []


def deliveries(_: Store, histories: Sequence[History]) -> Unit:
    """How often the target answered about each link."""
    return _kept(row for history in histories for row in _delivery(history))


def _delivery(history: History) -> Iterator[Row]:
    answers = [event for _, event in history if isinstance(event, CallAnswered)]
    if answers:
        row = undelivered(answers[0].account, answers[0].driver)
        for answer in answers:
            row = delivery_after(row, answer)
        yield row


def walks(_: Store, histories: Sequence[History]) -> Unit:
    """The last walk of each roster, as its projector keeps it."""
    return _kept(row for history in histories for row in _walk(history))


def _walk(history: History) -> Iterator[Row]:
    reports = [event for _, event in history if isinstance(event, WalkCompleted | WalkFailed | DriverLookedUp)]
    if reports:
        row = unwalked(reports[0].account)
        for report in reports:
            row = walk_after(row, report)
        yield row


def breakers(_: Store, histories: Sequence[History]) -> Unit:
    """Whether each account gets through to the target."""
    return _kept(row for history in histories for row in _breaker(history))


def _breaker(history: History) -> Iterator[Row]:
    reports = [event for _, event in history if isinstance(event, BreakerOpened | BreakerClosed)]
    if reports:
        row = unbroken(reports[0].account)
        for report in reports:
            row = breaker_after(row, report)
        yield row


def followed_walks(_: Store, histories: Sequence[History]) -> Unit:
    """The last walk of each roster, and why one cannot be read, as the decider keeps them."""
    return keep_walks(event for history in histories for _, event in history if isinstance(event, ReportEvent))


def followed_outages(_: Store, histories: Sequence[History]) -> Unit:
    """Where no calls are made at present, as the decider keeps it."""
    return keep_outages(event for history in histories for _, event in history if isinstance(event, ReportEvent))


def sweeps(_: Store, histories: Sequence[History]) -> Unit:
    """The last sweep of each account on each target."""
    return _kept(row for history in histories for row in _sweep(history))


def _sweep(history: History) -> Iterator[Row]:
    row = None
    for _, event in history:
        if isinstance(event, SweepCompleted | SweepRefused):
            row = sweep_after(row, event)
    yield from [row] if row else []


def _kept(rows: Iterator[Row]) -> Unit:
    unit = Unit()
    unit.keep(rows)
    return unit
