"""Properties run the same way everywhere: derived from their source, without a clock and without a memory."""

import gc
import os
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("tests.support")

from tests.support.examples import FEW  # noqa: E402 - its asserts are to be rewritten

pytest_plugins = ["tests.support.approval", "tests.support.servers.fixtures", "tests.support.workers"]

settings.load_profile(FEW)

# There is none: for each request to an app in the same process httpx would look for it in all folders, twice.
sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]

IN_MEMORY = Path("/dev/shm")  # noqa: S108 - pytest makes a folder of its own there, and so does each server
ROOM = 2 * 1024**3
"""Bytes that must be free there."""


def _is_at_hand(folder: Path) -> bool:
    """Whether files can be kept there, and programs run."""
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return False
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize > ROOM and not found.f_flag & os.ST_NOEXEC


if _is_at_hand(IN_MEMORY):
    # Thousands of small stores and databases are made, and their files need not survive a power cut.
    os.environ.setdefault("TMPDIR", str(IN_MEMORY))
    tempfile.tempdir = None


def pytest_collection_finish() -> None:
    """What was collected stays, so Python need not look for garbage among it after every few values."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
