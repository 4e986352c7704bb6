"""One driver is looked up because somebody asked: what differs is reported, then that it was done, or why not."""

from dataclasses import replace

import pytest

from domain.event import Event
from domain.failures import Reason, Rejected, Unavailable
from domain.identity import Key, Target
from domain.outcomes import DriverLookedUp, TargetDriverGone, TargetDriverSeen, WalkCompleted
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
    fleet.walk(target)
    return reported(fleet, target)[before:]


def version(fleet: SteppedServices) -> int:
    return fleet.accounts.show(ACME).version


def left(fleet: SteppedServices, target: Target = DRIVERI) -> list[LookUp]:
    return fleet.projector_stores[target].select(LookUp)


def test_only_what_differs_is_reported_then_that_it_was_done(walked: SteppedServices) -> None:
    twin = walked.twins[ACME, DRIVERI]
    twin.drivers.put(shown(1, "Roe"))
    twin.drivers.drop(Key("2"))
    twin.drivers.put(shown(9))
    found = looked_up(walked, "p1", "1", "2", "3", "8", "9")
    assert [type(event) for event in found] == [TargetDriverSeen] * 2 + [TargetDriverGone, DriverLookedUp]
    assert [getattr(event, "key", "") for event in found] == ["1", "9", "2", ""]
    done = found[-1]
    assert isinstance(done, DriverLookedUp)
    assert (done.driver, done.request, done.reason, done.detail) == ("p1", version(walked), "", "")
    assert left(walked) == []
    assert twin.walks == 1


def test_whoever_carries_our_external_id_is_found_without_a_key(walked: SteppedServices) -> None:
    twin = walked.twins[ACME, MOTIVE]
    carrier = replace(shown(7), profile={"first_name": "Jane", "portal_driver_id": "p7"})
    twin.drivers.put(carrier)
    found = looked_up(walked, "p7", target=MOTIVE)
    assert [getattr(event, "key", "") for event in found] == ["7", ""]


def test_it_concerns_one_target_only(walked: SteppedServices) -> None:
    request(walked, DRIVERI, "p1", "1")
    walked.follow(MOTIVE)
    assert left(walked, MOTIVE) == []
    assert due(walked) == []


def test_a_failure_is_reported_with_its_reason_and_nothing_is_tried_again(walked: SteppedServices) -> None:
    walked.twins[ACME, DRIVERI].blind = DOWN
    (done,) = looked_up(walked, "p1", "1")
    assert isinstance(done, DriverLookedUp)
    assert (done.reason, done.detail) == ("down", "the target is down")
    assert left(walked) == []


def test_what_fails_unexpectedly_is_a_failure_too(walked: SteppedServices) -> None:
    def fail(_call: str, _moment: Moment) -> None:
        raise ZeroDivisionError

    walked.twins[ACME, DRIVERI].touched = fail
    (done,) = looked_up(walked, "p1", "1")
    assert isinstance(done, DriverLookedUp)
    assert (done.reason, done.detail) == ("down", "unexpected ZeroDivisionError")


def test_nobody_is_looked_up_while_the_breaker_is_open(walked: SteppedServices) -> None:
    twin = walked.twins[ACME, DRIVERI]
    twin.blind = Rejected(reason=Reason.CREDENTIALS, detail="answered 401")
    looked_up(walked, "p1", "1")
    twin.called.clear()
    assert looked_up(walked, "p2", "2") == []
    assert twin.called == []
    twin.mend()
    walked.wait(seconds=6)
    walked.probe(DRIVERI)
    walked.walk(DRIVERI)
    assert left(walked) == []


def test_nobody_is_looked_up_for_an_account_that_has_turned_sync_off(walked: SteppedServices) -> None:
    request(walked, DRIVERI, "p1", "1")
    walked.turn_off()
    walked.follow(DRIVERI)
    walked.twins[ACME, DRIVERI].called.clear()
    walked.walk(DRIVERI)
    done = reported(walked)[-1]
    assert isinstance(done, DriverLookedUp)
    assert done.reason == "not_configured"
    assert walked.twins[ACME, DRIVERI].called == []


def test_every_request_gets_its_answer(walked: SteppedServices) -> None:
    request(walked, DRIVERI, "p1", "1")
    request(walked, DRIVERI, "p1", "1")
    walked.walk(DRIVERI)
    walked.walk(DRIVERI)
    done = [event.request for event in reported(walked) if isinstance(event, DriverLookedUp)]
    assert done == [version(walked) - 1, version(walked)]


def test_a_kill_before_the_end_repeats_it_and_reports_it_once(walked: SteppedServices) -> None:
    class Killed(BaseException):
        pass

    def kill(_call: str, _moment: Moment) -> None:
        raise Killed

    twin = walked.twins[ACME, DRIVERI]
    twin.drivers.put(shown(1, "Roe"))
    request(walked, DRIVERI, "p1", "1")
    twin.touched = kill
    with pytest.raises(Killed):
        walked.walk(DRIVERI)
    twin.touched = lambda _call, _moment: None
    again = walked.reopened()
    before = len(reported(again))
    again.walk(DRIVERI)
    again.walk(DRIVERI)
    assert [type(event) for event in reported(again)[before:]] == [TargetDriverSeen, DriverLookedUp]
    again.close()


def test_walks_are_numbered_on_behind_it(walked: SteppedServices) -> None:
    looked_up(walked, "p1", "1")
    request(walked)
    walked.walk(DRIVERI)
    numbered = [event for event in reported(walked) if isinstance(event, WalkCompleted | DriverLookedUp)]
    versions = [event.originator_version for event in numbered if event.account == ACME]
    assert versions == [1, 2, 3]
