"""Properties run the same way everywhere: derived from their source, without a clock and without a memory."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("tests.support")

from tests.support.examples import FEW  # noqa: E402 - its asserts are to be rewritten

pytest_plugins = ["tests.support.approval", "tests.support.servers.fixtures"]

settings.load_profile(FEW)

IN_MEMORY = Path("/dev/shm")  # noqa: S108 - pytest makes a folder of its own there

if IN_MEMORY.is_dir() and os.access(IN_MEMORY, os.W_OK):
    # Thousands of small stores are made, and their files need not survive a power cut.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(IN_MEMORY))
