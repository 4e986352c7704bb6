"""Schemas and tables are created, checked, and created again where nothing is lost by it."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import ClassVar
from urllib.parse import urlsplit, urlunsplit

import pytest

from adapters.store.postgres import PostgresStore, check, migrate
from adapters.store.postgres_connection import connect
from domain.store import DeadLetter, Misconfigured, ReadModelVersion, Row, StoreFailed
from services.wiring.distributed import SCHEMAS
from tests.contract.lasting import at_once
from tests.contract.stands import ROWS_OF_EVERY_STORE, fact, unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat(Row):
    """Who sits where."""

    TABLE: ClassVar[str] = "seats"
    KEY: ClassVar[tuple[str, ...]] = ("number",)

    number: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterSeat(Row):
    """The same, in a later version."""

    TABLE: ClassVar[str] = "seats"
    KEY: ClassVar[tuple[str, ...]] = ("number",)
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("name", "since"),)

    number: int
    name: str
    since: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedSeat(Seat):
    """The same, of a version that may know more of each."""

    note: str | None
    rank: int | None = None
    scope: dict[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedSeat(Seat):
    """The same, found by name."""

    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("name",),)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSeat(Seat):
    """The same columns, with another key."""

    KEY: ClassVar[tuple[str, ...]] = ("name",)


ANN = Seat(number=1, name="ann")


def opened(database: str, row: type[Row] = Seat) -> PostgresStore:
    return PostgresStore(database, "", schema="hall", log_name="hall.v1", rows=[row])


@pytest.fixture
def filled(database: str) -> str:
    """A database in which somebody sits."""
    migrate(database, "", {"hall": [Seat]})
    with closing(opened(database)) as store:
        store.commit(unit(fact(), rows=[ANN, *ROWS_OF_EVERY_STORE], at=7))
    return database


def kept(database: str) -> tuple[object, ...]:
    with closing(opened(database)) as store:
        return [record.event for record in store.log.read(0, 100)], store.select(Seat)


def indexes(database: str) -> set[str]:
    with closing(connect(database, "")) as connection:
        return {name for (name,) in connection.execute("SELECT indexname FROM pg_indexes WHERE schemaname = 'hall'")}


def test_every_service_finds_what_it_needs(database: str) -> None:
    migrate(database, "", SCHEMAS)
    assert check(database, "", SCHEMAS) == []
    for schema, rows in SCHEMAS.items():
        PostgresStore(database, "", schema=schema, log_name="any.v1", rows=rows).close()


def test_missing_tables_are_named_for_each_schema(filled: str) -> None:
    (line,) = check(filled, "", {"hall": [Seat], "garden": [Seat]})
    assert line.startswith("the schema garden lacks tables")
    assert line.endswith("run `driverlink database migrate`")


@pytest.mark.parametrize("row", [LaterSeat, NamedSeat, NotedSeat])
def test_a_table_of_another_version_is_named(filled: str, row: type[Row]) -> None:
    (line,) = check(filled, "", {"hall": [row]})
    assert "the schema hall lacks tables, or has another version's (seats)" in line


def test_a_store_without_its_tables_says_what_to_do(database: str) -> None:
    with pytest.raises(Misconfigured, match="run `driverlink database migrate`"):
        opened(database)


def test_a_store_with_another_version_of_its_tables_says_what_to_do(filled: str) -> None:
    with pytest.raises(Misconfigured, match=r"another version's \(seats\): run `driverlink database migrate`"):
        opened(filled, LaterSeat)


def test_migrating_twice_changes_nothing(filled: str) -> None:
    before = kept(filled)
    migrate(filled, "", {"hall": [Seat]})
    assert kept(filled) == before == ([fact()], [ANN])


def test_many_may_migrate_at_once(database: str) -> None:
    at_once(*[lambda: migrate(database, "", SCHEMAS)] * 2)
    assert check(database, "", SCHEMAS) == []


def test_an_empty_table_of_another_version_is_made_again(database: str) -> None:
    migrate(database, "", {"hall": [Seat]})
    migrate(database, "", {"hall": [LaterSeat]})
    with closing(opened(database, LaterSeat)) as store:
        store.commit(unit(rows=[LaterSeat(number=1, name="ann", since="1999")]))


@pytest.mark.parametrize("row", [LaterSeat, NamedSeat])
def test_a_table_of_another_version_is_left_alone_while_it_has_rows(filled: str, row: type[Row]) -> None:
    with pytest.raises(StoreFailed, match=r"no script here: hall\.seats"):
        migrate(filled, "", {"hall": [row]}, read_models={"hall": [DeadLetter], "garden": [row]})
    assert kept(filled) == ([fact()], [ANN])


def test_a_table_gets_columns_that_may_be_none_and_keeps_its_rows(filled: str) -> None:
    for _ in range(2):
        migrate(filled, "", {"hall": [NotedSeat]})
    bob = NotedSeat(number=2, name="bob", note="late", rank=3, scope={"by": "ann"})
    with closing(opened(filled, NotedSeat)) as store:
        store.commit(unit(rows=[bob]))
        assert store.select(NotedSeat, order_by="number") == [NotedSeat(number=1, name="ann", note=None), bob]


def test_dead_letters_of_the_version_before_are_kept_when_it_is_migrated(filled: str) -> None:
    letters = [row for row in ROWS_OF_EVERY_STORE if isinstance(row, DeadLetter)]
    with closing(connect(filled, "", "hall")) as connection:
        connection.execute("ALTER TABLE dead_letters DROP COLUMN key")
    migrate(filled, "", {"hall": [Seat]})
    with closing(opened(filled)) as store:
        assert store.select(DeadLetter) == [replace(letter, key=None) for letter in letters]


def test_a_read_model_of_another_version_is_left_until_it_is_made_again(filled: str) -> None:
    for _ in range(2):
        migrate(filled, "", {"hall": [LaterSeat]}, read_models={"hall": [LaterSeat]})
    assert kept(filled) == ([fact()], [ANN])
    late = LaterSeat(number=1, name="ann", since="1999")
    with closing(opened(filled)) as store:
        store.begin_beside([LaterSeat])
        store.put_beside(LaterSeat, {(1,): late}, is_first=True)
        assert store.select(Seat) == [ANN]
        store.end_beside({LaterSeat: "2"})
    with closing(opened(filled, LaterSeat)) as store:
        assert store.select(LaterSeat, {"name": "ann"}) == [late]
        assert store.select(ReadModelVersion, {"name": "seats"}) == [ReadModelVersion(name="seats", version="2")]
        assert [record.event for record in store.log.read(0, 100)] == [fact()]
    assert {"seats_pkey", "seats_name_since"} <= indexes(filled)


def test_a_new_index_is_added_to_a_filled_table(filled: str) -> None:
    before = indexes(filled)
    migrate(filled, "", {"hall": [IndexedSeat]})
    assert indexes(filled) - before == {"seats_name"}
    assert kept(filled) == ([fact()], [ANN])


@pytest.fixture
def latin(database: str) -> Iterator[str]:
    """A database that holds the texts of Western Europe only."""
    parts = urlsplit(database)
    name = f"{parts.path.removeprefix('/')}_latin"
    with closing(connect(database, "")) as connection:
        connection.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0".encode())
        yield urlunsplit(parts._replace(path=f"/{name}"))
        connection.execute(f"DROP DATABASE {name}".encode())


def test_a_database_that_cannot_hold_every_text_is_refused(latin: str) -> None:
    with pytest.raises(StoreFailed, match="encoded in LATIN1: create it with ENCODING 'UTF8'"):
        migrate(latin, "", SCHEMAS)
