"""A table of another version: what helps is said, and helps."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.services.cli.conftest import Driverlink

TABLES = [
    ("accounts", "accounts"),
    ("intake", "known_drivers"),
    ("decider", "links"),
    ("decider", "claims"),
    ("decider", "roster"),
    ("decider", "desired_drivers"),
    ("projector-motive", "scans"),
]


def alter(folder: Path, service: str, table: str) -> None:
    """The table gets a column that this version does not know, and is not empty."""
    with closing(sqlite3.connect(folder / f"{service}.sqlite")) as connection:
        connection.execute(f"ALTER TABLE {table} ADD COLUMN later TEXT NOT NULL DEFAULT ''")
        columns = connection.execute("SELECT name, type FROM pragma_table_info(?)", [table]).fetchall()
        values = ", ".join("'{}'" if kind == "TEXT" else "0" for _, kind in columns)
        connection.execute(f"INSERT OR IGNORE INTO {table} VALUES ({values})")  # noqa: S608 - a test's own names
        connection.commit()


@pytest.mark.parametrize(("service", "table"), TABLES)
def test_a_read_model_of_another_version_is_mended_by_the_rebuild_that_is_advised(
    folder: Path, driverlink: Driverlink, service: str, table: str
) -> None:
    before = driverlink("status", "--json").document
    alter(folder, service, table)
    for arguments in (("status",), ("rebuild", "--check")):
        refused = driverlink(*arguments)
        assert (refused.status, refused.err.count("\n")) == (1, 1)
        assert f"the table {table} in {service}.sqlite is another version's" in refused.err
        assert "`driverlink rebuild` makes it again from the logs" in refused.err
    assert driverlink("rebuild").status == 0
    assert driverlink("status", "--json").document == before
    assert driverlink("rebuild", "--check").status == 0


def test_work_in_hand_of_another_version_is_not_lost_by_a_rebuild(folder: Path, driverlink: Driverlink) -> None:
    alter(folder, "decider", "retries")
    for arguments in (("status",), ("rebuild",)):
        refused = driverlink(*arguments)
        assert refused.status == 1
        assert "go back to the version that wrote it, which can end its work in hand" in refused.err
