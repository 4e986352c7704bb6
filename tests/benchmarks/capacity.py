"""How very many drivers are carried by cells, simulated from what `make bench-scale` has measured.

A cell is an installation of its own: a PostgreSQL database, its topics, and a process of each service. An account is in
one cell, by the hash of its name. The accounts are made up, few of them large; changes come through the day, most of
them in the busiest hours, and each account is reconciled once a day at an hour of its own.

`python -m tests.benchmarks.capacity build/scale.json` prints how many cells it takes, and what they do in a day.
"""

import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import log
from pathlib import Path
from statistics import mean, median
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from tests.benchmarks.telling import out

Json = dict[str, Any]

HOURS: Final = (1, 1, 1, 1, 1, 2, 4, 6, 8, 8, 7, 6, 6, 7, 7, 6, 6, 5, 4, 3, 3, 2, 2, 1)
"""How the changes of a day are spread over its hours."""

SPREAD: Final = 1.6
"""Of the logarithm of an account's drivers: a few accounts have thousands."""

LARGEST: Final = 100_000

MOST_BUSY: Final = 0.6
"""The share of its processors that a cell may use in its busiest hour, so that it can catch up."""

_SEED: Final = 14
_HOUR: Final = 3600.0
_CLOSE_ENOUGH: Final = 1.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What things cost, in seconds of processor time of the whole machine, bytes and megabytes, as measured."""

    change: float
    reconciled: float
    loaded: float
    idle: float
    stored: float
    memory: float


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is to be carried, and by what: the drivers, the changes of each in a day, and what a cell may have."""

    drivers: int
    usual: int
    """The drivers of half of the accounts, at most."""

    changes: float
    processors: float
    most: int
    """The drivers of a cell, at most: a larger one was never measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one cell carries, and the share of its processors that it uses in each hour."""

    accounts: int
    drivers: int
    busy: Sequence[float]


def costs_of(measured: Json) -> Costs:
    """The costs of an installation, from what was measured of it: beyond what the machine uses when it is idle."""
    drivers, steps = measured["accounts"] * measured["drivers"], measured["steps"]
    idle = steps["idle"]["machine"]
    change = max(steps["changes"]["by rate"].values(), key=lambda each: each["rate"])

    def beyond_idle(step: Json, seconds: float) -> float:
        return float(max(step["machine"] - idle * seconds, sum(step["used"].values())))

    return Costs(
        change=beyond_idle(change, 1 / change["rate"]),
        reconciled=beyond_idle(steps["reconciliation"], steps["reconciliation"]["seconds"]) / drivers,
        loaded=beyond_idle(steps["first load"], steps["first load"]["seconds"]) / drivers,
        idle=idle,
        stored=sum(each["all"] for each in steps["sizes"]["bytes"].values()) / drivers,
        memory=sum(steps["changes"]["peaks"].values()),
    )


def fleets(world: World) -> list[int]:
    """The drivers of each account."""
    chance, sizes, left = random.Random(_SEED), list[int](), world.drivers  # noqa: S311 - no secret
    while left > 0:
        size = min(left, LARGEST, max(1, round(chance.lognormvariate(log(world.usual), SPREAD))))
        sizes.append(size)
        left -= size
    return sizes


def spread(sizes: Sequence[int], world: World, costs: Costs, cells: int) -> list[Cell]:
    """The cells, when each account is in the one that its name leads to, and what each does in a day."""
    accounts, drivers, due = [0] * cells, [0] * cells, [[0] * len(HOURS) for _ in range(cells)]
    for number, size in enumerate(sizes):
        place = int.from_bytes(blake2b(str(number).encode(), digest_size=8).digest(), "big")
        cell, hour = place % cells, place // cells % len(HOURS)
        accounts[cell] += 1
        drivers[cell] += size
        due[cell][hour] += size
    return [
        Cell(accounts=of, drivers=within, busy=[*_busy(within, reconciled, world, costs)])
        for of, within, reconciled in zip(accounts, drivers, due, strict=True)
    ]


