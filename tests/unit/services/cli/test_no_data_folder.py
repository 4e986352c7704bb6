"""A command that reads makes nothing where there is no data folder, and says so."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from services.wiring.data_folder import STORES, DataFolder
from tests.support.commanding import Ended, command
from tests.unit.services.cli.conftest import Driverlink

READING = [
    ("status",),
    ("status", "acme"),
    ("status", "acme", "--state", "parked"),
    ("events",),
    ("explain", "acme", "1"),
    ("accounts", "list"),
    ("accounts", "show", "acme"),
    ("sync", "status", "acme"),
    ("approvals", "list", "acme"),
    ("issues", "list"),
    ("dead-letters", "list"),
    ("reconciliations", "acme"),
    ("plan", "acme"),
    ("rebuild", "--check"),
]
CHANGING = [
    ("accounts", "allow", "acme", "--as", "bob"),
    ("accounts", "disconnect", "acme", "motive"),
    ("drivers", "delete", "acme", "--driver", "1"),
    ("rebuild",),
    ("sync", "off", "acme", "--as", "jane"),
    ("reconcile", "acme", "--as", "jane"),
]
EVERY = pytest.mark.parametrize("arguments", [*READING, *CHANGING], ids=" ".join)


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder of something else."""
    with TemporaryDirectory(prefix="dl-") as parent:
        (Path(parent) / "notes.txt").write_text("something else")
        yield Path(parent)


def on(data: Path, *arguments: str) -> Ended:
    return command({"DRIVERLINK_DATA": str(data)}, *arguments)


def is_one_line(ended: Ended) -> bool:
    return ended.status == 1 and not ended.out and ended.err.count("\n") == 1


@EVERY
def test_a_folder_of_something_else_is_no_data_folder_and_stays_as_it_is(
    elsewhere: Path, arguments: tuple[str, ...]
) -> None:
    ended = on(elsewhere, *arguments)
    assert is_one_line(ended), ended
    assert "is no data folder of driverlink" in ended.err
    assert [each.name for each in elsewhere.iterdir()] == ["notes.txt"]


@EVERY
def test_a_folder_that_is_not_there_is_not_made(elsewhere: Path, arguments: tuple[str, ...]) -> None:
    ended = on(elsewhere / "inner" / "outer", *arguments)
    assert is_one_line(ended), ended
    assert "there is no data folder" in ended.err
    assert [each.name for each in elsewhere.iterdir()] == ["notes.txt"]


@EVERY
def test_a_file_is_no_data_folder(elsewhere: Path, arguments: tuple[str, ...]) -> None:
    ended = on(elsewhere / "notes.txt", *arguments)
    assert is_one_line(ended), ended
    assert "cannot be used: it is no folder" in ended.err


@EVERY
def test_a_folder_below_a_file_is_no_data_folder(elsewhere: Path, arguments: tuple[str, ...]) -> None:
    ended = on(elsewhere / "notes.txt" / "data", *arguments)
    assert is_one_line(ended), ended
    assert "cannot be used: it is no folder" in ended.err


@EVERY
def test_what_is_missing_in_a_data_folder_is_named_and_not_made(folder: Path, arguments: tuple[str, ...]) -> None:
    (folder / "decider.sqlite").unlink()
    before = sorted(each.name for each in folder.iterdir())
    ended = on(folder, *arguments)
    assert is_one_line(ended), ended
    assert "is not complete: decider.sqlite is missing" in ended.err
    assert sorted(each.name for each in folder.iterdir()) == before


def test_adding_an_account_makes_a_data_folder(elsewhere: Path) -> None:
    data = elsewhere / "data"
    assert on(data, "accounts", "add", "acme", "--master-user", "jane").status == 0
    assert all(DataFolder(data).file(name).is_file() for name in STORES)
    assert on(data, "status").status == 0


def test_a_folder_that_is_just_being_made_is_in_use(elsewhere: Path) -> None:
    with DataFolder(elsewhere / "data") as owned:
        ended = on(owned.path, "status")
    assert "in use by another driverlink process" in ended.err


def test_a_whole_data_folder_is_read(driverlink: Driverlink) -> None:
    assert driverlink("status").status == 0
