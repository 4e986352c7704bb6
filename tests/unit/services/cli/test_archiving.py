"""`driverlink archives`: old history is in files that prove what they have, whatever happens meanwhile."""

import asyncio
import gzip
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from json import dumps, loads
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from adapters.archives import digest_of, remove_archive, remove_former, write_archive
from adapters.signing import RootSigner
from domain.hash_chain import HistoryArchived
from domain.store import StoreFailed
from services.api.signed_roots import sign_if_due
from services.wiring import archiving
from services.wiring.archiving import archive_history, check_archives
from services.wiring.embedded import open_keys, open_stores
from services.wiring.rebuild import Stores
from services.wiring.registry import SERVICES
from tests.support.commanding import Ended, command
from tests.support.served_folder import ServedFolder
from tests.unit.services.api.api_stand import NOW, ApiStand

DAY = timedelta(days=1)
LATER = NOW + 9 * DAY
THIRD_DAY = (NOW + 2 * DAY).isoformat()
PEOPLE = ("Jane", "a@fleet.test", "b@fleet.test")
OTHERS = "other@fleet.test"
GONE = """
DELETE FROM history_heads WHERE history = (SELECT originator_id FROM stored_events WHERE rowid = 2);
DELETE FROM stored_events WHERE rowid = 2;
"""
Json = dict[str, Any]


@pytest.fixture(scope="module")
def three_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The account acme of the first day, under a root; another one of the second; and a driver of the fourth."""
    folder = tmp_path_factory.mktemp("days")
    stand = ApiStand(folder)
    asyncio.run(_fill(stand))
    stand.close()
    return folder


async def _fill(stand: ApiStand) -> None:
    await stand.set_some_aside()
    stand.now += DAY
    assert await sign_if_due(stand.app.state.installation)
    await stand.post("/accounts", {"account": "other", "master_user": "max", "tier": "pro"})
    await _create(stand, "1")
    stand.now += 2 * DAY
    await _create(stand, "2")


async def _create(stand: ApiStand, driver: str) -> None:
    profile = {"first_name": "Zoe", "last_name": "Roe", "email": OTHERS}
    body = {"action": "create", "driver": driver, "profile": profile}
    assert (await stand.post("/accounts/other/drivers", body)).is_success
    while stand.step():
        pass


@pytest.fixture
def folder(three_days: Path) -> Iterator[Path]:
    with TemporaryDirectory(prefix="dl-") as parent:
        yield copytree(three_days, Path(parent) / "data")


@pytest.fixture
def archive(folder: Path) -> Path:
    return folder.parent / "archive"


def on(folder: Path, *arguments: str) -> Ended:
    variables = {"DRIVERLINK_DATA": str(folder), "DRIVERLINK_ARCHIVE_FOLDER": str(folder.parent / "archive")}
    return command(variables, *arguments)


def create(folder: Path, before: str = THIRD_DAY) -> Json:
    ended = on(folder, "archives", "create", "--before", before, "--apply", "--json")
    assert ended.err == ""
    return dict(loads(ended.out))


def served(folder: Path, *arguments: str) -> Ended:
    """A command on the folder while its API is served."""
    asked = ServedFolder(folder)
    try:
        return asked(*arguments)
    finally:
        asked.stop()


def lines_of(path: Path) -> list[Json]:
    return [loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def contents(archive: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(archive.iterdir())}


def known(folder: Path) -> tuple[list[Json], str]:
    """What the API lists, and the installation's public key."""
    return served(folder, "archives", "list", "--json").document, RootSigner.of_file(folder / "signing-key").key


def stored(folder: Path, service: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / f"{service}.sqlite")) as connection:
        columns = "rowid, originator_id, originator_version, topic, CAST(state AS TEXT), lower(hex(hash))"
        return connection.execute(f"SELECT {columns} FROM stored_events ORDER BY rowid").fetchall()  # noqa: S608 - a test's own


def alter(folder: Path, service: str, sql: str) -> None:
    with closing(sqlite3.connect(folder / f"{service}.sqlite")) as connection:
        connection.executescript(sql)


