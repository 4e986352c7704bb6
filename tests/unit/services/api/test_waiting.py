"""What is set aside, held, refused or put off: told first, with what a person could do about it."""

from dataclasses import replace

from domain.account import DeletesRejected, Mode
from domain.failures import Reason, Rejected, Unavailable
from domain.identity import Key, Target
from domain.matching import ObservedDriver
from domain.outcomes import MOST_CORRECTIONS
from domain.ports import Exists, Missing
from services.api.explanations import DriverState
from services.api.schema import to_json
from tests.unit.services.api.fleet import JANE, Fleet

DRIVERI, MOTIVE = Target.DRIVERI, Target.MOTIVE
NO_IDS = {"first_name": "Jane", "last_name": "Doe", "email": "jane@fleet.test"}
EVERYBODY = [str(number) for number in range(1, 7)]


def begin(fleet: Fleet, **profile: str) -> None:
    """Jane is in the Portal, sync is on, and nothing is sent yet."""
    fleet.add()
    fleet.state("1", **profile)
    fleet.turn_on()
    fleet.scan()


def hold(fleet: Fleet) -> None:
    """Of six drivers four are deleted, one more than the guard lets through."""
    fleet.start(*EVERYBODY)
    fleet.delete("2", "3", "4", "1")
    fleet.settle()


def test_a_driver_without_ids_is_told_in_the_first_lines_what_to_do(fleet: Fleet) -> None:
    begin(fleet, **NO_IDS)
    assert list(fleet.explain().lines())[:4] == [
        "Jane Doe: portal driver 1, no RefID, no Driveri DriverID",
        "Portal: has the driver, as stated last at 2026-03-01 08:01:00 UTC.",
        "Driveri: Not linked yet, and set aside since 2026-03-01 08:05:00 UTC: "
        "the Portal gives neither a Driveri DriverID nor a RefID.",
        "  What to do: Give it a Driveri DriverID or a RefID in the Portal.",
    ]
    assert fleet.why("driveri", 1)[1] == (
        "Situation UNKEYED: the Portal gives nothing by which Driveri could name the driver."
    )


def test_a_driver_who_gets_an_id_is_not_set_aside_any_more(fleet: Fleet) -> None:
    begin(fleet, **NO_IDS)
    fleet.state("1", **JANE)
    assert fleet.facts("driveri") == [
        "Set aside: the Portal gives neither a Driveri DriverID nor a RefID.",
        "No longer set aside as unkeyed.",
        "Driveri shall get a new driver, DriverID D1.",
    ]


def test_a_contested_driver_names_the_one_who_has_claimed_the_id(fleet: Fleet) -> None:
    fleet.start("1", "2")
    fleet.state("1", **{**JANE, "driveri_driver_id": "d2"})
    assert fleet.state_on(DRIVERI) == DriverState(
        target="driveri",
        state="parked",
        sentence="Linked to DriverID D1, and set aside since 2026-03-01 08:11:00 UTC: "
        "portal driver 2 has claimed its id.",
        advice="Decide whose id it is, and correct it in the Portal: this driver's or portal driver 2's. "
        "It is looked at again by itself. Where the two only change places, nothing has to be done.",
    )
    assert fleet.why("driveri", 3)[-2] == "Portal driver 2 has claimed its id."


def test_several_candidates_on_the_target_are_counted(fleet: Fleet) -> None:
    for key in ("7", "8"):
        fleet.targets[MOTIVE].put(ObservedDriver(key=Key(key), active=True, profile={"ref_id": "R1"}))
    begin(fleet, **JANE)
    standing = fleet.state_on(MOTIVE)
    assert standing.sentence == (
        "Not linked yet, and set aside since 2026-03-01 08:05:00 UTC: 2 target drivers have its RefID."
    )
    assert standing.advice == (
        "Leave only one driver with this RefID on Motive; it is looked at again at the next change or scan."
    )
    assert "2 drivers on Motive have its RefID." in fleet.why("motive", 1)


def test_a_refusal_is_told_in_the_targets_words(fleet: Fleet) -> None:
    begin(fleet, **JANE)
    (decision,) = fleet.pending(MOTIVE)
    fleet.answer(MOTIVE, decision, Rejected(reason=Reason.TAKEN_ELSEWHERE, detail="the <email> is somebody else's"))
    assert fleet.state_on(MOTIVE) == DriverState(
        target="motive",
        state="parked",
        sentence="Not linked yet, and set aside since 2026-03-01 08:06:00 UTC: "
        "Motive refused it: the <email> is somebody else's.",
        advice="Correct in the Portal what Motive objects to, or have it freed there: the change is tried by itself. "
        "Where nothing is to be corrected any more, have it tried just so: "
        "`driverlink issues retry acme --driver 1 --as PERSON`.",
    )
    assert fleet.facts("motive")[1:] == [
        "Motive refused (taken elsewhere): the <email> is somebody else's.",
        "Set aside until the Portal states something else: Motive would refuse the same again.",
    ]
    assert fleet.why("motive", 3) == ("Trigger: Motive's answer to decision 1.",)


