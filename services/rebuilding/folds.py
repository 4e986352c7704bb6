"""Every read model as a fold of one log, by the very functions that the services use as they go along.

A fold takes what a page of the log holds, and the store that is being made, and answers what to keep there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from uuid import UUID

from domain.driver_link import DeleteDecided, DriverLink, LinkEvent, replay
from domain.event import Event
from domain.identity import AccountId, PortalDriverId, Target
from domain.ledger import claims_of
from domain.portal import Change, PortalDriver, PortalDriverEvent
from domain.portal import replay as replay_portal_driver
from domain.report import (
    CallAnswered,
    ReportEvent,
    WalkCompleted,
    WalkFailed,
)
from domain.storing import Row, Store, Unit
from services.accounts.read_models import keep_accounts
from services.decider.read_models import ClaimRow, to_delete_row, to_link_row, to_wish_row
from services.decider.sightings import keep_rosters, keep_walks, roster_changes
from services.intake.read_models import to_row
from services.projector.handlers import keep_wished
from services.projector.known import (
    Sighting,
    delivery_after,
    keys_of,
    shown_after,
    undelivered,
    unseen,
    unwalked,
    walk_after,
)
from services.projector.read_models import DeliveryRow, RosterRow, WalkRow

LogFold = Callable[[Store, Sequence[tuple[int, Event]]], Unit]
"""For a log that is read from its start: events with their positions."""

HistoryFold = Callable[[Store, Mapping[UUID, Sequence[Event]]], Unit]
"""For a service's own histories, each of them whole."""


def accounts(beside: Store, events: Sequence[tuple[int, Event]]) -> Unit:
    """The accounts, as everybody who follows them keeps them."""
    return keep_accounts(beside, (event for _, event in events))


def known_drivers(_: Store, histories: Mapping[UUID, Sequence[Event]]) -> Unit:
    """What intake knows of the Portal's drivers."""
    unit = Unit()
    for events in histories.values():
        first = next(event for event in events if isinstance(event, PortalDriverEvent))
        start = PortalDriver(account=AccountId(first.account), driver=PortalDriverId(first.driver))
        unit.keep([to_row(replay_portal_driver(start, events))])
    return unit


def wishes(_: Store, events: Sequence[tuple[int, Event]]) -> Unit:
    """What the decider knows of the Portal's wishes."""
    unit = Unit()
    unit.keep(to_wish_row(event, position) for position, event in events if isinstance(event, Change))
    return unit


def rosters(_: Store, events: Sequence[tuple[int, Event]]) -> Unit:
    """What the decider knows of the targets' rosters, and of their walks."""
    reports = [event for _, event in events if isinstance(event, ReportEvent)]
    unit = keep_walks(reports)
    unit.add(keep_rosters(roster_changes(reports)))
    return unit


def links(beside: Store, histories: Mapping[UUID, Sequence[Event]]) -> Unit:
    """How every link stands, what it claims, and the deletes that the guard counts."""
    unit = Unit()
    for events in histories.values():
        facts = [event for event in events if isinstance(event, LinkEvent)]
        start = DriverLink(
            account=AccountId(facts[0].account),
            target=Target(facts[0].target),
            driver=PortalDriverId(facts[0].driver),
        )
        link = replay(start, facts)
        unit.keep([to_link_row(link), *_free_claims(beside, link)])
        unit.keep(to_delete_row(fact) for fact in facts if isinstance(fact, DeleteDecided) and fact.key)
    return unit


def _free_claims(beside: Store, link: DriverLink) -> Iterator[Row]:
    """What a link claims, less what another one has: two claim a mark only when a call crossed a change."""
    place = {"account": str(link.account), "target": str(link.target)}
    marks = sorted(claims_of(link))
    taken = {row.mark for row in beside.select(ClaimRow, {**place, "mark": marks})}
    return (ClaimRow(**place, mark=mark, driver=link.driver) for mark in marks if mark not in taken)


def wished(target: Target) -> LogFold:
    """The newest decision of each link, as the projector of this target keeps it."""
    return lambda _, events: keep_wished(target, (event for _, event in events))


def reports(beside: Store, events: Sequence[tuple[int, Event]]) -> Unit:
    """What a projector knows by its own reports: deliveries, the roster, the walks."""
    facts = [event for _, event in events if isinstance(event, ReportEvent)]
    unit = Unit()
    unit.keep(_deliveries(beside, [fact for fact in facts if isinstance(fact, CallAnswered)]))
    unit.keep(_roster(beside, [fact for fact in facts if isinstance(fact, Sighting)]))
    unit.keep(_walks(beside, [fact for fact in facts if isinstance(fact, WalkCompleted | WalkFailed)]))
    return unit


def _deliveries(beside: Store, answers: Sequence[CallAnswered]) -> Iterable[Row]:
    known = {
        (row.account, row.driver): row
        for account, drivers in _by_account((each.account, each.driver) for each in answers).items()
        for row in beside.select(DeliveryRow, {"account": account, "driver": drivers})
    }
    for answer in answers:
        key = (answer.account, answer.driver)
        known[key] = delivery_after(known.get(key) or undelivered(*key), answer)
    return known.values()


def _roster(beside: Store, sightings: Sequence[Sighting]) -> Iterable[Row]:
    seen = [(each.account, key) for each in sightings for key in keys_of(each)]
    known = {
        (row.account, row.key): row
        for account, keys in _by_account(seen).items()
        for row in beside.select(RosterRow, {"account": account, "key": keys})
    }
    for sighting in sightings:
        for key in keys_of(sighting):
            place = (sighting.account, key)
            known[place] = shown_after(known.get(place) or unseen(*place), sighting)
    return known.values()


def _walks(beside: Store, walks: Sequence[WalkCompleted | WalkFailed]) -> Iterable[Row]:
    accounts = sorted({walk.account for walk in walks})
    known = {row.account: row for row in beside.select(WalkRow, {"account": accounts})}
    for walk in walks:
        known[walk.account] = walk_after(known.get(walk.account) or unwalked(walk.account), walk)
    return known.values()


def _by_account(places: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for account, name in dict.fromkeys(places):
        found.setdefault(account, []).append(name)
    return found
