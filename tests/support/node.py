"""Node.js, and pinned packages from npm, which are installed once and kept."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support.servers.cache import cached
from tests.support.servers.engines import Unavailable

_PINS = ("package.json", "package-lock.json")
_INSTALL = 300.0
_RUN = 300.0
"""Seconds."""


def run(script: Path, *arguments: str, environment: dict[str, str] | None = None) -> str:
    """What a script prints, with the packages that are pinned beside it.

    Where Node.js or a package cannot be had, the test is left out, and says so; on CI it fails. It fails as well with
    what the script says if that ends otherwise than well.
    """
    try:
        folder = cached(f"node-{_digest(script.parent)}", lambda path: _install(script.parent, path))
    except Unavailable as reason:
        do_without(f"NOT TESTED: {reason}")
    # A module finds its packages beside itself.
    copied = folder / f"{hashlib.sha256(script.read_bytes()).hexdigest()[:16]}-{script.name}"
    shutil.copyfile(script, copied)
    ended = completed(["node", str(copied), *arguments], folder, _RUN, environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def _digest(folder: Path) -> str:
    pins = b"".join((folder / name).read_bytes() for name in _PINS)
    return hashlib.sha256(pins).hexdigest()[:16]


def _install(pins: Path, folder: Path) -> None:
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise Unavailable(f"{program} is not installed: Node.js 20 or newer is needed")
    folder.mkdir()
    for name in _PINS:
        shutil.copyfile(pins / name, folder / name)
    ended = completed(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder, _INSTALL)
    if ended.returncode != 0:
        raise Unavailable(f"npm cannot install what {pins.name} pins: {ended.stderr.strip()[-500:]}")


def completed(
    command: Sequence[str], folder: Path, seconds: float, environment: dict[str, str] | None = None, stdin: str = ""
) -> "subprocess.CompletedProcess[str]":
    """What a command came to in this folder, which is given no more time than these seconds."""
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def do_without(reason: str) -> NoReturn:
    """Leave this test out for that reason; on CI it fails."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