def test_without_apply_nothing_is_written(folder: Path, archive: Path) -> None:
    before = {service: stored(folder, service) for service in SERVICES}
    shown = on(folder, "archives", "create", "--before", THIRD_DAY)
    assert (shown.status, archive.exists()) == (0, False)
    assert {service: stored(folder, service) for service in SERVICES} == before
    due = on(folder, "archives", "create", "--before", THIRD_DAY, "--json").document
    assert due["is_written"] is False
    assert {part["log"] for part in due["archives"]} >= {"accounts", "changes", "decisions", "outcomes-motive"}
    made = create(folder)["archives"]
    assert sum(part["events"] for part in due["archives"]) == sum(part["events"] + part["erased"] for part in made)


def test_archives_have_what_is_stored_and_nothing_younger(folder: Path, archive: Path) -> None:
    create(folder)
    events = [
        line for path in sorted(archive.iterdir()) for line in lines_of(path)[1:] if path.name.startswith("changes")
    ]
    names = ("position", "history", "version", "topic", "state", "hash")
    old = [row for row in stored(folder, "intake") if loads(row[4])["at"] <= THIRD_DAY]
    assert [tuple(event[name] for name in names) for event in events] == old
    assert 0 < len(old) < len(stored(folder, "intake"))
    assert {path.stat().st_mode & 0o777 for path in archive.iterdir()} == {0o600}


def test_archives_are_verified_and_prove_their_events(folder: Path, archive: Path) -> None:
    made = create(folder)["archives"]
    assert served(folder, "verify").status == 0
    ended = served(folder, "verify", "--archive", str(archive))
    assert ended.status == 0, ended.out
    events = sum(each["events"] for each in made)
    assert ended.out.splitlines()[-1] == f"{len(made)} archives with {events} events are as they were written"
    assert len(known(folder)[0]) == len(made)
    for log, position in (("changes", "2"), ("decisions", "1"), ("changes", "4")):
        proof = on(folder, "prove", log, position, "--archive", str(archive)).document
        assert proof == served(folder, "prove", log, position).document
    assert "no archive in" in on(folder, "prove", "changes", "5", "--archive", str(archive)).err


def test_what_is_archived_is_not_archived_again_and_what_came_since_is(folder: Path, archive: Path) -> None:
    first = create(folder)["archives"]
    files = contents(archive)
    assert create(folder)["archives"] == []
    assert contents(archive) == files
    facts = len(stored(folder, "accounts"))
    assert create(folder)["archives"] == []
    assert len(stored(folder, "accounts")) == facts
    second = create(folder, LATER.isoformat())["archives"]
    reached = {each["log"]: each["through"] for each in first}
    assert [each["after"] for each in second if each["log"] == "changes"] == [reached["changes"]]
    assert served(folder, "verify", "--archive", str(archive)).status == 0


def test_a_file_that_is_not_there_any_more_is_written_again_the_same(folder: Path, archive: Path) -> None:
    create(folder)
    files = contents(archive)
    gone = archive / next(iter(files))
    gone.unlink()
    ended = served(folder, "verify", "--archive", str(archive))
    assert (ended.status, ended.out.splitlines()[-1]) == (1, f"{gone.name}: is missing")
    facts = len(stored(folder, "accounts"))
    assert len(create(folder)["archives"]) == 1
    assert (contents(archive), len(stored(folder, "accounts"))) == (files, facts)


def test_any_byte_that_is_flipped_in_an_archive_is_found(folder: Path, archive: Path) -> None:
    create(folder)
    facts, key = known(folder)
    assert [each.problem for each in check_archives(archive, facts, key)] == [""] * len(facts)
    chance = random.Random(16)  # noqa: S311 - a seed
    for _ in range(1000):
        path = chance.choice(sorted(archive.iterdir()))
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        found = [each.file for each in check_archives(archive, facts, key) if each.problem]
        path.write_bytes(whole)
        assert found == [path.name]


def _altered_state(lines: list[Json]) -> None:
    lines[2]["state"] = lines[2]["state"].replace('"sealed":"', '"sealed":"A')


def _without_one(lines: list[Json]) -> None:
    del lines[2]


def _erased_one(lines: list[Json]) -> None:
    lines[2] = {name: lines[2][name] for name in ("position", "hash")}


