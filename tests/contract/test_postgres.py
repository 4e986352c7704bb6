from collections.abc import Iterator
from contextlib import closing
from traceback import format_exception

import pytest

from adapters.store.connecting import connect
from domain.storing import StoreConflict, StoreFailed, Unit
from tests.contract.postgres import PostgresStand
from tests.contract.stands import ROWS, Entry, Tick, entry, fact, unit
from tests.contract.store import StoreContract
from tests.contract.streaming import StreamContract
from tests.support.servers import Postgres


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


def assert_quotes(failure: pytest.ExceptionInfo[Exception], secret: str) -> None:
    """Not even a traceback with all that led there shows it."""
    assert secret not in "".join(format_exception(failure.value))


def test_nul_is_no_text_of_a_column(stand: PostgresStand) -> None:
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
    with pytest.raises(ValueError, match="."):
        stand.store.select(Entry, {"name": name})
    assert stand.store.select(Entry) == []


@pytest.mark.parametrize(
    "row",
    [Tick(account="Jane", name=None), entry("Jane", size=2**70), entry("Jane\0")],  # type: ignore[arg-type]
    ids=["none", "too large", "nul"],
)
def test_a_failure_quotes_nobody(stand: PostgresStand, row: Entry | Tick) -> None:
    with pytest.raises(ValueError, match="cannot be stored") as failure:
        stand.store.commit(unit(rows=[row]))
    assert_keeps("Jane", failure)


def test_a_row_that_two_write_at_once_is_no_failure_of_the_store(stand: PostgresStand) -> None: ...
