import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from services.wiring import embedded as module
from services.wiring.data_folder import DataFolder, FolderUnusable

_OWNER = """
import sys
from pathlib import Path
from services.wiring.data_folder import DataFolder
with DataFolder(Path(sys.argv[1])):
    print("owned", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path() -> Iterator[Path]:
    """A folder that is not there yet, in a place whose name is short enough for a local socket."""
    with TemporaryDirectory(prefix="dl-") as parent:
        yield Path(parent) / "data"


@contextmanager
def owned_by_another_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    root = Path(module.__file__).parents[2]
    command = [sys.executable, "-c", _OWNER, str(path)]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == "owned\n"
        yield owner


def test_a_folder_is_made_for_its_owner_alone(path: Path) -> None:
    with DataFolder(path / "inner") as folder:
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder.path / "owner").stat().st_mode) == 0o600


def test_a_second_owner_is_refused_with_one_line_that_names_the_first(path: Path) -> None:
    with DataFolder(path), pytest.raises(FolderUnusable) as refused, DataFolder(path):
        pass
    expected = f"{path} is in use by another driverlink process (process {os.getpid()}): stop that one first"
    assert str(refused.value) == expected


def test_a_refused_owner_takes_nothing_from_the_first(path: Path) -> None:
    with DataFolder(path) as first:
        first.socket.touch()
        for _ in range(2):
            with pytest.raises(FolderUnusable, match="in use"), DataFolder(path):
                pass
        assert first.socket.exists()


def test_a_folder_is_free_again_when_its_owner_is_done(path: Path) -> None:
    for _ in range(2):
        with DataFolder(path) as folder:
            folder.socket.touch()
        assert not folder.socket.exists()


def test_a_folder_is_free_again_when_its_owner_failed(path: Path) -> None:
    with pytest.raises(LookupError), DataFolder(path):
        raise LookupError
    with DataFolder(path):
        pass


def test_another_process_owns_a_folder_until_it_exits(path: Path) -> None:
    with owned_by_another_process(path) as owner:
        with pytest.raises(FolderUnusable, match=f"process {owner.pid}"), DataFolder(path):
            pass
        owner.communicate()
        with DataFolder(path):
            pass


def test_a_folder_is_free_again_when_its_owner_is_killed(path: Path) -> None:
    with owned_by_another_process(path) as owner:
        (path / "control.sock").touch()
        owner.kill()
        owner.wait()
        with DataFolder(path) as folder:
            assert not folder.socket.exists()
            assert (path / "owner").read_text() == f"process {os.getpid()}\n"


def test_a_path_that_is_too_long_for_a_socket_is_refused_before_anything_is_made(path: Path) -> None:
    long = path / ("x" * 100)
    with pytest.raises(FolderUnusable, match="too long for a local socket; use a shorter one"), DataFolder(long):
        pass
    assert not path.exists()


def test_the_length_of_a_path_is_that_of_the_whole_one_in_bytes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    with pytest.raises(FolderUnusable, match="too long"), DataFolder(Path("é" * 45)):
        pass


def test_a_file_in_the_place_of_the_folder_is_refused_with_a_reason(path: Path) -> None:
    path.write_text("")
    for wanted in (path, path / "inner"):
        with pytest.raises(FolderUnusable, match=f"^the data folder {wanted} cannot be used: it is not a folder$"):
            DataFolder(wanted).__enter__()


def test_a_folder_in_which_nothing_can_be_owned_is_refused_with_a_reason(path: Path) -> None:
    (path / "owner").mkdir(parents=True)
    with pytest.raises(FolderUnusable, match="cannot be used: Is a directory"), DataFolder(path):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused_with_a_reason(path: Path) -> None:
    path.mkdir(mode=0o500)
    with pytest.raises(FolderUnusable, match="cannot be used: Permission denied"), DataFolder(path):
        pass
