"""`driverlink handover` on a data folder that nobody else uses."""

import json
from pathlib import Path

from tests.support.commanding import Ended, command
from tests.support.served_folder import ServedFolder


def on(folder: Path, *arguments: str) -> Ended:
    return command({"DRIVERLINK_DATA": str(folder)}, "handover", *arguments)


def test_it_says_what_was_replayed_and_handed_over_and_the_folder_works_as_before(driverlink: ServedFolder) -> None:
    before = driverlink("status", "--json").document
    driverlink.stop()
    ended = on(driverlink.path, "projector-driveri", "--json")
    document = json.loads(ended.out)
    assert (ended.status, document["service"]) == (0, "projector-driveri")
    assert set(document) == {"service", "replayed", "unfinished"}
    assert all(each["events"] > 0 and each["mark"] >= each["events"] for each in document["replayed"].values())
    assert driverlink("status", "--json").document == before


def test_a_folder_that_is_in_use_is_left_alone(driverlink: ServedFolder) -> None:
    driverlink.start()
    ended = on(driverlink.path, "projector-driveri")
    assert (ended.status, ended.out) == (1, "")
    assert "in use by another driverlink process" in ended.err


def test_an_unknown_service_is_named_with_those_that_there_are(folder: Path) -> None:
    ended = on(folder, "projector-other")
    assert ended.status == 2
    assert "there is no service projector-other: choose from accounts, intake, decider" in " ".join(ended.err.split())
