"""`driverlink rebuild` on a data folder: it needs a folder of our own, and never makes a folder."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.commanding import Ended, command
from tests.support.served_folder import ServedFolder

TABLES = [
    ("accounts", "accounts"),
    ("intake", "known_drivers"),
    ("decider", "links"),
    ("decider", "claims"),
    ("decider", "roster"),
    ("decider", "desired_drivers"),
    ("projector-motive", "scans"),
]
EVERY = pytest.mark.parametrize("arguments", [("rebuild", "--check"), ("rebuild",)], ids=" ".join)


def on(folder: Path, *arguments: str) -> Ended:
    return command({"DRIVERLINK_DATA": str(folder)}, *arguments)


def refused(folder: Path, *arguments: str) -> str:
    """The one line of a command that could do nothing."""
    ended = on(folder, *arguments)
    assert (ended.status, ended.out, ended.err.count("\n")) == (1, "", 1), ended
    return ended.err


def alter(folder: Path, service: str, table: str) -> None:
    """The table gets a column that this version does not know, and is not empty."""
    with closing(sqlite3.connect(folder / f"{service}.sqlite")) as connection:
        connection.execute(f"ALTER TABLE {table} ADD COLUMN later TEXT NOT NULL DEFAULT ''")
        columns = connection.execute("SELECT name, type FROM pragma_table_info(?)", [table]).fetchall()
        values = ", ".join("'{}'" if kind == "TEXT" else "0" for _, kind in columns)
        connection.execute(f"INSERT OR IGNORE INTO {table} VALUES ({values})")  # noqa: S608 - a test's own names
        connection.commit()


@pytest.mark.parametrize(("service", "table"), TABLES)
def test_a_read_model_of_another_version_is_made_again_at_the_next_start(
    driverlink: ServedFolder, service: str, table: str
) -> None:
    folder, before = driverlink.path, driverlink("status", "--json").document
    driverlink.stop()
    alter(folder, service, table)
    assert driverlink("status", "--json").document == before
    driverlink.stop()
    assert on(folder, "rebuild").status == 0
    assert on(folder, "rebuild", "--check").status == 0


@pytest.mark.parametrize("arguments", [("up",), ("rebuild",)], ids=" ".join)
def test_work_in_hand_of_another_version_is_not_lost_by_a_rebuild(folder: Path, arguments: tuple[str, ...]) -> None:
    alter(folder, "decider", "retries")
    line = refused(folder, *arguments)
    assert "the table retries in decider.sqlite is another version's, which no script here migrates" in line


@EVERY
def test_a_folder_that_is_in_use_is_not_rebuilt(driverlink: ServedFolder, arguments: tuple[str, ...]) -> None:
    driverlink.start()
    assert "in use by another driverlink process" in refused(driverlink.path, *arguments)


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder of something else."""
    with TemporaryDirectory(prefix="dl-") as parent:
        (Path(parent) / "notes.txt").write_text("something else")
        yield Path(parent)
        assert [each.name for each in Path(parent).iterdir()] == ["notes.txt"]


@EVERY
def test_a_folder_of_something_else_stays_as_it_is(elsewhere: Path, arguments: tuple[str, ...]) -> None:
    assert "is not a data folder of driverlink" in refused(elsewhere, *arguments)


@EVERY
def test_a_folder_that_is_not_there_is_not_made(elsewhere: Path, arguments: tuple[str, ...]) -> None:
    assert "there is no data folder" in refused(elsewhere / "inner" / "outer", *arguments)


@EVERY
@pytest.mark.parametrize("name", ["notes.txt", "notes.txt/data"])
def test_a_file_is_not_a_data_folder(elsewhere: Path, name: str, arguments: tuple[str, ...]) -> None:
    assert "cannot be used: it is not a folder" in refused(elsewhere / name, *arguments)


@EVERY
def test_what_is_missing_in_a_data_folder_is_named_and_not_made(folder: Path, arguments: tuple[str, ...]) -> None:
    (folder / "decider.sqlite").unlink()
    before = sorted(each.name for each in folder.iterdir())
    assert "is not complete: decider.sqlite is missing" in refused(folder, *arguments)
    assert sorted(each.name for each in folder.iterdir()) == before
