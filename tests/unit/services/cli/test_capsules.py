"""`driverlink capsule` and `replay`: one file, which is masked and runs anywhere."""

import json
from pathlib import Path

import pytest

from tests.golden.made_capsules import FOLDER
from tests.support.commanding import command
from tests.support.served_folder import ServedFolder

GOLDEN = FOLDER / "conflict.json"


def test_a_capsule_is_one_masked_file_that_replays(looking: ServedFolder, tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    made = looking("capsule", "acme", "3", "--output", str(path))
    assert (made.status, made.out) == (0, "")
    assert "masked" in made.err
    document = json.loads(path.read_text("utf-8"))
    assert (document["format"], document["version"]) == ("driverlink-capsule", 1)
    assert document["made_by"].startswith("driverlink ")
    assert document["account"] != "acme"
    replayed = command({}, "replay", str(path))
    assert (replayed.status, replayed.err) == (0, "")
    assert replayed.out.splitlines()[-1].startswith("all ")
    assert "made a capsule of driver 3" in looking("journal", "list").out


def test_a_packed_capsule_and_one_on_standard_output_hold_the_same(looking: ServedFolder, tmp_path: Path) -> None:
    path = tmp_path / "one.json.gz"
    assert looking("capsule", "acme", "3", "--output", str(path)).status == 0
    printed = looking("capsule", "acme", "3", "--output", "-")
    kinds = {log: [each["type"] for each in facts] for log, facts in json.loads(printed.out)["facts"].items()}
    assert [*kinds["accounts.v1"]][:1] == ["Account.AccountAdded"]
    rows = command({}, "replay", str(path), "--json").document
    assert rows["is_equal"] is True
    assert rows["steps"]


def test_a_file_is_overwritten_only_by_force(looking: ServedFolder, tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text("mine", "utf-8")
    refused = looking("capsule", "acme", "3", "--output", str(path))
    assert refused.status == 1
    assert "--force" in refused.err
    assert path.read_text("utf-8") == "mine"
    assert looking("capsule", "acme", "3", "--output", str(path), "--force").status == 0
    assert path.read_text("utf-8").startswith("{")


def test_without_a_name_the_file_is_called_by_the_masked_driver(
    looking: ServedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking.start()
    monkeypatch.chdir(tmp_path)
    assert looking("--help").status == 0
    made = looking("capsule", "acme", "3")
    assert made.status == 0, made.err
    (path,) = tmp_path.glob("capsule-*.json")
    assert json.loads(path.read_text("utf-8"))["driver"] in path.name


def test_a_driver_that_was_never_stated_has_no_capsule(looking: ServedFolder, tmp_path: Path) -> None:
    refused = looking("capsule", "acme", "nobody", "--output", str(tmp_path / "one.json"))
    assert refused.status == 1
    assert "nobody" in refused.err
    assert [*tmp_path.iterdir()] == []


def test_a_folder_that_is_not_there_is_named(looking: ServedFolder, tmp_path: Path) -> None:
    refused = looking("capsule", "acme", "3", "--output", str(tmp_path / "none" / "one.json"))
    assert refused.status == 1
    assert "cannot be written" in refused.err


def test_a_replay_that_differs_says_where_and_ends_otherwise(tmp_path: Path) -> None:
    document = json.loads(GOLDEN.read_text("utf-8"))
    decisions = document["facts"]["driver-links.decisions.v1"]
    parked = next(each for each in decisions if each["type"] == "DriverLink.Parked")
    parked["holder"] = "somebody"
    path = tmp_path / "altered.json"
    path.write_text(json.dumps(document), "utf-8")
    ended = command({}, "replay", str(path))
    assert ended.status == 1
    assert "DIFFERENT" in ended.out
    assert "other: holder" in ended.out
    as_json = command({}, "replay", str(path), "--json")
    assert as_json.status == 1
    rows = json.loads(as_json.out)
    assert rows["is_equal"] is False
    assert next(each["differing"] for each in rows["steps"] if not each["is_equal"]) == ["holder"]


def test_an_equal_replay_is_printed_step_by_step() -> None:
    ended = command({}, "replay", str(GOLDEN))
    assert ended.status == 0
    *_, last = ended.out.splitlines()
    assert last == "all 9 steps are equal"
    assert "called driveri: confirmed" in ended.out
    assert "decided by DriverCreated 1: driveri Parked conflict" in ended.out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "not a capsule"),
        (b'{"format": "driverlink-capsule", "version": 7}', "format 7"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_capsule_ends_in_one_line(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "other"
    if content is not None:
        path.write_bytes(content)
    ended = command({}, "replay", str(path))
    assert (ended.status, ended.out) == (1, "")
    assert words in ended.err
    assert len(ended.err.splitlines()) == 1
