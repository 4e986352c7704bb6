"""What a scan shows counts by what was reported before it began, wherever the clock jumps meanwhile."""

import asyncio
from datetime import timedelta

import pytest

from domain.driver_link import CreateDecided, RenameDecided
from domain.identity import Key, Target
from domain.outcomes import ObservedDriverGone, ObservedDriverSeen
from services.projector.read_models import RosterRow
from services.projector.scanning import MOST_LOOK_UPS
from services.projector.scans import RosterScan
from tests.support.stepped_services import ACME, SteppedServices
from tests.support.target_twin import Moment, TargetTwin
from tests.unit.services.projector.rosters import request, shown
from tests.unit.services.projector.sayings import reported, say
from tests.unit.services.wiring.rebuilt import put_in_place

DRIVERI = Target.DRIVERI
JUMPS = [timedelta(days=-400), timedelta(hours=-1), timedelta(seconds=-1), timedelta(0), timedelta(days=1)]
"""Where the clock jumps: back by any amount, not at all, or ahead."""


@pytest.fixture
def twin(fleet: SteppedServices) -> TargetTwin:
    """Driveri, whose drivers 1 to 3 have been read."""
    twin = fleet.twins[ACME, DRIVERI]
    for number in (1, 2, 3):
        twin.drivers.put(shown(number))
    fleet.follow(DRIVERI)
    fleet.scan(DRIVERI)
    return twin


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("then", JUMPS)
def test_a_jump_before_or_in_the_middle_of_a_scan_hides_nothing_made_by_hand(
    fleet: SteppedServices, twin: TargetTwin, jump: timedelta, then: timedelta
) -> None:
    def put_clock_right(call: str, _moment: Moment) -> None:
        if call == "scan":
            fleet.now += then

    fleet.now += jump
    twin.drivers.put(shown(1, "Roe"))
    twin.drivers.drop(shown(2).key)
    twin.touched = put_clock_right
    request(fleet)
    before = len(reported(fleet))
    fleet.scan(DRIVERI)
    assert found(fleet, before) == [(ObservedDriverSeen, "1"), (ObservedDriverGone, "2")]


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("then", JUMPS)
def test_a_jump_in_the_middle_of_a_scan_overrides_no_newer_answer(
    fleet: SteppedServices, twin: TargetTwin, jump: timedelta, then: timedelta
) -> None:
    scan, read_before = begin(fleet), twin.drivers.scan()
    fleet.now += jump
    say(fleet, RenameDecided, "p1", key="1", desired_key="9", profile={"last_name": "Roe"})
    say(fleet, CreateDecided, "p2", desired_key="8")
    assert fleet.call(DRIVERI) == 2
    fleet.now += then
    before, scans = len(reported(fleet)), fleet.projectors[DRIVERI]._scans
    scans.take_page(scan, read_before)
    scans.take_gone(scan, [Key("8"), Key("9")])
    assert found(fleet, before) == []


@pytest.mark.parametrize("jump", JUMPS)
def test_what_a_look_up_has_found_meanwhile_is_newer_than_the_scan(
    fleet: SteppedServices, twin: TargetTwin, jump: timedelta
) -> None:
    scan, read_before = begin(fleet), twin.drivers.scan()
    fleet.now += jump
    twin.drivers.put(shown(1, "Roe"))
    twin.drivers.put(shown(4))
    twin.drivers.drop(shown(2).key)
    look_up(fleet, "1", "2", "4")
    before, scans = len(reported(fleet)), fleet.projectors[DRIVERI]._scans
    scans.take_page(scan, read_before)
    scans.take_gone(scan, [Key("4")])
    assert found(fleet, before) == []


@pytest.mark.parametrize("jump", JUMPS)
def test_a_scan_before_which_an_answer_came_is_newer_than_the_answer(
    fleet: SteppedServices, twin: TargetTwin, jump: timedelta
) -> None:
    say(fleet, CreateDecided, "p2", desired_key="8")
    fleet.call(DRIVERI)
    fleet.now += jump
    twin.drivers.put(shown(8, "Roe"))
    before = len(reported(fleet))
    request(fleet)
    fleet.scan(DRIVERI)
    assert found(fleet, before) == [(ObservedDriverSeen, "8")]


@pytest.mark.usefixtures("twin")
def test_of_two_pages_of_a_scan_that_show_one_driver_the_later_counts(fleet: SteppedServices) -> None:
    scan, scans = begin(fleet), fleet.projectors[DRIVERI]._scans
    scans.take_page(scan, [shown(1, "Roe")])
    scans.take_page(scan, [shown(1, "Poe")])
    assert fleet.projector_stores[DRIVERI].select(RosterRow, {"key": "1"})[0].version == 3


@pytest.mark.parametrize("jump", JUMPS)
def test_rebuilt_rosters_are_as_they_were_kept_wherever_the_clock_jumped(
    fleet: SteppedServices, twin: TargetTwin, jump: timedelta
) -> None:
    scan, read_before = begin(fleet), twin.drivers.scan()
    fleet.now += jump
    say(fleet, RenameDecided, "p1", key="1", desired_key="9", profile={"last_name": "Roe"})
    fleet.call(DRIVERI)
    look_up(fleet, "2", "3")
    fleet.projectors[DRIVERI]._scans.take_page(scan, [*read_before, shown(7)])
    fleet.now -= jump
    twin.drivers.drop(shown(3).key)
    request(fleet)
    fleet.scan(DRIVERI)
    kept = list(fleet.projector_stores[DRIVERI].scan(RosterRow))
    fleet.close()
    put_in_place(fleet.folder)
    assert list(fleet.reopened().projector_stores[DRIVERI].scan(RosterRow)) == kept


def begin(fleet: SteppedServices) -> RosterScan:
    """Begin the scan that a person asks for."""
    request(fleet)
    return next(scan for scan in fleet.projectors[DRIVERI]._scans.due() if scan.account == ACME)


def look_up(fleet: SteppedServices, *keys: str) -> None:
    """Look drivers up as a person asks for it."""
    request(fleet, DRIVERI, "p1", *keys)
    reconciling = fleet.projectors[DRIVERI]._scanning
    for row in reconciling._reads.due((), MOST_LOOK_UPS):
        asyncio.run(reconciling.read(row))


def found(fleet: SteppedServices, before: int) -> list[tuple[type, str]]:
    """What scans have reported of target drivers since then."""
    seen = (ObservedDriverSeen, ObservedDriverGone)
    return [(type(event), event.key) for event in reported(fleet)[before:] if isinstance(event, seen)]
