"""A walk reports what differs from what was known, and that it is complete; a failed one nothing but that."""

import asyncio
from dataclasses import replace

import pytest

from domain.account import Mode
from domain.driver_link import CreateDecided, RenameDecided
from domain.failures import Reason, Rejected, Unavailable
from domain.identity import AccountId, Key, Target
from domain.report import TargetDriverSeen, WalkCompleted, WalkFailed
from domain.roster import TargetDriver
from services.projector.read_models import RosterRow, WalkRow
from services.projector.walking import Walk
from tests.support.stepped_services import ACME, SteppedServices
from tests.support.target_twin import Moment, TargetTwin
from tests.unit.services.projector.conftest import SECOND
from tests.unit.services.projector.sayings import reported, say

DOWN = Unavailable(reason=Reason.DOWN, detail="the target is down")


@pytest.fixture
def twin(fleet: SteppedServices) -> TargetTwin:
    """Driveri of the one account that is on, with 250 drivers: three pages."""
    fleet.turn_off(SECOND)
    fleet.set_mode(Target.MOTIVE, Mode.OFF)
    fleet.follow(Target.DRIVERI)
    twin = fleet.twins[ACME, Target.DRIVERI]
    for number in range(250):
        put(twin, number)
    return twin


def put(twin: TargetTwin, number: int, last_name: str = "Doe", *, active: bool = True) -> None:
    profile = {"first_name": f"First {number}", "last_name": last_name}
    twin.drivers.put(TargetDriver(key=Key(f"D{number}"), active=active, profile=profile))


def walk_again(fleet: SteppedServices) -> list[tuple[str, str]]:
    """Let the account ask for a walk, and name what it reports: the facts, and whom they are about."""
    before = len(reported(fleet))
    fleet.turn_off()
    fleet.turn_on()
    fleet.follow(Target.DRIVERI)
    fleet.walk(Target.DRIVERI)
    return [(type(event).__name__, getattr(event, "key", "")) for event in reported(fleet)[before:]]


def test_the_first_walk_reports_everybody(fleet: SteppedServices, twin: TargetTwin) -> None:
    fleet.walk(Target.DRIVERI)
    seen = {event.key for event in reported(fleet) if isinstance(event, TargetDriverSeen)}
    assert seen == {driver.key for driver in twin.drivers.walk()}
    last = reported(fleet)[-1]
    assert isinstance(last, WalkCompleted)
    assert (last.drivers, last.terms) == (250, fleet.accounts.show(ACME).terms[Target.DRIVERI])


def test_a_further_walk_reports_only_differences(fleet: SteppedServices, twin: TargetTwin) -> None:
    fleet.walk(Target.DRIVERI)
    assert walk_again(fleet) == [("WalkCompleted", "")]
    put(twin, 3, "Roe")
    put(twin, 120, active=False)
    put(twin, 900)
    twin.drivers.drop(Key("D7"))
    assert sorted(walk_again(fleet)) == [
        ("TargetDriverGone", "D7"),
        ("TargetDriverSeen", "D120"),
        ("TargetDriverSeen", "D3"),
        ("TargetDriverSeen", "D900"),
        ("WalkCompleted", ""),
    ]


def test_a_driver_who_was_gone_and_is_back_is_reported(fleet: SteppedServices, twin: TargetTwin) -> None:
    fleet.walk(Target.DRIVERI)
    twin.drivers.drop(Key("D7"))
    walk_again(fleet)
    put(twin, 7)
    assert walk_again(fleet) == [("TargetDriverSeen", "D7"), ("WalkCompleted", "")]


def test_a_walk_that_fails_half_way_reports_nobody_as_gone(fleet: SteppedServices, twin: TargetTwin) -> None:
    fleet.walk(Target.DRIVERI)
    twin.drivers.drop(Key("D249"))
    put(twin, 0, "Roe")
    twin.breaks_off = 1, DOWN
    assert walk_again(fleet) == [("TargetDriverSeen", "D0"), ("WalkFailed", "")]
    assert fleet.projector_stores[Target.DRIVERI].count(RosterRow, {"is_there": True}) == {(): 250}


def test_a_failure_is_reported_once_and_again_when_it_is_another(fleet: SteppedServices, twin: TargetTwin) -> None:
    for failure in (DOWN, DOWN, Rejected(reason=Reason.CREDENTIALS, detail="401"), DOWN):
        twin.breaks_off = 0, failure
        fleet.walk(Target.DRIVERI)
        fleet.walk(Target.DRIVERI)
        fleet.wait(seconds=10)
        fleet.probe(Target.DRIVERI)
    failed = [event.reason for event in reported(fleet) if isinstance(event, WalkFailed)]
    assert failed == ["down", "credentials", "down"]


def test_a_walk_that_succeeds_ends_the_failure(fleet: SteppedServices, twin: TargetTwin) -> None:
    twin.breaks_off = 0, DOWN
    fleet.walk(Target.DRIVERI)
    twin.breaks_off = None
    fleet.walk(Target.DRIVERI)
    (row,) = fleet.projector_stores[Target.DRIVERI].select(WalkRow)
    assert (row.failure, row.terms) == ("", fleet.accounts.show(ACME).terms[Target.DRIVERI])
    twin.breaks_off = 0, DOWN
    assert walk_again(fleet) == [("WalkFailed", "")]


