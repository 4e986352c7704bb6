"""Where the links of one account on one target are decided.

What a batch has to know before it decides: one query for each kind of thing, however many accounts there are.

What there is to be decided, and how: each matter is about one link, as its desired state stood then.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from domain import deciding, outcomes
from domain.account import Account, DeletesApproved, DeletesJudged
from domain.claims import Batch, claimable_by
from domain.deciding import decide
from domain.driver_link import DeleteDecided, DriverLink, LinkEvent, apply, replay
from domain.guard import WINDOW, Guard
from domain.identity import AccountId, Key, PortalDriverId, Target, link_stream
from domain.matching import DesiredDriver, Roster, claims, is_key_identifier, key_identifier
from domain.outcomes import CallAnswered
from domain.situations import Trigger
from domain.store import Store, Unit, Where
from services.decider.read_models import (
    ClaimRow,
    DeleteRow,
    DesiredRow,
    LinkRow,
    Look,
    ObservedRow,
    Place,
    RosterChanges,
    RosterIdentifier,
    to_delete_row,
    to_link_row,
    to_observed_driver,
    to_roster_identifiers,
)

Links = Mapping[PortalDriverId, DriverLink]

PlacedRow = TypeVar("PlacedRow", ClaimRow, DeleteRow, LinkRow, RosterIdentifier, ObservedRow)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchWork:
    """What is to be decided for one account on one target.

    The desired states, their links, and the news of its roster.
    """

    desired_drivers: list[DesiredDriver] = field(default_factory=list)
    links: Links = field(default_factory=dict)
    roster: RosterChanges = field(default_factory=RosterChanges)

    def identifiers(self, target: Target) -> set[str]:
        """The marks that the desired states and the links are about."""
        stated = {
            identifier
            for desired in self.desired_drivers
            for identifier in (*desired.identifiers, desired.dispensable_identifier)
            if identifier
        }
        keys = {key_identifier(target, key) for link in self.links.values() for key in (link.key, link.aside) if key}
        return stated.union(keys, *(claims(target, link.former_key, link.former) for link in self.aside))

    @property
    def aside(self) -> list[DriverLink]:
        """The links of drivers who have something temporary."""
        return [link for link in self.links.values() if link.is_aside]

    @property
    def may_delete(self) -> bool:
        """Whether a delete could be decided."""
        return any(not desired.is_wanted for desired in self.desired_drivers)


def load_links(
    store: Store, places: Iterable[tuple[AccountId, Target, PortalDriverId]]
) -> dict[Place, dict[PortalDriverId, DriverLink]]:
    """The links of these drivers on these targets, by one query as a rule, and never all of their pasts in memory."""
    wanted = {link_stream(*place): place for place in dict.fromkeys(places)}
    found: dict[Place, dict[PortalDriverId, DriverLink]] = defaultdict(dict)
    for account, target, driver in wanted.values():
        found[account, target][driver] = DriverLink(account=account, target=target, driver=driver)
    for event in store.events(list(wanted)):
        account, target, driver = wanted[event.originator_id]
        found[account, target][driver] = apply(found[account, target][driver], event)
    return found


def load_batches(store: Store, works: Mapping[Place, BatchWork], now: datetime) -> dict[Place, Batch]:
    """A batch for each batch, with everything that its decisions need."""
    loading = _Loading(store, works, now)
    rosters = loading.rosters()
    claimed = loading.claimed(rosters)
    waiting = loading.waiting(claimed)
    linked = loading.linked(claimed)
    wanted = loading.wanted(rosters)
    guards = loading.guards()
    return {
        place: Batch(
            place[1],
            roster=rosters[place],
            claimed=claimed[place],
            waiting=waiting[place],
            linked=linked[place],
            wanted=wanted[place],
            guard=guards.get(place),
        )
        for place in works
    }


class _Loading:
    """The queries for a batch's dockets."""

    def __init__(self, store: Store, works: Mapping[Place, BatchWork], now: datetime) -> None:
        self._store = store
        self._batch_work = works
        self._identifiers = {place: batch_work.identifiers(place[1]) for place, batch_work in works.items()}
        self._now = now

    def rosters(self) -> dict[Place, Roster]:
        """Of each target, the drivers who answer to one of the marks."""
        others = {
            place: {identifier for identifier in identifiers if not is_key_identifier(identifier)}
            for place, identifiers in self._identifiers.items()
        }
        answering = self._rows(RosterIdentifier, "identifier", others)
        keys = {
            place: (identifiers - others[place]).union(row.driver for row in answering[place])
            for place, identifiers in self._identifiers.items()
        }
        stored = self._rows(ObservedRow, "identifier", keys)
        return {
            place: Roster(place[1], map(to_observed_driver, batch_work.roster.over(stored[place])))
            for place, batch_work in self._batch_work.items()
        }

    def claimed(self, rosters: Mapping[Place, Roster]) -> dict[Place, dict[str, PortalDriverId]]:
        """Who has claimed a mark that could matter."""
        return self._claims(
            {
                place: self._identifiers[place].union(
                    rosters[place].identifiers, *map(claimable_by, batch_work.links.values())
                )
                for place, batch_work in self._batch_work.items()
            }
        )

    def waiting(self, claimed: Mapping[Place, dict[str, PortalDriverId]]) -> dict[Place, dict[PortalDriverId, str]]:
        """Who of those who hold a mark waits for another one, and so on to the end of each chain; adds their claims."""
        waiting = {place: _waiting_of(batch_work.links) for place, batch_work in self._batch_work.items()}
        asked = {place: set(batch_work.links) for place, batch_work in self._batch_work.items()}
        self._add_claims(claimed, waiting)
        while any(set(each.values()) - asked[place] for place, each in claimed.items()):
            unasked = {place: set(each.values()) - asked[place] for place, each in claimed.items()}
            rows = self._rows(LinkRow, "driver", unasked, {"state": "parked"})
            for place, drivers in unasked.items():
                asked[place] |= drivers
                waiting[place] |= {PortalDriverId(row.driver): row.waits_for for row in rows[place] if row.waits_for}
            self._add_claims(claimed, waiting)
        return waiting

    def linked(self, claimed: Mapping[Place, Mapping[str, PortalDriverId]]) -> dict[Place, dict[str, PortalDriverId]]:
        """Whose link has which key: those in hand, and those who have claimed something."""
        strangers = {
            place: set(claimed[place].values()) - batch_work.links.keys()
            for place, batch_work in self._batch_work.items()
        }
        rows = self._rows(LinkRow, "driver", strangers, {"is_live": True})
        return {
            (account, target): {
                **{key_identifier(target, Key(row.key)): PortalDriverId(row.driver) for row in rows[account, target]},
                **{key_identifier(target, link.key): driver for driver, link in batch_work.links.items() if link.key},
            }
            for (account, target), batch_work in self._batch_work.items()
        }

    def wanted(self, rosters: Mapping[Place, Roster]) -> dict[Place, frozenset[PortalDriverId]]:
        """Whom the Portal had before this batch, of those whose external ids other drivers' candidates carry."""
        carried = {
            (account, target): roster.portal_drivers
            for (account, target), roster in rosters.items()
            if roster.portal_drivers
            - {link.driver for link in self._batch_work[account, target].links.values() if link.key}
        }
        drivers = sorted({(account, str(driver)) for (account, _), each in carried.items() for driver in each})
        rows = self._store.among(DesiredRow, ("account", "driver"), drivers, {"is_wanted": True}) if drivers else []
        there = {(row.account, row.driver) for row in rows}
        return {
            (account, target): frozenset(
                driver for driver in carried.get((account, target), ()) if (account, driver) in there
            )
            for account, target in rosters
        }

    def guards(self) -> dict[Place, Guard]:
        """How far the guard is, where a delete could be decided."""
        places = [place for place, batch_work in self._batch_work.items() if batch_work.may_delete]
        if not places:
            return {}
        where: Where = {"account": sorted({name for name, _ in places}), "target": sorted({each for _, each in places})}
        since = (self._now - WINDOW).isoformat()
        deleted: dict[Place, set[PortalDriverId]] = defaultdict(set)
        for row in self._store.select(DeleteRow, where, order_by="at", after=since):
            deleted[_place(row)].add(PortalDriverId(row.driver))
        live = self._counted({**where, "is_live": True, "is_deleting": False})
        held = self._counted({**where, "state": "held"})
        return {
            place: Guard(staying=live[place], deleted=frozenset(deleted[place]), held=held[place]) for place in places
        }

    def _counted(self, where: Where) -> dict[Place, int]:
        counted = self._store.count(LinkRow, where, by=("account", "target"))
        return defaultdict(
            int, {(AccountId(str(name)), Target(str(each))): many for (name, each), many in counted.items()}
        )

    def _add_claims(
        self,
        claimed: Mapping[Place, dict[str, PortalDriverId]],
        waiting: Mapping[Place, Mapping[PortalDriverId, str]],
    ) -> None:
        """Add who has claimed what is waited for, as far as that is not known yet."""
        missing = {place: set(each.values()) - claimed[place].keys() for place, each in waiting.items()}
        for place, found in self._claims(missing).items():
            claimed[place].update(found)

    def _claims(self, identifiers: Mapping[Place, Collection[str]]) -> dict[Place, dict[str, PortalDriverId]]:
        rows = self._rows(ClaimRow, "identifier", identifiers)
        return {place: {row.identifier: PortalDriverId(row.driver) for row in rows[place]} for place in identifiers}

    def _rows(
        self, kind: type[PlacedRow], column: str, wanted: Mapping[Place, Collection[str]], where: Where | None = None
    ) -> dict[Place, list[PlacedRow]]:
        return rows_among(self._store, kind, column, wanted, where)