def test_answers_that_correct_the_roster_are_told_as_such(fleet: Fleet) -> None:
    begin(fleet, **JANE)
    (create,) = fleet.pending(DRIVERI)
    somebody = ObservedDriver(key=Key("D1"), active=True, profile={})
    fleet.answer(DRIVERI, create, Exists(seen=somebody))
    (link,) = fleet.pending(DRIVERI)
    fleet.answer(DRIVERI, link, Missing(key=Key("D1")))
    assert fleet.facts("driveri") == [
        "Driveri shall get a new driver, DriverID D1.",
        "Driveri answered that somebody there has this already: what was known of it is corrected.",
        "Driveri has the driver already: linked to DriverID D1, nothing is created. "
        "To be brought to the Portal's: first name and last name.",
        "Driveri answered that the driver is not there: what was known of it is corrected.",
        "Driveri shall get a new driver, DriverID D1.",
    ]


def test_a_target_that_contradicts_itself_asks_for_a_person(fleet: Fleet) -> None:
    begin(fleet, **JANE)
    somebody = ObservedDriver(key=Key("D1"), active=True, profile={})
    for turn in range(MOST_CORRECTIONS):
        (decision,) = fleet.pending(DRIVERI)
        fleet.answer(DRIVERI, decision, Missing(key=Key("D1")) if turn % 2 else Exists(seen=somebody))
    standing = fleet.state_on(DRIVERI)
    assert standing.sentence.endswith(": driveri said 5 times in a row that it is not as it had said before.")
    assert standing.advice == (
        "Look at the driver on Driveri: it is tried again at its next change in the Portal, "
        "or by `driverlink issues retry acme --driver 1 --as PERSON`."
    )


def test_a_call_that_is_put_off_is_told_with_the_reason(fleet: Fleet) -> None:
    begin(fleet, **JANE)
    (decision,) = fleet.pending(DRIVERI)
    fleet.answer(DRIVERI, decision, Unavailable(reason=Reason.DOWN, detail="answered 503"))
    assert fleet.state_on(DRIVERI) == DriverState(
        target="driveri",
        state="pending",
        sentence="Not linked yet. Driveri shall get a new driver, DriverID D1. "
        "Driveri could not do it yet (down: answered 503). It is tried again by itself.",
        advice="",
    )


def test_a_call_that_fails_for_the_credentials_says_how_to_renew_them(fleet: Fleet) -> None:
    begin(fleet, **JANE)
    (decision,) = fleet.pending(DRIVERI)
    fleet.answer(DRIVERI, decision, Rejected(reason=Reason.CREDENTIALS, detail="answered 401"))
    assert fleet.state_on(DRIVERI).advice == ("Check the credentials: `driverlink accounts connect acme driveri`.")


def test_a_reason_of_the_past_for_putting_off_is_not_told_of_a_new_decision(fleet: Fleet) -> None:
    begin(fleet, **JANE)
    (decision,) = fleet.pending(DRIVERI)
    fleet.answer(DRIVERI, decision, Unavailable(reason=Reason.DOWN, detail="answered 503"))
    fleet.state("1", **{**JANE, "last_name": "Roe"})
    assert fleet.state_on(DRIVERI).sentence == (
        "Not linked yet. On its way: Driveri shall get a new driver, DriverID D1."
    )


def test_a_held_delete_is_told_with_the_guards_figures_and_how_to_decide(fleet: Fleet) -> None:
    hold(fleet)
    since = next(entry.at for entry in fleet.explain().timeline if entry.fact.startswith("The guard"))
    assert fleet.state_on(DRIVERI) == DriverState(
        target="driveri",
        state="held",
        sentence="The Portal deleted the driver, and the guard holds the delete of DriverID D1 "
        f"since {since:%Y-%m-%d %H:%M:%S} UTC: 3 of at most 3 deletes within 24 hours had gone out.",
        advice="Approve or reject it: `driverlink approvals list acme`.",
    )
    assert fleet.facts("driveri")[-1] == (
        "The guard against mass deletion holds the delete of DriverID D1 until a person decides."
    )


