"""`driverlink accounts remove`: nothing of the account stays, whatever happens meanwhile, and the others stay."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory

import pytest

from domain.account import AccountErased
from domain.hash_chain import RootsSigned
from domain.identity import AccountId
from services.accounts.handlers import account_of
from services.wiring.embedded import open_keys, open_stores
from services.wiring.erasing import erase_removed
from services.wiring.registry import SERVICES
from tests.support.commanding import Ended, command
from tests.support.served_folder import ServedFolder
from tests.unit.services.api.api_stand import NOW, ApiStand, letter

PEOPLE = (b"Jane", b"a@fleet.test", b"b@fleet.test", b'"jane"', b'"bob"')
OTHERS = b"other@fleet.test"


@pytest.fixture(scope="module")
def two_fleets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The account acme with drivers who are set aside and a dead letter, and another account. To be copied."""
    folder = tmp_path_factory.mktemp("fleets")
    stand = ApiStand(folder)
    asyncio.run(_fill(stand))
    stand.close()
    return folder


async def _fill(stand: ApiStand) -> None:
    await stand.set_some_aside()
    stand.keep(letter(body=b'{"account":"acme","profile":{"first_name":"Jane"'))
    people = {"master_user": "max", "tier": "pro"}
    await stand.post("/accounts", {"account": "other", **people})
    profile = {"first_name": "Zoe", "last_name": "Roe", "email": OTHERS.decode()}
    line = {"line": 1, "driver": "1", "profile": profile}
    assert (await stand.post("/accounts/other/lists", {"lines": [line]})).is_success
    while stand.step():
        pass


@pytest.fixture
def folder(two_fleets: Path) -> Iterator[Path]:
    with TemporaryDirectory(prefix="dl-") as parent:
        yield copytree(two_fleets, Path(parent) / "data")


def remove(folder: Path) -> None:
    """As `driverlink accounts remove` does it; its services do nothing more."""
    served = ServedFolder(folder)
    try:
        assert served("accounts", "connect", "acme", "motive", "--api-key-file", str(secret(folder))).status == 0
        ended = served("accounts", "remove", "acme", "--yes")
        assert (ended.status, ended.out) == (0, "removed acme; its data is erased when the services start next\n")
        assert [each["account"] for each in served("accounts", "list", "--json").document] == ["other"]
        for words in (("accounts", "show", "acme"), ("sync", "on", "acme", "--as", "jane", "--yes")):
            assert "there is no account acme" in served(*words).err
        again = served("accounts", "add", "acme", "--master-user", "eve")
        assert "its data is not erased yet" in again.err
    finally:
        served.stop()


def secret(folder: Path) -> Path:
    file = folder.parent / "key"
    file.write_text("hush-key", "utf-8")
    return file


def on(folder: Path, *arguments: str) -> Ended:
    return command({"DRIVERLINK_DATA": str(folder)}, *arguments)


def holds(folder: Path, text: bytes) -> list[str]:
    """The files that have this text somewhere, also where it was deleted."""
    return [each.name for each in folder.rglob("*") if each.is_file() and text in each.read_bytes()]


def is_erased(folder: Path) -> None:
    for text in (*PEOPLE, b"hush-key"):
        assert holds(folder, text) == [], text
    assert sorted(holds(folder, OTHERS)) == ["decider.sqlite", "intake.sqlite"]
    stores = open_stores(folder, open_keys(folder))
    account = account_of(stores["accounts"], "other")
    assert account.is_known
    log = [each.event for each in stores["accounts"].log.read(0, 99)]
    (proof,) = [each for each in log if isinstance(each, AccountErased)]
    assert (proof.account, proof.by, proof.role, proof.events.keys()) == ("acme", "", "operator", SERVICES.keys())
    erasure = [each.account for each in log if each and not isinstance(each, RootsSigned)][-2:]
    assert erasure == ["acme", "acme"]
    assert stores["decider"].position("requested/driver-links.state.v1") > 0
    for store in stores.values():
        store.close()
    assert on(folder, "rebuild", "--check").out == "every read model matches the log\n"


