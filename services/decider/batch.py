"""One batch: load what decides the links concerned, decide link after link, store what was decided.

A batch is everything that one commit decides. It needs one query for each kind of row, however many accounts and links
are in it; a chain of drivers who wait for each other takes one more for each of its members.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from domain.claims import Batch, Decide
from domain.driver_link import DriverLink, apply, unlinked
from domain.guard import DELETE_LIMIT, WINDOW, DeleteLimit, Guard
from domain.identity import AccountId, Key, PortalDriverId, Target
from domain.matching import DesiredDriver, Roster, claims, is_key_identifier, key_identifier
from domain.store import FILLED, Row, Store, Unit, Values, Where
from services.decider.read_models import (
    ClaimRow,
    DeleteRow,
    DesiredRow,
    LinkRow,
    Look,
    ObservedRow,
    Place,
    RosterIdentifier,
    project_rosters,
    rows_among,
    to_delete_rows,
    to_link_row,
    to_observed_driver,
)
from services.runtime.read_models import Events, kept_rows, to_unit

Links = dict[PortalDriverId, DriverLink]


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


def decide_batch(
    store: Store,
    unit: Unit,
    decisions: Iterable[tuple[DesiredDriver, Decide]],
    now: datetime,
    rosters: RosterChanges | None = None,
    delete_limit: DeleteLimit = DELETE_LIMIT,
) -> dict[Place, Batch]:
    """Decide these in their order, each on its driver's link and the desired state as it stood then.

    The unit gets the events, the rows, and the links that have to be looked at again because of them. `rosters` are
    changes that the unit stores, too. Returns what was decided for each account and target. Raises `StoreFailed`.
    """
    by_place: dict[Place, list[tuple[DesiredDriver, Decide]]] = {}
    for desired, decide in decisions:
        by_place.setdefault((desired.account, desired.target), []).append((desired, decide))
    stated = {place: [desired for desired, _ in each] for place, each in by_place.items()}
    batches = _load(store, stated, rosters, now, delete_limit)
    for place, each in by_place.items():
        for desired, decide in each:
            batches[place].decide(desired, decide)
    _store(store, batches, unit)
    return batches


def load_links(store: Store, drivers: Iterable[tuple[AccountId, Target, PortalDriverId]]) -> dict[Place, Links]:
    """The links of these drivers on these targets, by one query, and never all of their histories in memory."""
    start = {link.id: link for link in (unlinked(*each) for each in dict.fromkeys(drivers))}
    found: dict[Place, Links] = defaultdict(dict)
    for link in store.folded(start, apply).values():
        found[link.account, link.target][link.driver] = link
    return found


def _load_links(store: Store, stated: Mapping[Place, list[DesiredDriver]]) -> dict[Place, Links]:
    """The same for these desired states.

    A driver that the Portal states for the first time mostly has no link: its history is asked for only if there is a
    row of it, which is known in memory where the account had none before.
    """
    new = {place: {desired.driver for desired in each if desired.sequence == 1} for place, each in stated.items()}
    for place, rows in rows_among(store, LinkRow, "driver", new).items():
        new[place].difference_update(PortalDriverId(row.driver) for row in rows)
    drivers = ((place, desired.driver) for place, each in stated.items() for desired in each)
    links = load_links(store, ((*place, driver) for place, driver in drivers if driver not in new[place]))
    for place, each in new.items():
        links[place].update((driver, unlinked(*place, driver)) for driver in each)
    return links


def _load(
    store: Store,
    stated: Mapping[Place, list[DesiredDriver]],
    changes: RosterChanges | None,
    now: datetime,
    delete_limit: DeleteLimit,
) -> dict[Place, Batch]:
    links = _load_links(store, stated)
    identifiers = {place: _identifiers(place[1], each, links[place]) for place, each in stated.items()}
    rosters = _load_rosters(store, identifiers, changes)
    claimed = _load_claims(
        store,
        {
            place: each.union(rosters[place].identifiers, *(link.claimable for link in links[place].values()))
            for place, each in identifiers.items()
        },
    )
    waiting = _load_waiting(store, links, claimed)
    linked = _load_linked(store, links, claimed)
    wanted = _load_wanted(store, links, rosters)
    deleting = [place for place, each in stated.items() if any(not desired.is_wanted for desired in each)]
    guards = _load_guards(store, deleting, now, delete_limit)
    return {
        place: Batch(
            place[1],
            links=links[place],
            roster=rosters[place],
            claimed=claimed[place],
            waiting=waiting[place],
            linked=linked[place],
            wanted=wanted[place],
            guard=guards.get(place),
        )
        for place in stated
    }


def _identifiers(target: Target, stated: Iterable[DesiredDriver], links: Links) -> set[str]:
    """The identifiers that the desired states and their links are about."""
    desired_identifiers = {
        identifier
        for desired in stated
        for identifier in (*desired.identifiers, desired.dispensable_identifier)
        if identifier
    }
    keys = {key_identifier(target, key) for link in links.values() for key in (link.key, link.aside) if key}
    aside = (claims(target, link.former_key, link.former) for link in links.values() if link.is_aside)
    undone = (
        {*claims(target, Key(each.key), each.profile), key_identifier(target, Key(each.back_to))}
        for each in (link.undone for link in links.values())
        if each is not None
    )
    return desired_identifiers.union(keys, *aside, *undone)


def _load_rosters(
    store: Store, identifiers: Mapping[Place, set[str]], changes: RosterChanges | None
) -> dict[Place, Roster]:
    """The drivers of each roster that have one of the identifiers."""
    others = {
        place: {identifier for identifier in each if not is_key_identifier(identifier)}
        for place, each in identifiers.items()
    }
    having = rows_among(store, RosterIdentifier, "identifier", others)
    keys = {
        place: (each - others[place]).union(row.driver for row in having[place]) for place, each in identifiers.items()
    }
    stored = rows_among(store, ObservedRow, "identifier", keys)
    rows = {place: changes.over(place, stored[place]) if changes else stored[place] for place in identifiers}
    return {place: Roster(place[1], map(to_observed_driver, each)) for place, each in rows.items()}


def _load_claims(store: Store, identifiers: Mapping[Place, Collection[str]]) -> dict[Place, dict[str, PortalDriverId]]:
    """Which portal drivers have claimed these identifiers."""
    rows = rows_among(store, ClaimRow, "identifier", identifiers)
    return {place: {row.identifier: PortalDriverId(row.driver) for row in rows[place]} for place in identifiers}


def _load_waiting(
    store: Store, links: Mapping[Place, Links], claimed: Mapping[Place, dict[str, PortalDriverId]]
) -> dict[Place, dict[PortalDriverId, str]]:
    """Which holders of an identifier wait for another one, to the end of each chain; adds the claims on those."""
    waiting = {
        place: {
            driver: link.parked.waits_for
            for driver, link in links[place].items()
            if link.parked and link.parked.waits_for
        }
        for place in claimed
    }
    known = {place: set(links[place]) for place in claimed}
    while True:
        missing = {place: set(each.values()) - claimed[place].keys() for place, each in waiting.items()}
        for place, found in _load_claims(store, missing).items():
            claimed[place].update(found)
        unknown = {place: set(each.values()) - known[place] for place, each in claimed.items()}
        if not any(unknown.values()):
            return waiting
        rows = rows_among(store, LinkRow, "driver", unknown, {"reason": FILLED})
        for place, drivers in unknown.items():
            known[place] |= drivers
            waiting[place] |= {PortalDriverId(row.driver): row.waits_for for row in rows[place] if row.waits_for}


def _load_linked(
    store: Store, links: Mapping[Place, Links], claimed: Mapping[Place, Mapping[str, PortalDriverId]]
) -> dict[Place, dict[str, PortalDriverId]]:
    """The portal driver whose link has a key: of the links in the batch, and of those that have claimed something."""
    others = {place: set(each.values()) - links[place].keys() for place, each in claimed.items()}
    rows = rows_among(store, LinkRow, "driver", others, {"is_live": True})
    return {
        (account, target): {
            **{key_identifier(target, Key(row.key)): PortalDriverId(row.driver) for row in rows[account, target]},
            **{key_identifier(target, link.key): driver for driver, link in links[account, target].items() if link.key},
        }
        for account, target in claimed
    }


def _load_wanted(
    store: Store, links: Mapping[Place, Links], rosters: Mapping[Place, Roster]
) -> dict[Place, set[PortalDriverId]]:
    """The drivers in the Portal before this batch, of those whose external ids other drivers' candidates carry."""
    carried = {
        place: roster.portal_drivers
        for place, roster in rosters.items()
        if roster.portal_drivers - {driver for driver, link in links[place].items() if link.key}
    }
    drivers = sorted({(place[0], str(driver)) for place, each in carried.items() for driver in each})
    rows = store.among(DesiredRow, ("account", "driver"), drivers, {"is_wanted": True}) if drivers else []
    there = {(row.account, row.driver) for row in rows}
    return {place: {driver for driver in carried.get(place, ()) if (place[0], driver) in there} for place in rosters}


