"""A store of which rows and folded histories are kept in memory, as far as this process asked for them or stored them.

Used from one thread. It is right exactly as long as no other process can store rows for the accounts that are asked
about: a commit of a process that has lost its partitions is refused, and then everything is forgotten. So what it
answers is certain only once the commit that follows from it has worked; no call to a target may follow from it alone.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import product
from operator import attrgetter
from typing import Any, Final, TypeVar, get_origin
from uuid import UUID

from domain.store import FILLED, Event, Record, Row, Store, Stored, Stream, Unit, Value, Where
from services.runtime.partitions import OwnedStore

R = TypeVar("R", bound=Row)
S = TypeVar("S")

Values = tuple[Value, ...]

MOST: Final = 20_000
"""Lookups that are remembered of each row type; the one that was asked for longest ago is forgotten first."""

WIDE: Final = 3
"""A row that carries a profile is six times as large as others: this part of them is remembered."""

MOST_STATES: Final = 5_000
"""Folded histories that are remembered, likewise; with six kilobytes each is larger than any row."""

_MOST_COMBINATIONS: Final = 5_000
"""Combinations of values that one condition may stand for; beyond that the store is asked."""


class CachingStore:
    """A store that answers from memory what it knows, and stores as the one that it is in front of.

    Rows of `kinds` are known by their whole key, rows of `groups` by their key without its last column: all of them
    that have the same values there. That there is none is known, too. What a history was folded to is known until it
    has another event, and beyond where the unit says what it comes to then; one history is always folded in the same
    way. Everything else is asked of the store.
    """

    def __init__(
        self,
        store: Store,
        kinds: Collection[type[Row]],
        groups: Collection[type[Row]] = (),
        *,
        most: int = MOST,
        most_states: int = MOST_STATES,
    ) -> None:
        self._store = store
        self._most_states = most_states
        self._states: OrderedDict[UUID, Any] = OrderedDict()
        self._known = {
            **{kind: _Known(kind, kind.KEY, most) for kind in kinds},
            **{kind: _Known(kind, kind.KEY[:-1], most) for kind in groups},
        }
        self.generation = 0
        """How often everything was forgotten: what else was derived from this store is void with each time."""

    @property
    def behind(self) -> Store:
        """The store itself: what may not be answered from memory is asked of it."""
        return self._store

    def forget(self) -> None:
        """Know nothing: another process may have stored since."""
        self.generation += 1
        self._states.clear()
        for known in self._known.values():
            known.entries.clear()

    @property
    def log(self) -> Stream:
        """Everything that was stored as an event, in the order of commits."""
        return self._store.log

    def commit(self, unit: Unit) -> bool:
        """Store a unit, and know its rows from then on; everything is forgotten when it is not stored."""
        is_stored = False
        try:
            is_stored = self._store.commit(unit)
        finally:
            if is_stored:
                self._take(unit)
            else:
                self.forget()
        return is_stored

    def _take(self, unit: Unit) -> None:
        for event in unit.events:
            self._states.pop(event.originator_id, None)
        self._remember(unit.states)
        for kind, where in unit.removed:
            if known := self._known.get(kind):
                known.remove(where)
        for row in unit.rows.values():
            if known := self._known.get(type(row)):
                known.keep(row)

    def select(
        self,
        row: type[R],
        where: Where | None = None,
        *,
        order_by: str = "",
        after: Value | None = None,
        limit: int | None = None,
    ) -> list[R]:
        """The rows that match; from memory where the condition names what they are known by."""
        known, asked = self._known.get(row), where or {}
        wanted = known.combinations(asked) if known and not order_by and after is None and limit is None else None
        if known is None or wanted is None:
            return self._store.select(row, where, order_by=order_by, after=after, limit=limit)
        return self._found(row, known, wanted, _rest(asked, known.columns))

    def among(
        self, row: type[R], columns: Sequence[str], values: Collection[Values], where: Where | None = None
    ) -> list[R]:
        """The rows that match; from memory where these columns are what they are known by."""
        known = self._known.get(row)
        if known is None or sorted(columns) != sorted(known.columns):
            return self._store.among(row, columns, values, where)
        if tuple(columns) != known.columns:
            places = [columns.index(column) for column in known.columns]
            values = [tuple(each[place] for place in places) for each in values]
        return self._found(row, known, values, where or {})

    def _found(self, row: type[R], known: "_Known", wanted: Iterable[Values], where: Where) -> list[R]:
        """The rows of these lookups that match; what is not known yet is asked for by one query."""
        found = {values: known.get(values) for values in wanted}
        missing = [values for values, rows in found.items() if rows is None]
        if missing:
            asked: dict[Values, list[Row]] = {values: [] for values in missing}
            for each in self._read(row, known.columns, missing):
                asked[known.values_of(each)].append(each)
            for values, rows in asked.items():
                found[values] = tuple(rows)
                known.put(values, tuple(rows))
        rows_found: list[Any] = [each for rows in found.values() if rows for each in rows]
        return [each for each in rows_found if _matches(each, where)] if where else rows_found

    def _read(self, row: type[R], columns: Sequence[str], missing: Sequence[Values]) -> list[R]:
        if len(missing) == 1:
            return self._store.select(row, dict(zip(columns, missing[0], strict=True)))
        return self._store.among(row, columns, missing)

    def position(self, name: str) -> int:
        """How far the stream of this name has been consumed."""
        return self._store.position(name)

    def histories(self, ids: Collection[UUID]) -> Mapping[UUID, Sequence[Event]]:
        """The events of each of these histories, in order."""
        return self._store.histories(ids)

    def folded(self, start: Mapping[UUID, S], apply: Callable[[S, Event], S]) -> Mapping[UUID, S]:
        """What each of these histories comes to; those that are not known are asked for together."""
        found: dict[UUID, S] = {id: self._states[id] for id in start if id in self._states}  # noqa: A001 - the event's word
        if unknown := {id: state for id, state in start.items() if id not in found}:  # noqa: A001 - the same
            found.update(self._store.folded(unknown, apply))
        self._remember(found)
        return found

    def _remember(self, states: Mapping[UUID, object]) -> None:
        for id, state in states.items():  # noqa: A001 - the event's word
            self._states[id] = state
            self._states.move_to_end(id)
        while len(self._states) > self._most_states:
            self._states.popitem(last=False)

    def ids(self, after: UUID | None, limit: int) -> Sequence[UUID]:
        """The ids of the histories behind this one, in the order of ids."""
        return self._store.ids(after, limit)

    def first(self, row: type[R], column: str, most: Mapping[str, int], *, order_by: str) -> list[R]:
        """For each of these values of a column its first rows."""
        return self._store.first(row, column, most, order_by=order_by)

    def count(self, row: type[Row], where: Where | None = None, *, by: Sequence[str] = ()) -> Mapping[Values, int]:
        """How many rows match, for each combination of the columns in `by`."""
        return self._store.count(row, where, by=by)

    def least(
        self, row: type[Row], column: str, where: Where | None = None, *, by: Sequence[str]
    ) -> Mapping[Values, Value]:
        """The least value of a column in the rows that match, for each combination of the columns in `by`."""
        return self._store.least(row, column, where, by=by)

    def records(self, ids: Collection[UUID]) -> Mapping[UUID, Sequence[Record]]:
        """The same histories as the log has them."""
        return self._store.records(ids)

    def scan(self, row: type[Row]) -> Iterator[Stored]:
        """All rows as they are stored, in the order of their keys."""
        return self._store.scan(row)

    def unlike(self, rows: Collection[type[Row]]) -> list[type[Row]]:
        """Those of these whose tables have other columns, or another key."""
        return self._store.unlike(rows)

    def begin_beside(self, rows: Collection[type[Row]]) -> None:
        """Make an empty table beside the table of each of these."""
        self._store.begin_beside(rows)

    def put_beside(self, row: type[Row], rows: Mapping[Values, Row | None], *, is_first: bool) -> None:
        """Put these rows into the table beside."""
        self._store.put_beside(row, rows, is_first=is_first)

    def among_beside(self, row: type[R], keys: Collection[Values]) -> list[R]:
        """The rows of these keys in the table beside."""
        return self._store.among_beside(row, keys)

    def scan_beside(self, row: type[Row]) -> Iterator[Stored]:
        """All rows of the table beside."""
        return self._store.scan_beside(row)

    def end_beside(self, versions: Mapping[type[Row], str]) -> None:
        """Let the tables beside take the place of these tables."""
        try:
            self._store.end_beside(versions)
        finally:
            self.forget()

    def drop_beside(self, rows: Collection[type[Row]]) -> None:
        """Remove the tables beside."""
        self._store.drop_beside(rows)

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()


class OwnedCachingStore(CachingStore):
    """The same for a store of several processes: with each change of the partitions it begins from nothing."""

    def __init__(self, store: OwnedStore, kinds: Collection[type[Row]], groups: Collection[type[Row]] = ()) -> None:
        super().__init__(store, kinds, groups)
        self._owned = store

    def own(self, partitions: Collection[int]) -> None:
        """Own these partitions from now on. Raises `StoreFailed`."""
        try:
            self._owned.own(partitions)
        finally:
            self.forget()

    def disown(self, partitions: Collection[int]) -> None:
        """Release these partitions."""
        self._owned.disown(partitions)
        self.forget()


class _Known:
    """What is known of the rows of one type, by the values of the columns that they are looked up by."""

    def __init__(self, kind: type[Row], columns: Sequence[str], most: int) -> None:
        self.columns = tuple(columns)
        self.entries: OrderedDict[Values, tuple[Row, ...]] = OrderedDict()
        self._is_whole_key = self.columns == kind.KEY
        self._key_of = attrgetter(*kind.KEY)
        is_wide = any(get_origin(column.type) is dict for column in fields(kind))
        self._most = most // WIDE if is_wide else most
        get: Callable[[Row], Any] = attrgetter(*columns)
        self.values_of: Callable[[Row], Values] = get if len(columns) > 1 else lambda row: (get(row),)
        """What a row is looked up by."""

    def get(self, values: Values) -> tuple[Row, ...] | None:
        """The rows of these values; None where that is not known."""
        found = self.entries.get(values)
        if found is not None:
            self.entries.move_to_end(values)
        return found

    def put(self, values: Values, rows: tuple[Row, ...]) -> None:
        """These are all rows of these values."""
        self.entries[values] = rows
        self.entries.move_to_end(values)
        if len(self.entries) > self._most:
            self.entries.popitem(last=False)

    def keep(self, row: Row) -> None:
        """A row was stored; that there are no others of a group is only known where the group was."""
        values = self.values_of(row)
        if self._is_whole_key:
            self.put(values, (row,))
        elif (known := self.entries.get(values)) is not None:
            key = self._key_of(row)
            self.entries[values] = (*(each for each in known if self._key_of(each) != key), row)

    def remove(self, where: Where) -> None:
        """The rows that match were removed."""
        wanted = self.combinations(where)
        rest = where if wanted is None else _rest(where, self.columns)
        for values in [*self.entries] if wanted is None else wanted:
            if known := self.entries.get(values):
                self.entries[values] = tuple(row for row in known if not _matches(row, rest))

    def combinations(self, where: Where) -> list[Values] | None:
        """The values of the lookups that a condition stands for; None where it does not name them, or too many."""
        wanted = [_one_of(where[column]) for column in self.columns if where.get(column, FILLED) is not FILLED]
        total = 1
        for each in wanted:
            total *= len(each)
        if len(wanted) < len(self.columns) or total > _MOST_COMBINATIONS:
            return None
        return [*product(*wanted)]


def _one_of(wanted: Value | Collection[Value]) -> Collection[Value]:
    return (wanted,) if isinstance(wanted, str | int | float) else wanted


def _rest(where: Where, columns: Collection[str]) -> Where:
    """The condition without what these columns say."""
    return {column: wanted for column, wanted in where.items() if column not in columns}


def _matches(row: Row, where: Where) -> bool:
    return all(getattr(row, column) in _one_of(wanted) for column, wanted in where.items())
