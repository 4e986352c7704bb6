"""The keys of profiles in a schema of PostgreSQL."""

from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from adapters.profile_keys import MasterKeys, ProfileKeyRow, ProfileKeysTable, StatedMasterKeys
from adapters.store.postgres import PostgresStore, migrate
from tests.contract.profile_keys import FIRST, NOW, ProfileKeysContract
from tests.support.servers import Postgres

SCHEMA = "profile_keys"


class PostgresKeys:
    """A schema, to which each process has connections of its own."""

    def __init__(self, url: str, opened: ExitStack) -> None:
        self._url = url
        self._opened = opened

    def process(self, masters: MasterKeys | None = None) -> ProfileKeysTable:
        """The keys as another process has them."""
        return ProfileKeysTable(self.table(), masters or StatedMasterKeys(FIRST), lambda: NOW)

    def table(self) -> PostgresStore:
        """The schema, with connections of its own."""
        store = PostgresStore(self._url, "", schema=SCHEMA, log_name=SCHEMA, rows=(ProfileKeyRow,))
        return self._opened.enter_context(closing(store))


@pytest.fixture
def stand(postgres: Postgres) -> Iterator[PostgresKeys]:
    url = postgres.database()
    migrate(url, "", {SCHEMA: (ProfileKeyRow,)})
    with ExitStack() as opened:
        yield PostgresKeys(url, opened)
    postgres.drop(url)


class TestProfileKeysOnPostgres(ProfileKeysContract):
    """The table keeps the contract in a database, between processes with connections of their own."""
