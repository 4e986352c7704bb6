"""The tables of a store as a numbered script finds them: whatever version they are of, by plain SQL."""

import sqlite3
from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from eventsourcing.persistence import StoredEvent
from psycopg.sql import SQL, Identifier

from adapters.events import names_in, seal_stored, to_stored_event
from adapters.store.postgres import POSTGRES
from adapters.store.postgres_connection import connect, failures
from adapters.store.sqlite import SQLITE, sqlite_failures
from adapters.store.tables import Dialect, table_of
from domain.hash_chain import NOTHING, SEALED_UP_TO, chained
from domain.ports import ProfileKeys
from domain.store import HistoryHead, MigratedTables

Found = list[tuple[Any, ...]]


class OldTables(ABC):
    """The tables of one store, in one transaction. A parameter stands as `?` in SQL."""

    dialect: Dialect

    @abstractmethod
    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> Found:
        """The rows that a query finds."""

    @abstractmethod
    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Do what a statement says."""

    @abstractmethod
    def execute_many(self, sql: str, parameters: Sequence[Sequence[Any]]) -> None:
        """Do what a statement says for each of these parameters."""

    @abstractmethod
    def columns(self) -> Mapping[str, frozenset[str]]:
        """The columns of every table, by its name."""

    def applied(self) -> set[int]:
        """The numbers of the scripts that were run here; the table of them is made where there is none."""
        for statement in table_of(MigratedTables, self.dialect).create():
            self.execute(statement)
        return {number for (number,) in self.fetch("SELECT number FROM migrations")}

    def apply(self, number: int, name: str) -> None:
        """Remember that a script was run here."""
        self.execute("INSERT INTO migrations (number, name) VALUES (?, ?)", (number, name))


class _SqliteTables(OldTables):
    dialect = SQLITE

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> Found:
        return self._connection.execute(sql, parameters).fetchall()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        self._connection.execute(sql, parameters)

    def execute_many(self, sql: str, parameters: Sequence[Sequence[Any]]) -> None:
        self._connection.executemany(sql, parameters)

    def columns(self) -> Mapping[str, frozenset[str]]:
        names = [name for (name,) in self.fetch("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {name: self.fetch("SELECT name FROM pragma_table_info(?)", (name,)) for name in names}
        return {name: frozenset(column for (column,) in columns) for name, columns in found.items()}


class _PostgresTables(OldTables):
    dialect = POSTGRES

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - the driver's, of rows as tuples
        self._connection = connection

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> Found:
        found: Found = self._connection.execute(sql.replace("?", "%s"), parameters or None).fetchall()
        return found

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        self._connection.execute(sql.replace("?", "%s"), parameters or None)

    def execute_many(self, sql: str, parameters: Sequence[Sequence[Any]]) -> None:
        self._connection.cursor().executemany(sql.replace("?", "%s"), parameters)

    def columns(self) -> Mapping[str, frozenset[str]]:
        sql = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
        found: dict[str, set[str]] = {}
        for name, column in self.fetch(sql):
            found.setdefault(name, set()).add(column)
        return {name: frozenset(columns) for name, columns in found.items()}


_PAGE = 10_000
"""Events that are looked at, and get what they lack, at a time."""

_FIRST, _FOLLOWING = (
    f"SELECT originator_id, originator_version, topic, state, hash FROM stored_events {behind}"  # noqa: S608 - only placeholders
    "ORDER BY originator_id, originator_version LIMIT ?"
    for behind in ("", "WHERE (originator_id, originator_version) > (?, ?) ")
)
_SET_EVENT = "UPDATE stored_events SET state = ?, hash = ? WHERE originator_id = ? AND originator_version = ?"
_SET_HEAD = "UPDATE history_heads SET hash = ? WHERE history = ? AND version = ? AND hash = ?"


def chain_histories(tables: OldTables, on_step: Callable[[int], None]) -> None:
    """Make a chain of hashes of each history that was stored without; `on_step` learns how many events are chained."""
    dialect, chained_events = tables.dialect, 0
    for statement in (dialect.add_column("hash"), *table_of(HistoryHead, dialect).create()):
        tables.execute(statement)
    behind: tuple[Any, ...] = ()
    history, version, previous = None, 0, NOTHING
    while page := tables.fetch(_FOLLOWING if behind else _FIRST, (*behind, _PAGE)):
        hashes, heads = [], {}
        for each in page:
            if (history, version + 1) != each[:2]:
                previous = NOTHING
            history, version, topic, state, _ = each
            id = dialect.to_uuid(history).hex  # noqa: A001 - the event's word
            previous = chained(previous, id.encode(), version, topic.encode(), bytes(state))
            hashes.append((previous, history, version))
            heads[id] = (version, previous.hex())
        tables.execute_many(
            "UPDATE stored_events SET hash = ? WHERE originator_id = ? AND originator_version = ?", hashes
        )
        tables.execute_many("DELETE FROM history_heads WHERE history = ?", [(each,) for each in heads])
        tables.execute_many(
            "INSERT INTO history_heads (history, version, hash) VALUES (?, ?, ?)",
            [(each, *head) for each, head in heads.items()],
        )
        behind, chained_events = (history, version), chained_events + len(page)
        on_step(chained_events)


def name_events(tables: OldTables, on_step: Callable[[int], None]) -> None:
    """Let each event be found by its account and driver; `on_step` learns how many are."""
    dialect, named, behind = tables.dialect, 0, 0
    for name in ("account", "driver"):
        tables.execute(dialect.add_column(name))
    position = dialect.position
    following = f"SELECT {position}, state FROM stored_events WHERE {position} > ? ORDER BY {position} LIMIT ?"  # noqa: S608 - our own name
    while page := tables.fetch(following, (behind, _PAGE)):
        tables.execute_many(
            f"UPDATE stored_events SET account = ?, driver = ? WHERE {position} = ?",  # noqa: S608 - as above
            [(*names_in(bytes(state)), at) for at, state in page],
        )
        behind, named = page[-1][0], named + len(page)
        on_step(named)


def seal_histories(tables: OldTables, keys: ProfileKeys, on_step: Callable[[int], None]) -> None:
    """Seal each profile that was stored plain, and chain the histories again; `on_step` learns how many events.

    What was not as it was stored before is not afterwards either: it keeps its hash, and its head. The position up to
    which events had other bytes stays known, because roots that were signed over them cannot match.
    """
    behind: tuple[Any, ...] = ()
    last, old, new, done, is_changed = (None, 0), NOTHING, NOTHING, 0, False
    while page := tables.fetch(_FOLLOWING if behind else _FIRST, (*behind, _PAGE)):
        plain = [
            StoredEvent(tables.dialect.to_uuid(history), version, topic, bytes(state))
            for history, version, topic, state, _ in page
        ]
        events, heads = list[tuple[Any, ...]](), dict[str, tuple[Any, ...]]()
        for (history, version, _, _, hash), before, after in zip(page, plain, seal_stored(keys, plain), strict=True):  # noqa: A001 - the column
            if last != (history, version - 1):
                old = new = NOTHING
            place = before.originator_id.hex, version, before.topic.encode()  # type: ignore[union-attr] # never a text
            is_whole = hash == chained(old, place[0].encode(), *place[1:], before.state)
            last, old = (history, version), bytes(hash)
            new = chained(new, place[0].encode(), *place[1:], after.state) if is_whole else old
            is_changed |= after is not before
            events.append((after.state, new, history, version))
            heads[place[0]] = (new.hex(), place[0], version, old.hex())
        tables.execute_many(_SET_EVENT, events)
        tables.execute_many(_SET_HEAD, [*heads.values()])
        behind, done = page[-1][:2], done + len(page)
        on_step(done)
    _seal_letters(tables, keys)
    ((end,),) = tables.fetch(f"SELECT MAX({tables.dialect.position}) FROM stored_events")  # noqa: S608 - our own name
    if is_changed:
        tables.execute("INSERT INTO tracking (application_name, notification_id) VALUES (?, ?)", (SEALED_UP_TO, end))


def _seal_letters(tables: OldTables, keys: ProfileKeys) -> None:
    """Seal what records have that could not be handled, as far as they are records of events.

    What is the same in two tables stays so: it was resubmitted as it was.
    """
    sealed: dict[tuple[Any, ...], str] = {}
    for table in {"dead_letters", "resubmissions", "mended_records"} & tables.columns().keys():
        for record in tables.fetch(f"SELECT DISTINCT id, topic, body FROM {table}"):  # noqa: S608 - our own names
            if record not in sealed:
                sealed[record] = _sealed_letter(keys, *record)
            if sealed[record] != record[-1]:
                sql = f"UPDATE {table} SET body = ? WHERE id = ? AND topic = ? AND body = ?"  # noqa: S608 - as above
                tables.execute(sql, (sealed[record], *record))


def _sealed_letter(keys: ProfileKeys, id: str, topic: str, body: str) -> str:  # noqa: A002 - the column
    with suppress(ValueError):
        (stored,) = seal_stored(keys, [to_stored_event(id, topic, b64decode(body))])
        return b64encode(stored.state).decode()
    return body


@contextmanager
def in_sqlite(path: Path) -> Iterator[OldTables]:
    """The tables of a file; all that is done is stored at the end, or nothing. Raises `StoreFailed`."""
    with sqlite_failures(), closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # What is replaced may be personal data.
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("BEGIN IMMEDIATE")
        yield _SqliteTables(connection)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def in_postgres(url: str, password: str, schema: str) -> Iterator[OldTables]:
    """The same of a schema, which need not be there yet. Raises `StoreFailed`."""
    with closing(connect(url, password, schema)) as connection, failures(), connection.transaction():
        connection.execute("SET LOCAL statement_timeout = 0")
        connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(schema)))
        yield _PostgresTables(connection)
