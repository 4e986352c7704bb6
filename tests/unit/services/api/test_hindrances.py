"""What keeps a whole account from moving is told before anything else."""

from domain.account import Mode, Tier
from domain.failures import Reason, Unavailable
from domain.identity import PortalDriverId, Target
from services.api.explanations import DriverState
from tests.support.stated import whole
from tests.unit.services.api.fleet import ACME, JANE, Fleet

DRIVERI, MOTIVE = Target.DRIVERI, Target.MOTIVE


def test_an_unknown_driver_is_told_to_be_unknown(fleet: Fleet) -> None:
    fleet.start("1")
    explanation = fleet.explain("99")
    assert not explanation.is_known
    assert list(explanation.lines()) == ["The Portal never stated a driver 99 in account acme."]


def test_an_account_that_nobody_added_is_told(fleet: Fleet) -> None:
    fleet.state("1", **JANE)
    assert fleet.state_on(DRIVERI) == DriverState(
        target="driveri",
        state="undecided",
        sentence="There is no account acme yet: its drivers are kept in mind, nothing is decided.",
        advice="Add the account: `driverlink accounts add acme`.",
    )


def test_sync_that_is_off_says_who_can_turn_it_on(fleet: Fleet) -> None:
    fleet.add()
    fleet.state("1", **JANE)
    assert fleet.state_on(MOTIVE) == DriverState(
        target="motive",
        state="undecided",
        sentence="Sync Drivers is off: nothing is decided or sent.",
        advice="The Master User, jane, can turn it on: `driverlink sync on acme --as PERSON`.",
    )


def test_a_standard_account_is_told_who_has_to_allow_it_first(fleet: Fleet) -> None:
    fleet.add(Tier.STANDARD)
    fleet.state("1", **JANE)
    assert fleet.state_on(DRIVERI).advice == (
        "The account manager, bob, has to allow it on the Standard tier: `driverlink accounts allow acme --as PERSON`. "
        "The Master User, jane, can turn it on: `driverlink sync on acme --as PERSON`."
    )
    fleet.ask("bob", lambda person, known: person.allow(known))
    assert fleet.state_on(DRIVERI).advice == (
        "The Master User, jane, can turn it on: `driverlink sync on acme --as PERSON`."
    )
    assert fleet.facts("account") == ["bob (account manager) allowed Sync Drivers on the account's tier."]


