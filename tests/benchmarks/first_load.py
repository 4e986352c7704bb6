"""The first load of a fleet whose drivers exist already at both targets, small and large: as quick for each driver.

Over Kafka and PostgreSQL, each service a process, on a new database that gets no statistics. An account is connected,
and turns Sync Drivers on when all its drivers are stated: from there until both links of every driver are in sync.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

from domain.identity import Target
from tests.benchmarks.budgets import FIRST_LOAD
from tests.benchmarks.deployed import deployed
from tests.benchmarks.findings import Finding
from tests.benchmarks.fleet import many_fleets
from tests.benchmarks.servers import Servers
from tests.benchmarks.stand_in import standing_in
from tests.benchmarks.telling import Telling

SMALL: Final = 2_000
LARGE: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLoad:
    """What a first load came to: its seconds, its calls to the targets, and the most megabytes of each process."""

    drivers: int
    seconds: float
    calls: int
    used: Mapping[str, float]
    peaks: Mapping[str, float]

    @property
    def rate(self) -> float:
        """Drivers a second."""
        return self.drivers / self.seconds

    @property
    def figures(self) -> dict[str, float]:
        """What explains it, by what it is."""
        name = f"{self.drivers:,} drivers"
        used = {
            f"{name}: ms of processor time a driver, {each}": 1000 * s / self.drivers for each, s in self.used.items()
        }
        return {
            f"{name}: drivers a second": self.rate,
            f"{name}: calls for each driver": self.calls / self.drivers,
            f"{name}: MB at most, of any process": max(self.peaks.values()),
            **used,
        }


def measure(servers: Servers, telling: Telling) -> Sequence[Finding]:
    """The large fleet beside the small one."""
    loads = [load(servers, telling, drivers) for drivers in (SMALL, LARGE)]
    behind = {name: figure for each in loads for name, figure in each.figures.items()}
    return [to_finding({each.drivers: each.rate for each in loads}, behind)]


def load(servers: Servers, telling: Telling, drivers: int) -> FirstLoad:
    """One account with this many drivers, and nothing else."""
    (fleet,), links = many_fleets(1, drivers), drivers * len(Target)
    with (
        TemporaryDirectory(prefix="driverlink-") as folder,
        standing_in(drivers) as targets,
        deployed(servers, targets, Path(folder), has_statistics=False) as running,
    ):
        running.state(fleet)
        before = running.seconds()
        began = perf_counter()
        running.turn_on(fleet)
        running.until("in_sync", links, telling(f"first load of {drivers:,}", links))
        seconds = perf_counter() - began
        used = {name: spent - before[name] for name, spent in running.seconds().items()}
        return FirstLoad(
            drivers=drivers, seconds=seconds, calls=targets.noted().calls, used=used, peaks=running.peaks()
        )


def to_finding(rates: Mapping[int, float], behind: Mapping[str, float]) -> Finding:
    """The slowest of these first loads by the quickest, in drivers a second by how many drivers each has."""
    sizes = ", ".join(f"{drivers:,}" for drivers in sorted(rates))
    return Finding(
        what=f"first load of {sizes} drivers: the slowest to the quickest",
        ours=min(rates.values()),
        unit="drivers a second",
        budget=FIRST_LOAD,
        beside=max(rates.values()),
        behind=behind,
    )
