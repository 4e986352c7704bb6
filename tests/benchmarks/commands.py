"""How long a person waits for a command: the overview, and a question to a running installation."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from tests.benchmarks import budgets
from tests.benchmarks.budgets import Budget
from tests.benchmarks.embedded import COMMAND, running_up
from tests.benchmarks.findings import Finding
from tests.benchmarks.servers import Servers
from tests.benchmarks.telling import Telling

TIMES = 9
"""Each command runs so often, and the median counts; the first run, which fills caches, does not."""


def measure(_: Servers, telling: Telling) -> Sequence[Finding]:
    """`driverlink --help`, and `driverlink status` on a data folder whose services run."""
    done = telling("commands", 2)
    with TemporaryDirectory(prefix="dl-") as parent:
        data = Path(parent) / "data"
        overview = _finding("commands: driverlink --help", budgets.HELP, data, "--help")
        done(1)
        with running_up(data):
            _run(data, "accounts", "add", "acme", "--master-user", "maria", "--mode", "full")
            answer = _finding("commands: driverlink status, services running", budgets.COMMAND, data, "status")
        done(2)
    return overview, answer


def _finding(what: str, budget: Budget, data: Path, *arguments: str) -> Finding:
    seconds = [_seconds(data, *arguments) for _ in range(TIMES + 1)][1:]
    behind = {f"s, quickest {what}": min(seconds), f"s, slowest {what}": max(seconds)}
    return Finding(what=what, ours=median(seconds), unit="s", budget=budget, behind=behind)


def _seconds(data: Path, *arguments: str) -> float:
    start = perf_counter()
    _run(data, *arguments)
    return perf_counter() - start


def _run(data: Path, *arguments: str) -> None:
    environment = {**os.environ, "DRIVERLINK_DATA": str(data)}
    subprocess.run([*COMMAND, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)
