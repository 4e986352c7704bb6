"""Decisions are undone by a plan: the target gets back what it had, and keeps that until the Portal moves on."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from domain.account import Mode, Request, UndoScope
from domain.driver_link import UNDONE, Decision, DeleteDecided, UndoRefused
from domain.identity import Key, Target
from domain.matching import ObservedDriver
from domain.profile import Profile
from domain.reconciliation import ReconciliationCompleted, ReconciliationRefused
from services.decider.read_models import LinkRow, ReconciliationRow
from tests.support.stepped_services import ACME, SteppedServices, logged, person
from tests.unit.services.planning.planning_stand import (
    Rehearsed,
    account_of,
    decided_behind,
    planned_undo,
    services,
)

JANE = UndoScope(by="jane")


@pytest.fixture
def stepped() -> Iterator[SteppedServices]:
    """Four drivers in sync; a person has edited two of them in Driveri, and a reconciliation has overridden that."""
    with services() as stepped:
        stepped.add()
        for number in range(4):
            stepped.state(str(number), person(number))
        stepped.run()
        for number in (0, 1):
            edit(stepped, number, first_name="Eve", email="")
        stepped.ask(lambda jane, known: jane.reconciliation(known, Target.DRIVERI))
        stepped.run()
        yield stepped


def edit(stepped: SteppedServices, number: int, **changed: str) -> None:
    """A person edits a driver in Driveri by hand."""
    drivers = stepped.twins[ACME, Target.DRIVERI].drivers
    found = drivers.truth(Key(f"D{number}"))
    assert found is not None
    profile = {name: text for name, text in {**found.profile, **changed}.items() if text}
    drivers.put(replace(found, profile=profile))


def profile_of(stepped: SteppedServices, number: int, target: Target = Target.DRIVERI) -> Profile:
    found = stepped.twins[ACME, target].drivers.truth(stepped.link(str(number), target).key)
    assert found is not None
    return found.profile


def last_reconciliation(stepped: SteppedServices, target: Target = Target.DRIVERI) -> int:
    (row,) = stepped.decider_store.select(ReconciliationRow, {"target": str(target)})
    return row.version


def of_last(stepped: SteppedServices, driver: str = "") -> UndoScope:
    return replace(JANE, reconciliation=last_reconciliation(stepped), driver=driver)


def of_decision(stepped: SteppedServices, driver: str, target: Target = Target.DRIVERI) -> UndoScope:
    """The last decision about this driver."""
    decided = [each for each in stepped.decided(target) if isinstance(each, Decision) and each.driver == driver]
    return replace(JANE, driver=driver, decision=decided[-1].originator_version)


def undo(stepped: SteppedServices, scope: UndoScope, target: Target = Target.DRIVERI) -> Rehearsed:
    """Jane looks at the plan, and applies it."""
    plan = planned_undo(stepped, scope, target)
    stepped.ask(lambda jane, known: jane.undo(known, {target: plan.part.digest}, scope))
    stepped.run()
    return plan


def reason_of(stepped: SteppedServices, driver: str, target: Target = Target.DRIVERI) -> str:
    (row,) = stepped.decider_store.select(LinkRow, {"target": str(target), "driver": driver})
    return row.reason


def ended(stepped: SteppedServices) -> ReconciliationCompleted | ReconciliationRefused:
    """The last end of a reconciliation."""
    kinds = ReconciliationCompleted | ReconciliationRefused
    return [each for each in logged(stepped.decider_store) if isinstance(each, kinds)][-1]


def test_an_undo_does_exactly_what_its_plan_shows(stepped: SteppedServices) -> None:
    scope = of_last(stepped)
    plan = planned_undo(stepped, scope)
    begin = stepped.decider_store.log.end()
    stepped.ask(lambda jane, known: jane.undo(known, {Target.DRIVERI: plan.part.digest}, scope))
    stepped.decide()
    stepped.follow(Target.DRIVERI)
    stepped.scan(Target.DRIVERI)
    stepped.decide()
    assert plan.shown == {"0": "update", "1": "update"}
    assert [step.fields for step in plan.steps] == [["email", "first_name"]] * 2
    assert decided_behind(stepped.decider_store, begin, Target.DRIVERI) == plan.steps
    stepped.run()
    for number in (0, 1):
        assert profile_of(stepped, number) == {"first_name": "Eve", "last_name": f"Last {number}"}
    found = ended(stepped)
    assert isinstance(found, ReconciliationCompleted)
    assert (found.found, found.request) == ({"undone": 2}, account_of(stepped).reconciliations[Target.DRIVERI])


def test_what_was_undone_is_held_against_reconciliations_and_drift(stepped: SteppedServices) -> None:
    undo(stepped, of_last(stepped))
    edit(stepped, 0, last_name="By Hand")
    decided = len(stepped.decided())
    stepped.ask(lambda jane, known: jane.reconciliation(known, Target.DRIVERI))
    stepped.run()
    assert (reason_of(stepped, "0"), stepped.decided()[decided:]) == (UNDONE, [])
    found = ended(stepped)
    assert isinstance(found, ReconciliationCompleted)
    assert found.found == {"undone": 2, "in_sync": 2}


def test_a_change_in_the_portal_ends_the_hold(stepped: SteppedServices) -> None:
    undo(stepped, of_last(stepped))
    stepped.state("0", person(0, last_name="Married"))
    stepped.run()
    assert profile_of(stepped, 0)["last_name"] == "Married"
    assert profile_of(stepped, 0)["first_name"] == "First 0"
    assert (reason_of(stepped, "0"), reason_of(stepped, "1")) == ("", UNDONE)


@pytest.mark.parametrize(
    ("driver", "reason", "is_released"),
    [("0", "", True), ("", UNDONE, True), ("", "", False)],
    ids=["the driver is named", "the reason is named", "everything that is parked"],
)
def test_a_retry_that_names_it_ends_the_hold(
    stepped: SteppedServices, driver: str, reason: str, *, is_released: bool
) -> None:
    undo(stepped, of_last(stepped))
    stepped.ask(lambda jane, known: jane.retry(known, target=None, driver=driver, reason=reason))
    stepped.run()
    assert profile_of(stepped, 0)["first_name"] == ("First 0" if is_released else "Eve")
    assert reason_of(stepped, "0") == ("" if is_released else UNDONE)


def test_the_undo_of_an_undo_brings_the_portals_state_back(stepped: SteppedServices) -> None:
    undo(stepped, of_last(stepped))
    plan = undo(stepped, of_last(stepped))
    assert plan.shown == {"0": "update", "1": "update"}
    assert [reason_of(stepped, driver) for driver in ("0", "1")] == ["", ""]
    assert profile_of(stepped, 0) == {**profile_of(stepped, 0), "first_name": "First 0", "email": "p0@fleet.test"}


def test_one_decision_is_undone_and_no_other(stepped: SteppedServices) -> None:
    undo(stepped, of_decision(stepped, "1"))
    assert (profile_of(stepped, 0)["first_name"], profile_of(stepped, 1)["first_name"]) == ("First 0", "Eve")


def test_all_that_was_decided_since_a_moment_is_undone(stepped: SteppedServices) -> None:
    since = stepped.now.isoformat()
    stepped.state("2", person(2, last_name="Renamed", driveri_driver_id="E2"))
    stepped.run()
    stepped.state("2", person(2, last_name="Renamed Again", driveri_driver_id="F2"))
    stepped.run()
    plan = undo(stepped, replace(JANE, since=since))
    assert plan.shown == {"2": "rename"}
    assert stepped.link("2").key == "D2"
    assert profile_of(stepped, 2)["last_name"] == "Last 2"


def test_a_driver_that_was_created_is_deleted_through_the_guard(stepped: SteppedServices) -> None:
    since = stepped.now.isoformat()
    for number in range(10, 15):
        stepped.state(str(number), person(number))
    stepped.run()
    plan = undo(stepped, replace(JANE, since=since))
    assert sorted(plan.shown.values()) == ["delete", "delete", "delete", "hold", "hold"]
    assert sum(state == "held" for state in stepped.states().values()) == 2
    assert [stepped.link(str(number)).is_live for number in range(10, 13)] == [False, False, False]
    found = ended(stepped)
    assert isinstance(found, ReconciliationCompleted)
    assert found.found == {"undone": 3, "held": 2}


def test_a_driver_that_was_deleted_is_reinstated_as_it_was(stepped: SteppedServices) -> None:
    before = profile_of(stepped, 3)
    stepped.delete("3")
    stepped.run()
    plan = undo(stepped, of_decision(stepped, "3"))
    assert plan.shown == {"3": "reinstate"}
    assert (stepped.link("3").key, reason_of(stepped, "3")) == ("D3", UNDONE)
    assert profile_of(stepped, 3) == before


def test_a_deleted_driver_that_somebody_has_edited_since_is_left_alone(stepped: SteppedServices) -> None:
    stepped.delete("3")
    stepped.run()
    edit(stepped, 3, last_name="By Hand")
    assert undo(stepped, of_decision(stepped, "3")).shown == {"3": "refuse"}


def test_an_adopted_driver_is_left_as_it_was_found_but_for_what_nobody_can_know(stepped: SteppedServices) -> None:
    found = ObservedDriver(key=Key("D7"), active=True, profile={"first_name": "By", "last_name": "Hand", "phone": "1"})
    stepped.twins[ACME, Target.DRIVERI].drivers.put(found)
    stepped.ask(lambda jane, known: jane.reconciliation(known, Target.DRIVERI))
    stepped.run()
    stepped.state("7", person(7, phone="303-555-0142"))
    stepped.run()
    plan = undo(stepped, of_decision(stepped, "7"))
    (step,) = plan.steps
    assert (step.action, "cannot be restored: phone" in step.reason) == ("update", True)
    now = stepped.twins[ACME, Target.DRIVERI].drivers.truth(Key("D7"))
    assert now == replace(found, profile={**found.profile, "phone": "303-555-0142"})
    assert (stepped.link("7").is_live, reason_of(stepped, "7")) == (False, UNDONE)


def test_a_relinked_driver_goes_back_to_the_former_one(stepped: SteppedServices) -> None:
    other = ObservedDriver(key=Key("E2"), active=True, profile={"first_name": "By", "last_name": "Hand"})
    stepped.twins[ACME, Target.DRIVERI].drivers.put(other)
    stepped.ask(lambda jane, known: jane.reconciliation(known, Target.DRIVERI))
    stepped.run()
    stepped.state("2", person(2, driveri_driver_id="E2"))
    stepped.run()
    assert stepped.link("2").key == "E2"
    undo(stepped, of_decision(stepped, "2"))
    assert (stepped.link("2").key, reason_of(stepped, "2")) == ("D2", UNDONE)
    assert stepped.twins[ACME, Target.DRIVERI].drivers.truth(Key("E2")) == other


def edit_there(stepped: SteppedServices) -> None:
    edit(stepped, 0, last_name="By Hand")


def delete_there(stepped: SteppedServices) -> None:
    stepped.twins[ACME, Target.DRIVERI].drivers.drop(Key("D0"))


def change_in_the_portal(stepped: SteppedServices) -> None:
    stepped.state("0", person(0, country="US"))
    stepped.decide()


def decide_again(stepped: SteppedServices) -> None:
    edit(stepped, 0, first_name="Eva")
    stepped.ask(lambda jane, known: jane.reconciliation(known, Target.DRIVERI, driver="0", keys=["D0"]))
    stepped.run()


@pytest.mark.parametrize(
    ("moving", "reason"),
    [
        (edit_there, "changed_on_target"),
        (delete_there, "changed_on_target"),
        (change_in_the_portal, "changed_in_portal"),
        (decide_again, "decided_since"),
    ],
)
def test_where_the_world_has_moved_on_one_driver_is_left_and_the_others_go_on(
    stepped: SteppedServices, moving: Callable[[SteppedServices], None], reason: str
) -> None:
    scope = of_last(stepped)
    moving(stepped)
    plan = undo(stepped, scope)
    assert plan.shown == {"0": "refuse", "1": "update"}
    (refused,) = (each for each in stepped.decided() if isinstance(each, UndoRefused))
    assert (refused.driver, refused.reason) == ("0", reason)
    assert profile_of(stepped, 1)["first_name"] == "Eve"
    found = ended(stepped)
    assert isinstance(found, ReconciliationCompleted)
    assert found.found == {"undone": 1, "not_undone": 1}


def test_a_former_id_that_somebody_else_has_now_is_not_given_back(stepped: SteppedServices) -> None:
    stepped.state("2", person(2, driveri_driver_id="E2"))
    stepped.run()
    scope = of_decision(stepped, "2")
    stepped.state("9", person(9, driveri_driver_id="D2"))
    stepped.run()
    assert undo(stepped, scope).shown == {"2": "refuse"}
    assert (stepped.link("2").key, stepped.link("9").key) == ("E2", "D2")


def test_the_mode_upsert_lets_no_created_driver_be_deleted(stepped: SteppedServices) -> None:
    stepped.state("7", person(7))
    stepped.run()
    stepped.set_mode(Target.DRIVERI, Mode.UPSERT)
    stepped.run()
    assert undo(stepped, of_decision(stepped, "7")).shown == {"7": "refuse"}
    assert [each for each in stepped.decided() if isinstance(each, DeleteDecided)] == []


def test_an_undo_is_refused_whole_once_its_plan_would_be_another(stepped: SteppedServices) -> None:
    scope = of_last(stepped)
    plan = planned_undo(stepped, scope)
    edit(stepped, 0, last_name="By Hand")
    decided = len(stepped.decided())
    stepped.ask(lambda jane, known: jane.undo(known, {Target.DRIVERI: plan.part.digest}, scope))
    stepped.run()
    assert stepped.decided()[decided:] == []
    found = ended(stepped)
    assert isinstance(found, ReconciliationRefused)
    assert (found.plan, found.would_be) == (plan.part.digest, planned_undo(stepped, scope).part.digest)


def test_the_request_says_who_wanted_what_undone_by_which_plan(stepped: SteppedServices) -> None:
    scope = of_last(stepped, driver="1")
    request = Request(by="jane", at=stepped.now).undo(account_of(stepped), {Target.DRIVERI: "0" * 16}, scope)
    assert [(each.by, each.role, vars(each)["plan"], vars(each)["only"]) for each in request] == [
        ("jane", "master_user", "0" * 16, "1")
    ]
    assert undo(stepped, scope).shown == {"1": "update"}