def rows_among(
    store: Store,
    kind: type[PlacedRow],
    column: str,
    wanted: Mapping[Place, Collection[str]],
    where: Where | None = None,
) -> dict[Place, list[PlacedRow]]:
    """The rows of each place that have one of its wanted values in this column, by one query."""
    found: dict[Place, list[PlacedRow]] = defaultdict(list)
    values = [(name, target, value) for (name, target), each in sorted(wanted.items()) for value in sorted(each)]
    if values:
        for row in store.among(kind, ("account", "target", column), values, where):
            found[_place(row)].append(row)
    return found


def given_up(store: Store, rosters: Mapping[Place, RosterChanges]) -> dict[Place, set[str]]:
    """The marks to which target drivers answer no more; the store has the rosters as they were before."""
    before = rows_among(store, RosterIdentifier, "driver", {place: each.news.keys() for place, each in rosters.items()})
    now = {
        (place, row.identifier, own.identifier)
        for place, each in rosters.items()
        for row in each.news.values()
        if row
        for own in to_roster_identifiers(row)
    }
    return {
        place: {row.identifier for row in rows if (place, row.driver, row.identifier) not in now}
        for place, rows in before.items()
    }


def looks_at_claimants(store: Store, identifiers: Mapping[Place, Collection[str]]) -> list[Look]:
    """Whoever has claimed one of these marks, to be looked at again: the target may have refused it to them so far."""
    return [
        Look(account=row.account, target=row.target, driver=row.driver)
        for rows in rows_among(store, ClaimRow, "identifier", identifiers).values()
        for row in rows
    ]


