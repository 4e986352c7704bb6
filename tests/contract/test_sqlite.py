from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from domain.storing import StoreFailed
from tests.contract.sqlite import SqliteStand
from tests.contract.stands import fact, unit
from tests.contract.store import StoreContract
from tests.contract.streaming import StreamContract


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


def test_a_damaged_file_is_told_with_advice(path: Path) -> None:
    path.write_bytes(b"no database" * 1_000)
    with pytest.raises(StoreFailed, match="a file of the data folder is damaged: put a copy of it in its place"):
        SqliteStand(path)


def test_a_file_that_cannot_be_opened_is_told_with_advice(path: Path) -> None:
    with pytest.raises(StoreFailed, match="the data folder cannot be opened: check its owner and its rights"):
        SqliteStand(path / "none" / "service.sqlite")


def test_a_file_that_cannot_be_written_is_told_with_advice(stand: SqliteStand) -> None:
    with stand.store._datastore.transaction(commit=False) as cursor:
        cursor.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreFailed, match="the data folder cannot be written: check its owner and its rights"):
        stand.store.commit(unit(fact()))
