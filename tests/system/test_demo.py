"""What a newcomer sees: `driverlink demo`, and what can be asked afterwards."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.commanding import command
from tests.support.served_folder import ServedFolder

Json = dict[str, Any]
Explain = Callable[[str], str]


def _run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "services.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Json]:
    """A data folder on which the demo was played, and its summary."""
    data = tmp_path_factory.mktemp("demo") / "data"
    run = _run("demo", "--json", "--data", str(data))
    assert (run.returncode, run.stderr) == (0, "")
    return data, json.loads(run.stdout)


@pytest.fixture(scope="module")
def served(played: tuple[Path, Json]) -> Iterator[ServedFolder]:
    """The demo's data folder with its API."""
    folder = ServedFolder(played[0])
    yield folder
    folder.stop()


@pytest.fixture
def explain(served: ServedFolder) -> Explain:
    """`driverlink explain` for a driver of the demo's fleet."""
    return lambda driver: served("explain", "sample-fleet", driver).out


def _driver(played: tuple[Path, Json], scene: str, decided: str = "") -> str:
    found = (each["driver"] for each in played[1]["decided"] if each["scene"] == scene and decided in each["decided"])
    return str(next(found))


def _waiting(played: tuple[Path, Json], target: str, reason: str) -> str:
    waiting = played[1]["waiting"]
    return str(next(each["driver"] for each in waiting if each["target"] == target and reason in each["reason"]))


def test_both_targets_agree_with_the_portal(played: tuple[Path, Json]) -> None:
    summary = played[1]
    assert summary["agreed"] is True
    assert summary["disagreements"] == []
    assert summary["agreeing"] == {"driveri": 1493, "motive": 1480}
    assert len(summary["waiting"]) == 27


def test_unmanaged_former_drivers_other_roles_and_foreign_ids_are_untouched(played: tuple[Path, Json]) -> None:
    assert played[1]["touched"] == []


def test_the_guard_held_what_was_beyond_its_limit(played: tuple[Path, Json]) -> None:
    assert played[1]["held_and_approved"] == {"driveri": 16, "motive": 16}


@pytest.mark.parametrize(
    ("scene", "decided", "sentence"),
    [
        ("a new DriverID", "RenameDecided", "Situation RENAMED"),
        ("a DriverID that exists", "LinkDecided", "Situation REDIRECTED"),
        ("a swap of DriverIDs", "Parked", "Situation CONFLICT"),
        ("a delete, then a rehire", "ReinstateDecided", "Situation DORMANT"),
        ("a delete, then a rehire", "DeleteDecided", "Situation ORPHANED"),
        ("too many deletes", "DeleteHeld", "of at most 74 deletes within 24 hours"),
        ("too many deletes", "DeleteApproved", "maria (Master User)"),
        ("an update", "UpdateDecided", "Situation OUTDATED"),
    ],
)
def test_explain_says_why(played: tuple[Path, Json], explain: Explain, scene: str, decided: str, sentence: str) -> None:
    assert sentence in explain(_driver(played, scene, decided))


def test_explain_says_why_a_driver_was_created_or_linked(played: tuple[Path, Json], explain: Explain) -> None:
    stories = [explain(_driver(played, scene)) for scene in ("an update", "a new DriverID", "a swap of DriverIDs")]
    assert any("Situation ABSENT" in story for story in stories)
    assert any("Situation FOUND" in story for story in stories)


@pytest.mark.parametrize(
    ("target", "reason", "advice"),
    [
        ("driveri", "neither a Driveri DriverID nor a RefID", "What to do: "),
        ("driveri", "has claimed its id", "What to do: "),
        ("motive", "has claimed its e-mail", "What to do: "),
        ("motive", "2 target drivers have its RefID", "What to do: "),
        ("motive", "was portal driver 200036, and the licences are different", "What to do: See whether they are one"),
        ("motive", "was portal driver 200141, and the licences are different", "What to do: See whether they are one"),
        ("motive", "that this company cannot see", "What to do: "),
    ],
)
def test_explain_says_what_a_person_can_do(
    played: tuple[Path, Json], explain: Explain, target: str, reason: str, advice: str
) -> None:
    first_lines = explain(_waiting(played, target, reason)).split("\n\n")[0]
    assert advice in first_lines


def test_a_folder_that_the_demo_did_not_make_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    run = _run("demo", "--data", str(tmp_path))
    assert run.returncode == 1
    assert "is not a folder of the demo" in run.stderr
    assert (tmp_path / "precious").exists()


def test_rebuild_makes_every_read_model_as_the_log_says(
    played: tuple[Path, Json], served: ServedFolder, tmp_path: Path
) -> None:
    served.stop()
    data = tmp_path / "data"
    shutil.copytree(played[0], data)
    on = {"DRIVERLINK_DATA": str(data)}
    assert command(on, "rebuild", "--check").status == 0

    with closing(sqlite3.connect(data / "decider.sqlite")) as store, store:
        store.execute("UPDATE links SET state = 'pending' WHERE driver = '200015' AND target = 'driveri'")
        store.execute("DELETE FROM claims WHERE driver = '200018'")
    tampered = command(on, "rebuild", "--check")
    assert tampered.status == 1
    assert "decider, links sample-fleet/driveri/200015, column state: kept 'pending', rebuilt 'in_sync'" in tampered.out

    assert command(on, "rebuild").status == 0
    assert command(on, "rebuild", "--check", "--json").document["differences"] == []
