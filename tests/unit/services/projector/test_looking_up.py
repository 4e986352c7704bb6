"""One driver is looked up because a person asked: what differs is reported, then that it was done, or why not."""

from dataclasses import replace

import pytest

from domain.failures import Reason, Rejected, Unavailable
from domain.identity import Key, Target
from domain.outcomes import DriverLookedUp, ObservedDriverGone, ObservedDriverSeen, RosterScanned
from domain.store import Event
from services.projector.read_models import LookUp
from tests.support.stepped_services import ACME, SteppedServices
from tests.support.target_twin import Moment
from tests.unit.services.projector.rosters import due, request, shown
from tests.unit.services.projector.sayings import reported

DRIVERI, MOTIVE = Target.DRIVERI, Target.MOTIVE
DOWN = Unavailable(reason=Reason.DOWN, detail="the target is down")


def looked_up(fleet: SteppedServices, driver: str, *keys: str, target: Target = DRIVERI) -> list[Event]:
    """What looking a driver up reports."""
    before = len(reported(fleet, target))
    request(fleet, target, driver, *keys)
    fleet.scan(target)
    return reported(fleet, target)[before:]


def version(fleet: SteppedServices) -> int:
    return fleet.accounts.show(ACME).version


def left(fleet: SteppedServices, target: Target = DRIVERI) -> list[LookUp]:
    return fleet.projector_stores[target].select(LookUp)


def test_only_what_differs_is_reported_then_that_it_was_done(scanned: SteppedServices) -> None:
    twin = scanned.twins[ACME, DRIVERI]
    twin.drivers.put(shown(1, "Roe"))
    twin.drivers.drop(Key("2"))
    twin.drivers.put(shown(9))
    found = looked_up(scanned, "p1", "1", "2", "3", "8", "9")
    assert [type(event) for event in found] == [ObservedDriverSeen] * 2 + [ObservedDriverGone, DriverLookedUp]
    assert [getattr(event, "key", "") for event in found] == ["1", "9", "2", ""]
    done = found[-1]
    assert isinstance(done, DriverLookedUp)
    assert (done.driver, done.request, done.reason, done.detail) == ("p1", version(scanned), "", "")
    assert left(scanned) == []
    assert twin.scans == 1


def test_a_driver_with_our_external_id_is_found_without_a_key(scanned: SteppedServices) -> None:
    twin = scanned.twins[ACME, MOTIVE]
    carrier = replace(shown(7), profile={"first_name": "Jane", "portal_driver_id": "p7"})
    twin.drivers.put(carrier)
    found = looked_up(scanned, "p7", target=MOTIVE)
    assert [getattr(event, "key", "") for event in found] == ["7", ""]


def test_it_concerns_one_target_only(scanned: SteppedServices) -> None:
    request(scanned, DRIVERI, "p1", "1")
    scanned.follow(MOTIVE)
    assert left(scanned, MOTIVE) == []
    assert due(scanned) == []


def test_a_failure_is_reported_with_its_reason_and_nothing_is_tried_again(scanned: SteppedServices) -> None:
    scanned.twins[ACME, DRIVERI].blind = DOWN
    (done,) = looked_up(scanned, "p1", "1")
    assert isinstance(done, DriverLookedUp)
    assert (done.reason, done.detail) == ("down", "the target is down")
    assert left(scanned) == []


def test_what_fails_unexpectedly_is_a_failure_too(scanned: SteppedServices) -> None:
    def fail(_call: str, _moment: Moment) -> None:
        raise ZeroDivisionError

    scanned.twins[ACME, DRIVERI].touched = fail
    (done,) = looked_up(scanned, "p1", "1")
    assert isinstance(done, DriverLookedUp)
    assert (done.reason, done.detail) == ("down", "unexpected ZeroDivisionError")


def test_no_driver_is_looked_up_while_the_breaker_is_open(scanned: SteppedServices) -> None:
    twin = scanned.twins[ACME, DRIVERI]
    twin.blind = Rejected(reason=Reason.CREDENTIALS, detail="answered 401")
    looked_up(scanned, "p1", "1")
    twin.called.clear()
    assert looked_up(scanned, "p2", "2") == []
    assert twin.called == []
    twin.mend()
    scanned.wait(seconds=6)
    scanned.probe(DRIVERI)
    scanned.scan(DRIVERI)
    assert left(scanned) == []


def test_no_driver_is_looked_up_for_an_account_that_has_turned_sync_off(scanned: SteppedServices) -> None:
    request(scanned, DRIVERI, "p1", "1")
    scanned.turn_off()
    scanned.follow(DRIVERI)
    scanned.twins[ACME, DRIVERI].called.clear()
    scanned.scan(DRIVERI)
    done = reported(scanned)[-1]
    assert isinstance(done, DriverLookedUp)
    assert done.reason == "not_configured"
    assert scanned.twins[ACME, DRIVERI].called == []


def test_every_request_gets_its_answer(scanned: SteppedServices) -> None:
    request(scanned, DRIVERI, "p1", "1")
    request(scanned, DRIVERI, "p1", "1")
    scanned.scan(DRIVERI)
    scanned.scan(DRIVERI)
    done = [event.request for event in reported(scanned) if isinstance(event, DriverLookedUp)]
    assert done == [version(scanned) - 1, version(scanned)]


def test_a_kill_before_the_end_repeats_it_and_reports_it_once(scanned: SteppedServices) -> None:
    class Killed(BaseException):
        pass

    def kill(_call: str, _moment: Moment) -> None:
        raise Killed

    twin = scanned.twins[ACME, DRIVERI]
    twin.drivers.put(shown(1, "Roe"))
    request(scanned, DRIVERI, "p1", "1")
    twin.touched = kill
    with pytest.raises(Killed):
        scanned.scan(DRIVERI)
    twin.touched = lambda _call, _moment: None
    again = scanned.reopened()
    before = len(reported(again))
    again.scan(DRIVERI)
    again.scan(DRIVERI)
    assert [type(event) for event in reported(again)[before:]] == [ObservedDriverSeen, DriverLookedUp]
    again.close()


def test_scans_are_numbered_on_behind_it(scanned: SteppedServices) -> None:
    looked_up(scanned, "p1", "1")
    request(scanned)
    scanned.scan(DRIVERI)
    numbered = [event for event in reported(scanned) if isinstance(event, RosterScanned | DriverLookedUp)]
    versions = [event.originator_version for event in numbered if event.account == ACME]
    assert versions == [1, 2, 3]
