from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from domain.store import Store
from services.runtime.caching import CachingStore
from tests.contract.committing import Committing
from tests.contract.histories import Histories
from tests.contract.sqlite import SqliteStand
from tests.contract.stands import Entry, Tick
from tests.contract.tables import Tables


class CachingStand:
    """A SQLite store with what is kept in memory of it, which is used from one thread."""

    def __init__(self, behind: SqliteStand) -> None:
        self.store: Store = CachingStore(behind.store, kinds=[Entry], groups=[Tick])
        self.reopen = behind.reopen
        self.full_disk = behind.full_disk


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[CachingStand]:
    with closing(SqliteStand(tmp_path / "behind.sqlite")) as behind:
        yield CachingStand(behind)


class TestCachingStore(Committing, Histories, Tables):
    """The store before which rows are kept in memory keeps the contract of `Store`."""
