"""A scan reports what differs from what was known, and that it is complete; a failed one nothing but that."""

from collections import Counter
from dataclasses import replace

import pytest

from domain.account import Mode
from domain.driver_link import CreateDecided, RenameDecided
from domain.failures import Reason, Rejected, Unavailable
from domain.identity import AccountId, Key, Target
from domain.matching import ObservedDriver, UnreadableRecord
from domain.outcomes import BreakerOpened, ObservedDriverSeen, RosterScanFailed, RosterScanned
from domain.store import StoreConflict
from services.projector.breaker import FAILURES_TO_OPEN
from services.projector.read_models import RosterRow, ScanRow
from services.projector.scans import MOST_UNREADABLE_REPORTED, RosterScan
from tests.support.stepped_services import ACME, SteppedServices
from tests.support.target_twin import Moment, TargetTwin
from tests.unit.services.projector.conftest import SECOND
from tests.unit.services.projector.rosters import request, shown
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
    twin.drivers.put(ObservedDriver(key=Key(f"D{number}"), active=active, profile=profile))


def scan_again(fleet: SteppedServices) -> list[tuple[str, str]]:
    """Let the account ask for a scan, and name what it reports: the facts and their drivers."""
    before = len(reported(fleet))
    fleet.turn_off()
    fleet.turn_on()
    fleet.follow(Target.DRIVERI)
    fleet.scan(Target.DRIVERI)
    return [(type(event).__name__, getattr(event, "key", "")) for event in reported(fleet)[before:]]


def test_the_first_scan_reports_everybody(fleet: SteppedServices, twin: TargetTwin) -> None:
    fleet.scan(Target.DRIVERI)
    seen = {event.key for event in reported(fleet) if isinstance(event, ObservedDriverSeen)}
    assert seen == {driver.key for driver in twin.drivers.scan()}
    last = reported(fleet)[-1]
    assert isinstance(last, RosterScanned)
    assert (last.drivers, last.policy_generation) == (250, fleet.accounts.show(ACME).policy_generation[Target.DRIVERI])


def test_a_further_scan_reports_only_differences(fleet: SteppedServices, twin: TargetTwin) -> None:
    fleet.scan(Target.DRIVERI)
    assert scan_again(fleet) == [("RosterScanned", "")]
    put(twin, 3, "Roe")
    put(twin, 120, active=False)
    put(twin, 900)
    twin.drivers.drop(Key("D7"))
    assert sorted(scan_again(fleet)) == [
        ("ObservedDriverGone", "D7"),
        ("ObservedDriverSeen", "D120"),
        ("ObservedDriverSeen", "D3"),
        ("ObservedDriverSeen", "D900"),
        ("RosterScanned", ""),
    ]


def test_a_driver_who_was_gone_and_is_back_is_reported(fleet: SteppedServices, twin: TargetTwin) -> None:
    fleet.scan(Target.DRIVERI)
    twin.drivers.drop(Key("D7"))
    scan_again(fleet)
    put(twin, 7)
    assert scan_again(fleet) == [("ObservedDriverSeen", "D7"), ("RosterScanned", "")]


def test_a_scan_that_fails_half_way_reports_no_driver_as_gone(fleet: SteppedServices, twin: TargetTwin) -> None:
    fleet.scan(Target.DRIVERI)
    twin.drivers.drop(Key("D249"))
    put(twin, 0, "Roe")
    twin.breaks_off = 1, DOWN
    assert scan_again(fleet) == [("ObservedDriverSeen", "D0"), ("RosterScanFailed", "")]
    assert fleet.projector_stores[Target.DRIVERI].count(RosterRow, {"is_there": True}) == {(): 250}


