from dataclasses import replace

import pytest

from tests.benchmarks.capacity import LARGEST, MOST_BUSY, Costs, World, costs_of, fewest, figures, fleets, spread

WORLD = World(drivers=200_000, usual=40, changes=0.1, processors=2.0, most=200_000)
COSTS = Costs(change=0.02, reconciled=0.002, loaded=0.01, idle=0.1, stored=5_000.0, memory=600.0)


def test_all_drivers_are_carried_and_no_account_is_too_large() -> None:
    sizes = fleets(WORLD)
    assert sum(sizes) == WORLD.drivers
    assert max(sizes) <= LARGEST
    cells = spread(sizes, WORLD, COSTS, 7)
    assert sum(cell.drivers for cell in cells) == WORLD.drivers
    assert sum(cell.accounts for cell in cells) == len(sizes)


def test_the_cells_are_as_few_as_keep_the_busiest_within_its_share() -> None:
    sizes, dear = fleets(WORLD), replace(COSTS, change=5.0)
    cells = fewest(sizes, WORLD, dear)
    assert max(max(cell.busy) for cell in cells) <= MOST_BUSY
    one_less = spread(sizes, WORLD, dear, len(cells) - 1)
    assert max(max(cell.busy) for cell in one_less) > MOST_BUSY


def test_no_cell_has_more_drivers_than_it_may() -> None:
    cells = fewest(fleets(WORLD), replace(WORLD, most=50_000), COSTS)
    assert len(cells) >= 4
    assert max(cell.drivers for cell in cells) <= 50_000


def test_an_account_that_no_cell_can_carry_is_no_answer() -> None:
    with pytest.raises(ValueError, match="an account alone"):
        fewest([LARGEST], WORLD, replace(COSTS, reconciled=10.0))


def test_a_cell_that_is_busy_with_nothing_is_no_answer() -> None:
    with pytest.raises(ValueError, match="nothing to do"):
        fewest([1], WORLD, replace(COSTS, idle=1.5))


def test_the_costs_are_those_of_the_whole_machine_beyond_its_idle_ones() -> None:
    slow = {"rate": 10.0, "machine": 0.05, "used": {"a": 0.01}}
    quick = {"rate": 50.0, "machine": 0.504, "used": {"a": 0.01, "b": 0.01}}
    steps = {
        "first load": {"machine": 60.0, "seconds": 100.0, "used": {"a": 30.0}},
        "idle": {"machine": 0.2},
        "reconciliation": {"machine": 11.0, "seconds": 10.0, "used": {"a": 10.0}},
        "changes": {
            "by rate": {"10": slow, "50": quick},
            "peaks": {"a": 90.0},
        },
        "sizes": {"bytes": {"decider": {"all": 3_000_000, "events": 1}, "intake": {"all": 1_000_000, "events": 1}}},
    }
    costs = costs_of({"accounts": 10, "drivers": 100, "steps": steps})
    assert costs == Costs(change=0.5, reconciled=0.01, loaded=0.04, idle=0.2, stored=4_000.0, memory=90.0)
    assert figures(spread([5, 5], WORLD, costs, 1), WORLD, costs)["drivers"] == 10
