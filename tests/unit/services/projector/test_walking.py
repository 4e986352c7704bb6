"""A walk reports what differs from what was known, and that it is complete; a failed one nothing but that."""

from collections import Counter
from dataclasses import replace

import pytest

from domain.account import Mode
from domain.driver_link import CreateDecided, RenameDecided
from domain.failures import Reason, Rejected, Unavailable
from domain.identity import AccountId, Key, Target
from domain.matching import TargetDriver, UnreadableRecord
from domain.outcomes import BreakerOpened, TargetDriverSeen, WalkCompleted, WalkFailed
from services.projector.breaker import RUN
from services.projector.read_models import RosterRow, ScanRow
from services.projector.scans import MOST_UNREADABLE_TOLD, Walk
from tests.support.stepped_services import ACME, SteppedServices
from tests.support.target_twin import Moment, TargetTwin
from tests.unit.services.projector.conftest import SECOND
from tests.unit.services.projector.rosters import request
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
    (row,) = fleet.projector_stores[Target.DRIVERI].select(ScanRow)
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
    request(fleet)
    (walk,) = walks.due()
    say(fleet, RenameDecided, "p1", key="D1", wished_key="D1000", profile={"last_name": "Roe"})
    say(fleet, CreateDecided, "p2", wished_key="D2000")
    fleet.call(Target.DRIVERI)
    before = len(reported(fleet))
    walks.take_page(walk, read_before)
    walks.take_gone(walk, [Key("D1000"), Key("D2000")])
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
        if len(reported(fleet)) >= 100:
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


def test_a_page_that_names_a_driver_in_another_state_is_what_counts_last(
    fleet: SteppedServices, twin: TargetTwin
) -> None:
    walks = fleet.projectors[Target.DRIVERI]._walks
    (walk,) = walks.due()
    shown = twin.drivers.walk()[0]
    walks.take_page(walk, [shown])
    (later,) = walks.due()
    walks.take_page(later, [replace(shown, active=False)])
    (row,) = fleet.projector_stores[Target.DRIVERI].select(RosterRow)
    assert (row.active, row.version) == (False, 2)


def test_an_empty_list_is_not_believed_where_somebody_is_there(fleet: SteppedServices, twin: TargetTwin) -> None:
    fleet.walk(Target.DRIVERI)
    hide(twin, 250)
    assert walk_again(fleet) == [("WalkFailed", "")]
    assert known_there(fleet) == 250
    twin.hidden = frozenset()
    fleet.walk(Target.DRIVERI)
    assert isinstance(reported(fleet)[-1], WalkCompleted)


def test_a_list_that_lacks_more_than_a_third_is_not_believed(fleet: SteppedServices, twin: TargetTwin) -> None:
    fleet.walk(Target.DRIVERI)
    hide(twin, 84)
    assert walk_again(fleet) == [("WalkFailed", "")]
    failed = reported(fleet)[-1]
    assert isinstance(failed, WalkFailed)
    assert failed.reason == "down"
    assert failed.detail == ("the list is not whole: 50 of 50 whom it lacks, and who were looked up, are there")
    assert known_there(fleet) == 250


def test_a_list_that_is_not_whole_leaves_the_breaker_closed(fleet: SteppedServices, twin: TargetTwin) -> None:
    fleet.walk(Target.DRIVERI)
    hide(twin, 250)
    walk_again(fleet)
    for _ in range(RUN + 1):
        fleet.walk(Target.DRIVERI)
    assert not [event for event in reported(fleet) if isinstance(event, BreakerOpened)]
    assert len([event for event in reported(fleet) if isinstance(event, WalkFailed)]) == 1


def test_many_who_are_really_gone_are_gone(fleet: SteppedServices, twin: TargetTwin) -> None:
    fleet.walk(Target.DRIVERI)
    for number in range(200):
        twin.drivers.drop(Key(f"D{number}"))
    assert Counter(name for name, _ in walk_again(fleet)) == {"TargetDriverGone": 200, "WalkCompleted": 1}
    assert known_there(fleet) == 50


