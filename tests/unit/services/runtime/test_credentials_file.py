import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from adapters.credentials import (
    AccountCredentials,
    CredentialsFile,
    DriveriCredentials,
    MotiveCredentials,
)
from domain.identity import Target
from domain.ports import CredentialsUnreadable

DRIVERI = {"tenant": "acme", "client_id": "id-1", "client_secret": "hush-driveri"}
MOTIVE = {"api_key": "hush-motive"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "credentials"


@pytest.fixture
def path(folder: Path) -> Path:
    """The file of the account acme."""
    return folder / "acme.json"


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def write(path: Path, text: str, mode: int = 0o600) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(mode)


def test_an_account_has_nothing_until_something_is_kept(folder: Path) -> None:
    assert CredentialsFile(folder).of("acme") == AccountCredentials()
    assert CredentialsFile(folder).all() == {}
    assert not folder.exists()


def test_what_is_kept_is_there_for_everybody_who_reads_the_file(folder: Path) -> None:
    file = CredentialsFile(folder)
    file.keep("acme", Target.DRIVERI, DRIVERI)
    file.keep("acme", Target.MOTIVE, MOTIVE)
    file.keep("other", Target.MOTIVE, {"api_key": "hush-other"})
    for reader in (file, CredentialsFile(folder)):
        assert reader.of("acme") == AccountCredentials(
            driveri=DriveriCredentials(**DRIVERI), motive=MotiveCredentials(**MOTIVE)
        )
        assert reader.of("other") == AccountCredentials(motive=MotiveCredentials(api_key="hush-other"))
        assert reader.of("nobody") == AccountCredentials()


def test_connecting_an_account_reads_and_writes_the_file_of_that_account_alone(folder: Path) -> None:
    """What one account costs does not depend on how many there are."""
    file = CredentialsFile(folder)
    for number in range(50):
        file.keep(f"fleet-{number}", Target.MOTIVE, MOTIVE)
    before = {each: each.stat().st_ino for each in folder.iterdir()}
    for each in before:
        each.write_text("not to be read", "utf-8")
    CredentialsFile(folder).keep("acme", Target.DRIVERI, DRIVERI)
    after = {each: each.stat().st_ino for each in folder.iterdir()}
    assert after == {**before, folder / "acme.json": after[folder / "acme.json"]}
    assert all(each.read_text("utf-8") == "not to be read" for each in before)


def test_one_accounts_damaged_file_is_its_own_trouble(folder: Path, path: Path) -> None:
    file = CredentialsFile(folder)
    file.keep("other", Target.MOTIVE, MOTIVE)
    write(path, "{")
    assert file.of("other").motive == MotiveCredentials(**MOTIVE)
    assert file.all() == {"other": AccountCredentials(motive=MotiveCredentials(**MOTIVE))}
    with pytest.raises(CredentialsUnreadable, match=r"credentials/acme\.json is damaged"):
        file.of("acme")


def test_where_no_file_can_be_read_that_is_told(folder: Path, path: Path) -> None:
    write(path, "{")
    with pytest.raises(CredentialsUnreadable, match=r"credentials/acme\.json is damaged"):
        CredentialsFile(folder).all()


@pytest.mark.parametrize("account", ["../outside", "a/b", "..", ".", "Łódź", "a b"])
def test_no_name_of_an_account_leads_out_of_the_folder(folder: Path, account: str) -> None:
    CredentialsFile(folder).keep(account, Target.MOTIVE, MOTIVE)
    assert CredentialsFile(folder).of(account).motive == MotiveCredentials(**MOTIVE)
    assert [each.name for each in folder.parent.iterdir()] == [folder.name]
    (kept,) = folder.iterdir()
    assert kept.is_file()


def test_keeping_again_takes_the_place_of_what_was_kept(folder: Path) -> None:
    file = CredentialsFile(folder)
    for key in ("hush-1", "hush-2"):
        file.keep("acme", Target.MOTIVE, {"api_key": key})
    assert file.of("acme").motive == MotiveCredentials(api_key="hush-2")


def test_blanks_around_a_pasted_value_do_not_count(folder: Path) -> None:
    file = CredentialsFile(folder)
    file.keep("acme", Target.MOTIVE, {"api_key": " hush-motive\n"})
    assert file.of("acme").motive == MotiveCredentials(api_key="hush-motive")


@pytest.mark.usefixtures("open_umask")
def test_the_file_is_for_its_owner_alone(folder: Path, path: Path) -> None:
    file = CredentialsFile(folder)
    for _ in range(2):
        file.keep("acme", Target.MOTIVE, MOTIVE)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(folder.iterdir()) == [path]


def test_what_an_earlier_write_left_behind_lets_nobody_else_read(folder: Path, path: Path) -> None:
    write(path.with_suffix(".new"), "{", mode=0o644)
    CredentialsFile(folder).keep("acme", Target.MOTIVE, MOTIVE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o644, 0o610])
