"""The tables of a store as a numbered script finds them: whatever version they are of, by plain SQL."""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from psycopg.sql import SQL, Identifier

from adapters.store.postgres import POSTGRES
from adapters.store.postgres_connection import connect, failures
from adapters.store.sqlite import SQLITE, sqlite_failures
from adapters.store.tables import Dialect, table_of
from domain.store import MigratedTables

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

    def columns(self) -> Mapping[str, frozenset[str]]:
        sql = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
        found: dict[str, set[str]] = {}
        for name, column in self.fetch(sql):
            found.setdefault(name, set()).add(column)
        return {name: frozenset(columns) for name, columns in found.items()}


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
