"""The drivers of one tenant, found by id, e-mail and user name, and listed in the order they were created in."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from services.sandbox.driveri.assumptions import ASSUMED, Assumptions
from services.sandbox.driveri.driver import Driver, Group, Statuses
from services.sandbox.faults.marks import Arrangement, as_it_is
from services.sandbox.lagging import Lagging
from services.sandbox.shelves import Shelves

_ALL = "all"
_PRESENT = "present"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which drivers a list is about. Dates are of the last update, inclusive, in milliseconds since the epoch."""

    states: frozenset[int] = frozenset()
    show_all: bool = False
    group: str | None = None
    from_date: int | None = None
    to_date: int | None = None

    @property
    def is_narrowed(self) -> bool:
        """Whether it asks for more than one shelf can answer."""
        return self.group is not None or self.from_date is not None or self.to_date is not None or len(self.states) > 1

    @property
    def shelf(self) -> Hashable:
        """The shelf to look on; a state asked for by its code is shown, be it the one of deleted drivers."""
        if len(self.states) == 1:
            return ("state", *self.states)
        return _ALL if self.show_all or self.states else _PRESENT

    def admits(self, driver: Driver) -> bool:
        """Whether a driver from that shelf is asked for."""
        return (
            (not self.states or driver.status in self.states)
            and (self.group is None or self.group in group_names(driver))
            and (self.from_date is None or driver.updated_date >= self.from_date)
            and (self.to_date is None or driver.updated_date <= self.to_date)
        )


def group_names(driver: Driver) -> Sequence[str]:
    """Both names of the group that the driver is in, if any."""
    return (driver.group.group_name, driver.group.group_unique_name) if driver.group else ()


def _named(field: str, value: str) -> str:
    """The label of a value in any letter case; a text, since a pair takes twice the memory."""
    return f"{field}:{value.casefold()}"


class Tenant:
    """One fleet's drivers. A driver's id is unique in it, deleted drivers included; letter case is an assumption."""

    def __init__(
        self, name: str, statuses: Statuses, drivers: Iterable[Driver] = (), assumptions: Assumptions = ASSUMED
    ) -> None:
        self.name = name
        self.statuses = statuses
        self.assumptions = assumptions
        self._groups: dict[str, Group] = {}
        self._rows: list[Driver] = []
        self._numbers: dict[str, int] = {}
        self._shelves = Shelves()
        self._late: Lagging[Tenant, Driver] | None = None
        known = tuple(drivers)
        for driver in known:
            self.add(driver)
        if assumptions.shown_after:
            copy = Tenant(name, statuses, known, assumptions.model_copy(update={"shown_after": 0.0}))
            self._late = Lagging(copy, Tenant.put, 1000 * assumptions.shown_after)

    def shown(self, now: int) -> "Tenant":
        """What lists and look-ups show at this moment, in milliseconds since the epoch."""
        return self._late.at(now) if self._late else self

    def put(self, before: Driver | None, after: Driver) -> None:
        """Take in a driver, or the new version of one."""
        if before is None:
            self.add(after)
        else:
            self.replace(before, after)

    def find(self, driver_id: str) -> Driver | None:
        """The driver of this id."""
        number = self._numbers.get(self._id(driver_id))
        return None if number is None else self._rows[number]

    def with_email(self, email: str) -> list[Driver]:
        """The drivers with this e-mail address, deleted ones included."""
        return self._on(_named("email", email))

    def with_user_name(self, user_name: str) -> list[Driver]:
        """The drivers with this user name, deleted ones included."""
        return self._on(_named("userName", user_name))

    def all(self) -> Sequence[Driver]:
        """Every driver, deleted ones included."""
        return self._rows

    def page(
        self, query: Query, offset: int, limit: int, arrangement: Arrangement = as_it_is
    ) -> tuple[list[Driver], int]:
        """The drivers asked for, from `offset`, at most `limit`; and how many there are in all."""
        numbers = self._shelves.on(query.shelf)
        if self.assumptions.listed_deleted == "hidden":
            numbers = [number for number in numbers if self._rows[number].status != self.statuses.deleted]
        if query.is_narrowed:
            numbers = [number for number in numbers if query.admits(self._rows[number])]
        numbers = arrangement(numbers)
        return [self._rows[number] for number in numbers[offset : offset + limit]], len(numbers)

    def group(self, name: str) -> Group | None:
        """The group that a write calls so, among those that some driver is or was in."""
        return self._groups.get(name)

    def called(self, group: Group) -> str:
        """What a write calls a group."""
        return group.group_name if self.assumptions.group_named_by == "name" else group.group_unique_name

    def add(self, driver: Driver) -> None:
        """Take in a driver whose id is free."""
        number = len(self._rows)
        self._rows.append(driver)
        self._numbers[self._id(driver.driver_id)] = number
        self._keep_group(driver)
        self._shelves.move(number, frozenset(), self._labels(driver))
        self._show_later(None, driver)

    def replace(self, before: Driver, after: Driver) -> None:
        """Put the new version of a driver in the place of the one before; its new id, if any, is free."""
        number = self._numbers.pop(self._id(before.driver_id))
        self._numbers[self._id(after.driver_id)] = number
        self._keep_group(after)
        self._rows[number] = after
        self._shelves.move(number, self._labels(before), self._labels(after))
        self._show_later(before, after)

    def _show_later(self, before: Driver | None, after: Driver) -> None:
        if self._late:
            self._late.add(before, after, after.updated_date)

    def _id(self, driver_id: str) -> str:
        return driver_id if self.assumptions.ids == "exact" else driver_id.casefold()

    def _keep_group(self, driver: Driver) -> None:
        if driver.group:
            self._groups.setdefault(self.called(driver.group), driver.group)

    def _on(self, label: Hashable) -> list[Driver]:
        return [self._rows[number] for number in self._shelves.on(label)]

    def _labels(self, driver: Driver) -> set[Hashable]:
        labels: set[Hashable] = {_ALL, ("state", driver.status)}
        if driver.status != self.statuses.deleted:
            labels.add(_PRESENT)
        if driver.email:
            labels.add(_named("email", driver.email))
        if driver.user_name:
            labels.add(_named("userName", driver.user_name))
        return labels
