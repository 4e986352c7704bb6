"""Erasing a driver that the Portal has deleted: its keys first, then everything that intake knows of it.

It is noted before anything is destroyed, so that it is ended after a kill.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar

from domain.identity import AccountId, PortalDriverId
from domain.portal import NotErasable, PortalDriver, apply, check_erasable, erased
from domain.profile import DataSubject
from domain.store import Row, Store, Unit
from services.intake.read_models import KnownDriver, forget_driver, to_portal_driver


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunErasure(Row):
    """Work in hand: a driver that is being erased, since `at`, and who asked for that; see `DriverErased`.

    It `is_stored` once that is a fact; then only the file is to be overwritten.
    """

    TABLE: ClassVar[str] = "begun_erasures"
    KEY: ClassVar[tuple[str, ...]] = ("account", "driver")

    account: str
    driver: str
    at: str
    by: str
    role: str
    authenticated: str
    note: str
    is_stored: bool = False


def erasable(store: Store, account: str, driver: str) -> PortalDriver:
    """The driver, which can be erased as far as intake knows. Raises `NotErasable`, `StoreFailed`."""
    rows = store.select(KnownDriver, {"account": account, "driver": driver})
    start = PortalDriver(account=AccountId(account), driver=PortalDriverId(driver))
    known = to_portal_driver(rows[0]) if rows else start
    check_erasable(known)
    return known


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """A driver that is erased, and since when; not `is_new` where that was so before it was asked for."""

    at: datetime
    is_new: bool


class Erasing:
    """Erases drivers in intake; `destroy` is for the keys of subjects."""

    def __init__(self, store: Store, destroy: Callable[[Collection[DataSubject]], object]) -> None:
        self._store = store
        self._destroy = destroy

    def erase(self, begun: BegunErasure) -> Erasure:
        """Erase a driver, whole. Raises `NotErasable`, `StoreConflict` where it was stated meanwhile, `StoreFailed`."""
        known = erasable(self._store, begun.account, begun.driver)
        if known.erased_at:
            return Erasure(at=known.erased_at, is_new=False)
        self._keep(begun)
        self._go_on(begun, known)
        return Erasure(at=datetime.fromisoformat(begun.at), is_new=True)

    def go_on(self) -> int:
        """Go on with what was begun, as after a kill; how many drivers. Raises `StoreFailed`."""
        rows = self._store.select(BegunErasure)
        for row in rows:
            try:
                known = erasable(self._store, row.account, row.driver)
            except NotErasable:
                # The Portal has stated the driver since: nothing of it may be destroyed any more.
                self._forget(row)
            else:
                self._go_on(row, known)
        return len(rows)

    def _go_on(self, begun: BegunErasure, known: PortalDriver) -> None:
        if not begun.is_stored:
            self._destroy([DataSubject(account=known.account, driver=known.driver)])
            unit = Unit()
            for fact in erased(
                known,
                datetime.fromisoformat(begun.at),
                by=begun.by,
                role=begun.role,
                authenticated=begun.authenticated,
                note=begun.note,
            ):
                unit.events.append(fact)
                forget_driver(unit, apply(known, fact))
            unit.keep([replace(begun, is_stored=True)])
            self._store.commit(unit)
        self._store.end_erasing()
        self._forget(begun)

    def _keep(self, begun: BegunErasure) -> None:
        unit = Unit()
        unit.keep([begun])
        self._store.commit(unit)

    def _forget(self, begun: BegunErasure) -> None:
        unit = Unit()
        unit.remove(BegunErasure, {"account": begun.account, "driver": begun.driver})
        self._store.commit(unit)
