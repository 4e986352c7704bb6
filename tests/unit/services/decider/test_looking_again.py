"""A link that waits for something is looked at again when that comes free."""

import pytest

from domain.identity import Key, Target
from domain.matching import ObservedDriver
from domain.ports import Done
from services.decider.read_models import ClaimRow, Look
from tests.support.stepped_services import ACME, SteppedServices, person


def start(fleet: SteppedServices, *numbers: int) -> None:
    """These drivers are in sync on both targets."""
    fleet.add()
    for number in numbers:
        fleet.state(f"p{number}", person(number))
    fleet.run()


def keys(fleet: SteppedServices) -> dict[str, str]:
    """Which key each driver has in Driveri, as Driveri says it."""
    shown = fleet.twins[ACME, Target.DRIVERI].drivers.scan()
    return {driver.profile["last_name"]: driver.key for driver in shown if driver.active}


@pytest.mark.parametrize("batches", [1, 2])
def test_two_drivers_swap_their_ids(fleet: SteppedServices, batches: int) -> None:
    start(fleet, 1, 2)
    fleet.state("p1", person(1, driveri_driver_id="D2"))
    if batches == 2:
        fleet.decide()
    fleet.state("p2", person(2, driveri_driver_id="D1"))
    fleet.run()
    assert keys(fleet) == {"Last 1": "D2", "Last 2": "D1"}
    assert fleet.states() == fleet.states(Target.MOTIVE) == {"p1": "in_sync", "p2": "in_sync"}
    assert [effect.partition(" ")[0] for effect in fleet.twins[ACME, Target.DRIVERI].effects[2:]] == ["rename"] * 3


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1)])
def test_a_chain_of_ids_moves_up(fleet: SteppedServices, order: tuple[int, ...]) -> None:
    start(fleet, 1, 2, 3)
    for number in order:
        fleet.state(f"p{number}", person(number, driveri_driver_id=f"D{number + 1}"))
    fleet.run()
    assert keys(fleet) == {"Last 1": "D2", "Last 2": "D3", "Last 3": "D4"}


def test_an_id_that_is_not_desired_any_more_comes_free_once_its_call_is_answered(fleet: SteppedServices) -> None:
    start(fleet, 1, 2)
    for driver, desired in (("p1", "D5"), ("p2", "D5"), ("p1", "D6")):
        fleet.state(driver, person(int(driver[1]), driveri_driver_id=desired))
        fleet.decide()
    assert fleet.facts("p2")[-1] == "Parked", "the first may have the id by now"
    fleet.run()
    assert keys(fleet) == {"Last 1": "D6", "Last 2": "D5"}
    claims = fleet.decider_store.select(ClaimRow, {"target": "driveri"})
    assert {row.identifier: row.driver for row in claims} == {"key:d6": "p1", "key:d5": "p2"}


def test_an_email_address_comes_free_when_its_holder_has_another(fleet: SteppedServices) -> None:
    start(fleet, 1, 2)
    fleet.state("p2", person(2, email="p1@fleet.test"))
    fleet.run()
    assert fleet.states(Target.MOTIVE) == {"p1": "in_sync", "p2": "parked"}
    fleet.state("p1", person(1, email="new@fleet.test"))
    fleet.run()
    assert fleet.states(Target.MOTIVE) == {"p1": "in_sync", "p2": "in_sync"}
    assert fleet.link("p2", Target.MOTIVE).confirmed == {**person(2, email="p1@fleet.test"), "portal_driver_id": "p2"}


def test_a_deleted_drivers_id_comes_free(fleet: SteppedServices) -> None:
    start(fleet, 1, 2)
    fleet.state("p2", person(2, driveri_driver_id="D1"))
    fleet.run()
    assert fleet.states()["p2"] == "parked"
    fleet.delete("p1")
    fleet.run()
    assert fleet.states() == {"p1": "ended", "p2": "in_sync"}
    assert fleet.link("p2").key == "D1"


def test_nothing_is_looked_at_again_while_sync_is_off(fleet: SteppedServices) -> None:
    start(fleet, 1, 2)
    fleet.state("p2", person(2, driveri_driver_id="D1"))
    fleet.run()
    fleet.delete("p1")
    fleet.decide()
    fleet.project(Target.DRIVERI)
    fleet.turn_off()
    fleet.run()
    assert fleet.states() == {"p1": "ended", "p2": "parked"}
    assert fleet.decider_store.count(Look) == {(): 0}
    fleet.turn_on()
    fleet.run()
    assert fleet.link("p2").key == "D1"


@pytest.mark.parametrize("batches", [1, 2])
def test_a_target_driver_is_linked_once(fleet: SteppedServices, batches: int) -> None:
    fleet.add()
    fleet.state("p1", person(1))
    fleet.state("p2", person(2))
    fleet.decide()
    for target in Target:
        fleet.follow(target)
        fleet.scan(target)
    fleet.decide()
    seen = ObservedDriver(key=Key("7"), active=True, profile=person(1))
    fleet.follow(Target.MOTIVE)
    jobs = fleet.start(Target.MOTIVE)
    assert [job.driver for job in jobs] == [(ACME, "p1"), (ACME, "p2")]
    for job in jobs:
        fleet.answer(Target.MOTIVE, [(job, Done(seen=seen))])
        if batches == 2:
            fleet.decide()
    fleet.decide()
    assert fleet.link("p1", Target.MOTIVE).key == "7"
    assert fleet.link("p2", Target.MOTIVE).key is None
    assert "Refused" in fleet.facts("p2", Target.MOTIVE)


def test_who_was_refused_a_value_is_looked_at_again_when_its_holder_gives_it_up(fleet: SteppedServices) -> None:
    start(fleet, 1, 2)
    # A person writes an address into the first user by hand; the second is to get it.
    fleet.twins[ACME, Target.MOTIVE].drivers.edit_by_hand(0, {"email": "batch@fleet.test"})
    fleet.state("p2", person(2, email="batch@fleet.test"))
    fleet.run()
    parked = fleet.link("p2", Target.MOTIVE).parked
    assert parked is not None
    assert parked.reason == "refused"
    fleet.state("p1", person(1, first_name="Anna"))
    fleet.run()
    assert fleet.states(Target.MOTIVE) == {"p1": "in_sync", "p2": "in_sync"}


def test_drivers_who_swap_ids_while_they_are_made_never_get_each_others_data(fleet: SteppedServices) -> None:
    fleet.add()
    fleet.run()
    for number in (1, 2):
        fleet.state(f"p{number}", person(number))
    fleet.decide()
    for number, desired in ((1, "D2"), (2, "D1")):
        fleet.state(f"p{number}", person(number, driveri_driver_id=desired))
    fleet.run()
    assert keys(fleet) == {"Last 1": "D2", "Last 2": "D1"}
    assert "LinkDecided" not in fleet.facts("p1") + fleet.facts("p2")
