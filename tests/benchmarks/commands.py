"""How long a person waits for a command: the overview, and a question to a running installation."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, sleep

from services.wiring.data_folder import DataFolder
from tests.benchmarks.findings import Bound, Finding
from tests.benchmarks.servers import Servers
from tests.benchmarks.telling import Telling

TIMES = 9
"""Each command runs so often, and the median counts; the first run, which fills caches, does not."""

HELP, ANSWER = 0.25, 0.5
"""Seconds."""

_COMMAND = (sys.executable, "-m", "services.cli")
_START = 60.0
"""Seconds within which the installation must answer."""


def measure(_: Servers, telling: Telling) -> Sequence[Finding]:
    """`driverlink --help`, and `driverlink status` on a data folder whose services run."""
    done = telling("commands", 2)
    with TemporaryDirectory(prefix="dl-") as parent:
        overview = _finding("commands: driverlink --help", HELP, Path(parent), "--help")
        done(1)
        with _running(Path(parent) / "data") as data:
            answer = _finding("commands: driverlink status, services running", ANSWER, data, "status")
        done(2)
    return overview, answer


def _finding(what: str, budget: float, data: Path, *arguments: str) -> Finding:
    seconds = [_seconds(data, *arguments) for _ in range(TIMES + 1)][1:]
    behind = {"s, quickest": min(seconds), "s, slowest": max(seconds)}
    return Finding(what=what, measured=median(seconds), budget=budget, bound=Bound.UNDER, unit="s", behind=behind)


def _seconds(data: Path, *arguments: str) -> float:
    start = perf_counter()
    _run(data, *arguments)
    return perf_counter() - start


def _run(data: Path, *arguments: str) -> None:
    subprocess.run([*_COMMAND, *arguments], env=_environment(data), stdout=subprocess.DEVNULL, check=True)


def _environment(data: Path) -> dict[str, str]:
    return {**os.environ, "DRIVERLINK_DATA": str(data)}


@contextmanager
def _running(data: Path) -> Iterator[Path]:
    """A data folder with an account, while its services run."""
    up = subprocess.Popen([*_COMMAND, "up"], env=_environment(data), stderr=subprocess.DEVNULL)
    try:
        end = perf_counter() + _START
        while not DataFolder(data).socket.exists() and up.poll() is None and perf_counter() < end:
            sleep(0.05)
        _run(data, "accounts", "add", "acme", "--master-user", "maria")
        yield data
    finally:
        up.terminate()
        up.wait()