def _swapped(lines: list[Json]) -> None:
    lines[1]["position"], lines[2]["position"] = lines[2]["position"], lines[1]["position"]


def _other_root(lines: list[Json]) -> None:
    lines[0]["root"] = "00" * 32


def _other_key(lines: list[Json]) -> None:
    signer = RootSigner(bytes(32))
    lines[0] |= {"key": signer.key, "signature": signer.sign(lines[0]["statement"])}


@pytest.mark.parametrize(
    ("alteration", "problem"),
    [
        (_altered_state, "at position 2, is not as it was stored"),
        (_without_one, "has another root"),
        (_erased_one, "is not as it was written"),
        (_swapped, "has another root"),
        (_other_root, "is of another part of a log"),
        (_other_key, "has a root that this installation has not signed"),
    ],
)
def test_what_somebody_wrote_into_an_archive_is_named(
    folder: Path, archive: Path, alteration: Callable[[list[Json]], None], problem: str
) -> None:
    """Also where the SHA-256 of the altered file is stored."""
    create(folder)
    facts, key = known(folder)
    (fact,) = (each for each in facts if each["log"] == "changes" and each["after"] == 0)
    path = archive / fact["file"]
    lines = lines_of(path)
    alteration(lines)
    path.write_bytes(gzip.compress("".join(dumps(line) + "\n" for line in lines).encode()))
    fact["sha256"] = digest_of(path)
    if alteration is _erased_one:
        fact["sha256"] = "00" * 32
        fact["erased"] = 1
    found = [each for each in check_archives(archive, facts, key) if each.problem]
    assert [each.file for each in found] == [path.name]
    assert problem in found[0].problem


def test_what_is_not_as_it_was_stored_is_not_archived(folder: Path, archive: Path) -> None:
    alter(folder, "intake", "UPDATE stored_events SET state = CAST(replace(state, '{', '{ ') AS BLOB)")
    ended = on(folder, "archives", "create", "--before", THIRD_DAY, "--apply")
    assert ended.status == 1
    assert "in changes is not as it was stored" in ended.err
    assert not [path for path in archive.iterdir() if path.name.startswith("changes")]


def test_what_is_not_as_its_root_says_is_not_archived(folder: Path, archive: Path) -> None:
    """A history that is gone with its head breaks no chain."""
    alter(folder, "intake", GONE)
    ended = on(folder, "archives", "create", "--before", THIRD_DAY, "--apply")
    assert ended.status == 1
    assert "positions 1 to 3 of changes are not as their signed root says" in ended.err
    assert not [path for path in archive.iterdir() if path.name.startswith("changes")]


def test_archives_alone_have_all_that_read_models_are_made_of(folder: Path, archive: Path) -> None:
    create(folder)
    check = ("rebuild", "--check")
    assert on(folder, "rebuild").status == 0
    assert on(folder, *check).status == 0
    for service in SERVICES:
        if service != "accounts":
            old = f"json_extract(CAST(state AS TEXT), '$.at') <= '{THIRD_DAY}'"
            alter(folder, service, f"DELETE FROM stored_events WHERE {old}")  # noqa: S608 - a test's own
    assert on(folder, *check).status == 1
    ended = on(folder, *check, "--archive", str(archive))
    assert (ended.status, ended.out) == (0, "every read model matches the log\n")
    assert on(folder, "rebuild", "--archive", str(archive)).status == 0
    assert on(folder, *check, "--archive", str(archive)).status == 0
    path = next(path for path in archive.iterdir() if path.name.startswith("changes"))
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert "is not as it was written" in on(folder, *check, "--archive", str(archive)).err


def test_nothing_of_an_erased_account_stays_in_archives(folder: Path, archive: Path) -> None:
    create(folder)
    assert holding(archive, "acme")
    assert holding(archive, *PEOPLE) == []
    assert served(folder, "accounts", "remove", "acme", "--yes").status == 0
    assert on(folder, "erase").out == "erased acme\n"
    assert holding(archive, *PEOPLE, "acme") == []
    assert len(holding(archive, "other")) == 2
    ended = served(folder, "verify", "--archive", str(archive))
    assert ended.status == 0, ended.out
    assert on(folder, "rebuild", "--check", "--archive", str(archive)).status == 0
    assert "was erased" in on(folder, "prove", "changes", "1", "--archive", str(archive)).err
    files = contents(archive)
    for path in archive.iterdir():
        path.unlink()
    create(folder)
    assert contents(archive) == files


