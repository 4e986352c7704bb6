"""Parked links are looked at again when a person asks for it: those that match, and no others."""

from pathlib import Path

import pytest

from domain.account import Mode
from domain.failures import Reason, Rejected
from domain.identity import Target
from services.decider import handlers
from services.decider.read_models import LinkRow, RetryRow
from tests.support.stepped_services import ACME, SteppedServices, both_targets, person

DRIVERI = Target.DRIVERI


def start(fleet: SteppedServices, **refused: Reason) -> None:
    """Driveri refuses these drivers for these reasons, and has all others; Motive is off."""
    fleet.add()
    fleet.set_mode(Target.MOTIVE, Mode.OFF)
    fleet.decide()
    fleet.follow(DRIVERI)
    fleet.scan(DRIVERI)
    for driver in refused:
        fleet.state(driver, person(int(driver[1:])))
    fleet.decide()
    fleet.follow(DRIVERI)
    answers = {driver: Rejected(reason=reason, detail="no") for driver, reason in refused.items()}
    fleet.answer(DRIVERI, [(job, answers[job.driver[1]]) for job in fleet.start(DRIVERI)])
    fleet.run()


def retry(fleet: SteppedServices, target: Target | None = None, driver: str = "", reason: str = "") -> None:
    """Jane asks for it."""
    fleet.ask(lambda jane, known: jane.retry(known, target=target, driver=driver, reason=reason))
    fleet.run()


def effects(fleet: SteppedServices) -> list[str]:
    return fleet.twins[ACME, DRIVERI].effects


def test_a_parked_link_says_in_the_targets_word_why(fleet: SteppedServices) -> None:
    start(fleet, p1=Reason.INVALID, p2=Reason.TAKEN_ELSEWHERE)
    rows = fleet.decider_store.select(LinkRow, {"target": "driveri", "state": "parked"}, order_by="driver")
    assert [row.reason for row in rows] == ["invalid", "taken_elsewhere"]


def test_what_was_refused_is_not_tried_again_before_a_person_asks(fleet: SteppedServices) -> None:
    start(fleet, p1=Reason.INVALID)
    fleet.wait(hours=48)
    fleet.run()
    assert (fleet.states(), effects(fleet)) == ({"p1": "parked"}, [])


def test_what_was_refused_goes_on_when_a_person_asks_and_the_problem_is_over(fleet: SteppedServices) -> None:
    start(fleet, p1=Reason.INVALID)
    retry(fleet)
    assert fleet.states() == {"p1": "in_sync"}
    assert fleet.facts("p1")[-3:] == ["Released", "CreateDecided", "Confirmed"]
    assert fleet.decided()[-2].rationale == {  # type: ignore[attr-defined]
        "trigger": "retry",
        "ref": "4",
        "situation": "ABSENT",
        "mode": "full",
        "evidence": {},
    }


def test_a_problem_that_is_not_over_parks_the_link_again(fleet: SteppedServices) -> None:
    start(fleet, p1=Reason.INVALID)
    fleet.ask(lambda jane, known: jane.retry(known, target=None, driver="", reason=""))
    fleet.decide()
    fleet.follow(DRIVERI)
    refused = Rejected(reason=Reason.FOREIGN_ROLE, detail="no")
    fleet.answer(DRIVERI, [(job, refused) for job in fleet.start(DRIVERI)])
    fleet.run()
    (row,) = fleet.decider_store.select(LinkRow, {"state": "parked"})
    assert (row.reason, fleet.facts("p1")[-4:]) == ("foreign_role", ["Released", "CreateDecided", "Refused", "Parked"])


@pytest.mark.parametrize(
    ("asked", "tried"),
    [
        ({"driver": "p2"}, {"p2"}),
        ({"reason": "invalid"}, {"p1", "p2"}),
        ({"reason": "invalid", "driver": "p3"}, set()),
        ({"target": Target.MOTIVE}, set()),
        ({"target": DRIVERI}, {"p1", "p2", "p3"}),
        ({}, {"p1", "p2", "p3"}),
    ],
)
def test_exactly_those_that_match_are_tried(fleet: SteppedServices, asked: dict[str, object], tried: set[str]) -> None:
    start(fleet, p1=Reason.INVALID, p2=Reason.INVALID, p3=Reason.TAKEN_ELSEWHERE)
    retry(fleet, **asked)  # type: ignore[arg-type]
    assert {driver for driver, state in fleet.states().items() if state == "in_sync"} == tried
    assert fleet.decider_store.count(RetryRow) == {(): 0}


def test_a_driver_who_waits_for_anothers_id_is_only_looked_at_again(fleet: SteppedServices) -> None:
    start(fleet)
    fleet.state("p1", person(1))
    fleet.state("p2", person(2, driveri_driver_id="D1"))
    fleet.run()
    before = fleet.facts("p2")
    retry(fleet)
    assert (fleet.states(), fleet.facts("p2")) == ({"p1": "in_sync", "p2": "parked"}, before)


def test_nothing_is_tried_while_sync_is_off(fleet: SteppedServices) -> None:
    start(fleet, p1=Reason.INVALID)
    fleet.turn_off()
    retry(fleet)
    assert (fleet.states(), fleet.decider_store.count(RetryRow)) == ({"p1": "parked"}, {(): 0})


def test_a_retry_goes_on_where_a_kill_left_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "_PAGE", 2)
    fleet = SteppedServices(tmp_path, both_targets())
    start(fleet, **{f"p{number}": Reason.INVALID for number in range(1, 6)})
    fleet.ask(lambda jane, known: jane.retry(known, target=DRIVERI, driver="", reason=""))
    fleet.decider.step()
    assert list(fleet.states().values()) == ["pending", "pending", "parked", "parked", "parked"]
    again = fleet.reopened()
    again.run()
    assert set(again.states().values()) == {"in_sync"}
    assert sorted(again.twins[ACME, DRIVERI].effects) == [f"create D{number}" for number in range(1, 6)]
    again.close()


def test_many_changes_of_a_parked_driver_become_one_call(fleet: SteppedServices) -> None:
    start(fleet)
    fleet.state("p1", person(1))
    fleet.state("p2", person(2))
    fleet.run()
    for number in range(10):
        fleet.state("p2", person(2, driveri_driver_id="D1", first_name=f"Name {number}"))
        fleet.run()
    assert (fleet.states()["p2"], len(effects(fleet))) == ("parked", 2)
    fleet.state("p1", person(1, driveri_driver_id="D9"))
    fleet.run()
    assert effects(fleet)[2:] == ["rename D1", "rename D2"]
    shown = {driver.key: driver.profile for driver in fleet.twins[ACME, DRIVERI].drivers.scan()}
    assert shown["D1"]["first_name"] == "Name 9"  # type: ignore[index]


def test_a_change_of_what_was_refused_is_tried_without_a_request(fleet: SteppedServices) -> None:
    start(fleet, p1=Reason.INVALID)
    fleet.state("p1", person(1, first_name="Janet"))
    fleet.run()
    assert fleet.states() == {"p1": "in_sync"}


def test_a_retry_that_comes_twice_tries_once(fleet: SteppedServices) -> None:
    start(fleet, p1=Reason.INVALID)
    fleet.ask(lambda jane, known: jane.retry(known, target=None, driver="", reason=""))
    retry(fleet)
    assert effects(fleet) == ["create D1"]


def test_a_retry_that_matches_no_link_any_more_ends(fleet: SteppedServices) -> None:
    start(fleet, p1=Reason.INVALID)
    retry(fleet, driver="p9")
    assert fleet.decider_store.count(RetryRow) == {(): 0}
    assert fleet.states() == {"p1": "parked"}
