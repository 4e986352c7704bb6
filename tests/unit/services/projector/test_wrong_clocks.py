"""A clock that was a day ahead, and is right again, lets nothing wait and hides nothing."""

import asyncio
from datetime import timedelta

import pytest

from domain.driver_link import CreateDecided
from domain.failures import Reason, Unavailable
from domain.identity import Target
from domain.outcomes import ObservedDriverGone, ObservedDriverSeen
from services.projector.breaker import FAILURES_TO_OPEN
from tests.support.stepped_services import ACME, SteppedServices
from tests.unit.services.projector.rosters import request, shown
from tests.unit.services.projector.sayings import answered, reported, say

DRIVERI = Target.DRIVERI
DOWN = Unavailable(reason=Reason.DOWN, detail="the target is down")
AHEAD = timedelta(days=1)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_what_was_decided_while_the_clock_was_ahead_is_called_at_once(
    fleet: SteppedServices, *, is_restarted: bool
) -> None:
    fleet.now += AHEAD
    for number in range(1, 4):
        say(fleet, CreateDecided, f"p{number}", desired_key=f"D{number}")
    fleet.now -= AHEAD
    fleet = fleet.reopened() if is_restarted else fleet
    assert fleet.call(DRIVERI) == 3
    assert [driver for driver, _, _ in answered(fleet)] == ["p1", "p2", "p3"]
    fleet.close()


def test_what_was_put_off_while_the_clock_was_ahead_is_called_when_it_is_right_again(fleet: SteppedServices) -> None:
    fleet.now += AHEAD
    fleet.twins[ACME, DRIVERI].fail_writes(DOWN, 1)
    say(fleet, CreateDecided)
    fleet.call(DRIVERI)
    fleet.now -= AHEAD
    assert fleet.call(DRIVERI) == 1
    assert answered(fleet)[-1] == ("p1", 1, "confirmed")


def test_a_breaker_that_opened_while_the_clock_was_ahead_is_probed_at_once(fleet: SteppedServices) -> None:
    fleet.now += AHEAD
    twin = fleet.twins[ACME, DRIVERI]
    twin.down = "before", DOWN
    for number in range(1, FAILURES_TO_OPEN + 1):
        say(fleet, CreateDecided, f"p{number}", desired_key=f"D{number}")
    fleet.call(DRIVERI)
    twin.mend()
    fleet.now -= AHEAD
    assert fleet.probe(DRIVERI) == 1


def test_a_scan_after_the_clock_was_put_right_sees_what_was_changed_by_hand(fleet: SteppedServices) -> None:
    twin = fleet.twins[ACME, DRIVERI]
    for number in (1, 2):
        twin.drivers.put(shown(number))
    fleet.follow(DRIVERI)
    fleet.now += AHEAD
    fleet.scan(DRIVERI)
    fleet.now -= AHEAD
    twin.drivers.put(shown(1, "Roe"))
    twin.drivers.drop(shown(2).key)
    before = len(reported(fleet))
    request(fleet)
    fleet.scan(DRIVERI)
    found = [type(event) for event in reported(fleet)[before:] if getattr(event, "key", "")]
    assert found == [ObservedDriverSeen, ObservedDriverGone]


def test_a_scan_that_failed_while_the_clock_was_ahead_is_made_again(fleet: SteppedServices) -> None:
    reconciling, twin = fleet.projectors[DRIVERI]._scanning, fleet.twins[ACME, DRIVERI]
    fleet.follow(DRIVERI)
    fleet.now += AHEAD
    twin.breaks_off = 0, DOWN
    for scan in reconciling.take()[0]:
        asyncio.run(reconciling.scan(scan))
    fleet.now -= AHEAD
    assert reconciling._is_time()
    assert ACME in [scan.account for scan in reconciling.take()[0]]
