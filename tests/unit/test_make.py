"""What the verbs of the Makefile do before anything of the project is installed."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
VERBS = re.findall(r"^([a-z]+):.*## ", MAKEFILE, flags=re.MULTILINE)
NEED_NO_PYTHON = {"help", "clean"}


def _make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """That verb in a folder with nothing but the Makefile and the files that its rules start from."""
    make = shutil.which("make")
    assert make, "make is needed"
    for name in ("Makefile", "pyproject.toml", "requirements-dev.txt", "requirements-lock.txt"):
        shutil.copy(ROOT / name, folder / name)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"
    }
    return subprocess.run([make, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in NEED_NO_PYTHON])
@pytest.mark.parametrize("python", ["none", "too-old"])
def test_every_verb_says_which_python_it_needs_and_fails_without_one(tmp_path: Path, verb: str, python: str) -> None:
    old = tmp_path / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n", "ascii")  # as `sys.exit(sys.version_info < (3, 11))` does there
    old.chmod(0o755)
    made = _make(tmp_path, verb, f"PYTHON={old if python == 'too-old' else ''}")
    assert made.returncode != 0
    assert made.stdout == ""
    assert made.stderr.splitlines()[0] == "Python 3.11 or newer is needed: make PYTHON=/path/to/python"
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize("verb", sorted(NEED_NO_PYTHON))
def test_a_verb_that_needs_no_python_does_without(tmp_path: Path, verb: str) -> None:
    assert _make(tmp_path, verb, "PYTHON=").returncode == 0


def test_whatever_is_installed_is_installed_as_it_stands_and_checked() -> None:
    installing = [line for line in MAKEFILE.splitlines() if "/pip " in line and "/pip check" not in line]
    assert len(installing) == 3
    assert all("$(PIP_INSTALL) --require-hashes" in line or "--no-index" in line for line in installing)
    assert re.search(r"^PIP_INSTALL := install .*--no-deps$", MAKEFILE, flags=re.MULTILINE)
    assert "$(BIN)/pip check" in MAKEFILE
