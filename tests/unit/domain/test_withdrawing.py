"""A driver deleted in the Portal while its create is under way: no other driver gets what it may have created."""

from collections.abc import Callable
from functools import partial

import pytest

from domain.account import Mode
from domain.driver_link import CreateDecided, LinkDecided, Parked, ReinstateDecided
from domain.identity import PortalDriverId, Target
from domain.profile import Profile
from tests.support.simulation import Simulation
from tests.support.standing import Standing, standing

ANN, BEN, CAT = (PortalDriverId(name) for name in ("ann", "ben", "cat"))
TARGETS = pytest.mark.parametrize("target", Target)


def _profile(name: str) -> Profile:
    """Both drivers have the same identifiers."""
    return {"first_name": name, "last_name": "Doe", "ref_id": "R-1", "driveri_driver_id": "D-1"}


def _with_a_create(target: Target, mode: Mode = Mode.FULL, *, is_started: bool = True) -> Simulation:
    """Ann's create is decided, or under way already."""
    simulation = Simulation(target, mode=mode)
    simulation.scan()
    simulation.state(ANN, _profile("Ann"))
    if is_started:
        simulation.start()
    return simulation


def _replaced(simulation: Simulation) -> Simulation:
    """The Portal has Ben in the place of Ann."""
    simulation.delete(ANN)
    simulation.state(BEN, _profile("Ben"))
    return simulation


def _decided(simulation: Simulation, driver: PortalDriverId) -> list[type]:
    return [type(event) for event in simulation.decider.log if event.driver == driver]


@TARGETS
def test_what_a_started_create_may_make_stays_claimed_before_its_answer(target: Target) -> None:
    simulation = _replaced(_with_a_create(target))
    assert _decided(simulation, BEN) == [Parked]
    simulation.finish()
    assert _decided(simulation, BEN) == [Parked]


def test_a_record_of_a_driver_who_was_replaced_is_deleted_before_the_next_one_gets_it() -> None:
    simulation = _replaced(_with_a_create(Target.DRIVERI))
    simulation.run()
    assert LinkDecided not in _decided(simulation, BEN)
    assert ReinstateDecided in _decided(simulation, BEN)
    assert standing(simulation, BEN) is Standing.IN_SYNC
    assert [driver.profile["first_name"] for driver in simulation.target.scan()] == ["Ben"]


@pytest.mark.parametrize("steps", range(4))
@pytest.mark.parametrize("loses", [False, True])
@TARGETS
def test_a_driver_who_was_replaced_leaves_nothing_behind_whenever_the_answer_comes(
    target: Target, steps: int, *, loses: bool
) -> None:
    simulation = _with_a_create(target)
    simulation.delete(ANN)
    finish = partial(simulation.finish, loses_answer=loses)
    each: list[Callable[[], None]] = [finish, simulation.deliver, simulation.start]
    for step in each[:steps]:
        step()
    simulation.state(BEN, _profile("Ben"))
    simulation.settle()
    assert standing(simulation, BEN) is Standing.IN_SYNC
    assert [driver.profile["first_name"] for driver in simulation.target.scan() if driver.active] == ["Ben"]


@pytest.mark.parametrize("mode", [Mode.UPSERT, Mode.FULL])
@TARGETS
def test_a_create_that_was_never_started_frees_its_values_when_it_is_withdrawn(target: Target, mode: Mode) -> None:
    simulation = _replaced(_with_a_create(target, mode, is_started=False))
    assert _decided(simulation, BEN) == [Parked]
    simulation.run()
    assert _decided(simulation, BEN)[-2:-1] == [CreateDecided]
    assert standing(simulation, BEN) is Standing.IN_SYNC


@TARGETS
def test_where_nothing_is_sent_a_withdrawn_create_holds_nothing(target: Target) -> None:
    simulation = _replaced(_with_a_create(target, Mode.OBSERVE, is_started=False))
    assert _decided(simulation, BEN) == [CreateDecided]


def test_who_is_set_aside_for_another_value_keeps_what_the_call_under_way_brings() -> None:
    simulation = _with_a_create(Target.MOTIVE)
    simulation.state(CAT, {"first_name": "Cat", "last_name": "Doe", "email": "batch@fleet.example"})
    simulation.restate(ANN, {"email": "batch@fleet.example"})
    simulation.state(BEN, _profile("Ben"))
    assert _decided(simulation, ANN) == [CreateDecided]
    assert _decided(simulation, BEN) == [Parked]
    simulation.run()
    assert standing(simulation, ANN) is standing(simulation, BEN) is Standing.PARKED


@TARGETS
def test_who_comes_back_before_the_answer_keeps_what_the_create_makes(target: Target) -> None:
    simulation = _with_a_create(target)
    simulation.delete(ANN)
    simulation.state(ANN, {**_profile("Ann"), "ref_id": "R-2", "driveri_driver_id": "D-2"})
    simulation.state(BEN, _profile("Ben"))
    assert _decided(simulation, BEN) == [Parked]
    simulation.run()
    assert standing(simulation, ANN) is standing(simulation, BEN) is Standing.IN_SYNC
    assert _decided(simulation, ANN).count(CreateDecided) == 1