def test_a_failure_is_reported_once_and_again_when_it_is_another(fleet: SteppedServices, twin: TargetTwin) -> None:
    for failure in (DOWN, DOWN, Rejected(reason=Reason.CREDENTIALS, detail="401"), DOWN):
        twin.breaks_off = 0, failure
        fleet.scan(Target.DRIVERI)
        fleet.scan(Target.DRIVERI)
        fleet.wait(seconds=10)
        fleet.probe(Target.DRIVERI)
    failed = [event.reason for event in reported(fleet) if isinstance(event, RosterScanFailed)]
    assert failed == ["down", "credentials", "down"]


def test_a_scan_that_succeeds_ends_the_failure(fleet: SteppedServices, twin: TargetTwin) -> None:
    twin.breaks_off = 0, DOWN
    fleet.scan(Target.DRIVERI)
    twin.breaks_off = None
    fleet.scan(Target.DRIVERI)
    (row,) = fleet.projector_stores[Target.DRIVERI].select(ScanRow)
    assert (row.failure, row.policy_generation) == ("", fleet.accounts.show(ACME).policy_generation[Target.DRIVERI])
    twin.breaks_off = 0, DOWN
    assert scan_again(fleet) == [("RosterScanFailed", "")]


def test_what_fails_unexpectedly_is_that_accounts_own_trouble(fleet: SteppedServices, twin: TargetTwin) -> None:
    def fail(_call: str, _moment: Moment) -> None:
        raise ZeroDivisionError

    twin.touched = fail
    fleet.scan(Target.DRIVERI)
    (failed,) = reported(fleet)
    assert isinstance(failed, RosterScanFailed)
    assert (failed.reason, failed.detail) == ("down", "unexpected ZeroDivisionError")


def test_an_account_that_cannot_be_reached_is_reported_as_such(fleet: SteppedServices) -> None:
    stranger = AccountId("stranger")
    fleet.add(stranger)
    fleet.follow(Target.DRIVERI)
    fleet.scan(Target.DRIVERI)
    failed = [event for event in reported(fleet) if isinstance(event, RosterScanFailed)]
    assert [(event.account, event.reason) for event in failed] == [(stranger, "not_configured")]


def test_a_sighting_older_than_our_own_answer_says_nothing(fleet: SteppedServices, twin: TargetTwin) -> None:
    fleet.scan(Target.DRIVERI)
    scans = fleet.projectors[Target.DRIVERI]._scans
    read_before = twin.drivers.scan()
    request(fleet)
    (scan,) = scans.due()
    say(fleet, RenameDecided, "p1", key="D1", desired_key="D1000", profile={"last_name": "Roe"})
    say(fleet, CreateDecided, "p2", desired_key="D2000")
    fleet.call(Target.DRIVERI)
    before = len(reported(fleet))
    scans.take_page(scan, read_before)
    scans.take_gone(scan, [Key("D1000"), Key("D2000")])
    scans.complete(scan, {driver.key for driver in read_before})
    assert [type(event).__name__ for event in reported(fleet)[before:]] == ["RosterScanned"]
    shown = fleet.projector_stores[Target.DRIVERI].select(RosterRow, {"key": ["D1", "D1000", "D2000"]}, order_by="key")
    assert [(row.key, row.is_there) for row in shown] == [("D1", False), ("D1000", True), ("D2000", True)]


def test_a_sighting_newer_than_our_own_answer_is_reported(fleet: SteppedServices, twin: TargetTwin) -> None:
    say(fleet, CreateDecided, "p2", desired_key="D2000")
    fleet.call(Target.DRIVERI)
    put(twin, 2000, "Roe")
    assert ("ObservedDriverSeen", "D2000") in scan_again(fleet)


def test_a_scan_is_due_once_for_each_terms(fleet: SteppedServices, twin: TargetTwin) -> None:
    fleet.scan(Target.DRIVERI)
    assert [*fleet.projectors[Target.DRIVERI]._scans.due()] == []
    fleet.set_mode(Target.DRIVERI, Mode.OBSERVE)
    fleet.follow(Target.DRIVERI)
    assert [scan.account for scan in fleet.projectors[Target.DRIVERI]._scans.due()] == [ACME]
    assert len(twin.drivers.scan()) == 250


