from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adapters.credentials import CredentialsRow, CredentialsTable
from adapters.store.sqlite import SqliteStore
from domain.identity import Target
from domain.ports import CredentialsUnreadable, RenewableTokens
from domain.store import Store, Unit
from tests.contract.credentials import DRIVERI, GRANT, KEY, CredentialsContract, Opening, to_tokens

SECRET_KEY = "hush-" + "0123456789" * 4


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    path = tmp_path / "credentials.sqlite"
    with closing(SqliteStore(path, log_name="credentials", rows=(CredentialsRow,))) as store:
        yield store


@pytest.fixture
def opening(store: Store) -> Opening:
    return lambda: CredentialsTable(store, SECRET_KEY)


class TestCredentialsTable(CredentialsContract):
    """The table keeps the contract."""


class Overtaken(CredentialsTable):
    """A table whose changes another process is always just ahead of, once."""

    def __init__(self, store: Store, other: CredentialsTable) -> None:
        super().__init__(store, SECRET_KEY)
        self._other = other
        self._left = 1

    def _encrypted(self, *args: object) -> str:
        if self._left:
            self._left -= 1
            self._other.replace_tokens("acme", Target.MOTIVE, "hush-0", to_tokens(1))
        return super()._encrypted(*args)  # type: ignore[arg-type] # whatever it takes


def test_a_process_that_is_overtaken_while_storing_looks_again(store: Store, opening: Opening) -> None:
    first = CredentialsTable(store, SECRET_KEY)
    first.keep("acme", Target.MOTIVE, GRANT)
    assert not Overtaken(store, first).replace_tokens("acme", Target.MOTIVE, "hush-0", to_tokens(2))
    assert opening().tokens("acme", Target.MOTIVE) == to_tokens(1)


def test_credentials_of_another_target_lose_no_tokens_that_came_meanwhile(store: Store, opening: Opening) -> None:
    first = CredentialsTable(store, SECRET_KEY)
    first.keep("acme", Target.MOTIVE, GRANT)
    Overtaken(store, first).keep("acme", Target.DRIVERI, DRIVERI)
    assert opening().tokens("acme", Target.MOTIVE) == to_tokens(1)


def test_a_change_counts_at_once_for_its_process_and_soon_for_others(store: Store) -> None:
    ours, theirs = CredentialsTable(store, SECRET_KEY), CredentialsTable(store, SECRET_KEY, keeping=0.0)
    known = theirs.of("acme"), ours.of("acme")
    ours.keep("acme", Target.MOTIVE, KEY)
    assert (theirs.of("acme"), ours.of("acme")) != known
    assert theirs.of("acme") == ours.of("acme")


def test_tokens_are_read_as_they_are_stored_now(store: Store) -> None:
    ours, theirs = CredentialsTable(store, SECRET_KEY, keeping=1e9), CredentialsTable(store, SECRET_KEY)
    ours.keep("acme", Target.MOTIVE, GRANT)
    ours.of("acme")
    theirs.replace_tokens("acme", Target.MOTIVE, "hush-0", to_tokens(1))
    assert ours.tokens("acme", Target.MOTIVE) == to_tokens(1)


def test_nothing_that_is_stored_shows_a_secret(opening: Opening, tmp_path: Path) -> None:
    table = opening()
    table.keep("acme", Target.DRIVERI, DRIVERI)
    table.keep("acme", Target.MOTIVE, GRANT)
    table.replace_tokens("acme", Target.MOTIVE, "hush-0", to_tokens(1))
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"acme" in stored
    assert not any(secret in stored for secret in (b"hush", SECRET_KEY.encode()))


@pytest.mark.parametrize(("key", "reason"), [("too short", "32 characters or more"), ("x" * 40, "another key")])
def test_a_secret_key_that_does_not_fit_is_reported_without_being_shown(
    store: Store, opening: Opening, key: str, reason: str
) -> None:
    opening().keep("acme", Target.MOTIVE, GRANT)
    table = CredentialsTable(store, key)
    for work in (
        lambda: table.of("acme"),
        lambda: table.tokens("acme", Target.MOTIVE),
        lambda: table.replace_tokens("acme", Target.MOTIVE, "hush-0", to_tokens(1)),
    ):
        with pytest.raises(CredentialsUnreadable, match=reason) as refused:
            work()
        assert key not in f"{refused.value} {table!r}"
    assert opening().tokens("acme", Target.MOTIVE) == RenewableTokens(refresh_token="hush-0")


def test_stating_credentials_again_works_under_another_key_too(store: Store, opening: Opening) -> None:
    opening().keep("acme", Target.MOTIVE, GRANT)
    table = CredentialsTable(store, "y" * 40)
    table.keep("acme", Target.MOTIVE, KEY)
    assert table.tokens("acme", Target.MOTIVE) is None


def test_accounts_do_not_get_into_each_others_way(store: Store, opening: Opening) -> None:
    unit = Unit()
    unit.keep([CredentialsRow(account="bolt", encrypted="damaged")])
    store.commit(unit)
    opening().keep("acme", Target.MOTIVE, GRANT)
    assert opening().replace_tokens("acme", Target.MOTIVE, "hush-0", to_tokens(1))
    assert sorted(opening().all()) == ["acme"]
    with pytest.raises(CredentialsUnreadable):
        opening().of("bolt")


def test_where_no_drivers_can_be_read_the_message_says_why(store: Store, opening: Opening) -> None:
    assert CredentialsTable(store, "").all() == {}
    opening().keep("acme", Target.MOTIVE, KEY)
    with pytest.raises(CredentialsUnreadable, match="another key"):
        CredentialsTable(store, "z" * 40).all()


def test_where_no_secret_key_is_set_the_message_says_how_to_set_one(store: Store) -> None:
    with pytest.raises(CredentialsUnreadable, match="neither DRIVERLINK_SECRET_KEY nor DRIVERLINK_SECRET_KEY_FILE"):
        CredentialsTable(store, "").keep("acme", Target.MOTIVE, KEY)