def _busy(drivers: int, due: Sequence[int], world: World, costs: Costs) -> Sequence[float]:
    changes = [drivers * world.changes * share / sum(HOURS) for share in HOURS]
    return [
        (costs.idle * _HOUR + coming * costs.change + reconciled * costs.reconciled) / (world.processors * _HOUR)
        for coming, reconciled in zip(changes, due, strict=True)
    ]


def fewest(sizes: Sequence[int], world: World, costs: Costs) -> list[Cell]:
    """As few cells as keep the busiest one within what it may use. Raises `ValueError` where no number would."""
    if costs.idle >= MOST_BUSY * world.processors:
        raise ValueError("a cell is too busy when it has nothing to do")
    low, high = 0, 1
    while not _is_within(spread(sizes, world, costs, high), world):
        low, high = high, 2 * high
        if high > len(sizes):
            raise ValueError("an account alone is too much for a cell")
    while high > max(low + 1, low * _CLOSE_ENOUGH):
        middle = (low + high) // 2
        low, high = (low, middle) if _is_within(spread(sizes, world, costs, middle), world) else (middle, high)
    return spread(sizes, world, costs, high)


def _is_within(cells: Sequence[Cell], world: World) -> bool:
    return all(max(cell.busy) <= MOST_BUSY and cell.drivers <= world.most for cell in cells)


def figures(cells: Sequence[Cell], world: World, costs: Costs) -> Mapping[str, float]:
    """What it comes to, by what it is."""
    fullest = max(cells, key=lambda cell: max(cell.busy))
    peak = max(fullest.busy)
    return {
        "accounts": float(sum(cell.accounts for cell in cells)),
        "drivers": float(sum(cell.drivers for cell in cells)),
        "cells": float(len(cells)),
        "drivers of a cell, median": median(cell.drivers for cell in cells),
        "drivers of a cell, most": float(max(cell.drivers for cell in cells)),
        "share of its processors that a cell uses, all day": mean(mean(cell.busy) for cell in cells),
        "share of its processors that the busiest cell uses in its busiest hour": peak,
        "changes a second of the busiest cell": fullest.drivers * world.changes * max(HOURS) / sum(HOURS) / _HOUR,
        "GB on disk of a cell, most": costs.stored * max(cell.drivers for cell in cells) / 1e9,
        "GB of memory of a cell's processes": costs.memory / 1000,
        "hours in which all cells load everybody, for the first time": max(cell.drivers for cell in cells)
        * costs.loaded
        / world.processors
        / _HOUR,
        "hours after an outage of one busy hour until all is made up for": peak / (1 - peak),
    }


def main(
    path: Annotated[Path, typer.Argument(help="What `make bench-scale` has written.")] = Path("build/scale.json"),
    *,
    drivers: Annotated[int, typer.Option("--drivers", help="All drivers.")] = 100_000_000,
    usual: Annotated[int, typer.Option("--usual", help="Half of the accounts have no more drivers.")] = 40,
    changes: Annotated[float, typer.Option("--changes", help="Changes of each driver in a day.")] = 0.1,
    processors: Annotated[float, typer.Option("--processors", help="Of a cell, for all that runs in it.")] = 2.0,
    most: Annotated[int, typer.Option("--most", help="The drivers of a cell, at most.")] = 1_000_000,
) -> None:
    """Simulate how many cells carry a number of drivers, and what they do in a day."""
    measured = json.loads(path.read_text("utf-8"))["installations"]["wide"]
    costs = costs_of(measured)
    world = World(drivers=drivers, usual=usual, changes=changes, processors=processors, most=most)
    try:
        cells = fewest(fleets(world), world, costs)
    except ValueError as reason:
        sys.exit(f"{reason}: was {path} measured on a quiet machine?")
    table = Table("simulated", "", header_style="bold")
    for name, figure in figures(cells, world, costs).items():
        table.add_row(name, f"{figure:,.0f}" if figure >= 10 else f"{figure:.2g}")
    out.print(table)


if __name__ == "__main__":
    typer.run(main)
