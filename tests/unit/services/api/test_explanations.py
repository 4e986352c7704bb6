"""What `driverlink explain` says, story by story, as approved in `tests/golden/approved/explain/`."""

from collections.abc import Callable

import pytest

from domain.account import DeletesRejected, Mode, Tier
from domain.driver_link import Decision, DriftFound
from domain.failures import Reason, Rejected, Unavailable
from domain.identity import Key, PortalDriverId, Target
from domain.matching import ObservedDriver
from domain.outcomes import MOST_CORRECTIONS
from domain.ports import Done, Exists, Missing
from domain.situations import Situation
from services.api.explanation_text import Past, reasons
from services.api.schema import to_json
from tests.support.approval import Approve
from tests.support.stated import whole
from tests.support.stepped_services import ACME
from tests.unit.services.api.fleet import JANE, Fleet

DRIVERI, MOTIVE = Target.DRIVERI, Target.MOTIVE
NO_IDS = {"first_name": "Jane", "last_name": "Doe", "email": "jane@fleet.test"}
DOWN = Unavailable(reason=Reason.DOWN, detail="answered 503")

Story = Callable[[Fleet], None]
STORIES: dict[str, tuple[Story, str]] = {}
"""What happens, and the driver who is explained, by name."""


def story(tell: Story) -> Story:
    """A story about driver 1."""
    STORIES[tell.__name__] = tell, "1"
    return tell


def about(driver: str) -> Callable[[Story], Story]:
    """A story about another driver."""

    def told(tell: Story) -> Story:
        STORIES[tell.__name__] = tell, driver
        return tell

    return told


@pytest.mark.parametrize("name", STORIES)
def test_an_explanation_is_as_approved(fleet: Fleet, approve: Approve, name: str) -> None:
    tell, driver = STORIES[name]
    tell(fleet)
    explanation = fleet.explain(driver)
    states = (f"{each.target}: {each.state}" for each in explanation.states)
    title = tell.__doc__ or name
    approve(f"explain/{name}", "\n".join([title, "", *explanation.lines(), "", *states]))


def shown(key: str, *, active: bool = True, **profile: str) -> ObservedDriver:
    return ObservedDriver(key=Key(key), active=active, profile=profile)


def begin(fleet: Fleet, **profile: str) -> None:
    """Jane is in the Portal, sync is on, and nothing is sent yet."""
    fleet.add()
    fleet.state("1", **profile)
    fleet.turn_on()
    fleet.scan()


def found(fleet: Fleet, driver: ObservedDriver, target: Target = DRIVERI) -> None:
    """The target has this driver before sync is turned on."""
    fleet.targets[target].put(driver)
    begin(fleet, **JANE)
    fleet.settle()


def hold(fleet: Fleet) -> None:
    """Of six drivers four are deleted, one more than the guard lets through."""
    fleet.start(*map(str, range(1, 7)))
    fleet.delete("2", "3", "4", "1")
    fleet.settle()


# What was decided and done.


@story
def created(fleet: Fleet) -> None:
    """The driver is created on both targets."""
    fleet.start("1")


@story
def adopted(fleet: Fleet) -> None:
    """Driveri had the driver already, in another letter case and without a last name."""
    found(fleet, shown("d1", first_name="Jan"))


@story
def letter_case_only(fleet: Fleet) -> None:
    """Driveri had the driver already, and only the letter case of the DriverID differs."""
    found(fleet, shown("d1", first_name="Jane", last_name="Doe"))


@story
def reinstated(fleet: Fleet) -> None:
    """Motive had the driver as deactivated."""
    found(fleet, shown("7", active=False, ref_id="R1"), MOTIVE)


@story
def renamed(fleet: Fleet) -> None:
    """The Portal gives another DriverID, and an e-mail address along with it."""
    fleet.start("1")
    fleet.state("1", **{**JANE, "driveri_driver_id": "D2", "email": "jane@fleet.test"})


@story
def renamed_and_back(fleet: Fleet) -> None:
    """The Portal takes a new DriverID back before Driveri has answered the rename."""
    fleet.start("1")
    fleet.state("1", **{**JANE, "driveri_driver_id": "D2"})
    fleet.state("1", **JANE)
    (decision,) = fleet.pending(DRIVERI)
    fleet.answer(DRIVERI, decision, Done(seen=shown("D2", first_name="Jane", last_name="Doe")))


@story
def relinked(fleet: Fleet) -> None:
    """The new DriverID is there already, so the former target driver becomes unmanaged."""
    fleet.start("1")
    fleet.targets[DRIVERI].put(shown("D9", first_name="Jane", last_name="Doe"))
    fleet.scan(DRIVERI)
    fleet.state("1", **{**JANE, "driveri_driver_id": "D9"})