def test_no_scan_is_due_while_sync_is_off(fleet: SteppedServices, twin: TargetTwin) -> None:
    fleet.turn_off()
    fleet.follow(Target.DRIVERI)
    assert [*fleet.projectors[Target.DRIVERI]._scans.due()] == []
    assert twin.called == []


def test_a_scan_that_a_kill_cut_off_is_read_again_from_its_start(fleet: SteppedServices, twin: TargetTwin) -> None:
    class Killed(BaseException):
        pass

    def kill(_call: str, _moment: Moment) -> None:
        if len(reported(fleet)) >= 100:
            raise Killed

    twin.touched = kill
    with pytest.raises(Killed):
        fleet.scan(Target.DRIVERI)
    twin.touched = lambda _call, _moment: None
    again = fleet.reopened()
    again.scan(Target.DRIVERI)
    events = reported(again)
    assert len([event for event in events if isinstance(event, ObservedDriverSeen)]) == 250
    assert isinstance(events[-1], RosterScanned)
    again.close()


def test_a_page_that_names_a_driver_in_another_state_is_what_counts_last(
    fleet: SteppedServices, twin: TargetTwin
) -> None:
    scans = fleet.projectors[Target.DRIVERI]._scans
    (scan,) = scans.due()
    shown = twin.drivers.scan()[0]
    scans.take_page(scan, [shown])
    (later,) = scans.due()
    scans.take_page(later, [replace(shown, active=False)])
    (row,) = fleet.projector_stores[Target.DRIVERI].select(RosterRow)
    assert (row.active, row.version) == (False, 2)


def test_an_empty_list_is_not_believed_where_a_driver_is_there(fleet: SteppedServices, twin: TargetTwin) -> None:
    fleet.scan(Target.DRIVERI)
    hide(twin, 250)
    assert scan_again(fleet) == [("RosterScanFailed", "")]
    assert known_there(fleet) == 250
    twin.hidden = frozenset()
    fleet.scan(Target.DRIVERI)
    assert isinstance(reported(fleet)[-1], RosterScanned)


def test_a_list_that_lacks_more_than_a_third_is_not_believed(fleet: SteppedServices, twin: TargetTwin) -> None:
    fleet.scan(Target.DRIVERI)
    hide(twin, 84)
    assert scan_again(fleet) == [("RosterScanFailed", "")]
    failed = reported(fleet)[-1]
    assert isinstance(failed, RosterScanFailed)
    assert failed.reason == "down"
    assert failed.detail == ("the list is not whole: of 50 drivers that it lacks, 50 are there")
    assert known_there(fleet) == 250


def test_a_list_that_is_not_whole_leaves_the_breaker_closed(fleet: SteppedServices, twin: TargetTwin) -> None:
    fleet.scan(Target.DRIVERI)
    hide(twin, 250)
    scan_again(fleet)
    for _ in range(FAILURES_TO_OPEN + 1):
        fleet.scan(Target.DRIVERI)
    assert not [event for event in reported(fleet) if isinstance(event, BreakerOpened)]
    assert len([event for event in reported(fleet) if isinstance(event, RosterScanFailed)]) == 1


def test_many_who_are_really_gone_are_gone(fleet: SteppedServices, twin: TargetTwin) -> None:
    fleet.scan(Target.DRIVERI)
    for number in range(200):
        twin.drivers.drop(Key(f"D{number}"))
    assert Counter(name for name, _ in scan_again(fleet)) == {"ObservedDriverGone": 200, "RosterScanned": 1}
    assert known_there(fleet) == 50


def test_a_list_that_lacks_deleted_drivers_is_believed(fleet: SteppedServices, twin: TargetTwin) -> None:
    for number in range(50, 250):
        put(twin, number, active=False)
    fleet.scan(Target.DRIVERI)
    for number in range(50, 250):
        twin.drivers.drop(Key(f"D{number}"))
    twin.called.clear()
    assert ("RosterScanned", "") in scan_again(fleet)
    assert twin.called == []


