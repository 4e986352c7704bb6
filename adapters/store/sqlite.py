"""A store in one SQLite file, by the recorders of the eventsourcing library."""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from threading import get_ident
from typing import Any
from uuid import UUID

from eventsourcing.persistence import IntegrityError, PersistenceError, StoredEvent, Tracking
from eventsourcing.sqlite import (
    SQLiteConnection,
    SQLiteConnectionPool,
    SQLiteCursor,
    SQLiteDatastore,
    SQLiteProcessRecorder,
)

from adapters.store.relational import RelationalStore, Values, named_in, write_rows
from adapters.store.tables import Dialect, Shape, SqlStatement, Table, mending, table_of
from domain.ports import ProfileKeys
from domain.store import OF_EVERY_STORE, Row, Stored, StoreFailed, Unit

_UNSTORABLE = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError, OverflowError)
"""What says that a value does not fit its column: no conflict, and no trouble of the store."""

_ADVICE = (
    ("full", "the disk is full: free some space and start again; nothing of the last step was stored"),
    ("readonly", "the data folder cannot be written: check its owner and its rights"),
    (
        "unable to open",
        "the data folder cannot be opened: check its owner and its rights, and how many files may be open",
    ),
    ("locked", "another process has a file of the data folder open: stop it and start again"),
    ("not a database", "a file of the data folder is damaged: put a copy of it in its place"),
    ("malformed", "a file of the data folder is damaged: put a copy of it in its place"),
    ("I/O error", "the disk does not work: look at the system's log"),
)


def _combinations(types: Sequence[str], values: Collection[tuple[Any, ...]]) -> SqlStatement:
    # Of values without a type SQLite does not know that an index of the columns has them in the same order.
    typed = ", ".join(f"CAST(column{place} AS {kind})" for place, kind in enumerate(types, 1))
    row = f"({', '.join('?' for _ in types)})"
    rows = ", ".join(row for _ in values)
    return SqlStatement(f"SELECT {typed} FROM (VALUES {rows})", tuple(chain.from_iterable(values)))  # noqa: S608 - our own names


def _put(cursor: SQLiteCursor, table: Table[Any], rows: Iterable[Stored]) -> None:
    _write(cursor, table, table.upsert(_values(table)), rows)


def _load(cursor: SQLiteCursor, table: Table[Any], rows: Iterable[Stored]) -> None:
    sql = f"INSERT INTO {table.row.TABLE} ({', '.join(table.columns)}) {_values(table)}"
    _write(cursor, table, sql, rows)


def _values(table: Table[Any]) -> str:
    return f"VALUES ({', '.join('?' for _ in table.columns)})"


def _write(cursor: SQLiteCursor, table: Table[Any], sql: str, rows: Iterable[Stored]) -> None:
    try:
        cursor.executemany(sql, rows)
    except _UNSTORABLE as failure:
        raise ValueError(f"a row of {table.row.TABLE} cannot be stored: {failure}") from failure


SQLITE = Dialect(
    placeholder="?",
    text="TEXT",
    position="rowid",
    one_of=lambda values: SqlStatement(f"IN ({', '.join('?' for _ in values)})", tuple(values)),
    combinations=_combinations,
    guard=lambda _column, _kind: "",
    put=_put,
    load=_load,
    from_uuid=lambda id: id.hex,  # noqa: A006 - the event's word
    to_uuid=UUID,
    id="TEXT",
    added={
        "hash": "BLOB NOT NULL DEFAULT x''",
        "account": "TEXT NOT NULL DEFAULT ''",
        "driver": "TEXT NOT NULL DEFAULT ''",
    },
    event_indexes=("CREATE INDEX IF NOT EXISTS stored_events_of_account ON stored_events (account)",),
    hash_text="lower(hex(hash))",
    history="originator_id",
    raw="CAST(originator_id AS BLOB), originator_version, CAST(topic AS BLOB), CAST(state AS BLOB), "
    "CAST(hash AS BLOB), CAST(account AS BLOB), CAST(driver AS BLOB)",
)