@story
def relinked_to_deleted(fleet: Fleet) -> None:
    """The new DriverID is there already, of a deleted driver."""
    fleet.start("1")
    fleet.targets[DRIVERI].put(shown("D9", active=False, first_name="Jane", last_name="Doe"))
    fleet.scan(DRIVERI)
    fleet.state("1", **{**JANE, "driveri_driver_id": "D9"})


@story
def relinked_from_gone(fleet: Fleet) -> None:
    """The former target driver is gone, so it is not called unmanaged."""
    fleet.start("1")
    fleet.targets[DRIVERI].drop(Key("D1"))
    fleet.targets[DRIVERI].put(shown("D9"))
    fleet.state("1", **{**JANE, "driveri_driver_id": "D9"})
    fleet.turn_off()
    fleet.turn_on()
    fleet.scan(DRIVERI)


@about("2")
def swapped(fleet: Fleet) -> None:
    """Two drivers change places, and this one goes through a temporary id."""
    fleet.start("1", "2")
    fleet.state("1", **{**JANE, "driveri_driver_id": "D2"})
    fleet.state("2", **{**JANE, "ref_id": "R2", "driveri_driver_id": "D1"})
    fleet.settle()


@story
def drifted(fleet: Fleet) -> None:
    """Somebody changed the last name in Driveri."""
    fleet.start("1")
    fleet.targets[DRIVERI].put(shown("D1", first_name="Jane", last_name="Roe"))
    fleet.scan(DRIVERI)


@story
def at_odds(fleet: Fleet) -> None:
    """Somebody changes the last name in Driveri again and again."""
    fleet.start("1")
    for _ in range(2):
        fleet.targets[DRIVERI].put(shown("D1", first_name="Jane", last_name="Roe"))
        fleet.scan(DRIVERI)
        fleet.settle()


@story
def at_odds_no_longer(fleet: Fleet) -> None:
    """The last reconciliation found no drift."""
    fleet.start("1")
    for last_name in ("Roe", "Roe", "Doe"):
        fleet.targets[DRIVERI].put(shown("D1", first_name="Jane", last_name=last_name))
        fleet.scan(DRIVERI)
        fleet.settle()


def _reconcile_one(fleet: Fleet) -> None:
    fleet.start("1", "2")
    fleet.targets[DRIVERI].put(shown("D1", first_name="Jane", last_name="Roe"))
    fleet.ask("jane", lambda person, known: person.reconciliation(known, DRIVERI, driver="1", keys=["D1"]))
    fleet.look_up(DRIVERI, "1", request=3)


@story
def reconciled_alone(fleet: Fleet) -> None:
    """Somebody asked for a reconciliation of this driver."""
    _reconcile_one(fleet)


@about("2")
def another_is_reconciled_alone(fleet: Fleet) -> None:
    """Somebody asked for a reconciliation of another driver."""
    _reconcile_one(fleet)


@story
def deleted(fleet: Fleet) -> None:
    """The Portal deleted the driver, and both targets did it."""
    fleet.start("1")
    fleet.delete("1")
    fleet.settle()


@story
def rehired(fleet: Fleet) -> None:
    """The driver comes back after the delete."""
    fleet.start("1")
    fleet.delete("1")
    fleet.settle()
    fleet.state("1", **JANE)


@story
def gone_already(fleet: Fleet) -> None:
    """Somebody had deleted the driver in Driveri before the Portal did."""
    fleet.start("1")
    fleet.turn_off()
    fleet.delete("1")
    fleet.targets[DRIVERI].drop(Key("D1"))
    fleet.turn_on()
    fleet.scan(DRIVERI)


@story
def withdrawn(fleet: Fleet) -> None:
    """The Portal takes the driver back before the create was sent."""
    begin(fleet, **JANE)
    fleet.delete("1")
    fleet.settle()


@story
def shown_in_its_own_way(fleet: Fleet) -> None:
    """Driveri writes the first name in its own way, which is not drift."""
    fleet.add()
    fleet.state("1", **JANE)
    fleet.turn_on()
    fleet.scan(DRIVERI)
    (decision,) = fleet.pending(DRIVERI)
    fleet.answer(DRIVERI, decision, Done(seen=shown("D1", first_name="JANE", last_name="Doe")))


@about("2")
def identifier_left_out(fleet: Fleet) -> None:
    """Another driver has the Driveri DriverID in Motive, so it is left out there."""
    fleet.start("1", "2")
    fleet.state("2", **{**JANE, "ref_id": "R2"})
    fleet.settle()


@story
def missing_in_two_lists(fleet: Fleet) -> None:
    """Two complete lists lack the driver."""
    fleet.start("1", "2")
    for number in ("first", "second"):
        fleet.take_snapshot(number, "2")


