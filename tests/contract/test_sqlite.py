from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.contract.sqlite import SqliteStand
from tests.contract.store import StoreContract
from tests.contract.streaming import StreamContract


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[SqliteStand]:
    with closing(SqliteStand(tmp_path / "service #1, 100 %?mode=memory.sqlite")) as stand:
        yield stand


class TestSqliteStore(StoreContract):
    """The SQLite store keeps the contract of `Store`."""


class TestSqliteLog(StreamContract):
    """Its log keeps the contract of `Stream`."""
