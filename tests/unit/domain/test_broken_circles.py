"""Circles in which a driver is refused: none keeps a temporary value for the sake of another field of its own."""

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.identity import Target
from tests.support.examples import examples
from tests.support.simulation import Simulation
from tests.support.standing import Standing, standing
from tests.support.target_in_memory import REFUSED_NAME
from tests.unit.domain.test_circles import IDENTIFIERS, _assert_agreed, _circled, _driver, _fleet, _state_all, _stated

ANN, BEN = _driver(0), _driver(1)
FIELDS = [(Target.DRIVERI, "driveri_driver_id")] + [(Target.MOTIVE, name) for name in IDENTIFIERS[:3]]
EACH = pytest.mark.parametrize(("target", "field"), FIELDS)
SWAPPED = [1, 0]


def _temporary(simulation: Simulation) -> list[str]:
    """Every temporary id and value that the target has."""
    texts = (text for driver in simulation.target.scan() for text in (driver.key, *driver.profile.values()))
    return [text for text in texts if text.startswith("tmp-")]


def _shown(simulation: Simulation, number: int, field: str) -> str | None:
    """What the target shows of this driver."""
    user = simulation.target.truth(simulation.decider.links[_driver(number)].key)
    assert user is not None
    return str(user.key) if simulation.target.target is Target.DRIVERI else user.profile.get(field)


@EACH
def test_whose_neighbour_is_refused_waits_and_both_end_right_when_that_is_mended(target: Target, field: str) -> None:
    simulation = _fleet(target, 2)
    stated = _circled(2, {field: SWAPPED})
    _state_all(simulation, [{**stated[0], "last_name": REFUSED_NAME}, stated[1]], range(2))
    simulation.settle()
    assert _shown(simulation, 0, field) == _stated(0)[field]
    parked = simulation.decider.links[BEN].parked
    assert parked is not None
    assert parked.detail.startswith("it changes places with portal driver p0, has a temporary value until then")
    simulation.restate(ANN, {"last_name": "Doe"})
    simulation.run()
    _assert_agreed(simulation, [{**stated[0], "last_name": "Doe"}, stated[1]])


@EACH
def test_who_is_refused_after_stepping_aside_has_the_desired_value_all_the_same(target: Target, field: str) -> None:
    simulation = _fleet(target, 2)
    stated = _circled(2, {field: SWAPPED})
    _state_all(simulation, [stated[0], {**stated[1], "last_name": REFUSED_NAME}], range(2))
    simulation.run()
    assert _temporary(simulation) == []
    assert [_shown(simulation, number, field) for number in range(2)] == [_stated(1)[field], _stated(0)[field]]
    assert standing(simulation, BEN) is Standing.PARKED
    simulation.restate(BEN, {"last_name": "Doe"})
    simulation.run()
    _assert_agreed(simulation, [stated[0], {**stated[1], "last_name": "Doe"}])


@pytest.mark.parametrize("field", IDENTIFIERS[:3])
def test_who_wants_no_value_any_more_is_not_left_with_a_temporary_one(field: str) -> None:
    simulation = _fleet(Target.MOTIVE, 2)
    _state_all(simulation, _circled(2, {field: SWAPPED}), range(2))
    simulation.start()
    simulation.finish()
    simulation.restate(BEN, {field: ""})
    simulation.settle()
    assert _temporary(simulation) == []


TROUBLE: Mapping[str, Callable[[Simulation], None]] = {
    "start": lambda simulation: simulation.start(),
    "finish": lambda simulation: simulation.finish(),
    "lose": lambda simulation: simulation.finish(loses_answer=True),
    "deliver": lambda simulation: simulation.deliver(),
    "scan": lambda simulation: simulation.scan(),
    "retry": lambda simulation: simulation.retry(),
}


@examples(50, many=1000)
@given(data=st.data(), target=st.sampled_from(Target), many=st.integers(2, 4))
def test_circles_end_right_once_the_driver_that_was_refused_is_corrected(
    data: st.DataObject, target: Target, many: int
) -> None:
    simulation = _fleet(target, many)
    everybody = list(range(many))
    moves = {field: data.draw(st.permutations(everybody), label=field) for field in IDENTIFIERS}
    stated = _circled(many, moves)
    refused = data.draw(st.sets(st.sampled_from(everybody)), label="refused")
    for number in data.draw(st.permutations(everybody), label="order"):
        changed = {"last_name": REFUSED_NAME} if number in refused else {}
        simulation.state(_driver(number), {**stated[number], **changed})
        for step in data.draw(st.lists(st.sampled_from(sorted(TROUBLE)), max_size=4), label="steps"):
            TROUBLE[step](simulation)
    simulation.settle()
    for number in sorted(refused):
        simulation.state(_driver(number), stated[number])
    simulation.settle()
    _assert_agreed(simulation, stated)