def test_what_fails_unexpectedly_is_that_accounts_own_trouble(fleet: SteppedServices, twin: TargetTwin) -> None:
    def fail(_call: str, _moment: Moment) -> None:
        raise ZeroDivisionError

    twin.touched = fail
    fleet.walk(Target.DRIVERI)
    (failed,) = reported(fleet)
    assert isinstance(failed, WalkFailed)
    assert (failed.reason, failed.detail) == ("down", "unexpected ZeroDivisionError")


def test_an_account_that_cannot_be_reached_is_reported_as_such(fleet: SteppedServices) -> None:
    stranger = AccountId("stranger")
    fleet.add(stranger)
    fleet.follow(Target.DRIVERI)
    fleet.walk(Target.DRIVERI)
    failed = [event for event in reported(fleet) if isinstance(event, WalkFailed)]
    assert [(event.account, event.reason) for event in failed] == [(stranger, "not_configured")]


def test_a_sighting_older_than_our_own_answer_says_nothing(fleet: SteppedServices, twin: TargetTwin) -> None:
    fleet.walk(Target.DRIVERI)
    walks = fleet.projectors[Target.DRIVERI]._walks
    read_before = twin.drivers.walk()
    walk = Walk(account=ACME, terms=99, request=0, began=fleet.now)
    fleet.wait(seconds=1)
    say(fleet, RenameDecided, "p1", key="D1", wished_key="D1000", profile={"last_name": "Roe"})
    say(fleet, CreateDecided, "p2", wished_key="D2000")
    fleet.call(Target.DRIVERI)
    before = len(reported(fleet))
    walks.take_page(walk, read_before)
    walks.complete(walk, {driver.key for driver in read_before})
    assert [type(event).__name__ for event in reported(fleet)[before:]] == ["WalkCompleted"]
    shown = fleet.projector_stores[Target.DRIVERI].select(RosterRow, {"key": ["D1", "D1000", "D2000"]}, order_by="key")
    assert [(row.key, row.is_there) for row in shown] == [("D1", False), ("D1000", True), ("D2000", True)]


def test_a_sighting_newer_than_our_own_answer_is_reported(fleet: SteppedServices, twin: TargetTwin) -> None:
    say(fleet, CreateDecided, "p2", wished_key="D2000")
    fleet.call(Target.DRIVERI)
    put(twin, 2000, "Roe")
    assert ("TargetDriverSeen", "D2000") in walk_again(fleet)


def test_a_walk_is_due_once_for_each_terms(fleet: SteppedServices, twin: TargetTwin) -> None:
    fleet.walk(Target.DRIVERI)
    assert fleet.projectors[Target.DRIVERI]._walks.due() == []
    fleet.set_mode(Target.DRIVERI, Mode.OBSERVE)
    fleet.follow(Target.DRIVERI)
    assert [walk.account for walk in fleet.projectors[Target.DRIVERI]._walks.due()] == [ACME]
    assert len(twin.drivers.walk()) == 250


def test_no_walk_is_due_while_sync_is_off(fleet: SteppedServices, twin: TargetTwin) -> None:
    fleet.turn_off()
    fleet.follow(Target.DRIVERI)
    assert fleet.projectors[Target.DRIVERI]._walks.due() == []
    assert twin.called == []


def test_a_walk_that_a_kill_cut_off_is_read_again_from_its_start(fleet: SteppedServices, twin: TargetTwin) -> None:
    class Killed(BaseException):
        pass

    def kill(_call: str, _moment: Moment) -> None:
        if len(reported(fleet)) == 200:
            raise Killed

    twin.touched = kill
    with pytest.raises(Killed):
        fleet.walk(Target.DRIVERI)
    twin.touched = lambda _call, _moment: None
    again = fleet.reopened()
    again.walk(Target.DRIVERI)
    events = reported(again)
    assert len([event for event in events if isinstance(event, TargetDriverSeen)]) == 250
    assert isinstance(events[-1], WalkCompleted)
    again.close()


def test_rosters_are_walked_side_by_side(fleet: SteppedServices) -> None:
    fleet.set_mode(Target.MOTIVE, Mode.OFF)
    fleet.follow(Target.DRIVERI)
    app = fleet.projectors[Target.DRIVERI]
    asyncio.run(app._walk_all(app._walks.due()))
    assert sorted(event.account for event in reported(fleet) if isinstance(event, WalkCompleted)) == [ACME, SECOND]


def test_a_page_that_names_a_driver_in_another_state_is_what_counts_last(
    fleet: SteppedServices, twin: TargetTwin
) -> None:
    walks = fleet.projectors[Target.DRIVERI]._walks
    (walk,) = walks.due()
    shown = twin.drivers.walk()[0]
    fleet.wait(seconds=1)
    walks.take_page(walk, [shown])
    fleet.wait(seconds=1)
    later = replace(walk, began=fleet.now)
    fleet.wait(seconds=1)
    walks.take_page(later, [replace(shown, active=False)])
    (row,) = fleet.projector_stores[Target.DRIVERI].select(RosterRow)
    assert (row.active, row.version) == (False, 2)