def test_a_list_that_lacks_deleted_drivers_is_believed(fleet: SteppedServices, twin: TargetTwin) -> None:
    for number in range(50, 250):
        put(twin, number, active=False)
    fleet.walk(Target.DRIVERI)
    for number in range(50, 250):
        twin.drivers.drop(Key(f"D{number}"))
    twin.called.clear()
    assert ("WalkCompleted", "") in walk_again(fleet)
    assert twin.called == []


def test_in_motive_nobody_who_is_there_is_gone_whatever_its_list_hides(fleet: SteppedServices) -> None:
    motive = fleet.twins[ACME, Target.MOTIVE]
    for number in range(60):
        put(motive, number)
    fleet.follow(Target.MOTIVE)
    fleet.walk(Target.MOTIVE)
    hide(motive, 40)
    motive.drivers.drop(Key("D50"))
    before = len(reported(fleet, Target.MOTIVE))
    fleet.ask(lambda person, account: person.sweep(account, Target.MOTIVE))
    fleet.follow(Target.MOTIVE)
    fleet.walk(Target.MOTIVE)
    found = [(type(event).__name__, getattr(event, "key", "")) for event in reported(fleet, Target.MOTIVE)[before:]]
    assert found == [("TargetDriverGone", "D50"), ("WalkCompleted", "")]


def test_a_walk_fails_when_nobody_can_be_looked_up(fleet: SteppedServices, twin: TargetTwin) -> None:
    fleet.walk(Target.DRIVERI)
    hide(twin, 250)
    twin.blind = DOWN
    assert walk_again(fleet) == [("WalkFailed", "")]
    assert known_there(fleet) == 250


def test_a_walk_that_finds_everything_in_step_does_not_read_everybody_known(
    fleet: SteppedServices, twin: TargetTwin
) -> None:
    fleet.walk(Target.DRIVERI)
    walks = fleet.projectors[Target.DRIVERI]._walks
    walk = Walk(account=ACME, terms=99, request=0, began=fleet.now)
    last_event = walks.last_event()
    assert walks.take_page(walk, twin.drivers.walk()) == 250
    assert walks.is_nobody_lacking(walk, 250, last_event)
    assert not walks.is_nobody_lacking(walk, 249, last_event)
    assert not walks.is_nobody_lacking(walk, 250, last_event - 1)


def hide(twin: TargetTwin, drivers: int) -> None:
    """The list does not show so many, who are there."""
    twin.hidden = frozenset(Key(f"D{number}") for number in range(drivers))


def known_there(fleet: SteppedServices) -> int:
    return fleet.projector_stores[Target.DRIVERI].count(RosterRow, {"is_there": True})[()]


def test_a_walk_tells_of_the_records_that_it_could_not_read(fleet: SteppedServices, twin: TargetTwin) -> None:
    twin.unreadable = tuple(
        UnreadableRecord(
            place=f"offset 0, {number}", key=f"X{number}", fields=("email", "phone"), is_left_out=number < 1
        )
        for number in range(MOST_UNREADABLE_TOLD + 5)
    )
    fleet.walk(Target.DRIVERI)
    last = reported(fleet)[-1]
    assert isinstance(last, WalkCompleted)
    assert (last.unreadable, len(last.unreadable_records)) == (MOST_UNREADABLE_TOLD + 5, MOST_UNREADABLE_TOLD)
    assert last.unreadable_records[:2] == [
        {"place": "offset 0, 0", "key": "X0", "fields": "email, phone", "driver": "left out"},
        {"place": "offset 0, 1", "key": "X1", "fields": "email, phone", "driver": "shown"},
    ]
    twin.unreadable = ()
    walk_again(fleet)
    after = reported(fleet)[-1]
    assert isinstance(after, WalkCompleted)
    assert (after.unreadable, after.unreadable_records) == (0, [])
