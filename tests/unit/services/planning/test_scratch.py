"""The scratch store of a dry run, and what a killed process left there."""

import os
import tempfile
from pathlib import Path

import pytest

from services.wiring.registry import open_dry_run

_DAY = 86_400


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left(folder: Path, name: str, days: float) -> Path:
    """A folder with a file in it, this many days old."""
    path = folder / name
    path.mkdir()
    (path / "scratch.sqlite").write_text("")
    moment = path.stat().st_mtime - days * _DAY
    os.utime(path, (moment, moment))
    return path


def test_a_dry_run_leaves_nothing_behind(folder: Path) -> None:
    with open_dry_run():
        (own,) = folder.iterdir()
        assert own.stat().st_mode & 0o777 == 0o700
    assert list(folder.iterdir()) == []


def test_what_a_killed_process_left_goes_a_day_later(folder: Path) -> None:
    old, young = left(folder, "driverlink-plan-a", 1.1), left(folder, "driverlink-plan-b", 0.9)
    other = left(folder, "somebody-elses", 9)
    with open_dry_run():
        assert not old.exists()
    assert {young, other} == set(folder.iterdir())


def test_what_only_has_the_name_of_one_is_not_followed(folder: Path) -> None:
    kept = left(folder, "kept", 9)
    (folder / "driverlink-plan-x").symlink_to(kept)
    os.utime(folder / "driverlink-plan-x", (0, 0), follow_symlinks=False)
    with open_dry_run():
        assert (kept / "scratch.sqlite").exists()
