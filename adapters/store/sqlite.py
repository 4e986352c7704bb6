"""A store in one SQLite file, by the recorders of the eventsourcing library."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from eventsourcing.persistence import (
    IntegrityError,
    PersistenceError,
    StoredEvent,
    Tracking,
)
from eventsourcing.sqlite import SQLiteCursor, SQLiteDatastore, SQLiteProcessRecorder

from adapters.store.mapping import again, new_mapper, to_event, to_record
from adapters.store.tables import Table, table_of
from domain.event import Event
from domain.storing import (
    OF_EVERY_STORE,
    Record,
    Resubmission,
    Row,
    StoreConflict,
    Stored,
    StoreFailed,
    Unit,
    Value,
    Where,
)

R = TypeVar("R", bound=Row)

_SCAN = 1000
"""Rows that a scan holds at a time."""

_UNSTORABLE = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError, OverflowError)
"""What says that a value does not fit its column: no conflict, and no trouble of the store."""

_ADVICE = (
    ("full", "the disk is full: free some space and start again; nothing of the last step was stored"),
    ("readonly", "the data folder cannot be written: check its owner and its rights"),
    ("unable to open", "the data folder cannot be opened: check its owner and its rights"),
    ("locked", "another process has a file of the data folder open: stop it and start again"),
    ("not a database", "a file of the data folder is damaged: put a copy of it in its place"),
    ("malformed", "a file of the data folder is damaged: put a copy of it in its place"),
    ("I/O error", "the disk does not work: look at the system's log"),
)


class _Recorder(SQLiteProcessRecorder):
    """Writes the rows of a unit with the cursor that writes its events and its position."""

    def __init__(self, datastore: SQLiteDatastore, rows: Sequence[type[Row]]) -> None:
        self._rows = rows
        super().__init__(datastore)

    def construct_create_table_statements(self) -> list[str]:
        statements = super().construct_create_table_statements()
        return [*statements, *(statement for row in self._rows for statement in table_of(row).create())]

    def _insert_events(
        self,
        c: SQLiteCursor,
        stored_events: Sequence[StoredEvent],
        **kwargs: Any,  # noqa: ANN401 - the library's signature
    ) -> Sequence[int] | None:
        returning = super()._insert_events(c, stored_events, **kwargs)
        _write_rows(c, kwargs["unit"])
        return returning


def _write_rows(cursor: SQLiteCursor, unit: Unit) -> None:
    for removed, where in unit.removed:
        statement = table_of(removed).delete(where)
        cursor.execute(statement.sql, statement.parameters)
    by_kind: dict[type[Row], list[Row]] = {}
    for row in unit.rows.values():
        by_kind.setdefault(type(row), []).append(row)
    for kind, rows in by_kind.items():
        table: Table[Any] = table_of(kind)
        try:
            cursor.executemany(table.upsert(), [table.parameters(row) for row in rows])
        except _UNSTORABLE as failure:
            raise ValueError(f"a row of {kind.TABLE} cannot be stored: {failure}") from failure


class SqliteLog:
    """A store's own log, read in place: the stream that its followers read in the embedded shape."""

    def __init__(self, name: str, recorder: SQLiteProcessRecorder) -> None:
        self.name = f"1/{name}/0"
        self._recorder = recorder
        self._mapper = new_mapper()

    def read(self, after: int, limit: int) -> Sequence[Record]:
        """The records behind this position, in order."""
        with _failures():
            found = self._recorder.select_notifications(after, limit, inclusive_of_start=False)
        return [to_record(self._mapper, notification.id, notification) for notification in found]

    def end(self) -> int:
        """The position of the last record; 0 when there is none."""
        with _failures():
            return self._recorder.max_notification_id() or 0

    def again(self, resubmission: Resubmission) -> Record:
        """The record that a resubmission stands for, decoded anew."""
        return again(self._mapper, resubmission)


