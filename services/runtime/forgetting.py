"""What is left to do once a service has forgotten an erased driver: destroy keys, and overwrite what its file had.

It is noted in the transaction that forgets, so it is done after a kill too; each of its steps may be done again.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar
from uuid import UUID

from domain.store import DeadLetter, MendedRecord, Resubmission, Row, Store, Unit
from services.runtime.context import Assignment


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten(Row):
    """Work in hand: an erased driver whose rows are gone, but whose keys are not destroyed yet, for all we know.

    `keys` are the target drivers that it was linked to, `elsewhere` those of them that are another's now; there are
    none where it is not about a target.
    """

    TABLE: ClassVar[str] = "forgotten_drivers"
    KEY: ClassVar[tuple[str, ...]] = ("account", "driver")

    account: str
    driver: str
    keys: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)


class Forgetting:
    """Does what is left to do of the drivers that a service has forgotten: a chore.

    `destroy` is for the keys of target drivers; `after` puts into the unit what follows.
    """

    def __init__(
        self,
        store: Store,
        assignment: Assignment,
        *,
        destroy: Callable[[Forgotten], object] = lambda _: None,
        after: Callable[[Unit, Forgotten], None] = lambda _unit, _row: None,
    ) -> None:
        self._store = store
        self._assignment = assignment
        self._destroy = destroy
        self._after = after
        self._nothing_waits: frozenset[int] | None = None

    def look_again(self) -> None:
        """A driver is about to be noted."""
        self._nothing_waits = None

    def __call__(self) -> int:
        """Finish what is left to do for our accounts; for how many drivers. Raises `StoreFailed`."""
        held = self._assignment.held
        if self._nothing_waits is held:
            return 0
        rows = [row for row in self._store.select(Forgotten) if self._assignment.has(row.account)]
        unit = Unit()
        for row in rows:
            self._destroy(row)
            self._after(unit, row)
            unit.remove(Forgotten, {"account": row.account, "driver": row.driver})
        if rows:
            self._store.end_erasing()
            self._store.commit(unit)
        self._nothing_waits = held
        return len(rows)


def forget_records(store: Store, unit: Unit, histories: Collection[UUID]) -> None:
    """Remove in the unit the records of these histories that could not be handled. Raises `StoreFailed`."""
    kinds: tuple[type[DeadLetter | Resubmission | MendedRecord], ...] = (DeadLetter, Resubmission, MendedRecord)
    for kind in kinds:
        for row in store.select(kind):
            with suppress(ValueError):
                if UUID(row.id.partition("/")[0]) in histories:
                    unit.remove(kind, {column: getattr(row, column) for column in kind.KEY})
