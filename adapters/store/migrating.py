"""The schemas and tables of a database: made where they are not there, and looked at before they are used."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from typing import Any

from eventsourcing.postgres import PostgresProcessRecorder
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Identifier

from adapters.store.advice import MIGRATE, failures
from adapters.store.connecting import Datastore, connect, lock_id
from adapters.store.ownership import CREATE_OWNERS
from adapters.store.postgres_dialect import POSTGRES
from adapters.store.shapes import Shape, anew, mending, shape
from adapters.store.tables import Table, table_of
from domain.storing import OF_EVERY_STORE, Row, StoreFailed

Schemas = Mapping[str, Sequence[type[Row]]]
"""The schemas with the rows that each keeps, besides those of every store."""

TRACKING = "tracking"
_BESIDES = ("stored_events", TRACKING, "owners")

_SHAPES = """
SELECT relname, concat(attname, ' ', upper(format_type(atttypid, atttypmod)), CASE WHEN attnotnull THEN ' NOT NULL' END)
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
WHERE relnamespace = to_regnamespace(%(schema)s) AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT relname, replace(pg_get_constraintdef(pg_constraint.oid), '"', '')
FROM pg_class JOIN pg_constraint ON conrelid = pg_class.oid
WHERE relnamespace = to_regnamespace(%(schema)s) AND contype = 'p'
"""


def migrate(url: str, password: str, schemas: Schemas, *, may_drop: Collection[str] = ()) -> None:
    """Make schemas, tables and indexes where they are not there; who runs it twice, or at once, does no harm.

    A table of another version is made anew when it is empty, or when `may_drop` names it like `decider.links`.
    Raises `StoreFailed` when one is neither, and when the database does not work.
    """
    with closing(connect(url, password)) as connection, failures():
        _check_encoding(connection)
        connection.execute("SET statement_timeout = 0")
        connection.execute("SELECT pg_advisory_lock(%s)", [lock_id("migrate")])
        for schema, rows in schemas.items():
            connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(schema)))
            _make_tables_of_library(url, password, schema)
            with connection.transaction():
                _make_tables(connection, schema, rows, may_drop)


def check(url: str, password: str, schemas: Schemas) -> list[str]:
    """What is missing, or another version's, in a line for each schema. Raises `StoreFailed`."""
    with closing(connect(url, password)) as connection, failures():
        wrong = {schema: _wrong_tables(connection, schema, rows) for schema, rows in schemas.items()}
    return [
        f"the schema {schema} lacks tables, or has another version's ({', '.join(tables)}): {MIGRATE}"
        for schema, tables in wrong.items()
        if tables
    ]


def _check_encoding(connection: Connection[TupleRow]) -> None:
    for (encoding,) in connection.execute("SHOW server_encoding"):
        if encoding != "UTF8":
            raise StoreFailed(f"the database is encoded in {encoding}: create it with ENCODING 'UTF8'")


def _make_tables_of_library(url: str, password: str, schema: str) -> None:
    with closing(Datastore(url, password, schema)) as datastore:
        PostgresProcessRecorder(datastore, tracking_table_name=TRACKING).create_table()


def _make_tables(
    connection: Connection[TupleRow], schema: str, rows: Sequence[type[Row]], may_drop: Collection[str]
) -> None:
    connection.execute(SQL("SET LOCAL search_path TO {}").format(Identifier(schema)))
    connection.execute(CREATE_OWNERS)
    shapes, refused = _shapes(connection, schema), []
    for table in _tables(rows):
        name = f"{schema}.{table.row.TABLE}"
        if not _make(connection, table, shapes.get(table.row.TABLE, set()), may_drop=name in may_drop):
            refused.append(name)
    if refused:
        raise StoreFailed(
            f"another version's, and not empty: {', '.join(refused)}; let that version end its work in hand, "
            "then allow what `driverlink rebuild` fills again to be dropped, by --may-drop"
        )


def _make(connection: Connection[TupleRow], table: Table[Any], found: Shape, *, may_drop: bool) -> bool:
    """Whether the table is as its row says, now."""

    def has_rows() -> bool:
        (row,) = connection.execute(f"SELECT EXISTS (SELECT 1 FROM {table.row.TABLE})".encode())  # noqa: S608 - our own name
        return bool(row[0])

    statements = mending(table, found, has_rows)
    if statements is None and may_drop:
        statements = anew(table)
    for statement in statements or ():
        connection.execute(statement.encode())
    return statements is not None


def _wrong_tables(connection: Connection[TupleRow], schema: str, rows: Sequence[type[Row]]) -> list[str]:
    shapes = _shapes(connection, schema)
    missing = [name for name in _BESIDES if name not in shapes]
    return [*missing, *(table.row.TABLE for table in _tables(rows) if shapes.get(table.row.TABLE) != shape(table))]


def _tables(rows: Sequence[type[Row]]) -> list[Table[Any]]:
    return [table_of(row, POSTGRES) for row in (*rows, *OF_EVERY_STORE)]


def _shapes(connection: Connection[TupleRow], schema: str) -> dict[str, set[str]]:
    shapes: dict[str, set[str]] = {}
    for name, declaration in connection.execute(_SHAPES, {"schema": schema}):
        shapes.setdefault(name, set()).add(declaration)
    return shapes
