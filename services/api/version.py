"""Which version of Driver Sync this is, and from which commit."""

import subprocess
from importlib.metadata import version
from pathlib import Path

_WRITTEN = Path(__file__).with_name("commit.txt")
"""Written into the package by `hatch_build.py`."""

_CHECKOUT = Path(__file__).parents[2]


def version_line() -> str:
    """The version and the commit, as `driverlink --version` prints them."""
    return f"driverlink {version('driverlink')} (commit {commit()})"


def commit() -> str:
    """The short id of the commit: written at build, else asked of git in a checkout, else `unknown`."""
    if _WRITTEN.is_file():
        return _WRITTEN.read_text("ascii").strip()
    if not (_CHECKOUT / ".git").exists():
        return "unknown"
    try:
        words = ["git", "-C", str(_CHECKOUT), "rev-parse", "--short=12", "HEAD"]
        asked = subprocess.run(words, capture_output=True, text=True, timeout=5, check=False)  # noqa: S603 - fixed words
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return asked.stdout.strip() or "unknown"