def test_a_file_that_others_may_use_is_refused_with_the_remedy(folder: Path, path: Path, mode: int) -> None:
    write(path, json.dumps({"acme": {"motive": MOTIVE}}), mode)
    file = CredentialsFile(folder)
    with pytest.raises(CredentialsUnreadable, match=f"can be read by others; run: chmod 600 {path}"):
        file.of("acme")
    path.chmod(0o600)
    assert file.of("acme").motive == MotiveCredentials(**MOTIVE)


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o755, 0o770])
def test_a_folder_that_others_may_use_is_refused_with_the_remedy(folder: Path, mode: int) -> None:
    file = CredentialsFile(folder)
    file.keep("acme", Target.MOTIVE, MOTIVE)
    folder.chmod(mode)
    for work in (lambda: file.of("acme"), file.all, lambda: file.keep("acme", Target.MOTIVE, MOTIVE)):
        with pytest.raises(CredentialsUnreadable, match=f"can be read by others; run: chmod 700 {folder}"):
            work()
    folder.chmod(0o700)
    assert file.of("acme").motive == MotiveCredentials(**MOTIVE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"acme": {"motive": {"api_key": "hush-motive"',
        '["hush-motive"]',
        '"hush-motive"',
        '{"acme": "hush-motive"}',
        '{"acme": {"motive": "hush-motive"}}',
        '{"acme": {"driveri": {"client_secret": "hush-driveri"}}}',
        '{"acme": {"motive": {"api_key": ["hush-motive"]}}}',
    ],
)
def test_a_damaged_file_is_refused_without_quoting_it_and_left_as_it_is(folder: Path, path: Path, text: str) -> None:
    write(path, text)
    file = CredentialsFile(folder)
    for work in (lambda: file.of("acme"), lambda: file.keep("acme", Target.MOTIVE, MOTIVE)):
        with pytest.raises(CredentialsUnreadable) as refused:
            work()
        assert str(refused.value) == "credentials/acme.json is damaged: remove it, and connect the account again"
    assert path.read_text("utf-8") == text


def test_a_file_that_is_no_text_is_damaged(folder: Path, path: Path) -> None:
    write(path, "")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(CredentialsUnreadable, match="is damaged"):
        CredentialsFile(folder).of("acme")


def test_what_cannot_be_read_is_told_with_the_reason(folder: Path, path: Path) -> None:
    path.mkdir(mode=0o700, parents=True)
    folder.chmod(0o700)
    with pytest.raises(CredentialsUnreadable, match=r"credentials/acme\.json cannot be read: Is a directory"):
        CredentialsFile(folder).of("acme")


@pytest.mark.parametrize(
    ("target", "values", "needed"),
    [
        (Target.DRIVERI, {}, "driveri need: tenant, client_id, client_secret"),
        (Target.DRIVERI, {**DRIVERI, "client_secret": " "}, "driveri need: client_secret"),
        (Target.DRIVERI, {"tenant": "acme", "client_id": "id-1", "secret": "hush"}, "driveri need: client_secret"),
        (Target.MOTIVE, DRIVERI, "motive need: api_key"),
    ],
)
def test_credentials_that_are_not_whole_are_refused_by_name(
    folder: Path, target: Target, values: Mapping[str, str], needed: str
) -> None:
    with pytest.raises(CredentialsUnreadable) as refused:
        CredentialsFile(folder).keep("acme", target, values)
    assert str(refused.value) == f"credentials for {needed}"
    assert not folder.exists()


def test_no_secret_is_shown(folder: Path) -> None:
    file = CredentialsFile(folder)
    file.keep("acme", Target.DRIVERI, DRIVERI)
    file.keep("acme", Target.MOTIVE, MOTIVE)
    known = file.of("acme")
    for shown in (known, known.driveri, known.motive, file):
        assert "hush" not in f"{shown!r} {shown!s}"


def test_a_change_by_another_process_is_seen_even_in_the_same_moment(folder: Path, path: Path) -> None:
    first, second = CredentialsFile(folder), CredentialsFile(folder)
    for key in ("hush-1", "hush-2", "hush-3"):
        second.keep("acme", Target.MOTIVE, {"api_key": key})
        os.utime(path, ns=(0, 0))
        assert first.of("acme").motive == MotiveCredentials(api_key=key)


def test_a_reader_never_sees_half_a_file(folder: Path, path: Path) -> None:
    file = CredentialsFile(folder)
    file.keep("acme", Target.MOTIVE, {"api_key": "hush-1"})
    with path.open(encoding="utf-8") as reader:
        file.keep("acme", Target.MOTIVE, {"api_key": "hush-2" * 1_000})
        assert json.loads(reader.read())["acme"]["motive"] == {"api_key": "hush-1"}


def test_a_write_that_fails_is_told_and_leaves_the_file_as_it_was(folder: Path, path: Path) -> None:
    file = CredentialsFile(folder)
    file.keep("acme", Target.MOTIVE, MOTIVE)
    path.with_suffix(".new").mkdir()
    with pytest.raises(CredentialsUnreadable, match=r"credentials/acme\.json cannot be written: "):
        file.keep("acme", Target.MOTIVE, {"api_key": "hush-2"})
    assert CredentialsFile(folder).of("acme").motive == MotiveCredentials(**MOTIVE)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CredentialsUnreadable, match="cannot be written: No such file or directory"):
        CredentialsFile(tmp_path / "none" / "credentials").keep("acme", Target.MOTIVE, MOTIVE)