def holding(archive: Path, *texts: str) -> list[str]:
    """The archives in which one of these texts is."""
    return [
        path.name
        for path in sorted(archive.iterdir())
        if any(text.encode() in gzip.decompress(path.read_bytes()) for text in texts)
    ]


def test_an_account_is_not_erased_while_an_archive_is_elsewhere(folder: Path, archive: Path) -> None:
    """The services run nevertheless, and it is erased at the next start at which the file is there."""
    create(folder)
    (gone,) = (archive / name for name in holding(archive, "acme") if name.startswith("changes"))
    whole = gone.read_bytes()
    gone.unlink()
    assert served(folder, "accounts", "remove", "acme", "--yes").status == 0
    ended = on(folder, "erase")
    assert ended.status == 1
    assert f"the archive {gone.name} is not in {archive}: put it back" in ended.err
    assert "set DRIVERLINK_ARCHIVE_FOLDER" in command({"DRIVERLINK_DATA": str(folder)}, "erase").err
    assert served(folder, "status").status == 0
    assert any('"acme"' in row[4] for row in stored(folder, "intake"))
    gone.write_bytes(whole[:-1] + b"!")
    assert "is not as it was written" in on(folder, "erase").err
    gone.write_bytes(whole)
    assert on(folder, "erase").out == "erased acme\n"
    assert holding(archive, *PEOPLE, "acme") == []


def test_deleted_archives_are_not_written_again_and_need_not_be_there_to_erase(folder: Path, archive: Path) -> None:
    create(folder)
    files = contents(archive)
    words = ("archives", "delete", "--before", (NOW + DAY / 2).isoformat())
    shown = on(folder, *words)
    first = shown.out.splitlines()
    assert 0 < len(first) < len(files)
    assert {name for name in files if name.split("-0")[0] == "changes"} > {name for name in first if "changes" in name}
    assert ("nothing was deleted" in shown.err, contents(archive)) == (True, files)
    ended = on(folder, *words, "--apply", "--json")
    assert [each["file"] for each in ended.document["archives"]] == first
    left = {name: whole for name, whole in files.items() if name not in first}
    assert contents(archive) == left
    assert create(folder)["archives"] == []
    assert contents(archive) == left
    assert "no archive is that old" in on(folder, *words, "--apply").err
    assert served(folder, "verify", "--archive", str(archive)).status == 0
    assert on(folder, "rebuild").status == 0
    assert on(folder, "rebuild", "--check", "--archive", str(archive)).status == 0
    assert served(folder, "accounts", "remove", "acme", "--yes").status == 0
    assert on(folder, "erase").out == "erased acme\n"
    assert holding(archive, *PEOPLE) == []


def test_the_file_of_another_installation_is_left_alone(folder: Path, archive: Path) -> None:
    """Whatever it is called."""
    create(folder)
    path = next(path for path in sorted(archive.iterdir()) if path.name.startswith("changes"))
    lines = lines_of(path)
    lines[0]["root"] = "00" * 32
    other = path.with_name(path.name[:-25] + "0" * 16 + ".jsonl.gz")
    other.write_bytes(gzip.compress("".join(dumps(line) + "\n" for line in lines).encode()))
    create(folder)
    assert {path.name, other.name} <= {each.name for each in archive.iterdir()}


class Killed(Exception):
    """The process ends here."""


def opened(folder: Path, stack: ExitStack) -> Stores:
    keys = stack.enter_context(closing(open_keys(folder)))
    return {name: stack.enter_context(closing(each)) for name, each in open_stores(folder, keys).items()}


