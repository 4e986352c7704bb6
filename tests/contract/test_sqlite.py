from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from adapters.store.sqlite import SqliteStore
from domain.store import Row, StoreFailed
from tests.contract.sqlite import SqliteStand
from tests.contract.stands import Entry, Tick, fact, unit
from tests.contract.store import StoreContract
from tests.contract.streaming import StreamContract
from tests.support.hanging import HANGS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "service #1, 100 %?mode=memory.sqlite"


@pytest.fixture
def stand(path: Path) -> Iterator[SqliteStand]:
    with closing(SqliteStand(path)) as stand:
        yield stand


class TestSqliteStore(StoreContract):
    """The SQLite store keeps the contract of `Store`."""


class TestSqliteLog(StreamContract):
    """Its log keeps the contract of `Stream`."""


def test_a_store_is_in_the_file_that_was_named_whatever_its_name(stand: SqliteStand, path: Path) -> None:
    stand.store.commit(unit(fact()))
    assert {each.name.removesuffix("-wal").removesuffix("-shm") for each in path.parent.iterdir()} == {path.name}


def test_what_is_stored_together_shows_to_others_only_at_its_end(stand: SqliteStand, path: Path) -> None:
    with closing(SqliteStore(path, log_name="contract.v1", rows=(), is_reader=True)) as others:
        with stand.store.together():
            stand.store.commit(unit(fact()))
            stand.store.commit(unit(fact(version=2)))
            assert (stand.store.log.end(), others.log.end()) == (2, 0)
        assert others.log.end() == 2


def test_another_thread_reads_what_is_stored_already(stand: SqliteStand) -> None:
    with stand.store.together(), ThreadPoolExecutor(1) as thread:
        stand.store.commit(unit(fact()))
        assert thread.submit(stand.store.log.end).result(HANGS) == 0


def test_of_what_is_stored_together_nothing_is_when_the_database_undoes_it(stand: SqliteStand) -> None:
    def store() -> None:
        with stand.store.together():
            stand.store.commit(unit(fact()))
            with pytest.raises(StoreFailed), stand.store._transaction() as cursor:
                cursor.execute("ROLLBACK")
            with pytest.raises(StoreFailed):
                stand.store.commit(unit(fact(version=2)))

    with pytest.raises(StoreFailed, match="undone"):
        store()
    assert stand.store.log.end() == 0


def test_a_damaged_file_is_reported_with_advice(path: Path) -> None:
    path.write_bytes(b"no database" * 1_000)
    with pytest.raises(StoreFailed, match="a file of the data folder is damaged: put a copy of it in its place"):
        SqliteStand(path)


def test_a_file_that_cannot_be_opened_is_reported_with_advice(path: Path) -> None:
    with pytest.raises(
        StoreFailed, match="the data folder cannot be opened: check its owner and its rights, and how many files"
    ):
        SqliteStand(path / "none" / "service.sqlite")


def test_a_file_that_cannot_be_written_is_reported_with_advice(stand: SqliteStand) -> None:
    with stand.store._datastore.transaction(commit=False) as cursor:
        cursor.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreFailed, match="the data folder cannot be written: check its owner and its rights"):
        stand.store.commit(unit(fact()))


def test_combinations_are_found_by_the_key_however_large_the_table(stand: SqliteStand) -> None:
    sought = stand.store._table(Entry).among(("account", "name"), [("acme", "a"), ("acme", "b")], {})
    plan = [row[-1] for row in stand.store._fetch(f"EXPLAIN QUERY PLAN {sought.sql}", sought.parameters)]
    assert any(step.startswith("SEARCH contract_entries USING INDEX") for step in plan)
    assert "SCAN contract_entries" not in plan


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterTick(Row):
    """The ticks of a later version."""

    TABLE: ClassVar[str] = Tick.TABLE
    KEY: ClassVar[tuple[str, ...]] = Tick.KEY

    account: str
    name: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedTick(Tick):
    """The ticks of a version that may know more of each."""

    note: str | None
    tags: int | None = None
    scope: dict[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedTick(Tick):
    """The same ticks, of which there is one for each name."""

    KEY: ClassVar[tuple[str, ...]] = ("name",)


def later(path: Path) -> SqliteStore:
    return SqliteStore(path, log_name="contract.v1", rows=[LaterTick])


def test_a_file_of_another_version_is_reported_in_one_line(stand: SqliteStand, path: Path) -> None:
    stand.store.commit(unit(fact(), rows=[Tick(account="acme", name="a")]))
    stand.close()
    with pytest.raises(
        StoreFailed, match=r"^the table contract_ticks in service.*sqlite is another version's, which no script"
    ):
        later(path)
    stand.reopen()
    assert stand.store.select(Tick) == [Tick(account="acme", name="a")]


def test_an_empty_table_of_another_version_is_made_again(stand: SqliteStand, path: Path) -> None:
    stand.store.commit(unit(fact()))
    stand.close()
    tick = LaterTick(account="acme", name="a", at="now")
    with closing(later(path)) as store:
        store.commit(unit(rows=[tick]))
        assert store.select(LaterTick) == [tick]
        assert [record.event for record in store.log.read(0, 100)] == [fact()]


def test_a_table_gets_columns_that_may_be_none_and_keeps_its_rows(stand: SqliteStand, path: Path) -> None:
    stand.store.commit(unit(fact(), rows=[Tick(account="acme", name="a")]))
    stand.close()
    noted = NotedTick(account="acme", name="b", note="new", tags=7, scope={"by": "ann"})
    for _ in range(2):
        with closing(SqliteStore(path, log_name="contract.v1", rows=[NotedTick])) as store:
            store.commit(unit(rows=[noted]))
            assert store.select(NotedTick, order_by="name") == [NotedTick(account="acme", name="a", note=None), noted]
            assert [record.event for record in store.log.read(0, 100)] == [fact()]


def test_a_table_with_another_key_is_another_version_s(stand: SqliteStand, path: Path) -> None:
    stand.store.commit(unit(rows=[Tick(account="acme", name="a")]))
    stand.close()
    with pytest.raises(StoreFailed, match="the table contract_ticks"):
        SqliteStore(path, log_name="contract.v1", rows=[NamedTick])