def test_an_approval_is_told_with_who_gave_it(fleet: Fleet) -> None:
    hold(fleet)
    chosen = fleet.judge(DRIVERI)
    fleet.settle()
    assert fleet.facts("driveri")[-3:] == [
        "jane approved the held delete.",
        "Driveri shall delete DriverID D1.",
        "Driveri confirmed: the driver is deleted there, and nothing is linked any more.",
    ]
    assert fleet.why("driveri", 5)[0] == f"Trigger: the approval of the set {chosen.digest} by jane."
    assert fleet.state_on(DRIVERI).sentence == (
        "The Portal deleted the driver, and nobody on Driveri is linked any more."
    )


def test_a_rejection_is_told_with_who_stays(fleet: Fleet) -> None:
    hold(fleet)
    fleet.judge(DRIVERI, DeletesRejected)
    assert fleet.facts("driveri")[-1] == "jane rejected the held delete: DriverID D1 stays on Driveri."
    assert fleet.state_on(DRIVERI) == DriverState(
        target="driveri",
        state="kept",
        sentence="The Portal deleted the driver, but jane rejected the delete: DriverID D1 stays on Driveri.",
        advice="",
    )


def test_a_kept_driver_whom_the_portal_wants_again_is_in_step(fleet: Fleet) -> None:
    hold(fleet)
    fleet.judge(DRIVERI, DeletesRejected)
    fleet.state("1", **JANE)
    fleet.settle()
    assert fleet.state_on(DRIVERI).sentence == "In step: linked to DriverID D1."


def test_a_driver_who_comes_back_recalls_the_held_delete(fleet: Fleet) -> None:
    hold(fleet)
    fleet.state("1", **JANE)
    assert fleet.facts("driveri")[-1] == (
        "The held delete on Driveri was recalled: nobody has to decide on it any more."
    )


def test_an_approval_that_came_too_late_is_told_to_have_been_in_vain(fleet: Fleet) -> None:
    hold(fleet)
    chosen = next(each for each in fleet.held() if each.target == DRIVERI)
    fleet.state("1", **JANE)
    fleet.judge_set(chosen)
    assert fleet.facts("account")[-1] == (
        "jane (Master User) approved a held delete on Driveri, and nothing came of it: "
        "it was not that hold any more, the mode is not full, or the approval came too late."
    )


def test_an_approval_that_was_heeded_is_told_once(fleet: Fleet) -> None:
    hold(fleet)
    fleet.judge(DRIVERI)
    assert fleet.facts("account") == ["jane (Master User) turned Sync Drivers on."]


def test_a_mode_that_lets_no_deletes_out_says_which_mode_would(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.set_mode(DRIVERI, Mode.UPSERT)
    fleet.scan(DRIVERI)
    fleet.delete("1")
    standing = fleet.state_on(DRIVERI)
    assert standing.sentence == (
        "Linked to DriverID D1, and set aside since 2026-03-01 08:11:00 UTC: the mode upsert lets no deletes out."
    )
    assert (
        standing.advice
        == "To let deletes out, set the mode to full: `driverlink accounts mode acme driveri full --as PERSON`."
    )
    assert fleet.facts("account")[-1] == "jane (Master User) set the mode for Driveri to upsert."


def test_no_sentence_holds_personal_data(fleet: Fleet) -> None:
    personal = {
        "first_name": "Janet",
        "last_name": "Doering",
        "email": "janet@fleet.test",
        "phone": "+1 970 555 0100",
        "licence_number": "LIC-778899",
        "licence_state": "Colorado",
        "licence_country": "Utopia",
    }
    begin(fleet, **JANE | personal)
    fleet.settle()
    fleet.targets[DRIVERI].put(ObservedDriver(key=Key("D1"), active=True, profile={"email": "other@fleet.test"}))
    fleet.scan(DRIVERI)
    fleet.state("1", **{name: f"{text}9" for name, text in (JANE | personal).items()})
    fleet.settle()
    fleet.delete("1")
    fleet.settle()
    header, *others = fleet.explain().lines()
    text = "\n".join(others)
    assert header.startswith("Janet9 Doering9: portal driver 1, ")
    assert [value for value in personal.values() if value in text] == []


def test_an_explanation_can_be_sent_as_json(fleet: Fleet) -> None:
    fleet.start("1")
    explanation = fleet.explain()
    sent = to_json(explanation)
    assert sent["states"][0] == {
        "target": "driveri",
        "state": "in_sync",
        "sentence": "In step: linked to DriverID D1.",
        "advice": "",
    }
    assert sent["timeline"][0]["at"] == "2026-03-01T08:01:00+00:00"
    assert to_json(replace(explanation, timeline=()))["timeline"] == []