@story
def in_a_list_again(fleet: Fleet) -> None:
    """One complete list lacks the driver, the next has it."""
    fleet.start("1", "2")
    fleet.take_snapshot("first", "2")
    fleet.take_snapshot("second", "1", "2")


# What keeps a whole account from moving.


@about("99")
def unknown_driver(fleet: Fleet) -> None:
    """The Portal does not have this driver."""
    fleet.start("1")


@story
def unknown_account(fleet: Fleet) -> None:
    """The account was not added yet."""
    fleet.state("1", **JANE)


@story
def sync_is_off(fleet: Fleet) -> None:
    """Sync was never turned on."""
    fleet.add()
    fleet.state("1", **JANE)


@story
def standard_tier(fleet: Fleet) -> None:
    """The account manager has to allow sync first."""
    fleet.add(Tier.STANDARD)
    fleet.state("1", **JANE)


@story
def standard_tier_that_is_allowed(fleet: Fleet) -> None:
    """The account manager has allowed sync."""
    fleet.add(Tier.STANDARD)
    fleet.state("1", **JANE)
    fleet.ask("bob", lambda person, known: person.allow(known))


@story
def turned_off(fleet: Fleet) -> None:
    """Sync was turned off while the driver was in sync."""
    fleet.start("1")
    fleet.turn_off()


@story
def deleted_while_off(fleet: Fleet) -> None:
    """The Portal deleted the driver while sync was off."""
    fleet.start("1")
    fleet.turn_off()
    fleet.delete("1")


@story
def deleted_before_sync(fleet: Fleet) -> None:
    """The Portal deleted the driver before sync was turned on."""
    fleet.add()
    fleet.state("1", **JANE)
    fleet.delete("1")


@about("2")
def mode_off(fleet: Fleet) -> None:
    """The mode for Driveri is off."""
    fleet.start("1")
    fleet.set_mode(DRIVERI, Mode.OFF)
    fleet.state("2", **JANE)


@story
def roster_being_read(fleet: Fleet) -> None:
    """The rosters are not read yet."""
    fleet.add()
    fleet.state("1", **JANE)
    fleet.turn_on()


@story
def roster_unreadable(fleet: Fleet) -> None:
    """Driveri does not let its roster be read."""
    fleet.add()
    fleet.state("1", **JANE)
    fleet.turn_on()
    fleet.fail_scan(DRIVERI, DOWN)


@story
def observed_only(fleet: Fleet) -> None:
    """In the mode observe nothing is sent."""
    fleet.add()
    fleet.state("1", **JANE)
    fleet.turn_on()
    fleet.set_mode(DRIVERI, Mode.OBSERVE)
    fleet.scan(DRIVERI)


@about("2")
def undecided_change(fleet: Fleet) -> None:
    """The decider has not taken the change yet."""
    fleet.start("1")
    fleet.portal.state(ACME, PortalDriverId("2"), whole(JANE), source="export")


@story
def ended_before_sync_was_turned_off(fleet: Fleet) -> None:
    """The link had ended, sync was turned off, and the driver comes back."""
    fleet.start("1")
    fleet.delete("1")
    fleet.settle()
    fleet.turn_off()
    fleet.state("1", **JANE)


@story
def account_just_added(fleet: Fleet) -> None:
    """The decider does not know the account yet."""
    fleet.add_only()
    fleet.portal.state(ACME, PortalDriverId("1"), whole(JANE), source="export")


