"""Large installations over Kafka and PostgreSQL: one account with very many drivers, and very many accounts.

`python -m tests.benchmarks.scale` loads each installation, reconciles everybody, lets changes come, starts all
processes again, and writes what that cost to a file of JSON after every step. Where the servers outlive it, as those
that `python -m tests.support.servers` starts in another terminal, a run with the same folder goes on where the last one
was. There are two smaller accounts besides, because the first load of the large one is judged beside theirs.
"""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from time import perf_counter, sleep
from typing import Annotated, Any, Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
import typer
from psycopg.sql import SQL, Identifier

from domain.identity import Target
from tests.benchmarks.budgets import MEMORY
from tests.benchmarks.deployed import Deployed, deployed
from tests.benchmarks.findings import Finding, to_json
from tests.benchmarks.first_load import to_finding
from tests.benchmarks.fleet import Fleet, many_fleets
from tests.benchmarks.load import Load
from tests.benchmarks.processes import seconds_of_machine
from tests.benchmarks.servers import Servers, servers
from tests.benchmarks.stand_in import Targets, standing_in
from tests.benchmarks.telling import Done, Telling, bars, print_findings, write_json
from tests.support.servers import Unavailable


class Installation(StrEnum):
    """What is measured: one account each with few, more and very many drivers, and very many accounts."""

    SMALL = "small"
    MIDDLE = "middle"
    LARGE = "large"
    WIDE = "wide"


_PARTS: Final = {Installation.SMALL: 50, Installation.MIDDLE: 5, Installation.LARGE: 1}
"""The installations of one account; how many times as large as each of them the large account is."""

IDLE: Final = 20.0
RATES: Final = (10, 50)
"""Changes a second, and for how many seconds they come."""

SECONDS: Final = 15.0

_REST: Final = 3.0

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """An installation: as many accounts with as many drivers each, who exist at both targets."""

    accounts: int
    drivers: int

    @property
    def name(self) -> str:
        """What its database and its topics are called after."""
        return f"scale-{self.accounts}-{self.drivers}"

    @property
    def everybody(self) -> int:
        """The drivers of all accounts."""
        return self.accounts * self.drivers


class Measured:
    """What is known of one installation, in a file: the steps that are done, and what they cost."""

    def __init__(self, shape: Shape, folder: Path, *, is_new: bool) -> None:
        self._file = folder / f"{shape.name}.json"
        is_known = self._file.exists() and not is_new
        self.content: Json = json.loads(self._file.read_text("utf-8")) if is_known else {**asdict(shape), "steps": {}}

    def has(self, step: str) -> bool:
        """Whether a step was done to its end."""
        return bool(self.content["steps"].get(step, {}).get("is_done"))

    def keep(self, step: str, **figures: object) -> None:
        """A step is done."""
        self.content["steps"].setdefault(step, {}).update(figures, is_done=True)
        write_json(self._file, self.content)

    @contextmanager
    def step(self, name: str, running: Deployed) -> Iterator[Json]:
        """Add what a step takes to what it took before it was interrupted, if it was; what is kept of it.

        That is seconds, and seconds of processor time: of each process of ours, and of the whole machine.
        """
        before, before_all, began = running.seconds(), seconds_of_machine(), perf_counter()
        figures = self.content["steps"].setdefault(name, {"seconds": 0.0, "used": {}, "machine": 0.0})
        try:
            yield figures
            figures["is_done"] = True
        finally:
            figures["seconds"] += perf_counter() - began
            figures["machine"] += seconds_of_machine() - before_all
            for process, seconds in running.seconds().items():
                figures["used"][process] = figures["used"].get(process, 0.0) + seconds - before[process]
            figures["peaks"] = running.peaks()
            write_json(self._file, self.content)


def measure(shape: Shape, folder: Path, ours: Servers, telling: Telling) -> Json:
    """Everything about one installation; what is known of it already is not measured again."""
    database = urlunsplit(urlsplit(ours.postgres.url)._replace(path=f"/{shape.name}"))
    measured = Measured(shape, folder, is_new=_create(ours.postgres.url, shape.name))
    if measured.has("start-up"):
        return measured.content
    with ExitStack() as stack:
        targets = stack.enter_context(standing_in(shape.drivers))
        running = stack.enter_context(
            deployed(
                ours,
                targets,
                folder,
                database=database,
                name=shape.name,
                has_statistics=shape.accounts > 1,
            )
        )
        if not measured.has("first load"):
            _load(shape, measured, running, telling)
        if not measured.has("idle"):
            measured.keep("idle", **_idle(running))
        if not measured.has("reconciliation"):
            _reconcile(shape, measured, running, telling)
        if not measured.has("changes"):
            measured.keep("changes", **_changes(shape, running, targets, telling))
        measured.keep("sizes", **_sizes(database))
        measured.keep("start-up", seconds=running.restart(), peaks=running.peaks())
    return measured.content


def _load(shape: Shape, measured: Measured, running: Deployed, telling: Telling) -> None:
    """State the drivers of each account and turn Sync Drivers on, and wait until all links are in sync."""
    done, links = telling(f"{shape.name}: opting in", shape.accounts), shape.everybody * len(Target)
    with measured.step("first load", running) as kept:
        for_each_account(shape, kept, running.opt_in, done)
        running.until("in_sync", links, telling(f"{shape.name}: links in sync", links))


