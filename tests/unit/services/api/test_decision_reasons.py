"""What was decided and done, told with its reasons."""

import pytest

from domain.driver_link import Decision, DriftFound
from domain.identity import Key, Target
from domain.matching import ObservedDriver
from domain.ports import Done
from domain.situations import Situation
from services.api.explanation_text import Past, reasons
from tests.unit.services.api.fleet import JANE, Fleet

DRIVERI, MOTIVE = Target.DRIVERI, Target.MOTIVE


def shown(key: str, *, active: bool = True, **profile: str) -> ObservedDriver:
    return ObservedDriver(key=Key(key), active=active, profile=profile)


def begin(fleet: Fleet, driver: ObservedDriver, target: Target = DRIVERI) -> None:
    """Jane is in the Portal; the target has somebody before sync is turned on."""
    fleet.targets[target].put(driver)
    fleet.add()
    fleet.state("1", **JANE)
    fleet.turn_on()
    fleet.scan()
    fleet.settle()


def test_a_create_is_told_from_the_portal_to_the_answer(fleet: Fleet) -> None:
    fleet.start("1")
    assert fleet.facts("portal") == ["The Portal has a new driver (stated by export)."]
    assert fleet.facts("driveri") == [
        "Driveri shall get a new driver, DriverID D1.",
        "Driveri confirmed: the driver is there as DriverID D1.",
    ]
    assert fleet.facts("motive") == [
        "Motive shall get a new driver.",
        "Motive confirmed: the driver is there as user 1.",
    ]


def test_a_decision_says_what_made_us_look_the_situation_and_the_mode(fleet: Fleet) -> None:
    fleet.start("1")
    assert fleet.why("driveri", 1) == (
        "Trigger: reconciliation 1, after scan 1 of Driveri's roster.",
        "Situation ABSENT: the Portal wants the driver, nothing is linked, and nobody on Driveri matches it.",
        "Mode full: everything is sent.",
    )
    assert fleet.why("driveri", 2) == ()


def test_an_adopted_driver_is_told_with_what_the_roster_showed(fleet: Fleet) -> None:
    begin(fleet, shown("d1", first_name="Jan"))
    assert fleet.facts("driveri")[0] == (
        "Driveri has the driver already: linked to DriverID d1, nothing is created. "
        "To be brought to the Portal's: first name and last name."
    )
    assert fleet.why("driveri", 1)[1:3] == (
        "Situation FOUND: the Portal wants the driver, nothing is linked, and Driveri has one that no link claims.",
        "The roster showed the desired driver, DriverID d1, as active (seen at 2026-03-01 08:04:00 UTC).",
    )


def test_a_rename_that_changes_letter_case_only_says_so(fleet: Fleet) -> None:
    begin(fleet, shown("d1", first_name="Jane", last_name="Doe"))
    assert fleet.facts("driveri")[2] == "The DriverID shall change from d1 to D1: only the letter case differs."
    assert fleet.why("driveri", 3)[0] == "Trigger: Driveri's answer to decision 1."


def test_a_driver_kept_as_deleted_is_reinstated(fleet: Fleet) -> None:
    begin(fleet, shown("7", active=False, ref_id="R1"), MOTIVE)
    assert fleet.facts("motive")[0] == (
        "Motive has user 7 as deactivated: that driver shall be reinstated. "
        "To be brought to the Portal's: Driveri DriverID, first name, last name and our external id."
    )
    assert fleet.why("motive", 1)[2] == (
        "The roster showed the desired driver, user 7, as deactivated (seen at 2026-03-01 08:05:00 UTC)."
    )


