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

STEP, MOST_STEPS = 0.85, 5
"""How much lower the next rate is, where the bare pipeline does not keep up, and at how many rates it is tried."""

PROFILED_RATE = 20
"""Changes a second while the processes are profiled, which makes them slow."""

_IDLE = 3.0

_Turn = tuple[str, Run]
"""A run, and whose it is."""


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
    done, findings = telling("latency", len(SECONDS)), list[Finding]()
    for number, (rate, seconds) in enumerate(SECONDS.items(), 1):
        findings += _to_findings(rate, _made(both, rate, seconds), both.idle)
        done(number)
    return findings


def _made(both: Both, rate: float, seconds: float) -> "Sequence[_Turn]":
    """Runs at this rate, or at the highest lower one with which the bare pipeline, our yardstick, keeps up."""
    for _ in range(MOST_STEPS):
        made = [(turn, both.loads[turn].run(rate, seconds)) for turn in TURNS]
        if _keeps_up(made):
            break
        rate *= STEP
    return made


def _keeps_up(made: "Sequence[_Turn]") -> bool:
    return all(run.is_steady for turn, run in made if turn == "bare")


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


def _to_findings(rate: int, made: Sequence[_Turn], idle: Mapping[str, float]) -> Iterator[Finding]:
    own, bare = (reduce(Run.with_another, [run for turn, run in made if turn == name]) for name in ("ours", "bare"))
    what, behind, is_judged = f"latency at {rate}/s", {**own.figures("ours"), **bare.figures("bare"), **idle}, True
    if own.asked < rate:
        what += f" (the bare pipeline keeps up with {own.asked:.0f}/s only, so at that rate)"
    if not _keeps_up(made):
        what, is_judged = f"latency at {rate}/s (the bare pipeline does not keep up even with {own.asked:.0f}/s)", False
    yield Finding(
        what=f"{what}: median",
        ours=own.median,
        unit="ms",
        budget=LATENCY,
        beside=bare.median,
        behind=behind,
        is_judged=is_judged,
    )
    yield Finding(
        what=f"{what}: 99th percentile",
        ours=own.tail,
        unit="ms",
        budget=LATENCY,
        beside=bare.tail,
        is_judged=is_judged,
    )
    yield Finding(
        what=f"{what}: processor time a change",
        ours=own.processor_time,
        unit="ms",
        budget=PROCESSOR_TIME[rate],
        beside=bare.processor_time,
        is_judged=is_judged,
    )
