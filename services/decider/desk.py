"""Where the links of one account on one target are decided, with everything loaded that a batch needs."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from domain.driver_link import DeleteDecided, DriverLink, LinkEvent, replay
from domain.guard import WINDOW, Guard
from domain.identity import AccountId, Key, PortalDriverId, Target, link_stream
from domain.ledger import Ledger, claimable_by
from domain.roster import Roster
from domain.storing import Row, Store, Unit, Where
from domain.wish import Wish, is_key_mark, key_mark
from services.decider.read_models import (
    ClaimRow,
    DeleteRow,
    LinkRow,
    Look,
    RosterMark,
    RosterRow,
    to_delete_row,
    to_link_row,
    to_target_driver,
)
from services.decider.sightings import RosterChanges

R = TypeVar("R", bound=Row)

Deciding = Callable[[DriverLink, Ledger], tuple[LinkEvent, ...]]


class Desk:
    """Decides link after link against one ledger, and collects what is to be stored."""

    def __init__(
        self, store: Store, account: AccountId, target: Target, *, now: datetime, roster: RosterChanges
    ) -> None:
        self._store = store
        self._place: dict[str, str] = {"account": str(account), "target": str(target)}
        self._account = account
        self._target = target
        self._now = now
        self._links: dict[PortalDriverId, DriverLink] = {}
        self._touched: set[PortalDriverId] = set()
        self._events: list[LinkEvent] = []
        self._freed: set[str] = set()
        self._ledger = Ledger(target)
        self._roster = roster

    def load(self, wishes: Iterable[Wish], links: Mapping[PortalDriverId, DriverLink]) -> None:
        """Make ready for deciding these wishes on these links: one query for each kind of thing, not for each link."""
        wishes = list(wishes)
        self._links = dict(links)
        marks = {mark for wish in wishes for mark in (*wish.marks, wish.yielding_mark) if mark}
        marks |= {key_mark(self._target, link.key) for link in links.values() if link.key}
        roster = self._shown(marks)
        claimed = self._claims(marks.union(roster.marks, *map(claimable_by, links.values())))
        self._ledger = Ledger(
            self._target,
            roster=roster,
            claimed=claimed,
            waiting=self._waiting(claimed),
            linked=self._linked(claimed),
            guard=self._guard() if any(not wish.is_wanted for wish in wishes) else None,
        )

    def link(self, driver: PortalDriverId) -> DriverLink:
        """A driver's link as it stands now."""
        known = self._links.get(driver)
        return known or DriverLink(account=self._account, target=self._target, driver=driver)

    def decide(self, driver: PortalDriverId, deciding: Deciding) -> None:
        """Let something be decided for a driver's link, and take it over."""
        before = self.link(driver)
        events = deciding(before, self._ledger)
        if not events:
            return
        after, staying = replay(before, events), self._ledger.guard.staying
        self._freed |= self._ledger.record(before, after, events)
        staying += _is_staying(after) - _is_staying(before)
        self._ledger.guard = replace(self._ledger.guard, staying=staying)
        self._links[driver] = after
        self._events.extend(events)
        self._touched.add(driver)

    def store(self, unit: Unit) -> None:
        """Put everything that was decided, and what follows from it, into the unit."""
        unit.events.extend(self._events)
        touched = [self._links[driver] for driver in sorted(self._touched)]
        unit.keep(map(to_link_row, touched))
        self._store_claims(unit)
        unit.keep(self._looks())
        unit.keep(to_delete_row(event) for event in self._events if isinstance(event, DeleteDecided) and event.key)

    def _store_claims(self, unit: Unit) -> None:
        holders = {mark: self._ledger.holder(mark) for mark in sorted(self._ledger.moved)}
        unclaimed = [mark for mark, holder in holders.items() if holder is None]
        if unclaimed:
            unit.remove(ClaimRow, {**self._place, "mark": unclaimed})
        unit.keep(
            ClaimRow(**self._place, mark=mark, driver=holder) for mark, holder in holders.items() if holder is not None
        )

    def _looks(self) -> Iterable[Row]:
        freed = sorted(self._freed)
        waiting = self._select(LinkRow, {"waits_for": freed}) if freed else []
        drivers = {PortalDriverId(row.driver) for row in waiting}
        drivers |= {link.driver for link in self._links.values() if link.waits_for in self._freed}
        return [Look(**self._place, driver=driver) for driver in sorted(drivers)]

    def _shown(self, marks: set[str]) -> Roster:
        others = {mark for mark in marks if not is_key_mark(mark)}
        answering = self._select(RosterMark, {"mark": sorted(others)}) if others else []
        keys = (marks - others).union(row.driver for row in answering)
        stored = self._select(RosterRow, {"mark": sorted(keys)})
        return Roster(self._target, map(to_target_driver, self._roster.over(stored)))

    def _claims(self, marks: Collection[str]) -> dict[str, PortalDriverId]:
        rows = self._select(ClaimRow, {"mark": sorted(marks)}) if marks else []
        return {row.mark: PortalDriverId(row.driver) for row in rows}

    def _linked(self, claimed: Mapping[str, PortalDriverId]) -> dict[str, PortalDriverId]:
        """Whose link has which key: those in hand, and those who have claimed something."""
        strangers = sorted(set(claimed.values()) - self._links.keys())
        rows = self._select(LinkRow, {"driver": strangers, "is_live": True}) if strangers else []
        linked = {key_mark(self._target, Key(row.key)): PortalDriverId(row.driver) for row in rows}
        own = {key_mark(self._target, link.key): driver for driver, link in self._links.items() if link.key}
        return linked | own

    def _waiting(self, claimed: dict[str, PortalDriverId]) -> dict[PortalDriverId, str]:
        """Who of those who hold a mark waits for another one, and so on to the end of each chain; adds their claims."""
        parked = (link.parked for link in self._links.values() if link.parked)
        waiting = {PortalDriverId(fact.driver): fact.waits_for for fact in parked if fact.waits_for}
        asked = set(self._links)
        claimed |= self._claims(set(waiting.values()) - set(claimed))
        while unasked := set(claimed.values()) - asked:
            rows = self._select(LinkRow, {"driver": sorted(unasked), "state": "parked"})
            found = {PortalDriverId(row.driver): row.waits_for for row in rows if row.waits_for}
            waiting |= found
            asked |= unasked
            claimed |= self._claims(set(found.values()) - set(claimed))
        return waiting

    def _guard(self) -> Guard:
        since = (self._now - WINDOW).isoformat()
        deleted = self._store.select(DeleteRow, self._place, order_by="at", after=since)
        window = frozenset(PortalDriverId(row.driver) for row in deleted)
        live = self._store.count(LinkRow, {**self._place, "is_live": True, "is_deleting": False})
        held = self._store.count(LinkRow, {**self._place, "state": "held"})
        return Guard(staying=sum(live.values()), deleted=window, held=sum(held.values()))

    def _select(self, row: type[R], where: Where) -> list[R]:
        return self._store.select(row, {**self._place, **where})


def _is_staying(link: DriverLink) -> bool:
    return link.is_live and not isinstance(link.pending, DeleteDecided)


def load_links(
    store: Store, places: Iterable[tuple[AccountId, Target, PortalDriverId]]
) -> dict[tuple[AccountId, Target], dict[PortalDriverId, DriverLink]]:
    """The links of these drivers on these targets, by one query."""
    wanted = {link_stream(*place): place for place in dict.fromkeys(places)}
    found: dict[tuple[AccountId, Target], dict[PortalDriverId, DriverLink]] = {}
    for each, events in store.histories(list(wanted)).items():
        account, target, driver = wanted[each]
        start = DriverLink(account=account, target=target, driver=driver)
        found.setdefault((account, target), {})[driver] = replay(start, events)
    return found
