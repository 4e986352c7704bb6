"""From a change committed at intake to the HTTP request sent, over Kafka and PostgreSQL, with every service a process.

Ten accounts on both targets, all of whose drivers are linked; each change updates another one of them. One client
commits the changes at a steady rate, one in a transaction; each is a request to each target, and all requests count.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from time import monotonic, perf_counter, sleep

from domain.identity import AccountId, Target
from services.intake.handlers import Intake
from tests.benchmarks.deployed import PROFILE, Deployed, deployed
from tests.benchmarks.findings import Bound, Finding
from tests.benchmarks.fleet import Fleet, profile
from tests.benchmarks.servers import Servers
from tests.benchmarks.telling import Done, Telling
from tests.support.stated import whole

RATE = 100
"""Changes a second."""

PROFILED_RATE = 20
"""The same while the processes are profiled, which makes them slow."""

WARMING, SECONDS = 2, 8
"""For this many seconds requests do not count yet, and then they do."""

ACCOUNTS = 10

MEDIAN = 60.0
MOST = 250.0
"""Milliseconds, for half and for 99 of 100 requests."""

_PATIENCE = 120.0
_PAUSE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """When each change was committed and requested, by the last name that it states, and the processor time used."""

    committed: Mapping[str, float]
    requested: Mapping[Target, Mapping[str, float]]
    used: Mapping[str, float]

    @property
    def rate(self) -> float:
        """Changes committed in a second."""
        moments = [*self.committed.values()]
        return (len(moments) - 1) / (moments[-1] - moments[0])

    @property
    def latencies(self) -> Mapping[Target, Sequence[float]]:
        """Milliseconds, for all requests that count, by target."""
        counted = [*self.committed.items()][RATE * WARMING :]
        return {
            target: [(moments[name] - at) * 1000 for name, at in counted] for target, moments in self.requested.items()
        }

    @property
    def figures(self) -> dict[str, float]:
        """What explains the findings."""
        medians = {f"median of {target}, ms": quantiles(each, n=2)[0] for target, each in self.latencies.items()}
        most = {f"99th percentile of {target}, ms": _most(each) for target, each in self.latencies.items()}
        used = {
            f"ms of processor time a change, {name}": 1000 * each / len(self.committed)
            for name, each in self.used.items()
        }
        return {"changes a second": self.rate, **medians, **most, **used}


def measure(servers: Servers, telling: Telling) -> Sequence[Finding]:
    """The median and the 99th percentile."""
    with TemporaryDirectory(prefix="driverlink-") as folder:
        run = _run(servers, Path(folder), telling, RATE)
    latencies = [*chain.from_iterable(run.latencies.values())]
    return [
        _finding("latency: median", quantiles(latencies, n=2)[0], MEDIAN, run.figures),
        _finding("latency: 99th percentile", _most(latencies), MOST, run.figures),
    ]


def profiles(servers: Servers, telling: Telling) -> Mapping[str, str]:
    """Where the time of each process goes while the changes come."""
    with TemporaryDirectory(prefix="driverlink-") as folder:
        _run(servers, Path(folder), telling, PROFILED_RATE, is_profiled=True)
        files = sorted(Path(folder).glob(f"*{PROFILE}"))
        return {f"latency, {file.stem}": file.read_text("utf-8") for file in files}


def _run(servers: Servers, folder: Path, telling: Telling, rate: int, *, is_profiled: bool = False) -> Run:
    drivers = rate * (WARMING + SECONDS) // ACCOUNTS
    numbers = range(0, drivers * ACCOUNTS, drivers)
    fleets = [Fleet(account=AccountId(f"fleet-{first}"), drivers=drivers, first=first) for first in numbers]
    with deployed(servers, [fleet.account for fleet in fleets], folder, is_profiled=is_profiled) as running:
        for fleet in fleets:
            running.opt_in(fleet)
        links = drivers * ACCOUNTS * len(Target)
        running.until("in_sync", links, telling("latency: linking", links))
        running.profile()
        return _updated(running, [*_turns(fleets)], rate, telling("latency: updating", links))


def _updated(running: Deployed, changes: Sequence[tuple[Fleet, int]], rate: int, done: Done) -> Run:
    before, requested = running.seconds(), running.stand_ins.moments
    committed = _committed(running.installation.intake, changes, rate)
    deadline = monotonic() + _PATIENCE
    while any(committed.keys() - moments.keys() for moments in requested.values()):
        done(sum(len(committed.keys() & moments.keys()) for moments in requested.values()))
        if monotonic() > deadline:
            raise AssertionError(f"after {_PATIENCE:.0f} seconds some requests have not been sent")
        sleep(_PAUSE)
    used = {name: seconds - before[name] for name, seconds in running.seconds().items()}
    return Run(committed=committed, requested=requested, used=used)


def _committed(intake: Intake, changes: Sequence[tuple[Fleet, int]], rate: int) -> dict[str, float]:
    moments: dict[str, float] = {}
    began = perf_counter()
    for at, (fleet, number) in enumerate(changes):
        sleep(max(0.0, began + at / rate - perf_counter()))
        stated = profile(number, edition=2)
        intake.state(fleet.account, fleet.driver(number), whole(stated), source="api")
        moments[stated["last_name"]] = perf_counter()
    return moments


def _turns(fleets: Sequence[Fleet]) -> Iterator[tuple[Fleet, int]]:
    """Every driver once, account after account in turn."""
    each_of = ([(fleet, number) for number in fleet.numbers] for fleet in fleets)
    return chain.from_iterable(zip(*each_of, strict=True))


def _most(latencies: Sequence[float]) -> float:
    return quantiles(latencies, n=100)[98]


def _finding(what: str, measured: float, budget: float, figures: Mapping[str, float]) -> Finding:
    return Finding(what=what, measured=measured, budget=budget, bound=Bound.UNDER, unit="ms", behind=figures)