class SqliteStore:
    """What one service owns, in one file. One process at a time may have the file open."""

    def __init__(self, path: Path, *, log_name: str, rows: Sequence[type[Row]]) -> None:
        with _failures():
            self._datastore = SQLiteDatastore(path.absolute().as_uri(), lock_timeout=10)
            self._recorder = _Recorder(self._datastore, (*rows, *OF_EVERY_STORE))
            self._recorder.create_table()
        self._mapper = new_mapper()
        self.log = SqliteLog(log_name, self._recorder)

    def commit(self, unit: Unit) -> bool:
        """Store a unit in one transaction; False when its position was taken over already."""
        stored = [self._mapper.to_stored_event(event) for event in unit.events]
        tracking = Tracking(unit.position.name, unit.position.at) if unit.position else None
        try:
            with _failures():
                self._recorder.insert_events(stored, tracking=tracking, unit=unit)
        except IntegrityError as conflict:
            if unit.position and self.position(unit.position.name) >= unit.position.at:
                return False
            raise StoreConflict(str(conflict)) from conflict
        return True

    def position(self, name: str) -> int:
        """How far the stream of this name has been taken over."""
        with _failures():
            return self._recorder.max_tracking_id(name) or 0

    def histories(self, ids: Collection[UUID]) -> Mapping[UUID, Sequence[Event]]:
        """The events of each of these histories, in order, by one query."""
        stored = self._histories(ids)
        return {each: [to_event(self._mapper, event) for _, event in events] for each, events in stored.items()}

    def records(self, ids: Collection[UUID]) -> Mapping[UUID, Sequence[Record]]:
        """The same histories as the log has them."""
        stored = self._histories(ids)
        return {
            each: [to_record(self._mapper, position, event) for position, event in events]
            for each, events in stored.items()
        }

    def ids(self, after: UUID | None, limit: int) -> Sequence[UUID]:
        """The ids of the histories behind this one, in the order of ids."""
        sql = "SELECT DISTINCT originator_id FROM stored_events WHERE originator_id > ? ORDER BY originator_id LIMIT ?"
        return [UUID(each) for (each,) in self._fetch(sql, [after.hex if after else "", limit])]

    def select(
        self,
        row: type[R],
        where: Where | None = None,
        *,
        order_by: str = "",
        after: Value | None = None,
        limit: int | None = None,
    ) -> list[R]:
        """The rows that match."""
        table = table_of(row)
        statement = table.select(where or {}, order_by, after, limit)
        return [table.to_row(values) for values in self._fetch(statement.sql, statement.parameters)]

    def count(
        self, row: type[Row], where: Where | None = None, *, by: Sequence[str] = ()
    ) -> Mapping[tuple[Value, ...], int]:
        """How many rows match, for each combination of the columns in `by`."""
        table = table_of(row)
        statement = table.count(where or {}, by)
        found = self._fetch(statement.sql, statement.parameters)
        return {table.to_fields(by, values[:-1]): values[-1] for values in found}

    def scan(self, row: type[Row]) -> Iterator[Stored]:
        """All rows as they are stored, in the order of their keys, a page at a time."""
        table = table_of(row)
        page = self._page(table, None)
        while page:
            yield from page
            page = self._page(table, page[-1]) if len(page) == _SCAN else []

    def replace(self, tables: Mapping[type[Row], Iterable[Stored]]) -> None:
        """Put these rows in the place of all that these tables hold, in one transaction."""
        with _failures(), self._datastore.transaction(commit=True) as cursor:
            for kind, rows in tables.items():
                table = table_of(kind)
                emptied = table.delete({})
                cursor.execute(emptied.sql, emptied.parameters)
                cursor.executemany(table.upsert(), rows)

    def close(self) -> None:
        """Let go of the file."""
        self._datastore.close()

    def _histories(self, ids: Collection[UUID]) -> dict[UUID, list[tuple[int, StoredEvent]]]:
        wanted = {each.hex: each for each in ids}
        found: dict[UUID, list[tuple[int, StoredEvent]]] = {each: [] for each in ids}
        marks = ", ".join("?" for _ in wanted)
        sql = (
            "SELECT rowid, originator_id, originator_version, topic, state FROM stored_events "  # noqa: S608 - only marks
            f"WHERE originator_id IN ({marks}) ORDER BY originator_id, originator_version"
        )
        for position, name, version, topic, state in self._fetch(sql, list(wanted)):
            each = wanted[name]
            stored = StoredEvent(originator_id=each, originator_version=version, topic=topic, state=state)
            found[each].append((position, stored))
        return found

    def _page(self, table: Table[Any], behind: Stored | None) -> list[Stored]:
        statement = table.page(behind, _SCAN)
        return self._fetch(statement.sql, statement.parameters)

    def _fetch(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        with _failures(), self._datastore.transaction(commit=False) as cursor:
            cursor.execute(sql, parameters)
            return [tuple(values) for values in cursor.fetchall()]


@contextmanager
def _failures() -> Iterator[None]:
    """Turn the library's failures into ours; a conflict stays one."""
    try:
        yield
    except IntegrityError:
        raise
    except (PersistenceError, sqlite3.Error) as failure:
        raise StoreFailed(_advice(str(failure))) from failure


def _advice(text: str) -> str:
    advice = (advice for word, advice in _ADVICE if word in text)
    return next(advice, f"the store does not work: {text}")
