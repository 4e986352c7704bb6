"""The keys of profiles in a SQLite file, and master keys in a file beside it."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from adapters.profile_keys import MasterKeyFile, MasterKeys, ProfileKeyRow, ProfileKeysTable, StatedMasterKeys
from adapters.store.sqlite import SqliteStore
from domain.store import Misconfigured
from tests.contract.profile_keys import FIRST, JANE, JIM, NOW, ProfileKeysContract


class SqliteKeys:
    """A file, opened as often as there are processes."""

    def __init__(self, path: Path, opened: ExitStack) -> None:
        self.path = path
        self._opened = opened

    def process(self, masters: MasterKeys | None = None) -> ProfileKeysTable:
        """The keys as another process has them."""
        return ProfileKeysTable(self.table(), masters or StatedMasterKeys(FIRST), lambda: NOW)

    def table(self) -> SqliteStore:
        """The file, opened once more."""
        store = SqliteStore(self.path, log_name="profile-keys", rows=(ProfileKeyRow,))
        return self._opened.enter_context(closing(store))


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[SqliteKeys]:
    with ExitStack() as opened:
        yield SqliteKeys(tmp_path / "profile-keys.sqlite", opened)


class TestProfileKeysOnSqlite(ProfileKeysContract):
    """The table keeps the contract in a file."""


def _bytes_of(stand: SqliteKeys) -> bytes:
    return b"".join(path.read_bytes() for path in stand.path.parent.glob(f"{stand.path.name}*"))


def test_a_destroyed_key_is_overwritten_in_the_file(stand: SqliteKeys) -> None:
    keys = stand.process()
    keys.sealing({JANE: False, JIM: False})
    wrapped = {row.driver: row.wrapped.encode() for row in stand.table().select(ProfileKeyRow)}
    assert all(each in _bytes_of(stand) for each in wrapped.values())
    keys.destroy([JANE])
    assert wrapped["p-1"] not in _bytes_of(stand)
    assert wrapped["p-2"] in _bytes_of(stand)


def test_a_rotation_leaves_nothing_of_the_former_master_key(stand: SqliteKeys, tmp_path: Path) -> None:
    file = MasterKeyFile(tmp_path / "profile-master-key")
    file.make()
    first = file.known()[0].id
    stored = (tmp_path / "profile-master-key").read_bytes()
    keys = stand.process(file)
    keys.sealing({JANE: False})
    wrapped = stand.table().select(ProfileKeyRow)[0].wrapped.encode()
    assert keys.renew_master()
    assert [use.is_current for use in keys.masters()] == [True, False]
    assert keys.rotate(10) == 0
    assert first not in [use.master for use in keys.masters()]
    assert wrapped not in _bytes_of(stand)
    assert stored.strip() not in (tmp_path / "profile-master-key").read_bytes()
    assert stand.process(MasterKeyFile(tmp_path / "profile-master-key")).sealing({JANE: False})[JANE]


def test_a_rotation_that_is_begun_again_makes_no_third_master_key(stand: SqliteKeys, tmp_path: Path) -> None:
    file = MasterKeyFile(tmp_path / "profile-master-key")
    file.make()
    keys = stand.process(file)
    keys.sealing({JANE: False})
    keys.renew_master()
    again = stand.process(MasterKeyFile(tmp_path / "profile-master-key"))
    assert again.renew_master()
    assert len(again.masters()) == 2
    assert again.rotate(10) == 0
    assert len(again.masters()) == 1


def test_the_file_of_master_keys_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "profile-master-key"
    MasterKeyFile(path).make()
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(Misconfigured, match="can be read by others; run: chmod 600"):
        MasterKeyFile(path).known()


def test_a_file_of_master_keys_that_is_missing_or_damaged_is_said_without_quoting_it(tmp_path: Path) -> None:
    path = tmp_path / "profile-master-key"
    with pytest.raises(Misconfigured, match="is missing: put back a copy"):
        MasterKeyFile(path).known()
    path.touch(0o600)
    for text in ("", "abcd", "hush" * 16):
        path.write_text(text)
        with pytest.raises(Misconfigured, match="is damaged: put back a copy") as told:
            MasterKeyFile(path).known()
        assert "hush" not in str(told.value)
