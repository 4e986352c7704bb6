from domain.identity import Key, Target
from domain.roster import TargetDriver
from tests.support.stepped_services import ACME, SteppedServices, person


def test_a_user_is_left_to_the_driver_whose_external_id_it_carries(fleet: SteppedServices) -> None:
    shown = {"portal_driver_id": "p2", "ref_id": person(1)["ref_id"], "last_name": "Doe"}
    fleet.twins[ACME, Target.MOTIVE].drivers.put(TargetDriver(key=Key("7"), active=True, profile=shown))
    fleet.add()
    fleet.state("p1", person(1))
    fleet.state("p2", person(2))
    fleet.run()
    assert fleet.link("p2", Target.MOTIVE).key == "7"
    assert fleet.link("p1", Target.MOTIVE).key == "8"


def test_a_user_of_a_driver_who_has_left_is_not_taken_for_whoever_has_its_e_mail_now(fleet: SteppedServices) -> None:
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