def _place(row: PlacedRow) -> Place:
    return AccountId(row.account), Target(row.target)


def _waiting_of(links: Links) -> dict[PortalDriverId, str]:
    parked = (link.parked for link in links.values() if link.parked)
    return {PortalDriverId(fact.driver): fact.waits_for for fact in parked if fact.waits_for}


Deciding = Callable[[DriverLink, Batch], tuple[LinkEvent, ...]]


class BatchDecider:
    """Decides link after link against one batch, and collects what is to be stored."""

    def __init__(self, place: Place, links: Links, batch: Batch) -> None:
        self.place = place
        self.freed: set[str] = set()
        self._links = dict(links)
        self._batch = batch
        self._touched: set[PortalDriverId] = set()
        self._events: list[LinkEvent] = []

    def link(self, driver: PortalDriverId) -> DriverLink:
        """A driver's link as it stands now."""
        account, target = self.place
        return self._links.get(driver) or DriverLink(account=account, target=target, driver=driver)

    def decide(self, desired: DesiredDriver, deciding: Deciding) -> None:
        """Let something be decided for the link of the desired state's driver, and take it over."""
        driver = desired.driver
        self._batch.hear(desired)
        before = self.link(driver)
        events = deciding(before, self._batch)
        if not events:
            return
        after, staying = replay(before, events), self._batch.guard.staying
        self.freed |= self._batch.record(before, after, events)
        staying += _is_staying(after) - _is_staying(before)
        self._batch.guard = replace(self._batch.guard, staying=staying)
        self._links[driver] = after
        self._events.extend(events)
        self._touched.add(driver)

    def store(self, unit: Unit) -> None:
        """Put everything that was decided, and what follows from it, into the unit."""
        unit.events.extend(self._events)
        unit.keep(to_link_row(self._links[driver]) for driver in sorted(self._touched))
        self._store_claims(unit)
        unit.keep(to_delete_row(event) for event in self._events if isinstance(event, DeleteDecided) and event.key)

    def looks(self, stored: Iterable[LinkRow]) -> Iterable[Look]:
        """Who waits for a mark that came free, of those stored as waiting and those in hand; and who has lost one."""
        account, target = self.place
        drivers = {row.driver for row in stored} | {str(driver) for driver in self._batch.dispossessed}
        drivers |= {str(link.driver) for link in self._links.values() if link.waits_for in self.freed}
        return [Look(account=account, target=str(target), driver=driver) for driver in sorted(drivers)]

    def _store_claims(self, unit: Unit) -> None:
        account, target = self.place
        holders = {identifier: self._batch.holder(identifier) for identifier in sorted(self._batch.moved)}
        unclaimed = [identifier for identifier, holder in holders.items() if holder is None]
        if unclaimed:
            unit.remove(ClaimRow, {"account": account, "target": str(target), "identifier": unclaimed})
        unit.keep(
            ClaimRow(account=account, target=str(target), identifier=identifier, driver=holder)
            for identifier, holder in holders.items()
            if holder is not None
        )


