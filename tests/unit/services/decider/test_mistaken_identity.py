from domain.identity import Key, Target
from domain.matching import ObservedDriver
from tests.support.stepped_services import ACME, SteppedServices, person


def test_a_user_is_left_to_the_driver_whose_external_id_it_carries(fleet: SteppedServices) -> None:
    shown = {"portal_driver_id": "p2", "ref_id": person(1)["ref_id"], "last_name": "Doe"}
    fleet.twins[ACME, Target.MOTIVE].drivers.put(ObservedDriver(key=Key("7"), active=True, profile=shown))
    fleet.add()
    fleet.state("p1", person(1))
    fleet.state("p2", person(2))
    fleet.run()
    assert fleet.link("p2", Target.MOTIVE).key == "7"
    assert fleet.link("p1", Target.MOTIVE).key == "8"


def test_a_user_of_a_driver_who_has_left_is_not_taken_for_the_one_who_has_its_e_mail_now(
    fleet: SteppedServices,
) -> None:
    fleet.add()
    fleet.state("p1", {**person(1), "email": "cab7@fleet.example"})
    fleet.run()
    fleet.delete("p1")
    fleet.run()
    fleet.state("p2", {**person(2), "email": "cab7@fleet.example"})
    fleet.run()
    parked = fleet.link("p2", Target.MOTIVE).parked
    assert parked is not None
    assert parked.detail == "the user with its e-mail was portal driver p1, and the RefIDs are different"


def test_a_new_hire_with_another_licence_and_a_leavers_address_is_a_conflict_that_says_whose_user_it_was(
    fleet: SteppedServices,
) -> None:
    leaver = {**person(1), "phone": "303-555-0142", "licence_number": "L-1", "licence_state": "CO"}
    fleet.add()
    fleet.state("p1", {**leaver, "email": "cab7@fleet.example"})
    fleet.run()
    fleet.delete("p1")
    fleet.run()
    hired = {**person(2), "licence_number": "L-2", "licence_state": "CO"}
    fleet.state("p2", {**hired, "email": "cab7@fleet.example"})
    fleet.run()
    (user,) = fleet.twins[ACME, Target.MOTIVE].drivers.scan()
    assert (user.active, user.profile["phone"], user.profile["ref_id"]) == (False, "303-555-0142", "R1")
    parked = fleet.link("p2", Target.MOTIVE).parked
    assert parked is not None
    assert (parked.reason, parked.detail) == (
        "conflict",
        "the user with its e-mail was portal driver p1, and the licences are different",
    )
