"""Read models: tables that follow from logs alone. One function keeps them live, and makes them from the logs again.

A service declares its read models, each with a version. Whatever is stored under another version is made again, from
the logs and beside the old tables, before the service consumes anything.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Protocol, TypeVar

from domain.hash_chain import ChainedStore
from domain.store import Event, Position, ReadModelVersion, Row, Store, Stored, Unit, Value, Values, key_of

R = TypeVar("R", bound=Row)

Events = Sequence[tuple[int, Event]]
"""Events of one log in its order, each with its position there."""

Project = Callable[[Events, "Rows"], object]
"""Brings rows to what they are after these events. It must not depend on how events are divided into batches.

What it returns is for its service only, which decides something by it as the events come.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadModel:
    """Tables that are made together, and what makes them: by the name of each log, a function of its events.

    `version` goes up whenever the same events make other rows than before; that columns are others is seen without it.
    `projections` begin with no rows, given the store of the service, which no other process writes meanwhile.
    """

    tables: tuple[type[Row], ...]
    projections: Callable[[Store], Mapping[str, Project]]
    version: int = 1

    def version_of(self, row: type[Row]) -> str:
        """What is stored as the version of one of the tables: its columns are part of it."""
        columns = ", ".join(f"{each.name} {getattr(each.type, '__name__', each.type)}" for each in fields(row))
        return f"{self.version}: {columns}; by {', '.join(row.KEY)}"


class RebuildableStore(ChainedStore, Protocol):
    """A store whose read models can be made again: beside the old tables, until they take the place of these."""

    def unlike(self, rows: Collection[type[Row]]) -> list[type[Row]]:
        """Those of these whose tables have other columns, or another key. Raises `StoreFailed`."""
        ...

    def begin_beside(self, rows: Collection[type[Row]]) -> None:
        """Make an empty table beside the table of each of these, without its indexes. Raises `StoreFailed`."""
        ...

    def put_beside(self, row: type[Row], rows: Mapping[Values, Row | None], *, is_first: bool) -> None:
        """Put these rows, by their keys, into the table beside; None: remove it. `is_first`: that table is empty.

        Raises `StoreFailed`.
        """
        ...

    def among_beside(self, row: type[R], keys: Collection[Values]) -> list[R]:
        """The rows of these keys in the table beside. Raises `StoreFailed`."""
        ...

    def scan_beside(self, row: type[Row]) -> Iterator[Stored]:
        """All rows of the table beside, as `scan` gives them. Raises `StoreFailed`."""
        ...

    def end_beside(self, versions: Mapping[type[Row], str], positions: Sequence[Position] = ()) -> None:
        """Let the tables beside take the place of these tables, as of this version each, in one transaction.

        The positions, of none of which the store has any yet, are stored with them. Columns of `WORK` stay as they are
        in the old table, where it has them. Raises `StoreFailed`; then everything is as it was.
        """
        ...

    def erase(self, account: str, rows: Collection[type[Row]], but: Collection[str]) -> tuple[int, int]:
        """Erase an account's events, apart from those of these topics, and what these tables have of it.

        That is one transaction. Returns how many events and rows there were. Raises `StoreFailed`.
        """
        ...

    def last_of(self, account: str) -> int:
        """The position of an account's last event; 0 where there is none. Raises `StoreFailed`."""
        ...

    def drop_beside(self, rows: Collection[type[Row]]) -> None:
        """Remove the tables beside. Raises `StoreFailed`."""
        ...


def stale(store: RebuildableStore, models: Sequence[ReadModel]) -> list[ReadModel]:
    """The read models that this store does not hold in their version. Raises `StoreFailed`."""
    stored = {row.name: row.version for row in store.select(ReadModelVersion)}
    for row in store.unlike([row for model in models for row in model.tables]):
        stored.pop(row.TABLE, None)
    return [model for model in models if any(stored.get(row.TABLE) != model.version_of(row) for row in model.tables)]