class Dying:
    """Lets a process end at one of its steps, before or after it."""

    def __init__(self, at: int) -> None:
        self._at = at
        self.steps = 0

    def __call__(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def taken(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - those of any step
            self._look()
            done = step(*given, **named)
            self._look()
            return done

        return taken

    def _look(self) -> None:
        self.steps += 1
        if self.steps == self._at:
            raise Killed


@pytest.mark.parametrize("is_erasing", [False, True], ids=["archiving", "erasing"])
def test_what_ends_at_any_step_goes_on_to_the_same_end(three_days: Path, *, is_erasing: bool) -> None:
    expected: dict[str, list[Json]] = {}
    at, is_over = 0, False
    while not is_over:
        with TemporaryDirectory(prefix="dl-") as parent:
            folder = copytree(three_days, Path(parent) / "data")
            archive = folder.parent / "archive"
            if is_erasing:
                create(folder)
                assert served(folder, "accounts", "remove", "acme", "--yes").status == 0
            dying = Dying(at)
            with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
                stores = opened(folder, stack)
                for step in (write_archive, remove_archive, remove_former):
                    patch.setattr(archiving, step.__name__, dying(step))
                patch.setattr(stores["accounts"], "commit", dying(stores["accounts"].commit))
                signer = RootSigner.of_file(folder / "signing-key")
                try:
                    if is_erasing:
                        archiving.forget_in_archives(stores, archive, "acme", LATER)
                    else:
                        archive_history(stores, signer, archive, NOW + 2 * DAY, LATER)
                    is_over = at > 0
                except Killed:
                    pass
            if is_erasing:
                assert on(folder, "erase").out == "erased acme\n"
                assert holding(archive, *PEOPLE, "acme") == []
            else:
                create(folder)
            # The roots that were signed on the way have another time each, and with it another signature.
            found = {path.name[:-29]: lines_of(path)[1:] for path in archive.iterdir()}
            assert found == (expected := expected or found)
            assert served(folder, "verify", "--archive", str(archive)).status == 0
        at += 1
    assert at > 10


def test_a_kill_9_as_files_appear_loses_nothing(folder: Path, archive: Path) -> None:
    """It is killed again and again, each time as soon as there is a file more."""
    words = [sys.executable, "-m", "services.cli", "archives", "create", "--before", THIRD_DAY, "--apply"]
    environment = {**os.environ, "DRIVERLINK_DATA": str(folder), "DRIVERLINK_ARCHIVE_FOLDER": str(archive)}
    ended, kills = 1, 0
    while ended != 0:
        seen = len([*archive.glob("*")])
        process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL)
        while process.poll() is None and len([*archive.glob("*")]) == seen:
            os.sched_yield()
        process.send_signal(signal.SIGKILL)
        ended = process.wait()
        kills += ended == -signal.SIGKILL
    assert kills > 2
    create(folder)
    assert not [path for path in archive.iterdir() if not path.name.endswith(".jsonl.gz")]
    assert served(folder, "verify", "--archive", str(archive)).status == 0


def test_what_is_lacking_is_said_in_one_line(folder: Path) -> None:
    lacking = command({"DRIVERLINK_DATA": str(folder)}, "archives", "create", "--before", "1d")
    assert (lacking.status, "set DRIVERLINK_ARCHIVE_FOLDER" in lacking.err) == (1, True)
    assert "DRIVERLINK_ARCHIVE_AFTER_DAYS" in on(folder, "archives", "create").err
    assert "not a date or time" in on(folder, "archives", "create", "--before", "soon").err
    variables = {"DRIVERLINK_DATA": str(folder), "DRIVERLINK_ARCHIVE_FOLDER": str(folder.parent / "archive")}
    ended = command({**variables, "DRIVERLINK_ARCHIVE_AFTER_DAYS": "30"}, "archives", "create", "--json")
    assert {part["log"] for part in ended.document["archives"]} >= {"changes"}
    with ExitStack() as stack, pytest.raises(StoreFailed, match="without a secret key"):
        archive_history(opened(folder, stack), None, folder.parent / "archive", NOW + 2 * DAY, NOW)


def test_archives_are_facts_without_personal_data(folder: Path) -> None:
    create(folder)
    facts = [row for row in stored(folder, "accounts") if row[3] == HistoryArchived.TOPIC]
    assert len(facts) == len(known(folder)[0])
    assert {loads(row[4])["account"] for row in facts} == {""}