def test_in_motive_no_driver_who_is_there_is_gone_whatever_its_list_hides(fleet: SteppedServices) -> None:
    motive = fleet.twins[ACME, Target.MOTIVE]
    for number in range(60):
        put(motive, number)
    fleet.follow(Target.MOTIVE)
    fleet.scan(Target.MOTIVE)
    hide(motive, 40)
    motive.drivers.drop(Key("D50"))
    before = len(reported(fleet, Target.MOTIVE))
    fleet.ask(lambda person, account: person.reconciliation(account, Target.MOTIVE))
    fleet.follow(Target.MOTIVE)
    fleet.scan(Target.MOTIVE)
    found = [(type(event).__name__, getattr(event, "key", "")) for event in reported(fleet, Target.MOTIVE)[before:]]
    assert found == [("ObservedDriverGone", "D50"), ("RosterScanned", "")]


def test_a_scan_fails_when_no_driver_can_be_looked_up(fleet: SteppedServices, twin: TargetTwin) -> None:
    fleet.scan(Target.DRIVERI)
    hide(twin, 250)
    twin.blind = DOWN
    assert scan_again(fleet) == [("RosterScanFailed", "")]
    assert known_there(fleet) == 250


def test_a_scan_that_finds_everything_in_step_does_not_read_everybody_known(
    fleet: SteppedServices, twin: TargetTwin
) -> None:
    fleet.scan(Target.DRIVERI)
    scans = fleet.projectors[Target.DRIVERI]._scans
    scan = RosterScan(account=ACME, policy_generation=99, request=0, began=fleet.now)
    last_event = scans.last_event()
    assert scans.take_page(scan, twin.drivers.scan()) == 250
    assert scans.is_none_lacking(scan, 250, last_event)
    assert not scans.is_none_lacking(scan, 249, last_event)
    assert not scans.is_none_lacking(scan, 250, last_event - 1)


def hide(twin: TargetTwin, drivers: int) -> None:
    """The list does not show this many, who are there."""
    twin.hidden = frozenset(Key(f"D{number}") for number in range(drivers))


def known_there(fleet: SteppedServices) -> int:
    return fleet.projector_stores[Target.DRIVERI].count(RosterRow, {"is_there": True})[()]


def test_a_scan_reports_the_records_that_it_could_not_read(fleet: SteppedServices, twin: TargetTwin) -> None:
    twin.unreadable = tuple(
        UnreadableRecord(
            place=f"offset 0, {number}", key=f"X{number}", fields=("email", "phone"), is_left_out=number < 1
        )
        for number in range(MOST_UNREADABLE_REPORTED + 5)
    )
    fleet.scan(Target.DRIVERI)
    last = reported(fleet)[-1]
    assert isinstance(last, RosterScanned)
    assert (last.unreadable, len(last.unreadable_records)) == (MOST_UNREADABLE_REPORTED + 5, MOST_UNREADABLE_REPORTED)
    assert last.unreadable_records[:2] == [
        {"place": "offset 0, 0", "key": "X0", "fields": "email, phone", "driver": "left out"},
        {"place": "offset 0, 1", "key": "X1", "fields": "email, phone", "driver": "shown"},
    ]
    twin.unreadable = ()
    scan_again(fleet)
    after = reported(fleet)[-1]
    assert isinstance(after, RosterScanned)
    assert (after.unreadable, after.unreadable_records) == (0, [])


def test_a_scan_stores_nothing_for_an_account_that_has_gone_to_another_process(fleet: SteppedServices) -> None:
    fleet.follow(Target.DRIVERI)
    app = fleet.projectors[Target.DRIVERI]
    scan, before = next(app._scans.due()), reported(fleet)
    app._assignment.hold(())
    with pytest.raises(StoreConflict):
        app._scans.take_page(scan, [shown(7)])
    with pytest.raises(StoreConflict):
        app._scans.complete(scan, set())
    assert reported(fleet) == before