_INSERT_EVENT = (
    "INSERT INTO stored_events (originator_id, originator_version, topic, state, hash, account, driver) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)

_PUT_HEAD = (
    "INSERT INTO history_heads (history, version, hash) VALUES (?, ?, ?) "
    "ON CONFLICT (history) DO UPDATE SET version = excluded.version, hash = excluded.hash"
)


class _SqliteRecorder(SQLiteProcessRecorder):
    """Writes the rows and the positions of a unit with the cursor that writes its events."""

    def insert(self, cursor: SQLiteCursor, stored: Sequence[StoredEvent], hashes: Sequence[bytes], unit: Unit) -> None:
        """Write all of a unit, whose events these are."""
        events = [
            (_hex(each), each.originator_version, each.topic, each.state, hash, *named_in(event))
            for each, hash, event in zip(stored, hashes, unit.events, strict=True)  # noqa: A001 - the field's word
        ]
        cursor.executemany(_INSERT_EVENT, events)
        heads = {history: (version, hash.hex()) for history, version, _, _, hash, *_ in events}  # noqa: A001 - as above
        cursor.executemany(_PUT_HEAD, [(history, *head) for history, head in heads.items()])
        for position in unit.positions:
            self._insert_tracking(cursor, Tracking(position.name, position.at))
        write_rows(cursor, unit, SQLITE)


class _OverwritingPool(SQLiteConnectionPool):
    """The library's, whose connections overwrite what is changed or removed, wherever in the file it was."""

    def _create_connection(self) -> SQLiteConnection:
        connection = super()._create_connection()
        connection.cursor().execute("PRAGMA secure_delete = ON")
        return connection


class SqliteStore(RelationalStore):
    """What one service owns, in one file. One process at a time may have the file open."""

    def __init__(
        self,
        path: Path,
        *,
        log_name: str,
        rows: Sequence[type[Row]],
        is_reader: bool = False,
        read_models: Collection[type[Row]] = (),
        keys: ProfileKeys | None = None,
    ) -> None:
        """One that `is_reader` makes nothing, and cannot commit: it is for queries beside the service itself.

        `keys` seal the profiles in its events; without them they stay plain, in a store that is thrown away.
        The table of one of the `read_models` may be another version's: it is left until `end_beside` replaces it.
        """
        super().__init__(SQLITE, log_name, keys)
        with sqlite_failures():
            self._datastore = SQLiteDatastore(path.absolute().as_uri(), lock_timeout=10)
            self._datastore.pool = _OverwritingPool(db_name=self._datastore.pool.db_name, lock_timeout=10)
            self._recorder = _SqliteRecorder(self._datastore)
        self._is_reader = is_reader
        self._shared: SQLiteCursor | None = None
        self._sharing = 0
        if is_reader:
            return
        with sqlite_failures():
            self._recorder.create_table()
        with self._transaction() as cursor:
            for name in SQLITE.added.keys() - _column_names(cursor, "stored_events"):
                cursor.execute(SQLITE.add_column(name))
            for statement in SQLITE.event_indexes:
                cursor.execute(statement)
            for row in (*rows, *OF_EVERY_STORE):
                if not _make(cursor, table_of(row, SQLITE)) and row not in read_models:
                    raise StoreFailed(
                        f"the table {row.TABLE} in {path.name} is another version's, which no script here migrates: "
                        "start the version that wrote it"
                    )

    def erase(self, account: str, rows: Collection[type[Row]], but: Collection[str]) -> tuple[int, int]:
        """Erase an account's events and rows; what they were is overwritten in the file."""
        self.begin_erasing()
        return super().erase(account, rows, but)

    def begin_erasing(self) -> None:
        """Have what is changed or removed overwritten in the file, instead of only marking its place as free."""
        with sqlite_failures(), self._datastore.transaction(commit=False) as cursor:
            cursor.execute("PRAGMA secure_delete = ON")

    def end_erasing(self) -> None:
        """Put what is in the log of the file into the file itself, and cut the log off: both had what was erased."""
        with sqlite_failures(), self._datastore.get_connection(commit=True) as connection:
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Let go of the file."""
        self._datastore.close()

    def _send(self, stored: Sequence[StoredEvent], hashes: Sequence[bytes], unit: Unit) -> Callable[[], None]:
        if self._is_reader:
            raise StoreFailed("this store is only read")

        def store() -> None:
            with self._transaction() as cursor:
                self._recorder.insert(cursor, stored, hashes, unit)

        return store

    @contextmanager
    def together(self) -> Iterator[None]:
        """While this lasts, what this thread commits is stored by one transaction at its end, or nothing of it."""
        try:
            with self._transaction() as cursor:
                self._shared, self._sharing = cursor, get_ident()
                try:
                    yield
                finally:
                    self._shared, self._sharing = None, 0
                _check(cursor)
        except BaseException:
            self._chains.forget()
            raise

    def _fetch(self, sql: str, parameters: Sequence[Any]) -> list[Values]:
        with sqlite_failures():
            if self._shared and self._sharing == get_ident():
                return _fetched(self._shared, sql, parameters)
            # A question is a transaction of its own; to begin and end one around it takes twice as long.
            with self._datastore.get_connection(commit=False) as connection, connection.cursor() as cursor:
                return _fetched(cursor, sql, parameters)

    def _shapes(self, cursor: SQLiteCursor) -> Mapping[str, Shape]:
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {name: _shape(cursor, name) for (name,) in cursor.fetchall()}

    @contextmanager
    def _transaction(self) -> Iterator[SQLiteCursor]:
        with sqlite_failures():
            if self._shared and self._sharing == get_ident():
                with _part(self._shared):
                    yield self._shared
            else:
                with self._datastore.transaction(commit=True) as cursor:
                    yield cursor


def _hex(stored: StoredEvent) -> str:
    history: Any = stored.originator_id  # the library's type says that it may be a text
    return str(history.hex)


@contextmanager
def _part(cursor: SQLiteCursor) -> Iterator[None]:
    """A part of a transaction: what fails in here undoes nothing else of it."""
    _check(cursor)
    cursor.execute("SAVEPOINT part")
    try:
        yield
    except BaseException as failure:
        if cursor.sqlite_cursor.connection.in_transaction:
            cursor.execute("ROLLBACK TO part")
            cursor.execute("RELEASE part")
        if isinstance(failure, sqlite3.IntegrityError):
            raise IntegrityError(failure) from failure
        raise
    cursor.execute("RELEASE part")


def _check(cursor: SQLiteCursor) -> None:
    """Raise `StoreFailed` where the database has undone the whole transaction, as it does when the disk is full."""
    if not cursor.sqlite_cursor.connection.in_transaction:
        raise StoreFailed("the store does not work: what was stored together was undone")


def _fetched(cursor: SQLiteCursor | sqlite3.Cursor, sql: str, parameters: Sequence[Any]) -> list[Values]:
    cursor.execute(sql, parameters)
    return [tuple(values) for values in cursor.fetchall()]


def _make(cursor: SQLiteCursor, table: Table[Any]) -> bool:
    """Make the table where it is not there; whether it is as its row says, now."""

    def has_rows() -> bool:
        cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {table.row.TABLE})")  # noqa: S608 - a name of our own
        return bool(cursor.fetchone()[0])

    statements = mending(table, _shape(cursor, table.row.TABLE), has_rows)
    for statement in statements or ():
        cursor.execute(statement)
    return statements is not None


def _column_names(cursor: SQLiteCursor, table: str) -> set[str]:
    cursor.execute("SELECT name FROM pragma_table_info(?)", [table])
    return {name for (name,) in cursor.fetchall()}


def _shape(cursor: SQLiteCursor, name: str) -> Shape:
    cursor.execute('SELECT name, type, "notnull", pk FROM pragma_table_info(?) ORDER BY pk', [name])
    found = [tuple(column) for column in cursor.fetchall()]
    key = ", ".join(column for column, _, _, place in found if place)
    columns = {f"{column} {kind}{' NOT NULL' * needed}" for column, kind, needed, _ in found}
    return columns | {f"PRIMARY KEY ({key})"} if found else columns


@contextmanager
def sqlite_failures() -> Iterator[None]:
    """Turn the library's failures into ours; a conflict stays one."""
    try:
        yield
    except IntegrityError:
        raise
    except (PersistenceError, sqlite3.Error) as failure:
        advice = (advice for word, advice in _ADVICE if word in str(failure))
        raise StoreFailed(next(advice, f"the store does not work: {failure}")) from failure
