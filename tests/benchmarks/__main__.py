"""Measures, prints a table, writes the same as JSON, and ends with status 1 when a budget is missed."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tests.benchmarks import commands, decider, latency, memory, projector, rebuild, reconciliation, soak
from tests.benchmarks.findings import Finding, to_json
from tests.benchmarks.servers import Servers, servers
from tests.benchmarks.telling import Telling, bars, print_findings, print_profile
from tests.support.servers import Unavailable


class Row(StrEnum):
    """A part of the table."""

    COMMANDS = "commands"
    DECIDER = "decider"
    PROJECTOR = "projector"
    REBUILD = "rebuild"
    LATENCY = "latency"
    RECONCILIATION = "reconciliation"
    MEMORY = "memory"
    LARGE_RECONCILIATION = "large-reconciliation"
    SOAK = "soak"


_MEASURED: Mapping[Row, Callable[[Servers, Telling], Sequence[Finding]]] = {
    Row.COMMANDS: commands.measure,
    Row.DECIDER: decider.measure,
    Row.PROJECTOR: projector.measure,
    Row.REBUILD: rebuild.measure,
    Row.LATENCY: latency.measure,
    Row.RECONCILIATION: reconciliation.measure_some,
    Row.MEMORY: memory.measure,
    Row.LARGE_RECONCILIATION: reconciliation.measure,
    Row.SOAK: soak.measure,
}
_PROFILED: Mapping[Row, Callable[[Servers, Telling], Mapping[str, str]]] = {
    Row.DECIDER: decider.profiles,
    Row.PROJECTOR: projector.profiles,
    Row.REBUILD: rebuild.profiles,
    Row.LATENCY: latency.profiles,
}
_USUAL = (Row.COMMANDS, Row.DECIDER, Row.PROJECTOR, Row.REBUILD, Row.LATENCY, Row.RECONCILIATION)


def main(
    *,
    only: Annotated[list[Row] | None, typer.Option("--only", help="Only this row; may come again.")] = None,
    with_all: Annotated[bool, typer.Option("--all", help="The rows too that take minutes.")] = False,
    profile: Annotated[bool, typer.Option("--profile", help="Tell where the time goes, and measure nothing.")] = False,
    path: Annotated[Path, typer.Option("--json", help="The file for the findings.")] = Path("build/bench.json"),
) -> None:
    """Measure the budgets of the design on a real Kafka and PostgreSQL. Exit status 1: one of them is missed."""
    if only and with_all:
        raise typer.BadParameter("give either --only or --all")
    if profile and (without := [row for row in only or () if row not in _PROFILED]):
        raise typer.BadParameter(f"no profile is made of {', '.join(without)}")
    rows = only or (tuple(Row) if with_all else _USUAL)
    try:
        status = _profile(rows) if profile else _measure(rows, path)
    except Unavailable as reason:
        sys.exit(str(reason))
    raise typer.Exit(status)


def _measure(rows: Iterable[Row], path: Path) -> int:
    with servers() as ours, bars() as telling:
        findings = [finding for row in rows for finding in _MEASURED[row](ours, telling)]
    print_findings(findings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(to_json(findings), indent=1) + "\n", "utf-8")
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
