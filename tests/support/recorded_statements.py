"""What the services ask of PostgreSQL, recorded while they work, and how many rows each statement looks at."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final

from psycopg import Connection, Cursor, errors
from psycopg.abc import Params, Query
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Composable, Identifier, Literal

from adapters.store.postgres import PostgresStore

PLANS: Final = ("force_custom_plan", "force_generic_plan")

_VERBS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
_OWN_TABLES: Final = re.compile(r"\b(?:FROM|INTO|UPDATE|JOIN)\s+([a-z_]+)")
_PLACEHOLDER: Final = re.compile("%[sb]")
_WHICH_ACCOUNT: Final = ("account", "target")
_SAMPLES: Final = 3


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: who asks it, in which schema, and its text with placeholders."""

    asker: str
    schema: str
    sql: str

    @property
    def is_read(self) -> bool:
        """Whether it changes nothing."""
        return self.sql.startswith("SELECT")

    def __str__(self) -> str:
        return f"{self.asker} asks in {self.schema}: {self.sql}"


class Recorder:
    """Every distinct statement of some stores, with the parameters of the widest calls.

    The more values a statement is asked with, the wider it is: of one text the first call is kept and the widest ones.
    """

    def __init__(self) -> None:
        self.calls: dict[Statement, list[tuple[Any, ...]]] = {}

    def watch(self, asker: str, store: PostgresStore, schema: str) -> None:
        """Record what is asked of this store from now on."""

        def note(query: Query, parameters: Params | None) -> None:
            self.note(Statement(asker, schema, _text(query)), tuple(parameters or ()))

        class Recording(Cursor[Any]):
            def execute(self, query: Any, params: Params | None = None, **options: Any) -> Any:  # noqa: ANN401 - psycopg's
                note(query, params)
                return super().execute(query, params, **options)

        pool = store._datastore.pool
        assert isinstance(pool.kwargs, dict)
        pool.kwargs["cursor_factory"] = Recording
        pool.drain()

    def note(self, statement: Statement, parameters: tuple[Any, ...]) -> None:
        """A statement was run."""
        if statement.sql.startswith(_VERBS) and _OWN_TABLES.search(statement.sql):
            calls = self.calls.setdefault(statement, [])
            if parameters not in calls:
                calls.append(parameters)
                first, *others = calls
                calls[:] = [first, *sorted(others, key=asked_for, reverse=True)[: _SAMPLES - 1]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one call of a statement looked at by one plan: rows and blocks, beside the rows that it returned.

    `of_tables` are the rows by table.
    """

    statement: Statement
    plan: str
    of_tables: Mapping[str, int]
    blocks: int
    returned: int
    asked: int
    root: Mapping[str, Any]

    @property
    def rows(self) -> int:
        """The rows of all tables."""
        return sum(self.of_tables.values())

    def __str__(self) -> str:
        return (
            f"{self.statement}\n  {self.plan}: looked at {self.rows:,} rows and {self.blocks:,} blocks, returned "
            f"{self.returned:,}, was asked for {self.asked:,}\n"
        ) + "\n".join(_lines(self.root, 1))


def asked_for(parameters: Sequence[Any]) -> int:
    """How many values a call names: those of a list, or of a list in JSON, one by one."""
    return sum(_length(each) for each in parameters)


def _length(value: Any) -> int:  # noqa: ANN401 - any parameter
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            return 1
    return len(value) if isinstance(value, list) else 1


def looks(connection: Connection[TupleRow], statement: Statement, calls: Sequence[Sequence[Any]]) -> Iterator[Look]:
    """What each call of a statement looks at by each kind of plan; nothing that it stores remains."""
    numbers = iter(range(1, 1000))
    sql = _PLACEHOLDER.sub(lambda _: f"${next(numbers)}", statement.sql)
    connection.execute(SQL("SET search_path TO {}").format(Identifier(statement.schema)))
    connection.execute(f"PREPARE asked AS {sql}".encode())
    for plan in PLANS:
        connection.execute(f"SET plan_cache_mode = {plan}".encode())
        for parameters in calls:
            try:
                root = _explained(connection, statement, parameters)
            except errors.UniqueViolation:
                continue  # a new event is stored a second time: nothing is looked at for it
            yield Look(
                statement=statement,
                plan=plan,
                of_tables=_of_tables(root),
                blocks=root["Shared Hit Blocks"] + root["Shared Read Blocks"],
                returned=_returned(root),
                asked=asked_for(parameters),
                root=root,
            )
    connection.execute(b"DEALLOCATE asked")


def _explained(connection: Connection[TupleRow], statement: Statement, parameters: Sequence[Any]) -> Mapping[str, Any]:
    """How the database carries the prepared call out. Raises `UniqueViolation`."""
    given = SQL("({})").format(SQL(", ").join(map(Literal, parameters))) if parameters else SQL("")
    explain = SQL("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SUMMARY OFF, FORMAT JSON) EXECUTE asked{}").format(given)
    with nullcontext() if statement.is_read else connection.transaction(force_rollback=True):
        ((found,),) = connection.execute(explain).fetchall()
    root: Mapping[str, Any] = (found if isinstance(found, list) else json.loads(found))[0]["Plan"]
    return root


def keep_statistics(connection: Connection[TupleRow], schema: str) -> None:
    """Let the database gather statistics of a schema's tables only when it is told to."""
    for table in _tables(connection, schema):
        connection.execute(SQL("ALTER TABLE {} SET (autovacuum_enabled = off)").format(table))


def forget_rolled_back(connection: Connection[TupleRow], schema: str) -> None:
    """Remove what was rolled back from a schema's tables and their indexes."""
    for table in _tables(connection, schema):
        connection.execute(SQL("VACUUM (INDEX_CLEANUP ON, PARALLEL 0) {}").format(table))


def _tables(connection: Connection[TupleRow], schema: str) -> Sequence[Identifier]:
    tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema]).fetchall()
    return [Identifier(schema, table) for (table,) in tables]