def _open_breaker(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.state("2", **JANE)
    fleet.open_breaker(DRIVERI, Reason.CREDENTIALS, "answered 401")
    fleet.state("3", first_name="Jane", ref_id="R3")


@about("3")
def breaker_is_open(fleet: Fleet) -> None:
    """A decision waits, because no calls are made to Driveri."""
    _open_breaker(fleet)


@story
def in_sync_while_the_breaker_is_open(fleet: Fleet) -> None:
    """A driver in sync does not wait for anything."""
    _open_breaker(fleet)


@story
def roster_waits_for_the_breaker(fleet: Fleet) -> None:
    """The roster is not read, because no calls are made to Driveri."""
    fleet.add()
    fleet.state("1", **JANE)
    fleet.turn_on()
    fleet.open_breaker(DRIVERI, Reason.DOWN, "answered 503")


# What is parked, held, refused or deferred.


@story
def unkeyed(fleet: Fleet) -> None:
    """The Portal gives no id for Driveri."""
    begin(fleet, **NO_IDS)


@story
def unkeyed_no_longer(fleet: Fleet) -> None:
    """The driver without ids gets one."""
    begin(fleet, **NO_IDS)
    fleet.state("1", **JANE)


@story
def conflict_with_another_driver(fleet: Fleet) -> None:
    """Another driver has claimed the DriverID."""
    fleet.start("1", "2")
    fleet.state("1", **{**JANE, "driveri_driver_id": "d2"})


@story
def conflict_of_two_candidates(fleet: Fleet) -> None:
    """Two drivers in Motive have the RefID."""
    for key in ("7", "8"):
        fleet.targets[MOTIVE].put(shown(key, ref_id="R1"))
    begin(fleet, **JANE)


@story
def refused(fleet: Fleet) -> None:
    """Motive refuses, in its own words."""
    begin(fleet, **JANE)
    (decision,) = fleet.pending(MOTIVE)
    fleet.answer(MOTIVE, decision, Rejected(reason=Reason.TAKEN_ELSEWHERE, detail="the <email> is somebody else's"))


@story
def corrected_by_outcomes(fleet: Fleet) -> None:
    """Driveri answers that the driver exists, and then that it is missing."""
    begin(fleet, **JANE)
    (create,) = fleet.pending(DRIVERI)
    fleet.answer(DRIVERI, create, Exists(seen=shown("D1")))
    (link,) = fleet.pending(DRIVERI)
    fleet.answer(DRIVERI, link, Missing(key=Key("D1")))


@story
def contradicted(fleet: Fleet) -> None:
    """Driveri contradicts itself until a person has to look."""
    begin(fleet, **JANE)
    for turn in range(MOST_CORRECTIONS):
        (decision,) = fleet.pending(DRIVERI)
        fleet.answer(DRIVERI, decision, Missing(key=Key("D1")) if turn % 2 else Exists(seen=shown("D1")))


@story
def deferred(fleet: Fleet) -> None:
    """Driveri is down."""
    begin(fleet, **JANE)
    (decision,) = fleet.pending(DRIVERI)
    fleet.answer(DRIVERI, decision, DOWN)


@story
def credentials_refused(fleet: Fleet) -> None:
    """Driveri refuses the credentials."""
    begin(fleet, **JANE)
    (decision,) = fleet.pending(DRIVERI)
    fleet.answer(DRIVERI, decision, Rejected(reason=Reason.CREDENTIALS, detail="answered 401"))


@story
def decided_again_after_deferral(fleet: Fleet) -> None:
    """A new decision does not show why the former one was deferred."""
    begin(fleet, **JANE)
    (decision,) = fleet.pending(DRIVERI)
    fleet.answer(DRIVERI, decision, DOWN)
    fleet.state("1", **{**JANE, "last_name": "Roe"})


@story
def held(fleet: Fleet) -> None:
    """The guard holds the delete."""
    hold(fleet)


@story
def held_and_approved(fleet: Fleet) -> None:
    """The Master User approves the held delete."""
    hold(fleet)
    fleet.judge(DRIVERI)
    fleet.settle()


@story
def held_and_rejected(fleet: Fleet) -> None:
    """The Master User rejects the held delete."""
    hold(fleet)
    fleet.judge(DRIVERI, DeletesRejected)


@story
def rejected_and_wanted_again(fleet: Fleet) -> None:
    """The Portal wants a driver again whose delete was rejected."""
    hold(fleet)
    fleet.judge(DRIVERI, DeletesRejected)
    fleet.state("1", **JANE)
    fleet.settle()


@story
def held_and_recalled(fleet: Fleet) -> None:
    """The driver comes back, which recalls the held delete."""
    hold(fleet)
    fleet.state("1", **JANE)


@story
def approved_too_late(fleet: Fleet) -> None:
    """The approval comes after the recall."""
    hold(fleet)
    chosen = next(each for each in fleet.held() if each.target == DRIVERI)
    fleet.state("1", **JANE)
    fleet.judge_set(chosen)


@story
def deletes_not_let_out(fleet: Fleet) -> None:
    """The mode upsert sends no deletes."""
    fleet.start("1")
    fleet.set_mode(DRIVERI, Mode.UPSERT)
    fleet.scan(DRIVERI)
    fleet.delete("1")


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
    fleet.targets[DRIVERI].put(shown("D1", email="other@fleet.test"))
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
        "sentence": "In sync: linked to DriverID D1.",
        "advice": "",
    }
    assert sent["timeline"][0]["at"] == "2026-03-01T08:01:00+00:00"
    assert to_json(explanation.model_copy(update={"timeline": ()}))["timeline"] == []


@pytest.mark.parametrize("situation", Situation)
def test_every_situation_has_words(fleet: Fleet, situation: Situation) -> None:
    fleet.start("1")
    fact = fleet.decided(DRIVERI)[0]
    assert isinstance(fact, Decision)
    drift = DriftFound(
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
    (sentence,) = reasons(drift, Past(link=fleet.link(DRIVERI)))
    assert sentence.startswith(f"Situation {situation}: ")
    assert len(sentence) > len(f"Situation {situation}: .")
