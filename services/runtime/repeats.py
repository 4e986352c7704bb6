"""What may come again and has to take effect once: it is stored with a row that says so, which is kept for a while."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from domain.store import Position, Row, Store, StoreConflict, Unit

T = TypeVar("T")


def hour_of(moment: datetime) -> str:
    """The hour of a moment in UTC; later ones are greater texts."""
    return moment.isoformat()[:13]


def store_once(store: Store, name: str, find: Callable[[], T | None], decide: Callable[[int], tuple[Unit, T]]) -> T:
    """What was found of former times, else what was decided now, and stored.

    `decide` is given the number of this among those of this name: each takes the next position, so that of two at once
    one is stored and the other looks again. Raises `StoreConflict` where another position of the unit is reached.
    """
    while True:
        position = Position(name=name, at=store.position(name) + 1)
        if (found := find()) is not None:
            return found
        unit, decided = decide(position.at)
        if any(store.position(each.name) >= each.at for each in unit.positions):
            raise StoreConflict
        unit.positions.append(position)
        if store.commit(unit):
            return decided


def forgetting(store: Store, kind: type[Row], before: str, *, column: str = "hour") -> Unit:
    """What removes the rows of the oldest hour, if that was before this one; empty if there are none."""
    unit = Unit()
    for oldest in store.select(kind, order_by=column, limit=1):
        if (hour := getattr(oldest, column)) < before:
            unit.remove(kind, {column: hour})
    return unit