def store_decided(store: Store, batch_deciders: Sequence[BatchDecider], unit: Unit) -> None:
    """Put what was decided at all of these desks into the unit, and who has to be looked at again because of it."""
    waiting = rows_among(
        store, LinkRow, "waits_for", {batch_decider.place: batch_decider.freed for batch_decider in batch_deciders}
    )
    for batch_decider in batch_deciders:
        batch_decider.store(unit)
        unit.keep(batch_decider.looks(waiting[batch_decider.place]))


def _is_staying(link: DriverLink) -> bool:
    return link.is_live and not isinstance(link.pending, DeleteDecided)


Rule = Callable[[DesiredDriver, DriverLink, Batch, Trigger], tuple[LinkEvent, ...]]
"""How a link is decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAgain:
    """What makes us look at links again, be it in a reconciliation of this number, and how they are decided then."""

    kind: str
    ref: str = ""
    reconciliation: int = 0
    rule: Rule = decide


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTrigger:
    """One thing to be decided for one link: the desired state as it stood then, and how it is decided."""

    desired: DesiredDriver
    deciding: Deciding


def trigger_on(
    account: Account, target: Target, now: datetime, kind: str, ref: str, reconciliation: int = 0
) -> Trigger:
    """What leads to decisions on a target, under the account's present mode and terms."""
    policy_generation = account.policy_generation.get(target, 0)
    return Trigger(
        at=now,
        kind=kind,
        ref=ref,
        mode=account.mode(target),
        policy_generation=policy_generation,
        reconciliation=reconciliation,
    )


def to_link_trigger(desired: DesiredDriver, trigger: Trigger, rule: Rule = decide) -> LinkTrigger:
    """The desired state, to be decided by the rule."""
    return LinkTrigger(desired=desired, deciding=lambda link, batch: rule(desired, link, batch, trigger))


def judging(event: DeletesJudged, desired: DesiredDriver, trigger: Trigger, hold: int) -> Deciding:
    """Carry out what a person said of a held delete."""

    def judge(link: DriverLink, batch: Batch) -> tuple[LinkEvent, ...]:
        if isinstance(event, DeletesApproved):
            return deciding.approve(desired, link, batch, trigger, hold=hold, by=event.by, digest=event.digest)
        return deciding.reject(link, trigger, hold=hold, by=event.by, digest=event.digest)

    return judge


def recording(answer: CallAnswered, now: datetime) -> Deciding:
    """Record what the target answered."""
    return lambda link, batch: outcomes.record(link, answer, now, batch)
