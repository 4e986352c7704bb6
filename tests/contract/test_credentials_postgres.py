from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from adapters.credentials import CredentialsRow, CredentialsTable
from adapters.store.postgres import PostgresStore, migrate
from domain.store import Unit
from tests.contract.credentials import CredentialsContract, Opening
from tests.support.servers import Postgres

SCHEMA = "credentials"
ROWS = (CredentialsRow,)


@pytest.fixture(scope="module")
def url(postgres: Postgres) -> Iterator[str]:
    """A database for all these tests."""
    url = postgres.database()
    migrate(url, "", {SCHEMA: ROWS})
    yield url
    postgres.drop(url)


@pytest.fixture
def opening(url: str) -> Iterator[Opening]:
    with ExitStack() as opened:
        first = _store(url)
        opened.enter_context(closing(first))
        nothing = Unit()
        nothing.remove(CredentialsRow, {})
        first.commit(nothing)
        yield lambda: CredentialsTable(opened.enter_context(closing(_store(url))), "0123456789" * 4)


def _store(url: str) -> PostgresStore:
    return PostgresStore(url, "", schema=SCHEMA, log_name=SCHEMA, rows=ROWS)


class TestCredentialsTableOnPostgres(CredentialsContract):
    """The table keeps the contract between processes, each with connections of its own."""