def test_sync_turned_off_tells_how_it_stood_before(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.turn_off()
    assert fleet.state_on(DRIVERI).sentence == (
        "Sync Drivers is off: nothing is decided or sent. As it stood before: In step: linked to DriverID D1."
    )
    assert fleet.facts("account")[-1] == "jane (Master User) turned Sync Drivers off."


def test_a_delete_that_sync_off_left_undone_is_told(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.turn_off()
    fleet.delete("1")
    explanation = fleet.explain()
    assert explanation.portal == "deleted the driver at 2026-03-01 08:09:00 UTC."
    assert explanation.states[0].sentence == (
        "Sync Drivers is off: nothing is decided or sent. "
        "As it stood before: Still linked to DriverID D1, though the Portal deleted the driver."
    )


def test_a_deleted_driver_who_never_was_there_needs_nothing(fleet: Fleet) -> None:
    fleet.add()
    fleet.state("1", **JANE)
    fleet.delete("1")
    assert fleet.state_on(DRIVERI) == DriverState(
        target="driveri",
        state="undecided",
        sentence="Nothing was ever decided for Driveri, and the Portal has deleted the driver.",
        advice="",
    )


def test_a_target_in_the_mode_off_says_how_to_change_it(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.set_mode(DRIVERI, Mode.OFF)
    fleet.state("2", **JANE)
    assert fleet.state_on(DRIVERI, "2") == DriverState(
        target="driveri",
        state="undecided",
        sentence="The mode for Driveri is off: nothing is decided or sent.",
        advice="Say how far it may go: `driverlink accounts mode acme driveri full --as PERSON`.",
    )


def test_a_roster_that_is_still_being_read_is_waited_for(fleet: Fleet) -> None:
    fleet.add()
    fleet.state("1", **JANE)
    fleet.turn_on()
    assert fleet.state_on(DRIVERI) == DriverState(
        target="driveri",
        state="undecided",
        sentence="The roster of Driveri is being read: decisions follow as soon as it is complete.",
        advice="",
    )


def test_a_roster_that_cannot_be_read_is_told_with_the_reason_and_since_when(fleet: Fleet) -> None:
    fleet.add()
    fleet.state("1", **JANE)
    fleet.turn_on()
    fleet.fail_scan(DRIVERI, Unavailable(reason=Reason.DOWN, detail="answered 503"))
    assert fleet.state_on(DRIVERI) == DriverState(
        target="driveri",
        state="undecided",
        sentence="The roster of Driveri cannot be read since 2026-03-01 08:04:00 UTC (down: answered 503): "
        "nothing is decided. It is tried again by itself.",
        advice="",
    )


def test_in_the_mode_observe_it_is_told_that_nothing_is_sent(fleet: Fleet) -> None:
    fleet.add()
    fleet.state("1", **JANE)
    fleet.turn_on()
    fleet.set_mode(DRIVERI, Mode.OBSERVE)
    fleet.scan(DRIVERI)
    assert fleet.state_on(DRIVERI) == DriverState(
        target="driveri",
        state="pending",
        sentence="Not linked yet. Decided, but nothing is sent in the mode observe: "
        "Driveri shall get a new driver, DriverID D1.",
        advice="To have it sent, set the mode to full: `driverlink accounts mode acme driveri full --as PERSON`.",
    )
    assert fleet.why("driveri", 1)[-1] == "Mode observe: decided and recorded, but nothing is sent."


def test_a_change_that_nobody_has_looked_at_waits_for_its_turn(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.portal.state(ACME, PortalDriverId("2"), whole(JANE), source="export")
    assert fleet.state_on(DRIVERI, "2").sentence == (
        "A change that the Portal stated at 2026-03-01 08:08:00 UTC waits undecided: the decider has not taken it over."
    )


def test_a_link_that_ended_before_sync_came_back_is_told(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.delete("1")
    fleet.settle()
    fleet.turn_off()
    fleet.state("1", **JANE)
    assert fleet.state_on(DRIVERI).sentence == (
        "Sync Drivers is off: nothing is decided or sent. As it stood before: Not there: nobody on Driveri is linked."
    )


def test_an_account_that_was_just_added_waits_for_the_services_to_run(fleet: Fleet) -> None:
    fleet.add_only()
    fleet.portal.state(ACME, PortalDriverId("1"), whole(JANE), source="export")
    assert fleet.state_on(DRIVERI) == DriverState(
        target="driveri",
        state="undecided",
        sentence="The services have not taken account acme over yet: nothing is decided before they run.",
        advice="See that they run: `driverlink up`, or `driverlink serve`.",
    )


def test_a_decision_that_waits_for_a_closed_way_is_told_with_the_reason(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.state("2", **JANE)
    fleet.open_breaker(DRIVERI, Reason.CREDENTIALS, "answered 401")
    fleet.state("3", first_name="Jane", ref_id="R3")
    assert fleet.state_on(DRIVERI, "3") == DriverState(
        target="driveri",
        state="pending",
        sentence="Not linked yet. Driveri shall get a new driver, DriverID R3. "
        "No calls are made to Driveri since 2026-03-01 08:09:00 UTC (credentials: answered 401): "
        "what is decided waits. Whether it answers is tried again by itself.",
        advice="Check the credentials: `driverlink accounts connect acme driveri`.",
    )
    assert fleet.state_on(DRIVERI, "1").sentence == "In step: linked to DriverID D1."


def test_a_roster_that_waits_for_a_closed_way_is_told_with_the_reason(fleet: Fleet) -> None:
    fleet.add()
    fleet.state("1", **JANE)
    fleet.turn_on()
    fleet.open_breaker(DRIVERI, Reason.DOWN, "answered 503")
    assert fleet.state_on(DRIVERI) == DriverState(
        target="driveri",
        state="undecided",
        sentence="The roster of Driveri is not read yet: nothing is decided. "
        "No calls are made to Driveri since 2026-03-01 08:03:00 UTC (down: answered 503): "
        "what is decided waits. Whether it answers is tried again by itself.",
        advice="",
    )