def multiply(connection: Connection[TupleRow], schema: str, table: str, rows: int) -> int:
    """Copy a table's rows until there are as many, all in the accounts that there are; how many there were.

    What distinguishes the rows is different in every copy, all else is as it was.
    """
    connection.execute(SQL("SET search_path TO {}").format(Identifier(schema)))
    ((found,),) = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchall()  # noqa: S608 - our own names
    if found:
        columns = connection.execute(_COLUMNS, [f"{schema}.{table}"]).fetchall()
        counted = ", ".join(f"count(DISTINCT {name}::text)" for name, _, _ in columns)
        (distinct,) = connection.execute(f"SELECT {counted} FROM {table}".encode()).fetchall()  # noqa: S608 - our own names
        copied = [
            _copied(name, kind, is_own=name not in _WHICH_ACCOUNT and (is_key or different == found > 1))
            for (name, kind, is_key), different in zip(columns, distinct, strict=True)
        ]
        names = ", ".join(name for name, _ in copied)
        values = ", ".join(value for _, value in copied)
        source = (
            f"SELECT {values} FROM {table}, generate_series(1, {rows // found}) AS copy LIMIT {max(0, rows - found)}"  # noqa: S608 - our own names
        )
        connection.execute(f"INSERT INTO {table} ({names}) {source} ON CONFLICT DO NOTHING".encode())
    return int(found)


_COLUMNS: Final = """
SELECT attname, format_type(atttypid, atttypmod), coalesce(attnum = ANY(indkey), false)
FROM pg_attribute LEFT JOIN pg_index ON indrelid = attrelid AND indisprimary
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND NOT (attname = 'notification_id' AND atthasdef)
ORDER BY attnum
"""
"""Name, type, and whether it is part of the key, of each column that a statement gives a value."""


def _copied(name: str, kind: str, *, is_own: bool) -> tuple[str, str]:
    match kind if is_own else "":
        case "text":
            return name, f"{name} || '-' || copy"
        case "bigint" | "integer":
            return name, f"{name} + copy::bigint * 1000000"
        case "uuid":
            return name, f"md5({name}::text || copy)::uuid"
    return name, name


def _text(query: Query) -> str:
    if isinstance(query, Composable):
        return query.as_string()
    return query.decode() if isinstance(query, bytes) else str(query)


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for each in node.get("Plans", ()):
        yield from _nodes(each)


def _looked_at(node: Mapping[str, Any]) -> int:
    removed = sum(value for name, value in node.items() if name.startswith("Rows Removed by"))
    return int((node["Actual Rows"] + removed) * node["Actual Loops"])


def _returned(root: Mapping[str, Any]) -> int:
    """The rows that come out, or are written."""
    if root["Node Type"] == "ModifyTable" and root.get("Plans"):
        root = root["Plans"][0]
    return int(root["Actual Rows"] * root["Actual Loops"])


def _of_tables(root: Mapping[str, Any]) -> Mapping[str, int]:
    found = Counter[str]()
    for node in _nodes(root):
        if "Relation Name" in node and "Scan" in node["Node Type"]:
            found[node["Relation Name"]] += _looked_at(node)
    return found


def _lines(node: Mapping[str, Any], depth: int) -> Iterator[str]:
    place = f" on {node['Relation Name']}" if "Relation Name" in node else ""
    index = f" by {node['Index Name']}" if "Index Name" in node else ""
    conditions = "; ".join(f"{name}: {node[name]}" for name in ("Index Cond", "Filter", "Join Filter") if name in node)
    yield f"{'  ' * depth}{node['Node Type']}{place}{index}: {_looked_at(node):,} rows; {conditions}"
    for each in node.get("Plans", ()):
        yield from _lines(each, depth + 1)