class Rows:
    """The rows that a projection works on, by their keys; what it changes is stored together.

    `read` finds rows of a table by their keys. What was read or changed stays in memory; while there is nothing else,
    they are `is_whole`.
    """

    is_whole = False

    def __init__(self, read: Callable[[type[Any], Collection[Values]], Iterable[Row]]) -> None:
        self._read = read
        self._known: dict[type[Row], dict[Values, Row | None]] = defaultdict(dict)
        self._changed: dict[type[Row], set[Values]] = defaultdict(set)

    def load(self, kind: type[Row], keys: Iterable[Values]) -> None:
        """Read the rows of these keys that are not in memory, by one query."""
        if self.is_whole:
            return
        known = self._known[kind]
        if missing := dict.fromkeys(key for key in keys if key not in known):
            known.update(missing)
            for row in self._read(kind, missing):
                known[key_of(row)] = row

    def get(self, kind: type[R], *key: Value) -> R | None:
        """The row of this key, if there is one."""
        known: dict[Values, Any] = self._known[kind]
        if key not in known:
            if self.is_whole:
                return None
            self.load(kind, [key])
        found: R | None = known[key]
        return found

    def put(self, row: Row) -> None:
        """Keep this row, in the place of the one with its key."""
        self._change(type(row), key_of(row), row)

    def remove(self, kind: type[Row], *key: Value) -> None:
        """Keep no row of this key."""
        self._change(kind, key, None)

    def _change(self, kind: type[Row], key: Values, row: Row | None) -> None:
        self._known[kind][key] = row
        if not self.is_whole:
            self._changed[kind].add(key)

    def changes(self) -> Iterator[tuple[type[Row], Mapping[Values, Row | None]]]:
        """By table the rows that were changed since the last time, by their keys; None: it is there no more."""
        if self.is_whole:
            yield from self._known.items()
            return
        for kind, keys in self._changed.items():
            known = self._known[kind]
            yield kind, {key: known[key] for key in sorted(keys)}
        self._changed.clear()

    def __len__(self) -> int:
        """How many rows are in memory."""
        return sum(map(len, self._known.values()))

    def forget(self) -> None:
        """Keep nothing in memory; changes have to be stored before."""
        self._known.clear()


def kept_rows(store: Store) -> Rows:
    """The rows of a store, to be changed live: `to_unit` has what was changed."""
    return Rows(lambda kind, keys: store.among(kind, kind.KEY, keys))


def projected(store: Store, project: Project, events: Events) -> Unit:
    """What follows live from these events for the rows of a store."""
    rows = kept_rows(store)
    project(events, rows)
    return to_unit(rows.changes())


def to_unit(changes: Iterable[tuple[type[Row], Mapping[Values, Row | None]]]) -> Unit:
    """Changes of rows by table and key, to be stored; None: a row is there no more."""
    unit = Unit()
    for kind, changed in changes:
        for key, row in changed.items():
            if row is None:
                unit.remove(kind, dict(zip(kind.KEY, key, strict=True)))
            else:
                unit.rows[kind, key] = row
    return unit


MOST_ROWS: Final = 60_000
"""Rows of one service that a rebuild holds in memory; beyond that what it has made so far is stored."""


class RowsBeside(Rows):
    """The rows of read models that are made beside the old ones: stored when there are many, and at the end."""

    def __init__(self, store: RebuildableStore, tables: Collection[type[Row]]) -> None:
        """Begins with empty tables. Raises `StoreFailed`."""
        super().__init__(self._found)
        self.is_whole = True
        self._store = store
        self._filled: set[type[Row]] = set()
        store.begin_beside(tables)

    def _found(self, kind: type[Any], keys: Collection[Values]) -> Iterable[Row]:
        return self._store.among_beside(kind, keys) if kind in self._filled else ()

    def store_some(self) -> None:
        """Store what was made where that has become much. Raises `StoreFailed`."""
        if len(self) > MOST_ROWS:
            self.store_all()

    def store_all(self) -> None:
        """Store what was made. Raises `StoreFailed`."""
        for kind, changed in self.changes():
            self._store.put_beside(kind, changed, is_first=kind not in self._filled)
            self._filled.add(kind)
        self.is_whole = False
        self.forget()
