"""From a change committed at intake to the request at a target, beside a bare pipeline, over Kafka and PostgreSQL.

Ten accounts on both targets, all of whose drivers are linked. Both pipelines run all the time, each with targets of its
own, and are measured in turns, so that neither finds a warmer machine than the other.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep

from domain.identity import Target
from tests.benchmarks.bare_pipeline import bare_pipeline
from tests.benchmarks.budgets import LATENCY, PROCESSOR_TIME
from tests.benchmarks.deployed import PROFILE, Deployed, deployed
from tests.benchmarks.findings import Finding
from tests.benchmarks.fleet import many_fleets
from tests.benchmarks.load import ACCOUNTS, DRIVERS, Load, Pipeline, Run
from tests.benchmarks.servers import Servers
from tests.benchmarks.stand_in import standing_in
from tests.benchmarks.telling import Telling

SECONDS = {10: 12.0, 50: 8.0, 100: 8.0}
"""How long each run counts, by changes a second."""

TURNS = ("bare", "ours", "ours", "bare")

PROFILED_RATE = 20
"""Changes a second while the processes are profiled, which makes them slow."""

_IDLE = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Both:
    """Both pipelines while they run, and what the processes of each use when there is nothing to do.

    `idle` is in milliseconds of processor time a second, by what it is.
    """

    ours: Load
    bare: Load
    idle: Mapping[str, float]

    @property
    def loads(self) -> Mapping[str, Load]:
        """Their load generators, by name."""
        return {"ours": self.ours, "bare": self.bare}


def measure(both: Both, telling: Telling) -> Sequence[Finding]:
    """Median, 99th percentile and processor time at each rate."""
    done, runs = telling("latency", len(TURNS) * len(SECONDS)), dict[int, list[tuple[str, Run]]]()
    for rate, seconds in SECONDS.items():
        for turn in TURNS:
            runs.setdefault(rate, []).append((turn, both.loads[turn].run(rate, seconds)))
            done(sum(map(len, runs.values())))
    return [finding for rate, made in runs.items() for finding in _to_findings(rate, made, both.idle)]


def profiles(servers: Servers, telling: Telling) -> Mapping[str, str]:
    """Where the time of each process goes while the changes come."""
    with TemporaryDirectory(prefix="driverlink-") as folder:
        with ours(servers, telling, Path(folder), is_profiled=True) as (running, load):
            running.profile()
            load.run(PROFILED_RATE, SECONDS[10])
        files = sorted(Path(folder).glob(f"*{PROFILE}"))
        return {f"latency, {file.stem}": file.read_text("utf-8") for file in files}


@contextmanager
def running_both(servers: Servers, telling: Telling) -> Iterator[Both]:
    """While this lasts, both pipelines run."""
    fleets = many_fleets(ACCOUNTS, DRIVERS)
    with (
        TemporaryDirectory(prefix="driverlink-") as folder,
        ours(servers, telling, Path(folder)) as (running, load),
        standing_in(DRIVERS) as targets,
        bare_pipeline(servers, targets) as bare,
    ):
        pipelines: Mapping[str, Pipeline] = {"ours": running, "bare": bare}
        before = {name: sum(pipeline.seconds().values()) for name, pipeline in pipelines.items()}
        sleep(_IDLE)
        idle = {
            f"{name}: ms of processor time a second, idle": 1000 * (sum(each.seconds().values()) - before[name]) / _IDLE
            for name, each in pipelines.items()
        }
        yield Both(ours=load, bare=Load(bare, targets, fleets), idle=idle)


@contextmanager
def ours(
    servers: Servers, telling: Telling, folder: Path, *, is_profiled: bool = False
) -> Iterator[tuple[Deployed, Load]]:
    """While this lasts, the services run, and all drivers are linked."""
    fleets, links = many_fleets(ACCOUNTS, DRIVERS), ACCOUNTS * DRIVERS * len(Target)
    with standing_in(DRIVERS) as targets, deployed(servers, targets, folder, is_profiled=is_profiled) as running:
        for fleet in fleets:
            running.opt_in(fleet)
        running.until("in_sync", links, telling("linking", links))
        yield running, Load(running, targets, fleets)


def _to_findings(rate: int, made: Sequence[tuple[str, Run]], idle: Mapping[str, float]) -> Iterator[Finding]:
    own, bare = (reduce(Run.with_another, [run for turn, run in made if turn == name]) for name in ("ours", "bare"))
    what, behind = f"latency at {rate}/s", {**own.figures("ours"), **bare.figures("bare"), **idle}
    yield Finding(what=f"{what}: median", ours=own.median, unit="ms", budget=LATENCY, beside=bare.median, behind=behind)
    yield Finding(what=f"{what}: 99th percentile", ours=own.tail, unit="ms", budget=LATENCY, beside=bare.tail)
    yield Finding(
        what=f"{what}: processor time a change",
        ours=own.processor_time,
        unit="ms",
        budget=PROCESSOR_TIME[rate],
        beside=bare.processor_time,
    )
