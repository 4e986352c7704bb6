"""Which deliveries are carried out: the newest of each link, under the present policy, in turn between accounts."""

import pytest

from domain.account import Mode
from domain.driver_link import CreateDecided, DeleteDecided, DeleteHeld, Parked, RenameDecided, UpdateDecided
from domain.identity import AccountId, Key, PortalDriverId, Target
from domain.matching import ObservedDriver
from services.projector.deliveries import MOST_ACCOUNTS
from tests.support.stepped_services import ACME, SteppedServices
from tests.unit.services.projector.conftest import SECOND
from tests.unit.services.projector.sayings import answered, effects, end, say, set_aside, waiting

P1 = (ACME, PortalDriverId("p1"))


def shows(fleet: SteppedServices, *keys: str) -> None:
    for key in keys:
        driver = ObservedDriver(key=Key(key), active=True, profile={"first_name": "Jan", "last_name": "Doe"})
        fleet.twins[ACME, Target.DRIVERI].drivers.put(driver)


def test_a_newer_decision_takes_the_place_of_one_that_waits(fleet: SteppedServices) -> None:
    say(fleet, CreateDecided, desired_key="D1")
    say(fleet, CreateDecided, desired_key="D2")
    fleet.call(Target.DRIVERI)
    assert effects(fleet) == ["create D2"]
    assert answered(fleet) == [("p1", 2, "confirmed")]


def test_a_decision_that_does_not_know_of_the_last_answer_is_never_sent(fleet: SteppedServices) -> None:
    say(fleet, CreateDecided, desired_key="D1")
    attempts = fleet.start(Target.DRIVERI)
    say(fleet, CreateDecided, desired_key="D2", answers=0)
    fleet.answer(Target.DRIVERI, fleet.made(Target.DRIVERI, attempts))
    assert fleet.call(Target.DRIVERI) == 0
    say(fleet, RenameDecided, key="D1", desired_key="D2", answers=1)
    fleet.call(Target.DRIVERI)
    assert effects(fleet) == ["create D1", "rename D1"]


def test_a_stale_decision_that_comes_after_the_answer_is_dropped(fleet: SteppedServices) -> None:
    say(fleet, CreateDecided)
    fleet.call(Target.DRIVERI)
    say(fleet, UpdateDecided, key="D1", fields=("first_name",), answers=0)
    assert fleet.call(Target.DRIVERI) == 0
    assert waiting(fleet) == {"started": 0, "due": 0, "open": 1}


def test_an_order_of_older_terms_is_void(fleet: SteppedServices) -> None:
    older = fleet.accounts.show(ACME).policy_generation[Target.DRIVERI]
    fleet.turn_off()
    fleet.turn_on()
    say(fleet, CreateDecided, policy_generation=older)
    assert fleet.call(Target.DRIVERI) == 0
    assert waiting(fleet)["due"] == 0


def test_an_order_of_newer_terms_waits_for_them(fleet: SteppedServices) -> None:
    newer = fleet.accounts.show(ACME).policy_generation[Target.DRIVERI] + 1
    say(fleet, CreateDecided, policy_generation=newer)
    assert fleet.call(Target.DRIVERI) == 0
    fleet.set_mode(Target.DRIVERI, Mode.UPSERT)
    fleet.follow(Target.DRIVERI)
    fleet.wait(seconds=2)
    assert fleet.call(Target.DRIVERI) == 1
    assert effects(fleet) == ["create D1"]


@pytest.mark.parametrize(
    ("mode", "expected"), [(Mode.FULL, ["delete D1", "create D2"]), (Mode.UPSERT, ["create D2"]), (Mode.OBSERVE, [])]
)
def test_the_mode_says_what_is_sent(fleet: SteppedServices, mode: Mode, expected: list[str]) -> None:
    shows(fleet, "D1")
    fleet.set_mode(Target.DRIVERI, mode)
    say(fleet, DeleteDecided, "p1", key="D1", desired_key=None, profile={})
    say(fleet, CreateDecided, "p2", desired_key="D2")
    fleet.call(Target.DRIVERI)
    assert effects(fleet) == expected
    fleet.call(Target.DRIVERI)
    assert waiting(fleet)["due"] == 0


@pytest.mark.parametrize("fact", [Parked, DeleteHeld])
def test_what_is_set_aside_is_not_carried_out(fleet: SteppedServices, fact: type[Parked | DeleteHeld]) -> None:
    say(fleet, CreateDecided)
    set_aside(fleet, fact)
    assert fleet.call(Target.DRIVERI) == 0
    assert waiting(fleet) == {"started": 0, "due": 0, "open": 0}


def test_what_is_decided_after_a_release_is_carried_out(fleet: SteppedServices) -> None:
    say(fleet, CreateDecided)
    set_aside(fleet, Parked)
    say(fleet, CreateDecided, desired_key="D2")
    fleet.call(Target.DRIVERI)
    assert effects(fleet) == ["create D2"]


def test_the_order_of_a_link_that_ended_without_a_call_is_dropped(fleet: SteppedServices) -> None:
    shows(fleet, "D1")
    say(fleet, UpdateDecided, key="D1", fields=("first_name",))
    end(fleet)
    assert fleet.call(Target.DRIVERI) == 0
    assert waiting(fleet) == {"started": 0, "due": 0, "open": 0}


def test_decisions_about_the_other_target_are_left_alone(fleet: SteppedServices) -> None:
    say(fleet, CreateDecided, target=Target.MOTIVE, desired_key=None)
    fleet.follow(Target.DRIVERI)
    assert waiting(fleet) == {"started": 0, "due": 0, "open": 0}
    assert fleet.call(Target.MOTIVE) == 1


def test_a_link_has_one_call_at_a_time(fleet: SteppedServices) -> None:
    say(fleet, CreateDecided, "p1")
    say(fleet, CreateDecided, "p2", desired_key="D2")
    assert [attempt.driver for attempt in fleet.start(Target.DRIVERI, 1)] == [P1]
    say(fleet, CreateDecided, "p1", desired_key="D3")
    assert [attempt.driver[1] for attempt in fleet.start(Target.DRIVERI, 9, P1)] == ["p2"]


def test_no_more_calls_are_started_than_there_is_room(fleet: SteppedServices) -> None:
    for number in range(5):
        say(fleet, CreateDecided, f"p{number}", desired_key=f"D{number}")
        say(fleet, CreateDecided, f"p{number}", account=SECOND, desired_key=f"D{number}")
    assert [len(fleet.start(Target.DRIVERI, room)) for room in (1, 2, 3)] == [1, 2, 2]


def test_accounts_take_turns(fleet: SteppedServices) -> None:
    for number in range(20):
        say(fleet, CreateDecided, f"p{number}", desired_key=f"D{number}")
    for number in range(2):
        say(fleet, CreateDecided, f"p{number}", account=SECOND, desired_key=f"D{number}")
    served = {attempt.driver[0] for attempt in fleet.start(Target.DRIVERI, 2)}
    assert served == {ACME, SECOND}
    assert [fleet.start(Target.DRIVERI, 1)[0].driver[0] for _ in range(2)] == [ACME, SECOND]


def test_every_account_is_served_in_the_end(fleet: SteppedServices) -> None:
    accounts = [AccountId(f"a{number:02}") for number in range(MOST_ACCOUNTS + 3)]
    for account in accounts:
        fleet.add(account)
        say(fleet, CreateDecided, account=account)
    rounds = [fleet.start(Target.DRIVERI, MOST_ACCOUNTS) for _ in range(2)]
    assert {attempt.driver[0] for attempts in rounds for attempt in attempts} == set(accounts)
