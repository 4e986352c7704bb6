from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from traceback import format_exception
from urllib.parse import urlsplit, urlunsplit

import pytest

from adapters.store.postgres import PostgresStore
from adapters.store.postgres_connection import connect
from domain.store import OF_EVERY_STORE, Misconfigured, StoreConflict, StoreFailed
from tests.contract.postgres import PostgresStand
from tests.contract.stands import ROWS, SOURCE, Entry, Tick, entry, fact, renamed, unit
from tests.contract.store import StoreContract
from tests.contract.streaming import StreamContract
from tests.support.servers import Postgres

SECRET = "hunter2"


@pytest.fixture(scope="module")
def shared(postgres: Postgres) -> Iterator[str]:
    """A database for all these tests; each has a schema of its own in it."""
    url = postgres.database()
    yield url
    postgres.drop(url)


@pytest.fixture
def stand(shared: str) -> Iterator[PostgresStand]:
    with closing(PostgresStand(shared)) as stand:
        yield stand


class TestPostgresStore(StoreContract):
    """The PostgreSQL store keeps the contract of `Store`."""


class TestPostgresLog(StreamContract):
    """Its log keeps the contract of `Stream`."""


def assert_keeps(secret: str, failure: pytest.ExceptionInfo[Exception]) -> None:
    """Not even a traceback with everything that led there shows it."""
    assert secret not in "".join(format_exception(failure.value))


def test_no_process_stores_behind_what_is_not_committed_yet(stand: PostgresStand) -> None:
    """Otherwise a reader who has passed the one would never see the other, which has the lower position."""
    with closing(stand.another()) as other, ThreadPoolExecutor(2) as threads:
        with stand.held(fact("1").originator_id):
            first = threads.submit(stand.store.commit, unit(fact("1")))
            stand.until_waiting(1, first)
            second = threads.submit(other.commit, unit(fact("2")))
            stand.until_waiting(2, second)
            assert (second.done(), list(stand.store.log.read(0, 100))) == (False, [])
        assert [first.result(), second.result()] == [True, True]
    assert [record.event for record in stand.store.log.read(0, 100)] == [fact("1"), fact("2")]


def test_text_compares_by_code_points_in_whatever_language_the_database_is(stand: PostgresStand) -> None:
    columns = "information_schema.columns WHERE data_type = 'text' AND table_name = ANY(%b) AND table_schema = %s"
    collations = stand.execute(
        f"SELECT DISTINCT collation_name FROM {columns}",  # noqa: S608 - our own words
        [[row.TABLE for row in (*ROWS, *OF_EVERY_STORE)], stand.schema],
    )
    assert collations == [("C",)]


def test_nul_is_not_text_of_a_column(stand: PostgresStand) -> None:
    with pytest.raises(ValueError, match="cannot be stored"):
        stand.store.commit(unit(fact(), rows=[entry("a\0b")], at=7))
    assert (list(stand.store.log.read(0, 100)), stand.store.select(Entry)) == ([], [])


def test_nul_within_json_and_facts_comes_back(stand: PostgresStand) -> None:
    row, said = entry("a", first_name="\0"), renamed(fact(), "\0")
    stand.store.commit(unit(said, rows=[row]))
    assert stand.store.select(Entry) == [row]
    assert [record.event for record in stand.store.log.read(0, 100)] == [said]


@pytest.mark.parametrize("name", ["a\0b", ["a\0b", "c"], "\ud800", ["\ud800"]])
def test_what_no_column_can_hold_cannot_be_sought(stand: PostgresStand, name: str | list[str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        stand.store.select(Entry, {"name": name})
    assert stand.store.select(Entry) == []


@pytest.mark.parametrize(
    "row",
    [Tick(account="Jane", name=None), entry("Jane", size=2**70), entry("Jane\0")],  # type: ignore[arg-type]
    ids=["none", "too large", "nul"],
)
def test_a_failure_quotes_no_driver(stand: PostgresStand, row: Entry | Tick) -> None:
    with pytest.raises(ValueError, match="cannot be stored") as failure:
        stand.store.commit(unit(rows=[row]))
    assert_keeps("Jane", failure)


@pytest.mark.parametrize(
    ("condition", "kind", "advice"),
    [
        ("deadlock_detected", StoreConflict, "another process stored into the same rows at once"),
        ("serialization_failure", StoreConflict, "another process stored into the same rows at once"),
        ("disk_full", StoreFailed, "disk is full: free some space"),
        ("read_only_sql_transaction", StoreFailed, "can only be read: connect to the primary"),
        ("insufficient_privilege", Misconfigured, "lacks a right: let it own the schemas"),
        ("undefined_table", Misconfigured, "lacks a table: run `driverlink database migrate`"),
        ("internal_error", StoreFailed, "does not work: InternalError_; look at its log"),
    ],
)
def test_what_the_server_refuses_is_reported_with_advice(
    stand: PostgresStand, condition: str, kind: type[Exception], advice: str
) -> None:
    with stand.refusing(condition), pytest.raises(kind, match=advice) as failure:
        stand.store.commit(unit(fact(), rows=[entry("a")], at=7))
    assert type(failure.value) is kind
    assert_keeps("Jane", failure)
    assert stand.store.commit(unit(fact(), rows=[entry("a")], at=7)) is True


@pytest.mark.parametrize(
    ("url", "kind", "advice"),
    [
        ("postgresql://nobody@127.0.0.1:1/none", StoreFailed, "cannot be reached: see that it runs"),
        ("postgresql://nobody@[::1/none", Misconfigured, "is not like postgresql://user@host:5432/database"),
        ("postgresql://nobody@[::1]/none?sslmod=require", Misconfigured, "is not like postgresql://user@host:5432"),
    ],
)
def test_a_database_that_is_not_there_is_reported_without_secrets(url: str, kind: type[Exception], advice: str) -> None:
    with pytest.raises(kind, match=advice) as failure:
        PostgresStore(url, SECRET, schema="decider", log_name="any.v1", rows=ROWS)
    assert type(failure.value) is kind
    assert_keeps(SECRET, failure)


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("/nowhere", "create the database and the user that DRIVERLINK_DATABASE_URL names"),
        ("/nowhere?user=nobody", "the database refuses us: check its user .* DRIVERLINK_DATABASE_PASSWORD"),
        ("/postgres?sslmode=require", "the database does not speak SSL: let it, or check sslmode"),
    ],
    ids=["database", "user", "SSL"],
)
def test_a_database_that_does_not_let_us_in_is_reported_and_not_waited_for(shared: str, path: str, advice: str) -> None:
    with pytest.raises(Misconfigured, match=advice):
        connect(urlunsplit(urlsplit(shared)._replace(path=path)), "")


def test_a_store_refuses_an_environment_in_which_the_library_loses_events(
    shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRES_ENABLE_DB_FUNCTIONS", "y")
    with pytest.raises(StoreFailed, match="unset POSTGRES_ENABLE_DB_FUNCTIONS"):
        PostgresStand(shared)


def test_stores_in_other_schemas_of_a_database_keep_to_themselves(stand: PostgresStand, shared: str) -> None:
    stand.store.commit(unit(fact(), rows=[entry("a")], at=7))
    with closing(PostgresStand(shared)) as other:
        assert (list(other.store.log.read(0, 100)), other.store.select(Entry), other.store.position(SOURCE)) == (
            [],
            [],
            0,
        )
