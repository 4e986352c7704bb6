"""Texts that people read, as files in `tests/golden/approved/` that somebody has approved.

`make approve` writes them again: read the difference before you commit it.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "golden" / "approved"

Approve = Callable[[str, str], None]
"""Compares a text with the approved one of this name, such as `explain/renamed`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--approve`."""
    parser.addoption("--approve", action="store_true", help="write the approved texts again, and compare nothing")


@pytest.fixture
def approve(request: pytest.FixtureRequest) -> Approve:
    """Compare what people read with what was approved."""

    def compared(name: str, text: str) -> None:
        file = FOLDER / f"{name}.txt"
        shown = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
        if request.config.getoption("--approve"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(shown, "utf-8")
        assert file.exists(), f"{file} is missing: `make approve` writes it"
        assert shown == file.read_text("utf-8"), "`make approve` writes it again, to read the difference"

    return compared
