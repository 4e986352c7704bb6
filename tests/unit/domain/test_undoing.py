"""Undoing decisions: the target driver gets back what it had, and keeps that until the Portal moves on."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from domain.account import Account, Mode, NotPermitted, Request, Tier, UndoRequested, UndoScope, replay
from domain.claims import Batch
from domain.deciding import decide, undo
from domain.driver_link import (
    UNDONE,
    Confirmed,
    Decision,
    DeleteDecided,
    DriverLink,
    LinkEvent,
    Parked,
    Undone,
    UndoRefused,
    UpdateDecided,
    in_sequence,
)
from domain.driver_link import replay as replay_link
from domain.identity import AccountId, Key, PortalDriverId, Target
from domain.matching import ObservedDriver
from domain.profile import Profile, erased_profile
from domain.reconciliation import PlanStep, step_after
from domain.situations import Trigger
from domain.undoing import Ending, Former, NotUndone, Obstacle, former_of
from tests.support.scenario import BOB, DRIVERI
from tests.support.scenario import JANE as JANE_DOE
from tests.support.simulation import BEGIN, Simulation

ZERO = PortalDriverId("0")
SINCE = UndoScope(by="ann", since=BEGIN.isoformat())


def person(number: int, **changed: str) -> Profile:
    """A driver of the Portal, whose Driveri DriverID is D and its number."""
    profile = {"first_name": f"First {number}", "last_name": f"Last {number}", "driveri_driver_id": f"D{number}"}
    return {**profile, "email": f"p{number}@fleet.test", **changed}


def fleet(target: Target = Target.DRIVERI) -> Simulation:
    """Two drivers in sync, an hour ago."""
    made = Simulation(target)
    for number in (0, 1):
        made.state(PortalDriverId(str(number)), person(number))
    made.settle()
    made.wait(1)
    return made


def edit(made: Simulation, key: str = "D0", **changed: str) -> None:
    """A person edits a target driver by hand."""
    found = made.target.truth(Key(key))
    assert found is not None
    profile = {name: text for name, text in {**found.profile, **changed}.items() if text}
    made.target.put(replace(found, profile=profile))


def overridden() -> Simulation:
    """A reconciliation has overridden what a person edited."""
    made = fleet()
    edit(made, first_name="Eve", email="")
    made.settle()
    return made


def now(made: Simulation) -> UndoScope:
    """Everything decided from this moment on."""
    return replace(SINCE, since=made.now.isoformat())


def of_last(made: Simulation, driver: PortalDriverId) -> UndoScope:
    decided = [each for each in made.decider.log if isinstance(each, Decision) and each.driver == driver]
    return replace(SINCE, since="", driver=driver, decision=decided[-1].originator_version)


def undone(made: Simulation, scope: UndoScope) -> list[LinkEvent]:
    """What is decided as this is undone, and all that follows has happened."""
    known = len(made.decider.log)
    made.undo(scope)
    made.run()
    return made.decider.log[known:]


def names(facts: list[LinkEvent]) -> list[str]:
    return [type(fact).__name__ for fact in facts]


def shown(made: Simulation, key: str = "D0") -> Profile:
    found = made.target.truth(Key(key))
    assert found is not None
    return found.profile


def parked(made: Simulation, driver: PortalDriverId = ZERO) -> str:
    link = made.decider.link(driver)
    return link.parked.reason if link.parked else ""


def refusals(facts: list[LinkEvent]) -> dict[str, str]:
    return {fact.driver: fact.reason for fact in facts if isinstance(fact, UndoRefused)}


def test_an_update_is_undone_and_held_against_scans_and_drift() -> None:
    made = overridden()
    facts = undone(made, of_last(made, ZERO))
    assert names(facts) == ["Undone", "UpdateDecided", "Confirmed", "Parked"]
    assert (shown(made)["first_name"], "email" in shown(made), parked(made)) == ("Eve", False, UNDONE)
    edit(made, last_name="By Hand")
    known = len(made.decider.log)
    made.scan()
    assert made.decider.log[known:] == []


def test_a_change_in_the_portal_ends_the_hold_and_restores_what_it_wants() -> None:
    made = overridden()
    undone(made, of_last(made, ZERO))
    made.restate(ZERO, {"last_name": "Married"})
    made.run()
    assert (parked(made), shown(made)["last_name"], shown(made)["first_name"]) == ("", "Married", "First 0")


def test_a_retry_ends_the_hold() -> None:
    made = overridden()
    undone(made, of_last(made, ZERO))
    made.retry()
    made.run()
    assert (parked(made), shown(made)["first_name"]) == ("", "First 0")


def test_the_undo_of_an_undo_brings_the_portals_state_back() -> None:
    made = overridden()
    undone(made, of_last(made, ZERO))
    (undo,) = [each for each in made.decider.log if isinstance(each, Undone)]
    facts = undone(made, replace(SINCE, since="", driver="0", decision=undo.originator_version))
    assert names(facts)[:2] == ["Released", "UpdateDecided"]
    assert (parked(made), shown(made)["first_name"]) == ("", "First 0")


def test_all_since_a_moment_is_undone_at_once() -> None:
    made = fleet()
    scope = now(made)
    for key, name in (("E0", "Renamed"), ("F0", "Renamed Again")):
        made.restate(ZERO, {"last_name": name, "driveri_driver_id": key})
        made.run()
    facts = undone(made, scope)
    assert names(facts) == ["Undone", "RenameDecided", "Confirmed", "Parked"]
    assert (made.decider.link(ZERO).key, shown(made)["last_name"]) == ("D0", "Last 0")


def test_a_reconciliation_is_undone_by_its_number() -> None:
    made = overridden()
    updates = [each for each in made.decider.log if isinstance(each, UpdateDecided)]
    link, scope = made.decider.link(ZERO), replace(SINCE, since="", reconciliation=3)
    numbered = [
        replace(each, rationale={**each.rationale, "reconciliation": 3}) if each in updates else each
        for each in made.decider.log
        if each.driver == ZERO
    ]
    former = former_of(link, numbered, scope, 1)
    assert former is not None
    assert not isinstance(former, NotUndone)
    assert (former.profile["first_name"], former.profile["email"]) == ("Eve", "")
    assert former_of(link, numbered, replace(scope, reconciliation=4), 1) is None


def test_a_driver_that_was_created_is_deleted_through_the_guard() -> None:
    made = fleet()
    scope = now(made)
    for number in range(10, 15):
        made.state(PortalDriverId(str(number)), person(number))
    made.run()
    facts = undone(made, scope)
    assert (names(facts).count("DeleteDecided"), names(facts).count("DeleteHeld")) == (3, 2)
    done = dict.fromkeys(("10", "11", "12"), "undone")
    assert refusals(undone(made, scope)) == {**done, "13": "on_its_way", "14": "on_its_way"}
    made.judge(is_approved=False)
    made.scan()
    assert [made.decider.link(PortalDriverId(str(number))).is_live for number in (12, 13, 14)] == [False, True, True]


def test_the_mode_upsert_lets_no_created_driver_be_deleted() -> None:
    made = fleet()
    made.state(PortalDriverId("7"), person(7))
    made.run()
    made.set_mode(Mode.UPSERT)
    made.scan()
    facts = undone(made, of_last(made, PortalDriverId("7")))
    assert refusals(facts)["7"] == "mode"
    assert not any(isinstance(each, DeleteDecided) for each in facts)


@pytest.mark.parametrize("target", Target)
def test_a_driver_that_was_deleted_is_reinstated_as_it_was(target: Target) -> None:
    made = fleet(target)
    key = made.decider.link(ZERO).key
    before = shown(made, str(key))
    scope = now(made)
    made.delete(ZERO)
    made.run()
    made.scan()
    facts = undone(made, scope)
    assert names(facts) == ["Undone", "ReinstateDecided", "Confirmed", "Parked"]
    found = shown(made, str(key))
    assert {name: text for name, text in found.items() if name != "email"} == {
        name: text for name, text in before.items() if name != "email"
    }
    assert parked(made) == UNDONE


def test_a_deleted_driver_that_was_edited_since_is_left_alone() -> None:
    made = fleet()
    scope = now(made)
    made.delete(ZERO)
    made.run()
    edit(made, last_name="By Hand")
    made.scan()
    assert refusals(undone(made, scope)) == {"0": "changed_on_target"}


def test_a_deleted_driver_that_is_active_or_gone_there_is_not_reinstated() -> None:
    made = fleet()
    scope = now(made)
    made.delete(ZERO)
    made.run()
    made.target.drop(Key("D0"))
    made.scan()
    assert refusals(undone(made, scope)) == {"0": "changed_on_target"}


def test_an_adopted_driver_becomes_unmanaged_again_and_as_it_was_found() -> None:
    made = fleet()
    found = ObservedDriver(key=Key("D7"), active=True, profile={"first_name": "By", "last_name": "Hand"})
    made.target.put(found)
    made.scan()
    made.state(PortalDriverId("7"), person(7, phone="303-555-0142"))
    made.run()
    facts = undone(made, of_last(made, PortalDriverId("7")))
    undo = next(fact for fact in facts if isinstance(fact, Undone))
    assert (undo.ending, undo.not_restored) == ("leave", ["phone"])
    assert {**shown(made, "D7"), "phone": ""} == {**found.profile, "phone": ""}
    assert (made.decider.link(PortalDriverId("7")).is_live, parked(made, PortalDriverId("7"))) == (False, UNDONE)


def test_a_relinked_driver_goes_back_to_the_former_one() -> None:
    made = fleet()
    other = ObservedDriver(key=Key("E0"), active=True, profile={"first_name": "By", "last_name": "Hand"})
    made.target.put(other)
    made.scan()
    made.restate(ZERO, {"driveri_driver_id": "E0"})
    made.run()
    assert made.decider.link(ZERO).key == "E0"
    undone(made, of_last(made, ZERO))
    assert (made.decider.link(ZERO).key, parked(made), made.target.truth(Key("E0"))) == ("D0", UNDONE, other)


def test_a_reinstated_driver_is_deleted_again() -> None:
    made = fleet()
    made.delete(ZERO)
    made.run()
    made.state(ZERO, person(0))
    made.run()
    facts = undone(made, of_last(made, ZERO))
    assert "DeleteDecided" in names(facts)
    found = made.target.truth(Key("D0"))
    assert found is not None
    assert (found.active, parked(made)) == (False, UNDONE)


def edit_there(made: Simulation) -> None:
    edit(made, last_name="By Hand")
    made.scan()


def change_in_the_portal(made: Simulation) -> None:
    made.restate(ZERO, {"country": "US"})


def decide_again(made: Simulation) -> None:
    edit(made, first_name="Eva")
    made.settle()


def call_again(made: Simulation) -> None:
    edit(made, first_name="Eva")
    made.scan()


def set_aside(made: Simulation) -> None:
    made.restate(ZERO, {"driveri_driver_id": "D1"})
    made.run()


@pytest.mark.parametrize(
    ("moving", "reason"),
    [
        (edit_there, Obstacle.ON_ITS_WAY),
        (change_in_the_portal, Obstacle.CHANGED_IN_PORTAL),
        (decide_again, Obstacle.DECIDED_SINCE),
        (call_again, Obstacle.ON_ITS_WAY),
        (set_aside, Obstacle.SET_ASIDE),
    ],
)
def test_where_the_world_has_moved_on_nothing_is_sent(moving: Callable[[Simulation], None], reason: Obstacle) -> None:
    made = overridden()
    scope = of_last(made, ZERO)
    moving(made)
    known = len(made.decider.log)
    made.undo(scope)
    refused = made.decider.log[known:]
    assert refusals(refused)["0"] == reason
    (found,) = [each for each in refused if isinstance(each, UndoRefused) and each.driver == "0"]
    assert found.detail == NotUndone(obstacle=reason, since=1).detail
    assert not any(isinstance(each, Decision) and each.driver == "0" for each in refused)


def test_a_former_id_that_another_driver_has_now_is_not_given_back() -> None:
    made = fleet()
    made.restate(ZERO, {"driveri_driver_id": "E0"})
    made.run()
    scope = of_last(made, ZERO)
    made.state(PortalDriverId("9"), person(9, driveri_driver_id="D0"))
    made.run()
    assert refusals(undone(made, scope)) == {"0": "claimed"}


def test_what_is_undone_already_is_not_undone_again() -> None:
    made = overridden()
    scope = of_last(made, ZERO)
    undone(made, scope)
    assert refusals(undone(made, scope)) == {"0": "undone"}


def history_of(made: Simulation, driver: PortalDriverId = ZERO) -> list[LinkEvent]:
    return [each for each in made.decider.log if each.driver == driver]


def obstacle(made: Simulation, history: list[LinkEvent], scope: UndoScope) -> Obstacle | None:
    found = former_of(made.decider.link(ZERO), history, scope, 1)
    return found.obstacle if isinstance(found, NotUndone) else None


def test_what_the_target_never_did_cannot_be_undone() -> None:
    made = overridden()
    scope = of_last(made, ZERO)
    history = [each for each in history_of(made) if not (isinstance(each, Confirmed) and each.decision)]
    assert obstacle(made, history, scope) is Obstacle.NOT_DONE


def test_of_an_erased_driver_nothing_is_known_to_be_brought_back() -> None:
    made = overridden()
    history = [
        replace(each, profile=erased_profile()) if isinstance(each, UpdateDecided) else each
        for each in history_of(made)
    ]
    assert obstacle(made, history, of_last(made, ZERO)) is Obstacle.ERASED


def test_more_than_one_way_back_is_none() -> None:
    made = fleet()
    scope = now(made)
    made.delete(ZERO)
    made.run()
    made.state(ZERO, person(0))
    made.run()
    found = former_of(made.decider.link(ZERO), history_of(made), scope, 3)
    assert isinstance(found, NotUndone)
    assert found.obstacle is Obstacle.ENTANGLED


def entangled(made: Simulation, scope: UndoScope) -> bool:
    """Whether it is refused because there is more than one way back."""
    return refusals(undone(made, scope)) == {"0": "entangled"}


def test_drivers_who_exchanged_ids_are_not_led_back_through_the_temporary_one() -> None:
    made = fleet()
    made.restate(ZERO, {"driveri_driver_id": "D1"})
    made.restate(PortalDriverId("1"), {"driveri_driver_id": "D0"})
    made.run()
    aside = {
        each.driver for each in made.decider.log if isinstance(each, Decision) and (each.key or "").startswith("tmp-")
    }
    (driver,) = map(PortalDriverId, aside)
    assert refusals(undone(made, of_last(made, driver))) == {driver: "entangled"}


def test_created_and_deleted_is_not_undone_because_there_was_nothing_before() -> None:
    made = fleet()
    scope = now(made)
    made.state(PortalDriverId("7"), person(7))
    made.run()
    made.delete(PortalDriverId("7"))
    made.run()
    assert refusals(undone(made, scope)) == {"7": "entangled"}


def test_a_relink_behind_other_decisions_is_not_undone_with_them() -> None:
    made = fleet()
    made.target.put(ObservedDriver(key=Key("E0"), active=True, profile={"first_name": "By", "last_name": "Hand"}))
    made.scan()
    scope = now(made)
    made.restate(ZERO, {"last_name": "Roe"})
    made.run()
    made.restate(ZERO, {"driveri_driver_id": "E0"})
    made.run()
    assert entangled(made, scope)


def test_deleted_and_reinstated_and_deleted_is_not_undone_at_once() -> None:
    made = fleet()
    scope = now(made)
    made.delete(ZERO)
    made.run()
    made.state(ZERO, person(0))
    made.run()
    made.delete(ZERO)
    made.run()
    made.scan()
    assert entangled(made, scope)


def test_what_was_changed_and_changed_back_needs_nothing() -> None:
    made = fleet()
    scope = now(made)
    for name in ("Roe", "Last 0"):
        made.restate(ZERO, {"last_name": name})
        made.run()
    facts = undone(made, scope)
    assert names(facts) == ["Undone", "Parked"]
    assert parked(made) == UNDONE


def test_on_motive_an_external_id_that_was_not_there_before_is_taken_away() -> None:
    made = Simulation(Target.MOTIVE)
    made.state(ZERO, {name: text for name, text in person(0).items() if name != "driveri_driver_id"})
    made.settle()
    made.restate(ZERO, {"driveri_driver_id": "D0"})
    made.run()
    (undo,) = [each for each in undone(made, of_last(made, ZERO)) if isinstance(each, Undone)]
    assert ("driveri_driver_id" in undo.profile, undo.fields) == (False, ["driveri_driver_id"])
    assert "driveri_driver_id" not in shown(made, undo.key)


def test_on_motive_who_is_deleted_again_gives_the_driver_id_up() -> None:
    made = fleet(Target.MOTIVE)
    found = made.target.truth(made.decider.link(ZERO).key)
    assert found is not None
    made.target.put(replace(found, active=False))
    made.settle()
    (undo,) = [each for each in undone(made, of_last(made, ZERO)) if isinstance(each, Undone)]
    assert (undo.ending, undo.not_restored) == ("delete", ["driveri_driver_id"])


def test_a_former_id_that_a_driver_made_by_hand_has_now_is_not_given_back() -> None:
    made = fleet()
    made.restate(ZERO, {"driveri_driver_id": "E0"})
    made.run()
    made.target.put(ObservedDriver(key=Key("D0"), active=True, profile={"first_name": "By", "last_name": "Hand"}))
    made.scan()
    assert refusals(undone(made, of_last(made, ZERO))) == {"0": "claimed"}


FORMER = Former(
    since=3,
    left=DRIVERI.desired().profile,
    key=Key("D-7"),
    profile={**DRIVERI.desired().profile, "last_name": "Roe"},
    fields=("last_name",),
    not_restored=(),
    ending=Ending.STAY,
)


def test_drift_that_is_not_decided_yet_stands_against_it_and_the_reconciliation_is_named() -> None:
    trigger = replace(DRIVERI.trigger(), reconciliation=4)
    then = DRIVERI.fact(
        UndoRefused,
        since=3,
        reason="changed_on_target",
        detail="the target does not show the driver as it was confirmed",
        rationale={"trigger": "change", "ref": "1", "mode": "full", "reconciliation": 4},
    )
    DRIVERI.scenario(
        given=DRIVERI.linked(),
        batch=DRIVERI.batch(DRIVERI.shown("D-7", {**JANE_DOE, "last_name": "By Hand"})),
        when=partial(undo_of, trigger=trigger),
        then=[then],
    )


def undo_of(link: DriverLink, batch: Batch, trigger: Trigger) -> tuple[LinkEvent, ...]:
    return undo(DRIVERI.desired(), link, batch, trigger, former=FORMER, by="ann")


def put_back(**stated: object) -> LinkEvent:
    """A person has undone something, and it is on its way back."""
    values: dict[str, object] = {
        "sequence": 1,
        "since": 3,
        "by": "ann",
        "key": "D-7",
        "profile": dict(FORMER.profile),
        "fields": ["last_name"],
        "not_restored": [],
        "ending": "stay",
        "back_to": "",
        "rationale": {},
    }
    return DRIVERI.fact(Undone, **values | stated)


def test_who_cannot_be_set_back_because_another_driver_has_the_id_is_parked_as_in_conflict() -> None:
    batch = DRIVERI.batch(DRIVERI.shown("D-7"), claimed={"key:d-7": BOB})
    before = in_sequence(DRIVERI.nothing, [*DRIVERI.linked(), put_back()])
    (found,) = decide(DRIVERI.desired(), replay_link(DRIVERI.nothing, before), batch, DRIVERI.trigger())
    assert isinstance(found, Parked)
    assert (found.reason, found.holder) == ("conflict", BOB)


@pytest.mark.parametrize("shown_there", [(), (DRIVERI.shown("D-7"),)], ids=["gone", "active"])
def test_who_is_not_deleted_there_any_more_is_not_reinstated(shown_there: tuple[ObservedDriver, ...]) -> None:
    gone = DRIVERI.fact(Confirmed, decision=0, key=None, profile={})
    before = in_sequence(DRIVERI.nothing, [*DRIVERI.linked(), gone, put_back()])
    (found,) = decide(
        DRIVERI.desired(), replay_link(DRIVERI.nothing, before), DRIVERI.batch(*shown_there), DRIVERI.trigger()
    )
    assert isinstance(found, Parked)
    assert found.reason == UNDONE


ACME = AccountId("acme")
JANE = Request(by="jane", at=BEGIN)


def account_of(mode: Mode) -> Account:
    added = Request(by="operator", at=BEGIN).add(
        Account(account=ACME),
        tier=Tier.PRO,
        master_user="jane",
        account_manager="",
        modes={Target.DRIVERI: mode, Target.MOTIVE: Mode.FULL},
    )
    account = replay(Account(account=ACME), added)
    return replay(account, JANE.turn_on(account))


def test_a_request_to_undo_is_a_fact_with_its_scope_and_plan_and_holds_until_another_one() -> None:
    account, scope = account_of(Mode.FULL), UndoScope(by="jane", driver="1", decision=4)
    facts = JANE.undo(account, {Target.DRIVERI: "0" * 16, Target.MOTIVE: "1" * 16}, scope)
    stated = [
        (each.target, each.plan, each.only, each.undo_decision) for each in facts if isinstance(each, UndoRequested)
    ]
    assert stated == [("driveri", "0" * 16, "1", 4), ("motive", "1" * 16, "1", 4)]
    asked = replay(account, facts)
    assert asked.undos == {Target.DRIVERI: scope, Target.MOTIVE: scope}
    assert asked.plans == {Target.DRIVERI: "0" * 16, Target.MOTIVE: "1" * 16}
    later = replay(asked, JANE.reconciliation(asked, Target.DRIVERI))
    assert later.undos == {Target.MOTIVE: scope}
    assert replay(later, JANE.set_mode(later, Target.MOTIVE, Mode.UPSERT)).undos == {}


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.OBSERVE])
def test_where_nothing_is_sent_nothing_can_be_undone(mode: Mode) -> None:
    with pytest.raises(NotPermitted, match="nothing of acme is sent to driveri"):
        JANE.undo(account_of(mode), {Target.DRIVERI: "0" * 16}, SINCE)


def steps_of(facts: list[LinkEvent]) -> list[PlanStep]:
    """The step of a driver after each of these facts."""
    step: PlanStep | None = None
    steps = []
    for fact in facts:
        step = step_after(step, fact)
        assert step is not None
        steps.append(step)
    return steps


def test_a_step_of_a_plan_says_whole_what_an_undo_will_do() -> None:
    made = fleet()
    made.state(PortalDriverId("7"), person(7))
    made.run()
    facts = undone(made, of_last(made, PortalDriverId("7")))
    steps = steps_of(facts)
    assert [step.action for step in steps] == ["keep", "delete", "leave", "leave"]
    assert {step.reason for step in steps} == {steps[0].reason}
    assert steps[0].reason.endswith("; this deletes it there")


def test_a_step_of_an_undo_whose_delete_is_held_says_so() -> None:
    made = fleet()
    scope = now(made)
    for number in range(10, 15):
        made.state(PortalDriverId(str(number)), person(number))
    made.run()
    facts = [each for each in undone(made, scope) if each.driver == "14"]
    assert [step.action for step in steps_of(facts)] == ["keep", "hold"]


def test_a_step_of_an_undo_names_what_cannot_be_restored_and_where_the_link_goes() -> None:
    made = fleet()
    made.target.put(ObservedDriver(key=Key("E0"), active=True, profile={"first_name": "By", "last_name": "Hand"}))
    made.scan()
    made.restate(ZERO, {"driveri_driver_id": "E0", "phone": "303-555-0142"})
    made.run()
    facts = undone(made, of_last(made, ZERO))
    first = steps_of(facts)[0]
    assert "; this leaves it unmanaged there, and the link goes back to D0; cannot be restored: phone" in first.reason


def test_a_step_of_a_refused_undo_says_why() -> None:
    made = overridden()
    scope = of_last(made, ZERO)
    change_in_the_portal(made)
    (refused,) = [each for each in undone(made, scope) if isinstance(each, UndoRefused)]
    assert step_after(None, refused) == replace(
        steps_of([refused])[0], action="refuse", reason=NotUndone(obstacle=Obstacle.CHANGED_IN_PORTAL, since=1).detail
    )