def _load_guards(
    store: Store, places: Collection[Place], now: datetime, delete_limit: DeleteLimit
) -> dict[Place, Guard]:
    """What the guard of each of these places has counted."""
    if not places:
        return {}
    where: Where = {"account": sorted({name for name, _ in places}), "target": sorted({each for _, each in places})}
    by = ("account", "target")
    deleted: dict[Place, set[PortalDriverId]] = defaultdict(set)
    for row in store.select(DeleteRow, where, order_by="at", after=(now - WINDOW).isoformat()):
        deleted[AccountId(row.account), Target(row.target)].add(PortalDriverId(row.driver))
    live = store.count(LinkRow, {**where, "is_live": True, "is_deleting": False}, by=by)
    held = store.count(LinkRow, {**where, "hold": FILLED}, by=by)
    return {
        (account, target): Guard(
            staying=live.get((account, str(target)), 0),
            deleted=frozenset(deleted[account, target]),
            held=held.get((account, str(target)), 0),
            rule=delete_limit,
        )
        for account, target in places
    }


def _store(store: Store, batches: Mapping[Place, Batch], unit: Unit) -> None:
    waiting = rows_among(store, LinkRow, "waits_for", {place: batch.freed for place, batch in batches.items()})
    for (account, target), batch in batches.items():
        place = {"account": str(account), "target": str(target)}
        unit.events.extend(batch.events)
        changed = sorted({PortalDriverId(event.driver) for event in batch.events})
        unit.keep(to_link_row(batch.links[driver]) for driver in changed)
        unit.states.update((batch.links[driver].id, batch.links[driver]) for driver in changed)
        unclaimed = list[str]()
        for identifier in sorted(batch.moved):
            if holder := batch.holder(identifier):
                row = ClaimRow(account=account, target=target, identifier=identifier, driver=holder)
                unit.rows[ClaimRow, (account, target, identifier)] = row
            else:
                unclaimed.append(identifier)
        if unclaimed:
            unit.remove(ClaimRow, {**place, "identifier": unclaimed})
        unit.keep(to_delete_rows(batch.events))
        freed_for = {row.driver for row in waiting[account, target]} | {str(driver) for driver in batch.dispossessed}
        freed_for |= {str(link.driver) for link in batch.links.values() if link.waits_for in batch.freed}
        unit.keep(Look(**place, driver=driver) for driver in sorted(freed_for))
