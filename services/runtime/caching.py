"""A store of which rows and folded histories are kept in memory, as far as this process asked for them or stored them.

Used from one thread. It is right exactly as long as no other process can store rows for the accounts that are asked
about: a commit of a process that has lost its partitions is refused, and then everything is forgotten. So what it
answers is certain only once the commit that follows from it has worked; no call to a target may follow from it alone.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import fields
from itertools import product
from operator import attrgetter
from typing import Any, Final, TypeVar, get_origin
from uuid import UUID

from domain.store import (
    FILLED,
    Commit,
    Event,
    Log,
    Record,
    Row,
    Store,
    StoreConflict,
    Stored,
    Unit,
    Value,
    Values,
    Where,
    key_of,
)
from services.runtime.logs import log_stored
from services.runtime.partitions import OwnedStore

R = TypeVar("R", bound=Row)
S = TypeVar("S")

MOST: Final = 20_000
"""Lookups that are remembered of each row type; the one that was asked for longest ago is forgotten first."""

WIDE: Final = 3
"""A row with a profile, or with lists, is up to six times as large as others: this part of them is remembered."""

MOST_STATES: Final = 5_000
"""Folded histories that are remembered, likewise; with six kilobytes each is larger than any row."""

MANY: Final = 50
"""Lookups of one account that one question has to miss before it is worth asking whether there is any row of it."""

_MOST_COMBINATIONS: Final = 5_000
"""Combinations of values that one condition may stand for; beyond that the store is asked."""


class CachingStore:
    """A store that answers from memory what it knows, and stores as the one that it is in front of.

    Rows of `kinds` are known by their whole key, rows of `groups` by their key without its last column: all of them
    that have the same values there. That there is none is known, too. What a history was folded to is known until it
    has another event, and beyond where the unit says what it comes to then; one history is always folded in the same
    way. Everything else is asked of the store.

    Of an account that had no rows of a type, as before its first import, all rows are known until one is forgotten; so
    that there is no other need not be asked. The first column of a key is that of the account.
    """

    def __init__(
        self,
        store: Store,
        kinds: Collection[type[Row]],
        groups: Collection[type[Row]] = (),
        *,
        most: int = MOST,
        most_states: int = MOST_STATES,
        many: int = MANY,
    ) -> None:
        self._store = store
        self._many = many
        self._most_states = most_states
        self._states: OrderedDict[UUID, Any] = OrderedDict()
        self._known = {
            **{kind: _Known(kind, kind.KEY, most) for kind in kinds},
            **{kind: _Known(kind, kind.KEY[:-1], most) for kind in groups},
        }
        self._under_way: Commit | None = None
        self._uncertain: set[type] = set()
        self.generation = 0
        """How often everything was forgotten: what else was derived from this store is void with each time."""

    @property
    def behind(self) -> Store:
        """The store itself, with all that was stored: what may not be answered from memory is asked of it."""
        self._await()
        return self._store

    def forget(self) -> None:
        """Know nothing: another process may have stored since."""
        self.generation += 1
        self._states.clear()
        for known in self._known.values():
            known.entries.clear()
            known.is_whole.clear()

    @property
    def log(self) -> Log:
        """Everything that was stored as an event, in the order of commits."""
        return self.behind.log

    def log_of(self, account: str) -> Log:
        """See `Store.log_of`."""
        return self.behind.log_of(account)

    def commit(self, unit: Unit) -> bool:
        """Store a unit, and know its rows from then on; everything is forgotten when it is not stored."""
        self._await()
        is_stored = False
        try:
            is_stored = self._store.commit(unit)
        finally:
            if is_stored:
                self._take(unit)
                self._trim()
                log_stored(unit.events)
            else:
                self.forget()
        return is_stored

    @contextmanager
    def together(self) -> Iterator[None]:
        """Store by one transaction, as far as the store can; everything is forgotten when it is not stored."""
        try:
            with self.behind.together():
                yield
        except BaseException:
            self.forget()
            raise

    def begin(self, unit: Unit) -> Commit:
        """Begin to store a unit, and know its rows already; everything is forgotten when it is not stored.

        What is known is not trimmed until its end. What memory does not answer is asked at once where the unit cannot
        have changed it, and else when its end is known.
        """
        self._await()
        try:
            commit = self._store.begin(unit)
        except BaseException:
            self.forget()
            raise
        self._uncertain = self._take(unit)
        outcome = Future[bool]()

        def end() -> bool:
            if not outcome.done():
                self._under_way, self._uncertain = None, set()
                try:
                    outcome.set_result(commit())
                except BaseException as failure:  # noqa: BLE001 - raised below, every time
                    outcome.set_exception(failure)
                if outcome.exception() is None and outcome.result():
                    self._trim()
                    log_stored(unit.events)
                else:
                    self.forget()
            return outcome.result()

        self._under_way = end
        return end

    def _await(self) -> None:
        """Wait until nothing is under way. Raises `StoreConflict` when it was not stored."""
        if self._under_way is None:
            return
        is_stored = False
        with suppress(Exception):
            is_stored = self._under_way()
        if not is_stored:
            raise StoreConflict("what this follows from is not stored")

    def _take(self, unit: Unit) -> set[type]:
        """Know what the unit stores; where that is not known in full, the types of the rows, and `Event`."""
        uncertain = set[type]()
        for event in unit.events:
            if event.originator_id not in unit.states:
                self._states.pop(event.originator_id, None)
                uncertain.add(Event)
        self._remember(unit.states)
        for kind, where in unit.removed:
            known = self._known.get(kind)
            if known is None or not known.remove(where):
                uncertain.add(kind)
        for (kind, key), row in unit.rows.items():
            known = self._known.get(kind)
            if known is None or not known.keep(key, row):
                uncertain.add(kind)
        return uncertain

    def _trim(self) -> None:
        while len(self._states) > self._most_states:
            self._states.popitem(last=False)
        for known in self._known.values():
            known.trim()

    def select(
        self,
        row: type[R],
        where: Where | None = None,
        *,
        order_by: str | tuple[str, ...] = "",
        after: Value | tuple[Value, ...] | None = None,
        limit: int | None = None,
    ) -> list[R]:
        """The rows that match; from memory where the condition names what they are known by."""
        known, asked = self._known.get(row), where or {}
        wanted = known.combinations(asked) if known and not order_by and after is None and limit is None else None
        if known is None or wanted is None:
            return self.behind.select(row, where, order_by=order_by, after=after, limit=limit)
        return self._found(row, known, wanted, _rest(asked, known.columns))

    def among(
        self, row: type[R], columns: Sequence[str], values: Collection[Values], where: Where | None = None
    ) -> list[R]:
        """The rows that match; from memory where these columns are what they are known by."""
        known = self._known.get(row)
        if known is None or sorted(columns) != sorted(known.columns):
            return self.behind.among(row, columns, values, where)
        if tuple(columns) != known.columns:
            places = [columns.index(column) for column in known.columns]
            values = [tuple(each[place] for place in places) for each in values]
        return self._found(row, known, values, where or {})

    def _found(self, row: type[R], known: "_Known", wanted: Iterable[Values], where: Where) -> list[R]:
        """The rows of these lookups that match; what is not known yet is asked for by one query."""
        found, missing = dict[Values, Sequence[Row]](), list[Values]()
        entries, is_whole = known.entries, known.is_whole
        for values in wanted:
            rows = entries.get(values)
            if rows is not None:
                found[values] = rows
                entries.move_to_end(values)
            elif values not in found and not is_whole.get(values[0]):
                found[values] = ()
                missing.append(values)
        if len(missing) >= self._many:
            self._note_beginners(row, known, missing)
            missing = [values for values in missing if not is_whole.get(values[0])]
        if missing:
            asked: dict[Values, list[Row]] = {}
            for each in self._read(row, known.columns, missing):
                asked.setdefault(known.values_of(each), []).append(each)
            found.update((values, tuple(rows)) for values, rows in asked.items())
            entries.update((values, tuple(asked.get(values, ()))) for values in missing)
            if self._under_way is None:
                known.trim()
        rows_found: list[Any] = [each for rows in found.values() for each in rows]
        return [each for each in rows_found if _matches(each, where)] if where else rows_found

    def _note_beginners(self, row: type[Row], known: "_Known", missing: Sequence[Values]) -> None:
        """Learn whether the store has any row of the accounts of which many lookups are missing."""
        for account, lookups in Counter(values[0] for values in missing).items():
            if lookups >= self._many and account not in known.is_whole:
                if row in self._uncertain:
                    self._await()
                where, order = {row.KEY[0]: account}, row.KEY[:2][-1]
                known.is_whole[account] = not self._store.select(row, where, order_by=order, limit=1)

    def _read(self, row: type[R], columns: Sequence[str], missing: Sequence[Values]) -> list[R]:
        if row in self._uncertain:
            self._await()
        if len(missing) == 1:
            return self._store.select(row, dict(zip(columns, missing[0], strict=True)))
        return self._store.among(row, columns, missing)

    def position(self, name: str) -> int:
        """How far the stream of this name has been consumed."""
        return self.behind.position(name)

    def histories(self, ids: Collection[UUID]) -> Mapping[UUID, Sequence[Event]]:
        """The events of each of these histories, in order."""
        return self.behind.histories(ids)

    def folded(self, start: Mapping[UUID, S], apply: Callable[[S, Event], S]) -> Mapping[UUID, S]:
        """What each of these histories comes to; those that are not known are asked for together."""
        found, unknown = dict[UUID, S](), dict[UUID, S]()
        for id, state in start.items():  # noqa: A001 - the event's word
            known = self._states.get(id)
            if known is None:
                unknown[id] = state
            else:
                found[id] = known
                self._states.move_to_end(id)
        if unknown:
            if Event in self._uncertain:
                self._await()
            folded = self._store.folded(unknown, apply)
            self._remember(folded)
            found.update(folded)
        return found

    def _remember(self, states: Mapping[UUID, object]) -> None:
        for id, state in states.items():  # noqa: A001 - the event's word
            self._states[id] = state
            self._states.move_to_end(id)
        if self._under_way is None:
            self._trim()

    def ids(self, after: UUID | None, limit: int) -> Sequence[UUID]:
        """The ids of the histories behind this one, in the order of ids."""
        return self.behind.ids(after, limit)

    def first(self, row: type[R], column: str, most: Mapping[str, int], *, order_by: str) -> list[R]:
        """For each of these values of a column its first rows."""
        return self.behind.first(row, column, most, order_by=order_by)

    def count(
        self,
        row: type[Row],
        where: Where | None = None,
        *,
        by: Sequence[str] = (),
        without: type[Row] | None = None,
    ) -> Mapping[Values, int]:
        """How many rows match, for each combination of the columns in `by`."""
        return self.behind.count(row, where, by=by, without=without)

    def least(
        self, row: type[Row], column: str, where: Where | None = None, *, by: Sequence[str]
    ) -> Mapping[Values, Value]:
        """The least value of a column in the rows that match, for each combination of the columns in `by`."""
        return self.behind.least(row, column, where, by=by)

    def records(self, ids: Collection[UUID]) -> Mapping[UUID, Sequence[Record]]:
        """The same histories as the log has them."""
        return self.behind.records(ids)

    def scan(self, row: type[Row]) -> Iterator[Stored]:
        """All rows as they are stored, in the order of their keys."""
        return self.behind.scan(row)

    def end_erasing(self) -> None:
        """Let what was erased be overwritten now."""
        self.behind.end_erasing()

    def close(self) -> None:
        """Let go of the store."""
        self.behind.close()


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

    def lost(self) -> Collection[int]:
        """The owned partitions that another process has owned since. Raises `StoreFailed`."""
        return self._owned.lost()


class _Known:
    """What is known of the rows of one type, by the values of the columns that they are looked up by."""

    def __init__(self, kind: type[Row], columns: Sequence[str], most: int) -> None:
        self.columns = tuple(columns)
        self.entries: OrderedDict[Values, tuple[Row, ...]] = OrderedDict()
        self.is_whole: dict[Value, bool] = {}
        """By account, as far as the store was asked: whether it has no rows but those in `entries`."""
        self._is_whole_key = self.columns == kind.KEY
        is_wide = any(get_origin(column.type) in {dict, list} for column in fields(kind))
        self._most = most // WIDE if is_wide else most
        get: Callable[[Row], Any] = attrgetter(*columns)
        self.values_of: Callable[[Row], Values] = get if len(columns) > 1 else lambda row: (get(row),)
        """What a row is looked up by."""

    def put(self, values: Values, rows: tuple[Row, ...]) -> None:
        """These are all rows of these values."""
        self.entries[values] = rows
        self.entries.move_to_end(values)

    def trim(self) -> None:
        """Forget what was not asked for longest, where there is too much."""
        while len(self.entries) > self._most:
            values, rows = self.entries.popitem(last=False)
            if rows and values[0] in self.is_whole:
                self.is_whole[values[0]] = False

    def keep(self, key: Values, row: Row) -> bool:
        """The row of this key was stored; whether all rows of its values are known: of a group only where they were."""
        if self._is_whole_key:
            self.put(key, (row,))
            return True
        values = self.values_of(row)
        if (known := self._rows_of(values)) is not None:
            self.put(values, (*(each for each in known if key_of(each) != key), row))
        else:
            return False
        return True

    def remove(self, where: Where) -> bool:
        """The rows that match were removed; whether all rows are known that have the values of those."""
        wanted = self.combinations(where)
        rest = where if wanted is None else _rest(where, self.columns)
        for values in [*self.entries] if wanted is None else wanted:
            if not rest:
                self.put(values, ())
            elif known := self.entries.get(values):
                self.put(values, tuple(row for row in known if not _matches(row, rest)))
        return wanted is not None and all(self._rows_of(values) is not None for values in wanted)

    def _rows_of(self, values: Values) -> tuple[Row, ...] | None:
        """All rows of these values; None where they are not known."""
        return self.entries.get(values, () if self.is_whole.get(values[0]) else None)

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
