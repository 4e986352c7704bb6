"""The tables of a store as a numbered script finds them: whatever version they are of, by plain SQL."""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from psycopg.sql import SQL, Identifier

from adapters.events import names_in
from adapters.store.postgres import POSTGRES
from adapters.store.postgres_connection import connect, failures
from adapters.store.sqlite import SQLITE, sqlite_failures
from adapters.store.tables import Dialect, table_of
from domain.hash_chain import NOTHING, chained
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
    f"SELECT originator_id, originator_version, topic, state FROM stored_events {behind}"  # noqa: S608 - only placeholders
    "ORDER BY originator_id, originator_version LIMIT ?"
    for behind in ("", "WHERE (originator_id, originator_version) > (?, ?) ")
)
_SET_HASH = "UPDATE stored_events SET hash = ? WHERE originator_id = ? AND originator_version = ?"
_PUT_HEAD = (
    "INSERT INTO history_heads (history, version, hash) VALUES (?, ?, ?) "
    "ON CONFLICT (history) DO UPDATE SET version = excluded.version, hash = excluded.hash"
)


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
            history, version, topic, state = each
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


@contextmanager
def in_sqlite(path: Path) -> Iterator[OldTables]:
    """The tables of a file; all that is done is stored at the end, or nothing. Raises `StoreFailed`."""
    with sqlite_failures(), closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield _SqliteTables(connection)
        connection.execute("COMMIT")


@contextmanager
def in_postgres(url: str, password: str, schema: str) -> Iterator[OldTables]:
    """The same of a schema, which need not be there yet. Raises `StoreFailed`."""
    with closing(connect(url, password, schema)) as connection, failures(), connection.transaction():
        connection.execute("SET LOCAL statement_timeout = 0")
        connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(schema)))
        yield _PostgresTables(connection)
