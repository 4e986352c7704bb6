"""Identifiers that change hands in circles: each driver keeps its target driver, and no temporary value."""

from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.account import Mode
from domain.driver_link import Decision, Parked
from domain.identity import PortalDriverId, Target
from domain.profile import Profile
from tests.support.examples import examples
from tests.support.simulation import Simulation
from tests.support.standing import Standing, standing
from tests.support.target_in_memory import MotiveInMemory

IDENTIFIERS = ("ref_id", "email", "licence_number", "driveri_driver_id")


def _stated(number: int) -> dict[str, str]:
    return {
        "first_name": f"First {number}",
        "last_name": f"Last {number}",
        "ref_id": f"R-{number}",
        "email": f"p{number}@fleet.example",
        "licence_number": f"L-{number}",
        "licence_state": "CO",
        "licence_country": "US",
        "driveri_driver_id": f"D-{number}",
    }


def _driver(number: int) -> PortalDriverId:
    return PortalDriverId(f"p{number}")


def _fleet(target: Target, many: int, *, once: Sequence[str] = IDENTIFIERS) -> Simulation:
    """These many drivers, in sync; this Motive refuses the identifiers of these kinds that another driver has."""
    simulation = Simulation(target)
    if isinstance(simulation.target, MotiveInMemory):
        simulation.target.once = frozenset({"portal_driver_id", *once})
    simulation.scan()
    for number in range(many):
        simulation.state(_driver(number), _stated(number))
    simulation.run()
    for rank, number in enumerate(range(many)):
        simulation.target.edit_by_hand(rank, {"badge": f"p{number}"})
    return simulation


def _circled(many: int, moves: Mapping[str, Sequence[int]]) -> list[dict[str, str]]:
    """The drivers' profiles after these permutations of identifiers."""
    return [
        {**_stated(number), **{field: _stated(after[number])[field] for field, after in moves.items()}}
        for number in range(many)
    ]


def _assert_agreed(simulation: Simulation, stated: Sequence[Profile]) -> None:
    desired_drivers = simulation.decider.desired_drivers
    for number in range(len(stated)):
        assert standing(simulation, _driver(number)) is Standing.IN_SYNC
        user = simulation.target.truth(simulation.decider.links[_driver(number)].key)
        assert user is not None
        desired = desired_drivers[_driver(number)]
        assert {field: user.profile.get(field) for field in desired.profile} == dict(desired.profile)
        assert (user.active, user.profile["badge"]) == (True, f"p{number}")
        assert desired.key in (None, user.key)
    assert len(simulation.target.scan()) == len(stated)


def _state_all(simulation: Simulation, stated: Sequence[Profile], order: Sequence[int]) -> None:
    for number in order:
        simulation.state(_driver(number), stated[number])


@pytest.mark.parametrize("field", IDENTIFIERS)
@pytest.mark.parametrize("many", [2, 3, 5])
@pytest.mark.parametrize("target", Target)
def test_a_circle_over_one_identifier_ends_right(target: Target, many: int, field: str) -> None:
    simulation = _fleet(target, many)
    stated = _circled(many, {field: [(number + 1) % many for number in range(many)]})
    _state_all(simulation, stated, range(many))
    simulation.run()
    _assert_agreed(simulation, stated)


def test_a_circle_over_different_identifiers_ends_right() -> None:
    simulation = _fleet(Target.MOTIVE, 2)
    ann = {**_stated(0), "email": _stated(1)["email"], "ref_id": "R-new"}
    ben = {**_stated(1), "ref_id": _stated(0)["ref_id"], "email": "new@fleet.example"}
    _state_all(simulation, [ann, ben], range(2))
    simulation.run()
    _assert_agreed(simulation, [ann, ben])


def test_in_a_circle_one_driver_has_a_temporary_value_in_a_reserved_domain() -> None:
    simulation = _fleet(Target.MOTIVE, 2)
    _state_all(simulation, _circled(2, {"email": [1, 0]}), range(2))
    simulation.run()
    sent = [event for event in simulation.decider.log if isinstance(event, Decision)]
    made_up = [event for event in sent if event.profile["email"].endswith("@driverlink.invalid")]
    assert [event.driver for event in made_up] == ["p1"]


def test_a_driver_with_a_temporary_value_is_described_as_changing_places() -> None:
    simulation = _fleet(Target.MOTIVE, 2)
    _state_all(simulation, _circled(2, {"email": [1, 0]}), range(2))
    simulation.run()
    (told,) = [event for event in simulation.decider.log if isinstance(event, Parked) and event.driver == "p1"]
    assert told.detail.startswith("it changes places with portal driver p0, has a temporary value until then")
    assert told.rationale["evidence"]["conflict"]["swap"] is True


def test_two_drivers_who_want_the_same_value_are_no_circle() -> None:
    simulation = _fleet(Target.MOTIVE, 2)
    simulation.restate(_driver(1), {"email": _stated(0)["email"]})
    simulation.settle()
    assert standing(simulation, _driver(1)) is Standing.PARKED


@pytest.mark.parametrize("leaver", [0, 1])
@pytest.mark.parametrize("steps", range(6))
def test_a_driver_that_leaves_a_circle_leaves_no_temporary_value(leaver: int, steps: int) -> None:
    simulation = _fleet(Target.MOTIVE, 2, once=("email", "driveri_driver_id"))
    _state_all(simulation, _circled(2, {"email": [1, 0], "ref_id": [1, 0]}), range(2))
    for step in (simulation.start, simulation.finish, simulation.deliver, simulation.start, simulation.finish)[:steps]:
        step()
    simulation.delete(_driver(leaver))
    simulation.settle()
    user = simulation.target.truth(simulation.decider.links[_driver(1 - leaver)].key)
    assert user is not None
    assert user.profile["email"] == _stated(leaver)["email"]


STEPS: Mapping[str, Callable[[Simulation], None]] = {
    "start": lambda simulation: simulation.start(),
    "finish": lambda simulation: simulation.finish(),
    "lose": lambda simulation: simulation.finish(loses_answer=True),
    "deliver": lambda simulation: simulation.deliver(),
    "scan": lambda simulation: simulation.scan(),
    "observe": lambda simulation: simulation.set_mode(Mode.OBSERVE),
    "full": lambda simulation: simulation.set_mode(Mode.FULL),
    "retry": lambda simulation: simulation.retry(),
}


@examples(75, many=1500)
@given(data=st.data(), target=st.sampled_from(Target), many=st.integers(2, 4))
def test_any_exchange_of_any_identifiers_ends_right_whatever_happens_meanwhile(
    data: st.DataObject, target: Target, many: int
) -> None:
    simulation = _fleet(target, many)
    everybody = list(range(many))
    for _ in range(2):
        moves = {field: data.draw(st.permutations(everybody), label=field) for field in IDENTIFIERS}
        stated = _circled(many, moves)
        for number in data.draw(st.permutations(everybody), label="order"):
            simulation.state(_driver(number), stated[number])
            for step in data.draw(st.lists(st.sampled_from(sorted(STEPS)), max_size=4), label="steps"):
                STEPS[step](simulation)
    simulation.settle()
    _assert_agreed(simulation, stated)
