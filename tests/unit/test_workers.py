"""Tests that several processes run are reported as those of one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

MIXED = """
import os
import pytest

@pytest.fixture(scope="module")
def shared():
    print("made for the tests of {0}")
    yield os.getpid()
    print("the tests of {0} have ended")

def test_good(shared):
    assert shared == os.getpid()

def test_bad(shared):
    print("what was printed of {0}")
    assert shared == "{0}"

@pytest.mark.skip(reason="skipped on purpose")
def test_skipped():
    pass

def test_after(shared):
    assert shared == os.getpid()
"""
DYING = "import os\ndef test_dying():\n    os._exit(0)\n"
LATE = """
import pytest

@pytest.fixture(scope="session")
def lasting():
    yield
    raise OSError("cannot be tidied up")

def test_good(lasting):
    pass
"""


def _run(folder: Path, **files: str) -> tuple[int, str]:
    """The status and the output of pytest with two workers on these files."""
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text, "utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.support.workers",
        "--workers",
        "2",
        "--rootdir",
        str(folder),
    ]
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [*command, "--confcutdir", str(folder), "-c", "/dev/null", str(folder)],
        cwd=root,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return run.returncode, run.stdout + run.stderr


def test_every_test_is_run_once_and_reported_with_what_it_printed(tmp_path: Path) -> None:
    status, output = _run(tmp_path, **{name: MIXED.format(name) for name in ("one", "two", "three")})
    assert status == pytest.ExitCode.TESTS_FAILED
    assert "3 failed, 6 passed, 3 skipped" in output
    for name in ("one", "two", "three"):
        assert output.count(f"\nwhat was printed of {name}\n") == 1
        assert f"made for the tests of {name}\n" not in output


@pytest.mark.parametrize("ending", [DYING, LATE], ids=["in the midst", "at its end"])
def test_a_worker_that_fails_fails_the_run(tmp_path: Path, ending: str) -> None:
    status, output = _run(tmp_path, ending=ending, good="def test_good():\n    pass\n")
    assert status == pytest.ExitCode.INTERRUPTED
    assert "worker" in output
