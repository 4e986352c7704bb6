"""Where the links of one account on one target are decided."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from domain.driver_link import DeleteDecided, DriverLink, LinkEvent, replay
from domain.identity import PortalDriverId
from domain.ledger import Ledger
from domain.storing import Store, Unit
from domain.wish import Wish
from services.decider.loading import Links, rows_among
from services.decider.read_models import ClaimRow, LinkRow, Look, to_delete_row, to_link_row
from services.decider.sightings import Place

Deciding = Callable[[DriverLink, Ledger], tuple[LinkEvent, ...]]


class Desk:
    """Decides link after link against one ledger, and collects what is to be stored."""

    def __init__(self, place: Place, links: Links, ledger: Ledger) -> None:
        self.place = place
        self.freed: set[str] = set()
        self._links = dict(links)
        self._ledger = ledger
        self._touched: set[PortalDriverId] = set()
        self._events: list[LinkEvent] = []

    def link(self, driver: PortalDriverId) -> DriverLink:
        """A driver's link as it stands now."""
        account, target = self.place
        return self._links.get(driver) or DriverLink(account=account, target=target, driver=driver)

    def decide(self, wish: Wish, deciding: Deciding) -> None:
        """Let something be decided for the link of the wish's driver, and take it over."""
        driver = wish.driver
        self._ledger.hear(wish)
        before = self.link(driver)
        events = deciding(before, self._ledger)
        if not events:
            return
        after, staying = replay(before, events), self._ledger.guard.staying
        self.freed |= self._ledger.record(before, after, events)
        staying += _is_staying(after) - _is_staying(before)
        self._ledger.guard = replace(self._ledger.guard, staying=staying)
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
        drivers = {row.driver for row in stored} | {str(driver) for driver in self._ledger.dispossessed}
        drivers |= {str(link.driver) for link in self._links.values() if link.waits_for in self.freed}
        return [Look(account=account, target=str(target), driver=driver) for driver in sorted(drivers)]

    def _store_claims(self, unit: Unit) -> None:
        account, target = self.place
        holders = {mark: self._ledger.holder(mark) for mark in sorted(self._ledger.moved)}
        unclaimed = [mark for mark, holder in holders.items() if holder is None]
        if unclaimed:
            unit.remove(ClaimRow, {"account": account, "target": str(target), "mark": unclaimed})
        unit.keep(
            ClaimRow(account=account, target=str(target), mark=mark, driver=holder)
            for mark, holder in holders.items()
            if holder is not None
        )


def store_desks(store: Store, desks: Sequence[Desk], unit: Unit) -> None:
    """Put what was decided at all of these desks into the unit, and who has to be looked at again because of it."""
    waiting = rows_among(store, LinkRow, "waits_for", {desk.place: desk.freed for desk in desks})
    for desk in desks:
        desk.store(unit)
        unit.keep(desk.looks(waiting[desk.place]))


def _is_staying(link: DriverLink) -> bool:
    return link.is_live and not isinstance(link.pending, DeleteDecided)