def test_a_rename_names_the_fields_that_go_with_it_and_the_change_that_caused_it(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.state("1", **{**JANE, "driveri_driver_id": "D2", "email": "jane@fleet.test"})
    assert fleet.facts("portal")[-1] == (
        "The Portal changed Driveri DriverID from D1 to D2 and e-mail (stated by export)."
    )
    assert fleet.facts("driveri")[-1] == "The DriverID shall change from D1 to D2. Along with it: e-mail."
    assert fleet.why("driveri", 3)[:3] == (
        "Trigger: change 2 of the Portal.",
        "Situation RENAMED: the desired DriverID is another one, and nobody else on Driveri has it.",
        "The roster showed the linked driver, DriverID D1, as active (seen at 2026-03-01 08:06:00 UTC).",
    )
    assert fleet.facts("motive")[-1] == "Motive shall take over from the Portal: Driveri DriverID and e-mail."


def test_a_relink_says_that_the_former_driver_became_a_unmanaged(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.targets[DRIVERI].put(shown("D9", first_name="Jane", last_name="Doe"))
    fleet.scan(DRIVERI)
    fleet.state("1", **{**JANE, "driveri_driver_id": "D9"})
    assert fleet.facts("driveri")[-1] == (
        "Linked to DriverID D9 from now on. The former target driver, DriverID D1, became unmanaged and was left alone."
    )
    assert fleet.why("driveri", 3)[2] == (
        "The roster showed the linked driver, DriverID D1, as active (seen at 2026-03-01 08:06:00 UTC) "
        "and the desired driver, DriverID D9, as active (seen at 2026-03-01 08:09:00 UTC)."
    )


def test_a_relink_to_a_deleted_driver_reinstates_it(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.targets[DRIVERI].put(shown("D9", active=False, first_name="Jane", last_name="Doe"))
    fleet.scan(DRIVERI)
    fleet.state("1", **{**JANE, "driveri_driver_id": "D9"})
    assert fleet.facts("driveri")[-1] == (
        "Driveri has DriverID D9 as deleted: that driver shall be reinstated and linked. "
        "The former target driver, DriverID D1, became unmanaged and was left alone."
    )


def test_a_former_driver_who_is_gone_is_called_no_unmanaged(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.targets[DRIVERI].drop(Key("D1"))
    fleet.targets[DRIVERI].put(shown("D9"))
    fleet.state("1", **{**JANE, "driveri_driver_id": "D9"})
    fleet.turn_off()
    fleet.turn_on()
    fleet.scan(DRIVERI)
    assert fleet.facts("driveri")[-1] == (
        "Linked to DriverID D9 from now on. The former target driver, DriverID D1, is not active there any more. "
        "To be brought to the Portal's: first name and last name."
    )


def test_a_swap_goes_through_a_temporary_id_and_says_why(fleet: Fleet) -> None:
    fleet.start("1", "2")
    fleet.state("1", **{**JANE, "driveri_driver_id": "D2"})
    fleet.state("2", **{**JANE, "ref_id": "R2", "driveri_driver_id": "D1"})
    (stand_in,) = (each.desired_key for each in fleet.pending(DRIVERI))
    fleet.settle()
    assert fleet.facts("driveri", "2")[2:] == [
        f"The DriverID shall change from D2 to the temporary id {stand_in}: "
        "drivers wait for each other's ids in a circle, and this one steps aside.",
        f"Driveri confirmed: the driver is there as DriverID {stand_in}.",
        "Set aside: it changes places with portal driver 1, has a temporary value until then, "
        "and gets its id as soon as that one has given it up.",
        "No longer set aside as conflict.",
        f"The DriverID shall change from the temporary id {stand_in} to D1.",
        "Driveri confirmed: the driver is there as DriverID D1.",
    ]
    assert fleet.why("driveri", 7, "2")[0] == "Trigger: the id that portal driver 1 had claimed came free."


def test_drift_is_told_with_the_fields_that_are_overridden(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.targets[DRIVERI].put(shown("D1", first_name="Jane", last_name="Roe"))
    fleet.scan(DRIVERI)
    assert fleet.facts("driveri")[2:] == [
        "Driveri shows last name otherwise than decision 1 left it, since 2026-03-01 08:09:00 UTC, "
        "and the change was not ours: it is overridden.",
        "The Portal wins: what Driveri shows is overridden in last name.",
    ]
    assert fleet.why("driveri", 4)[1] == (
        "Situation DRIFTED: Driveri shows something else than it confirmed, and we did not do it."
    )


def test_two_writers_at_odds_are_told_with_what_a_person_can_do(fleet: Fleet) -> None:
    fleet.start("1")
    for _ in range(2):
        fleet.targets[DRIVERI].put(shown("D1", first_name="Jane", last_name="Roe"))
        fleet.scan(DRIVERI)
        fleet.settle()
    assert fleet.why("driveri", 6)[0] == "Trigger: reconciliation 3, after scan 3 of Driveri's roster."
    assert fleet.facts("driveri")[5].endswith(
        "Two writers are at odds: last name drifted in the last reconciliation too; somebody else writes to Driveri."
    )
    standing = fleet.state_on(DRIVERI)
    assert standing.sentence == (
        "In step: linked to DriverID D1. "
        "Two writers are at odds: last name had been changed on Driveri before both of the last reconciliations."
    )
    assert standing.advice == (
        "Find out who else writes last name on Driveri, and have them change it in the Portal instead: "
        "every reconciliation overrides it."
    )


def test_a_reconciliation_of_one_driver_is_told_with_who_asked_for_it(fleet: Fleet) -> None:
    fleet.start("1", "2")
    fleet.targets[DRIVERI].put(shown("D1", first_name="Jane", last_name="Roe"))
    fleet.ask("jane", lambda person, known: person.reconciliation(known, DRIVERI, driver="1", keys=["D1"]))
    fleet.look_up(DRIVERI, "1", request=3)
    assert fleet.facts("account")[-1] == "jane (Master User) asked for a reconciliation of driver 1 on Driveri."
    assert (
        fleet.why("driveri", 3)[0]
        == "Trigger: somebody asked for a reconciliation of this driver on Driveri (account 3)."
    )
    assert "reconciliation" not in " ".join(fleet.facts("account", "2"))


def test_a_reconciliation_without_drift_ends_that_two_writers_are_at_odds(fleet: Fleet) -> None:
    fleet.start("1")
    for last_name in ("Roe", "Roe", "Doe"):
        fleet.targets[DRIVERI].put(shown("D1", first_name="Jane", last_name=last_name))
        fleet.scan(DRIVERI)
        fleet.settle()
    standing = fleet.state_on(DRIVERI)
    assert (standing.sentence, standing.advice) == ("In step: linked to DriverID D1.", "")


def test_a_delete_is_told_with_the_guards_figures(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.delete("1")
    assert fleet.why("driveri", 3)[-2] == (
        "Guard: 0 of at most 3 deletes within 24 hours had gone out, and 0 were held."
    )
    fleet.settle()
    assert fleet.facts("driveri")[2:] == [
        "Driveri shall delete DriverID D1.",
        "Driveri confirmed: the driver is deleted there, and nothing is linked any more.",
    ]
    assert fleet.facts("motive")[2:] == [
        "Motive shall deactivate user 1.",
        "Motive confirmed: the driver is deactivated there, and nothing is linked any more.",
    ]


def test_a_driver_who_comes_back_is_told_as_such(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.delete("1")
    fleet.settle()
    fleet.state("1", **JANE)
    assert fleet.facts("portal")[1:] == [
        "The Portal deleted the driver (stated by export).",
        "The Portal has the driver again (stated by export).",
    ]


def test_a_driver_whom_somebody_deleted_on_the_target_ends_the_link(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.turn_off()
    fleet.delete("1")
    fleet.targets[DRIVERI].drop(Key("D1"))
    fleet.turn_on()
    fleet.scan(DRIVERI)
    assert fleet.facts("driveri")[-1] == ("Driveri does not have the driver as an active one any more: the link ended.")


def test_a_create_that_the_portal_takes_back_is_withdrawn(fleet: Fleet) -> None:
    fleet.add()
    fleet.state("1", **JANE)
    fleet.turn_on()
    fleet.scan()
    fleet.delete("1")
    fleet.settle()
    assert fleet.facts("driveri")[1:] == [
        "Nothing is there to be deleted on Driveri: what was on its way is withdrawn.",
        "Driveri confirmed: nothing is there, and nothing is linked any more.",
    ]


def test_a_rename_that_the_portal_takes_back_is_answered_before_it_is_undone(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.state("1", **{**JANE, "driveri_driver_id": "D2"})
    fleet.state("1", **JANE)
    assert fleet.facts("driveri")[-1] == "The DriverID shall change from D1 to D2."
    (decision,) = fleet.pending(DRIVERI)
    fleet.answer(DRIVERI, decision, Done(seen=shown("D2", first_name="Jane", last_name="Doe")))
    assert fleet.facts("driveri")[-1].startswith("The DriverID shall change from D2 to D1.")


def test_what_a_target_writes_in_its_own_way_is_told_as_no_drift(fleet: Fleet) -> None:
    fleet.add()
    fleet.state("1", **JANE)
    fleet.turn_on()
    fleet.scan(DRIVERI)
    (decision,) = fleet.pending(DRIVERI)
    fleet.answer(DRIVERI, decision, Done(seen=shown("D1", first_name="JANE", last_name="Doe")))
    assert fleet.facts("driveri")[-1] == (
        "Driveri confirmed: the driver is there as DriverID D1. It shows first name in its own way, which is no drift."
    )


def test_a_mark_left_out_for_now_is_told(fleet: Fleet) -> None:
    fleet.start("1", "2")
    fleet.state("2", **{**JANE, "ref_id": "R2"})
    assert "The Driveri DriverID is left out on Motive for now: another driver has it there." in fleet.why(
        "motive", 3, "2"
    )
    fleet.settle()
    assert fleet.state_on(MOTIVE, "2").sentence == (
        "In step: linked to user 2 without its Driveri DriverID, which another driver has there."
    )


def test_lists_that_lack_a_driver_are_told(fleet: Fleet) -> None:
    fleet.start("1", "2")
    for number in ("first", "second"):
        fleet.take_snapshot(number, "2")
    assert fleet.facts("portal")[1:] == [
        "A complete list lacked the driver (stated by export); one alone is no proof that it was deleted.",
        "The Portal deleted the driver, which a complete list had lacked before (stated by export).",
    ]


def test_a_driver_who_is_in_a_list_again_is_told(fleet: Fleet) -> None:
    fleet.start("1", "2")
    fleet.take_snapshot("first", "2")
    fleet.take_snapshot("second", "1", "2")
    assert fleet.facts("portal")[-1] == "The driver is in the Portal's list again (stated by export)."


@pytest.mark.parametrize("situation", Situation)
def test_every_situation_has_words(fleet: Fleet, situation: Situation) -> None:
    fleet.start("1")
    fact = fleet.decided(DRIVERI)[0]
    assert isinstance(fact, Decision)
    found = DriftFound(
        originator_id=fact.originator_id,
        originator_version=3,
        at=fact.at,
        account=fact.account,
        target=fact.target,
        driver=fact.driver,
        fields=[],
        profile={},
        decision=0,
        first_seen=fact.at.isoformat(),
        reconciliation=0,
        at_odds=[],
        rationale={"situation": str(situation)},
    )
    (sentence,) = reasons(found, Past(link=fleet.link(DRIVERI)))
    assert sentence.startswith(f"Situation {situation}: ")
    assert len(sentence) > len(f"Situation {situation}: .")
