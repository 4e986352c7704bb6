"""A driver who is deleted, and replaced by another one, while the create is under way at the target."""

import pytest

from domain.account import Mode
from domain.failures import Reason, Unavailable
from domain.identity import Target
from services.decider.read_models import ClaimRow
from services.projector.calls import Attempt
from tests.support.stepped_services import ACME, SteppedServices, person

NO_ANSWER = Unavailable(reason=Reason.NO_ANSWER, detail="no answer in time")
TARGETS = pytest.mark.parametrize("target", Target)


def _started(fleet: SteppedServices, target: Target) -> list[Attempt]:
    """The create of the first driver has been started."""
    fleet.add()
    fleet.run()
    fleet.state("p1", person(1))
    fleet.decide()
    fleet.follow(target)
    return fleet.start(target)


def _replace(fleet: SteppedServices, target: Target) -> None:
    """Another driver has the identifiers of the first one by now, and all services know."""
    fleet.delete("p1")
    fleet.state("p2", {**person(1), "first_name": "Second"})
    fleet.decide()
    fleet.follow(target)


def _names(fleet: SteppedServices, target: Target) -> list[str]:
    return [driver.profile["first_name"] for driver in fleet.twins[ACME, target].drivers.scan() if driver.active]


@TARGETS
def test_no_driver_adopts_what_a_withdrawn_create_makes_before_its_answer(
    fleet: SteppedServices, target: Target
) -> None:
    attempts = _started(fleet, target)
    made = fleet.made(target, attempts)
    _replace(fleet, target)
    others = fleet.start(target, 10, *[attempt.driver for attempt in attempts])
    assert others == []
    assert fleet.facts("p2", target) == ["Parked"]
    fleet.answer(target, made)
    fleet.run()
    assert "LinkDecided" not in fleet.facts("p2", target)
    assert fleet.states(target) == {"p1": "ended", "p2": "in_sync"}
    assert _names(fleet, target) == ["Second"]


@TARGETS
def test_a_withdrawn_create_that_a_kill_left_without_an_answer_is_looked_up_first(
    fleet: SteppedServices, target: Target
) -> None:
    fleet.made(target, _started(fleet, target))
    _replace(fleet, target)
    again = fleet.reopened()
    again.run()
    assert "LinkDecided" not in again.facts("p2", target)
    assert again.states(target) == {"p1": "ended", "p2": "in_sync"}
    assert _names(again, target) == ["Second"]
    again.close()


@TARGETS
@pytest.mark.parametrize("mode", [Mode.UPSERT, Mode.FULL])
def test_a_withdrawn_create_that_never_started_frees_its_values(
    fleet: SteppedServices, target: Target, mode: Mode
) -> None:
    fleet.add(mode=mode)
    fleet.run()
    fleet.state("p1", person(1))
    fleet.decide()
    _replace(fleet, target)
    fleet.run()
    assert fleet.states(target) == {"p1": "ended", "p2": "in_sync"}
    assert fleet.facts("p2", target) == ["Parked", "Released", "CreateDecided", "Confirmed"]
    claimed = fleet.decider_store.select(ClaimRow, {"target": str(target)})
    assert {row.driver for row in claimed} == {"p2"}


@TARGETS
def test_a_create_that_was_given_up_without_an_answer_is_looked_up_before_its_values_are_free(
    fleet: SteppedServices, target: Target
) -> None:
    twin = fleet.twins[ACME, target]
    attempts = _started(fleet, target)
    twin.down = "after", NO_ANSWER
    results = fleet.made(target, attempts)
    for _ in range(10):
        fleet.answer(target, results)
        fleet.decide()
        if fleet.states(target)["p1"] == "parked":
            break
        fleet.wait(hours=30)
        results = fleet.made(target, fleet.start(target))
    twin.mend()
    _replace(fleet, target)
    assert fleet.facts("p2", target) == ["Parked"]
    fleet.run()
    assert fleet.states(target) == {"p1": "ended", "p2": "in_sync"}
    assert _names(fleet, target) == ["Second"]
