"""Whatever a planner knows of the values, a query for many keys looks at hardly more rows than it returns."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg.rows import TupleRow

from adapters.store.postgres import POSTGRES, migrate
from adapters.store.postgres_connection import connect
from adapters.store.tables import SqlStatement, table_of
from domain.store import FILLED, Row
from services.decider.read_models import ClaimRow, DesiredRow, LinkRow, ObservedRow, RosterIdentifier
from services.projector.read_models import DeliveryRow

SCHEMA = "plans"
MOST_ASKED = 2000
ROWS: tuple[type[Row], ...] = (ClaimRow, LinkRow, RosterIdentifier, ObservedRow, DesiredRow, DeliveryRow)
KEYS: Mapping[type[Row], Sequence[str]] = {
    RosterIdentifier: ("account", "target", "identifier"),
    ObservedRow: ("account", "target", "identifier"),
    ClaimRow: ("account", "target", "identifier"),
    LinkRow: ("account", "target", "driver"),
    DesiredRow: ("account", "driver"),
    DeliveryRow: ("account", "driver"),
}
MADE = {"account": "'acme'", "target": "'driveri'", "state": "'parked'", "TEXT": "'x' || each", "BIGINT": "each"}
PLANS = ("force_custom_plan", "force_generic_plan")
"""The database takes one of the two."""

Connection = psycopg.Connection[TupleRow]


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    migrate(database, "", {SCHEMA: ROWS})
    with closing(connect(database, "", SCHEMA)) as opened:
        opened.prepare_threshold = None
        yield opened


def fill(connection: Connection, kind: type[Row], rows: int, *, has_statistics: bool) -> None:
    """As many rows of one account on one target, each with texts and numbers of its own."""
    table = table_of(kind, POSTGRES)
    connection.execute(f"ALTER TABLE {kind.TABLE} SET (autovacuum_enabled = off)".encode())
    columns = zip(table.columns, table.types, strict=True)
    values = ", ".join(
        "'{}'" if _is_json(table.columns.index(name), table) else _made(name, of) for name, of in columns
    )
    source = f"SELECT {values} FROM generate_series(1, {rows}) AS each"  # noqa: S608 - our own names
    connection.execute(f"INSERT INTO {kind.TABLE} {source}".encode())
    if has_statistics:
        connection.execute(f"ANALYZE {kind.TABLE}".encode())


def _is_json(place: int, table: Any) -> bool:  # noqa: ANN401 - a table of any row
    return place in table.json_places


def _made(name: str, kind: str) -> str:
    return MADE.get(name) or MADE.get(kind, "true")


def looked_at(connection: Connection, statement: SqlStatement, plan: str, table: str) -> tuple[int, int]:
    """How many rows of the table a statement looks at, and how many it returns or removes."""
    numbers = iter(range(1, 100))
    sql = re.sub("%[sb]", lambda _: f"${next(numbers)}", statement.sql)
    connection.execute(f"SET plan_cache_mode = {plan}".encode())
    connection.execute(f"PREPARE asked AS {sql}".encode())
    given = ", ".join(psycopg.sql.Literal(each).as_string(connection) for each in statement.parameters)
    ((explained,),) = connection.execute(
        f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE asked({given})".encode()
    ).fetchall()
    connection.execute(b"DEALLOCATE asked")
    root = (explained if isinstance(explained, list) else json.loads(explained))[0]["Plan"]
    nodes = [node for node in _nodes(root) if node.get("Relation Name") == table and "Scan" in node["Node Type"]]
    return sum(map(_looked_at, nodes)), round(root["Actual Rows"] * root["Actual Loops"])


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for each in node.get("Plans", ()):
        yield from _nodes(each)


def _looked_at(node: dict[str, Any]) -> int:
    removed = sum(value for name, value in node.items() if name.startswith("Rows Removed by"))
    looked_at: float = (node["Actual Rows"] + removed) * node["Actual Loops"]
    return round(looked_at)


def asked(kind: type[Row], rows: int, columns: Sequence[str] = ()) -> list[tuple[str, ...]]:
    """The keys of many rows that are there, as a batch asks for them, or other columns of theirs."""
    own = {"account": "acme", "target": "driveri"}
    numbers = range(1, min(rows, MOST_ASKED) + 1)
    return [tuple(own.get(column, f"x{number}") for column in columns or KEYS[kind]) for number in numbers]


@pytest.mark.parametrize("rows", [100, 20_000])
@pytest.mark.parametrize("has_statistics", [False, True], ids=["no statistics", "statistics"])
@pytest.mark.parametrize("kind", KEYS, ids=[kind.TABLE for kind in KEYS])
def test_a_query_for_many_keys_looks_at_hardly_more_rows_than_it_returns(
    connection: Connection, kind: type[Row], rows: int, *, has_statistics: bool
) -> None:
    fill(connection, kind, rows, has_statistics=has_statistics)
    statement = table_of(kind, POSTGRES).among(KEYS[kind], asked(kind, rows), {})
    for plan in PLANS:
        found, returned = looked_at(connection, statement, plan, kind.TABLE)
        assert returned == min(rows, MOST_ASKED)
        assert found <= 2 * returned, plan


@pytest.mark.parametrize("has_statistics", [False, True], ids=["no statistics", "statistics"])
def test_what_else_is_asked_for_of_many_keys_leads_to_no_other_index(
    connection: Connection, *, has_statistics: bool
) -> None:
    fill(connection, LinkRow, 20_000, has_statistics=has_statistics)
    statement = table_of(LinkRow, POSTGRES).among(KEYS[LinkRow], asked(LinkRow, 20_000), {"state": "parked"})
    for plan in PLANS:
        found, returned = looked_at(connection, statement, plan, LinkRow.TABLE)
        assert (returned, found <= 2 * returned) == (MOST_ASKED, True), plan


@pytest.mark.parametrize("rows", [100, 20_000])
@pytest.mark.parametrize("has_statistics", [False, True], ids=["no statistics", "statistics"])
@pytest.mark.parametrize("kind", [LinkRow, ClaimRow, RosterIdentifier], ids=lambda kind: kind.TABLE)
def test_many_rows_are_removed_by_their_keys_alone(
    connection: Connection, kind: type[Row], rows: int, *, has_statistics: bool
) -> None:
    fill(connection, kind, rows, has_statistics=has_statistics)
    statement = table_of(kind, POSTGRES).delete_among(kind.KEY, asked(kind, rows, kind.KEY))
    found, _ = looked_at(connection, statement, PLANS[0], kind.TABLE)
    assert found <= 2 * min(rows, MOST_ASKED)


@pytest.mark.parametrize("rows", [100, 20_000])
@pytest.mark.parametrize("has_statistics", [False, True], ids=["no statistics", "statistics"])
def test_links_that_wait_for_identifiers_are_found_by_an_index_of_their_own(
    connection: Connection, rows: int, *, has_statistics: bool
) -> None:
    fill(connection, LinkRow, rows, has_statistics=has_statistics)
    columns = ("account", "target", "waits_for")
    statement = table_of(LinkRow, POSTGRES).among(columns, asked(LinkRow, rows, columns), {})
    for plan in PLANS:
        found, returned = looked_at(connection, statement, plan, LinkRow.TABLE)
        assert (returned, found <= 2 * returned) == (min(rows, MOST_ASKED), True), plan


def test_the_indexes_of_before_are_gone_where_guarded_ones_take_their_place(connection: Connection) -> None:
    connection.execute(b"CREATE INDEX desired_drivers_account_position ON desired_drivers (account, position)")
    for statement in table_of(DesiredRow, POSTGRES).create():
        connection.execute(statement.encode())
    found = connection.execute(
        b"SELECT indexname FROM pg_indexes WHERE tablename = 'desired_drivers' ORDER BY 1"
    ).fetchall()
    assert found == [("desired_drivers_account_position_asked",), ("desired_drivers_pkey",)]


@pytest.mark.parametrize("has_statistics", [False, True], ids=["no statistics", "statistics"])
def test_the_first_deliveries_that_are_due_are_found_among_those_alone(
    connection: Connection, *, has_statistics: bool
) -> None:
    """Of ten accounts with a thousand links each, ten of which are due."""
    fill(connection, DeliveryRow, 20_000, has_statistics=False)
    connection.execute(b"UPDATE deliveries SET account = 'a' || version % 20")
    connection.execute(b"UPDATE deliveries SET due = '' WHERE version % 2000 >= 200")
    if has_statistics:
        connection.execute(b"ANALYZE deliveries")
    table = table_of(DeliveryRow, POSTGRES)
    for plan in PLANS:
        found, returned = looked_at(
            connection, table.first("account", {"a1": 3, "a2": 50}, "due"), plan, table.row.TABLE
        )
        assert (returned, found <= 2 * returned) == (53, True), plan
        statement = table.select({"due": FILLED}, "due", "", None)
        found, returned = looked_at(connection, statement, plan, table.row.TABLE)
        assert (returned, found <= 2 * returned) == (2000, True), plan


def test_the_next_desired_drivers_of_an_account_are_found_by_their_positions(connection: Connection) -> None:
    fill(connection, DesiredRow, 20_000, has_statistics=False)
    statement = table_of(DesiredRow, POSTGRES).select({"account": "acme"}, "position", 10_000, 500)
    found, returned = looked_at(connection, statement, PLANS[0], DesiredRow.TABLE)
    assert (found, returned) == (500, 500)