def _reconcile(shape: Shape, measured: Measured, running: Deployed, telling: Telling) -> None:
    """Request a reconciliation of everybody, and wait until all are over."""
    done = telling(f"{shape.name}: requesting reconciliations", shape.accounts)
    reconciliations = shape.accounts * len(Target)
    with measured.step("reconciliation", running) as kept:
        for_each_account(shape, kept, running.reconcile, done)
        running.until_reconciled(reconciliations, telling(f"{shape.name}: reconciling", reconciliations))


def for_each_account(shape: Shape, kept: Json, work: Callable[[Fleet], None], done: Done) -> None:
    """Do something for each account, from where an interrupted run has come to."""
    for fleet in many_fleets(shape.accounts, shape.drivers)[kept.get("accounts", 0) :]:
        work(fleet)
        kept["accounts"] = kept.get("accounts", 0) + 1
        done(kept["accounts"])


def _idle(running: Deployed) -> Json:
    """What the processes use when there is nothing to do, in seconds of processor time a second."""
    sleep(_REST)
    before, before_all = running.seconds(), seconds_of_machine()
    sleep(IDLE)
    used = {name: (seconds - before[name]) / IDLE for name, seconds in running.seconds().items()}
    return {"used": used, "machine": (seconds_of_machine() - before_all) / IDLE}


def _changes(shape: Shape, running: Deployed, targets: Targets, telling: Telling) -> Json:
    """Steady changes: latency in milliseconds, and processor time for each."""
    # Each edition is stated once only, also by a run that goes on after another.
    load = Load(running, targets, many_fleets(shape.accounts, shape.drivers), first_edition=int(time.time()))
    done, found = telling(f"{shape.name}: changes", len(RATES)), Json()
    for number, rate in enumerate(RATES, 1):
        before = seconds_of_machine()
        run = load.run(rate, SECONDS)
        found[str(rate)] = {
            "machine": (seconds_of_machine() - before) / run.changes,
            "rate": run.rate,
            "median": run.median,
            "tail": run.tail,
            "used": {name: seconds / run.changes for name, seconds in run.used.items()},
        }
        done(number)
    return {"by rate": found, "peaks": running.peaks()}


def _sizes(url: str) -> Json:
    """Bytes on disk of each schema: of its events, and of all its tables with their indexes."""
    query = """
        SELECT schemaname, sum(pg_total_relation_size(format('%I.%I', schemaname, tablename)::regclass))::bigint,
            sum(pg_total_relation_size(format('%I.%I', schemaname, tablename)::regclass))
                FILTER (WHERE tablename = 'stored_events')::bigint
        FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') GROUP BY schemaname
    """
    with psycopg.connect(url) as connection:
        return {"bytes": {name: {"all": size, "events": of or 0} for name, size, of in connection.execute(query)}}


def _create(url: str, name: str) -> bool:
    """Make the database of this name if it is not there; whether it is new."""
    with psycopg.connect(url, autocommit=True) as connection:
        is_new = not connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchall()
        if is_new:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    return is_new


def findings(of_one: Sequence[Json]) -> Sequence[Finding]:
    """The budgets of one account, from the smallest to the largest installation."""
    rates = {each["drivers"]: each["drivers"] / each["steps"]["first load"]["seconds"] for each in of_one}
    large = of_one[-1]
    peaks = peaks_of(large)
    return [
        to_finding(rates, {f"{drivers:,} drivers: drivers a second": rate for drivers, rate in rates.items()}),
        Finding(
            what=f"memory: of any process, {large['drivers']:,} drivers in one account",
            ours=max(peaks.values()),
            unit="MB",
            budget=MEMORY,
            behind={f"MB at most, {name}": peak for name, peak in peaks.items()},
        ),
    ]


def peaks_of(measured: Json) -> Mapping[str, float]:
    """The most megabytes of each process in any step."""
    peaks: dict[str, float] = {}
    for step in measured["steps"].values():
        for name, peak in step.get("peaks", {}).items():
            peaks[name] = max(peak, peaks.get(name, 0.0))
    return peaks


def main(
    *,
    accounts: Annotated[int, typer.Option("--accounts", help="Accounts of the wide installation.")] = 10_000,
    drivers: Annotated[int, typer.Option("--drivers", help="Drivers of each of its accounts.")] = 100,
    large: Annotated[int, typer.Option("--large", help="Drivers of the one large account.")] = 100_000,
    only: Annotated[
        list[Installation] | None, typer.Option("--only", help="Only this installation; may come again.")
    ] = None,
    folder: Annotated[Path, typer.Option("--folder", help="Where what is known is kept.")] = Path("build/scale"),
    path: Annotated[Path, typer.Option("--json", help="The file for all figures.")] = Path("build/scale.json"),
) -> None:
    """Measure large installations on a real Kafka and PostgreSQL. Exit status 1: a budget is missed."""
    shapes = {name: Shape(accounts=1, drivers=large // part) for name, part in _PARTS.items()}
    shapes[Installation.WIDE] = Shape(accounts=accounts, drivers=drivers)
    wanted = only or [*Installation]
    folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no process of ours outlives a run
    try:
        with servers() as ours, bars() as telling:
            measured = {name: measure(shapes[name], folder, ours, telling) for name in wanted}
    except Unavailable as reason:
        sys.exit(str(reason))
    of_one = [measured[name] for name in _PARTS if name in measured]
    found = findings(of_one) if len(of_one) == len(_PARTS) else []
    if found:
        print_findings(found)
    write_json(path, {**to_json(found), "installations": measured})
    raise typer.Exit(0 if all(each.is_met for each in found) else 1)


if __name__ == "__main__":
    typer.run(main)
