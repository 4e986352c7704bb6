"""Measures, prints a table, writes the same as JSON, and ends with status 1 when a budget is missed."""

import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from tests.benchmarks import (
    commands,
    decider,
    embedded,
    first_load,
    latency,
    projector,
    pushing,
    rebuild,
    scan,
    sealing,
    steady,
)
from tests.benchmarks.findings import Finding, to_json
from tests.benchmarks.servers import Servers, servers
from tests.benchmarks.telling import Telling, bars, print_findings, print_minutes, print_profile, write_json
from tests.support.servers import Unavailable


class Row(StrEnum):
    """A part of the table."""

    LATENCY = "latency"
    PUSHED = "pushed"
    EMBEDDED = "embedded"
    STEADY = "steady"
    DECIDER = "decider"
    SEALING = "sealing"
    PROJECTOR = "projector"
    REBUILD = "rebuild"
    SCAN = "scan"
    FIRST_LOAD = "first-load"
    COMMANDS = "commands"


_OF_BOTH: Mapping[Row, Callable[[latency.Both, Telling], Sequence[Finding]]] = {
    Row.LATENCY: latency.measure,
    Row.EMBEDDED: embedded.measure,
    Row.STEADY: steady.measure,
}
"""What is measured of our pipeline and the bare one, which run up once for all of them."""

_MEASURED: Mapping[Row, Callable[[Servers, Telling], Sequence[Finding]]] = {
    Row.PUSHED: pushing.measure,
    Row.DECIDER: decider.measure,
    Row.SEALING: sealing.measure,
    Row.PROJECTOR: projector.measure,
    Row.REBUILD: rebuild.measure,
    Row.SCAN: scan.measure,
    Row.FIRST_LOAD: first_load.measure,
    Row.COMMANDS: commands.measure,
}
_PROFILED: Mapping[Row, Callable[[Servers, Telling], Mapping[str, str]]] = {
    Row.LATENCY: latency.profiles,
    Row.DECIDER: decider.profiles,
    Row.PROJECTOR: projector.profiles,
    Row.REBUILD: rebuild.profiles,
}


def main(
    *,
    only: Annotated[list[Row] | None, typer.Option("--only", help="Only this row; may come again.")] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Tell where the time goes, and measure nothing.")] = False,
    path: Annotated[Path, typer.Option("--json", help="The file for the findings.")] = Path("build/bench.json"),
) -> None:
    """Measure the budgets of the design on a real Kafka and PostgreSQL. Exit status 1: one of them is missed."""
    if profile and (without := [row for row in only or () if row not in _PROFILED]):
        raise typer.BadParameter(f"no profile is made of {', '.join(without)}")
    rows = only or tuple(Row)
    try:
        status = _profile(rows) if profile else _measure(rows, path)
    except Unavailable as reason:
        sys.exit(str(reason))
    raise typer.Exit(status)


def _measure(rows: Collection[Row], path: Path) -> int:
    findings: list[Finding] = []
    minutes: dict[str, float] = {}
    began = perf_counter()

    def take(what: str, found: Iterable[Finding] = ()) -> None:
        nonlocal began
        findings.extend(found)
        minutes[what], began = (perf_counter() - began) / 60, perf_counter()
        write_json(path, {**to_json(findings), "minutes": minutes})

    with servers() as ours, bars() as telling:
        if of_both := [row for row in rows if row in _OF_BOTH]:
            with latency.running_both(ours, telling) as both:
                take("run up")
                for row in of_both:
                    take(row, _OF_BOTH[row](both, telling))
        for row in rows:
            if measure := _MEASURED.get(row):
                take(row, measure(ours, telling))
    print_findings(findings)
    print_minutes(minutes)
    return 0 if all(each.is_met for each in findings) else 1


def _profile(rows: Iterable[Row]) -> int:
    with servers() as ours, bars() as telling:
        profiles = {
            what: text for row in rows if row in _PROFILED for what, text in _PROFILED[row](ours, telling).items()
        }
    for what, text in profiles.items():
        print_profile(what, text)
    return 0


if __name__ == "__main__":
    typer.run(main)
