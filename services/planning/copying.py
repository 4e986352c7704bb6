"""One account's part of the decider's store on one target, copied some rows at a time into a scratch store."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

from domain.account import Account
from domain.identity import AccountId, PortalDriverId, Target, link_stream
from domain.storing import Row, Store, Unit
from services.asking.paging import pages
from services.decider.read_models import (
    ClaimRow,
    DeleteRow,
    LinkRow,
    RosterRow,
    SweepRow,
    WalkRow,
    WishRow,
    to_roster_marks,
)

_COPIED: tuple[type[Row], ...] = (WalkRow, SweepRow, WishRow, RosterRow, LinkRow, ClaimRow, DeleteRow)
"""What decisions depend on; work in hand is left out, for the sweep looks at everybody anyway."""


def copy(store: Store, scratch: Store, account: Account, target: Target) -> Iterator[int]:
    """Copy the account's part, a page with each step; how many rows it had."""
    place = {"account": str(account.account), "target": str(target)}
    for kind in _COPIED:
        where = {column: value for column, value in place.items() if column in kind.KEY}
        for page in pages(store, kind, where, kind.KEY[-1]):
            unit = Unit()
            unit.keep(page)
            _ALONG.get(kind, _nothing)(store, page, unit)
            scratch.commit(unit)
            yield len(page)


def _nothing(_store: Store, _page: Sequence[Row], _unit: Unit) -> None:
    """Nothing goes along with these rows."""


def _histories(store: Store, page: Sequence[Row], unit: Unit) -> None:
    rows = cast("Sequence[LinkRow]", page)
    ids = [link_stream(AccountId(row.account), Target(row.target), PortalDriverId(row.driver)) for row in rows]
    for events in store.histories(ids).values():
        unit.events.extend(events)


def _marks(_store: Store, page: Sequence[Row], unit: Unit) -> None:
    for row in cast("Sequence[RosterRow]", page):
        unit.keep(to_roster_marks(row))


_ALONG: Mapping[type[Row], Callable[[Store, Sequence[Row], Unit], None]] = {LinkRow: _histories, RosterRow: _marks}
"""What goes along with rows: the histories of links, the marks of target drivers."""