def test_all_of_a_removed_account_is_erased_and_its_id_can_be_used_again(folder: Path) -> None:
    assert holds(folder, PEOPLE[1])
    remove(folder)
    assert on(folder, "erase").out == "erased acme\n"
    is_erased(folder)
    assert on(folder, "erase").out == "no removed account has data any more\n"
    served = ServedFolder(folder)
    served.start(works=True)
    try:
        assert served("accounts", "add", "acme", "--master-user", "eve", "--mode", "off").status == 0
        profile = ("--set", "first_name=Ada", "--set", "last_name=Lo", "--set", "ref_id=R1")
        assert served("drivers", "create", "acme", "--driver", "1", *profile).status == 0
        assert [each["account"] for each in served("accounts", "list", "--json").document] == ["acme", "other"]
    finally:
        served.stop()
    assert on(folder, "rebuild", "--check").out == "every read model matches the log\n"


def test_the_services_erase_at_their_start(folder: Path) -> None:
    remove(folder)
    served = ServedFolder(folder)
    served.start(works=True)
    try:
        for text in PEOPLE:
            assert holds(folder, text) == [], text
    finally:
        served.stop()
    is_erased(folder)


@pytest.mark.parametrize("is_at_start", [True, False])
def test_who_had_a_word_on_a_removed_account_has_none_on_the_next_of_its_id(folder: Path, *, is_at_start: bool) -> None:
    """A kill can have come between the removal and the end of its credentials."""
    credentials = folder / "credentials" / "acme.json"
    served = ServedFolder(folder)
    try:
        roles = ("--role", "account_manager", "--account", "acme", "--json")
        served("keys", "create", "of acme", *roles)
        served("keys", "create", "of both", *roles, "--account", "other")
        assert served("accounts", "remove", "acme", "--yes").status == 0
        served.stop()
        credentials.parent.mkdir(mode=0o700, exist_ok=True)
        credentials.write_text("{ damaged", "utf-8")
        if not is_at_start:
            assert on(folder, "erase").out == "erased acme\n"
        keys = served("keys", "list", "--json").document
        assert [(each["name"], each["accounts"]) for each in keys] == [("of both", ["other"])]
        assert not credentials.exists()
    finally:
        served.stop()


class Killed(Exception):
    """The process ends here."""


class Dying:
    """A store of a process that ends before, or after, it erases."""

    def __init__(self, store: object, *, is_after: bool) -> None:
        self._store = store
        self._is_after = is_after

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def erase(self, *arguments: object) -> None:
        if self._is_after:
            self._store.erase(*arguments)  # type: ignore[attr-defined]
        raise Killed


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("service", [*SERVICES])
def test_what_ends_in_the_middle_of_an_erasure_goes_on(folder: Path, service: str, is_after: bool) -> None:  # noqa: FBT001
    remove(folder)
    stores = open_stores(folder, open_keys(folder))
    dying = {**stores, service: Dying(stores[service], is_after=is_after)}
    with pytest.raises(Killed):
        erase_removed(dying, None, NOW, beside=())  # type: ignore[arg-type]
    for store in stores.values():
        with closing(store):
            pass
    assert on(folder, "erase").out == "erased acme\n"
    is_erased(folder)


def _size(file: Path) -> int:
    """How many bytes a file has that may go at any moment."""
    with suppress(FileNotFoundError):
        return file.stat().st_size
    return 0


def test_a_kill_9_in_the_middle_of_an_erasure_changes_nothing_about_its_end(folder: Path) -> None:
    """It is killed as soon as something is written to the first store."""
    remove(folder)
    words = [sys.executable, "-m", "services.cli", "erase"]
    process = subprocess.Popen(words, env={**os.environ, "DRIVERLINK_DATA": str(folder)})
    wal = folder / "projector-motive.sqlite-wal"
    while process.poll() is None and not _size(wal):
        os.sched_yield()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert on(folder, "erase").status == 0
    is_erased(folder)


def test_an_account_is_not_removed_without_a_question(folder: Path) -> None:
    served = ServedFolder(folder)
    try:
        ended = served("accounts", "remove", "acme")
        assert (ended.status, "there is no terminal to ask on" in ended.err) == (2, True)
        refused = served("accounts", "remove", "acme", "--yes", "--as", "jane")
        assert (refused.status, "cannot remove it" in refused.err) == (1, True)
    finally:
        served.stop()


def test_logs_are_erased_only_behind_their_consumers(folder: Path) -> None:
    """Where Kafka carries them, what is not consumed yet would come back."""
    remove(folder)
    stores = open_stores(folder, open_keys(folder))
    try:
        with pytest.raises(Exception, match="has not consumed everything of acme yet"):
            erase_removed(stores, lambda _: 0, NOW, beside=())
        assert stores["accounts"].last_of(AccountId("acme")) > 0
    finally:
        for store in stores.values():
            store.close()
