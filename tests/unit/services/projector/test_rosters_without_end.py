"""Rosters that come to no end, and look-ups and probes without an answer, end with a reason."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from itertools import count

import pytest

from domain.driver_link import CreateDecided
from domain.failures import ListWithoutEnd, Reason, Unavailable
from domain.identity import Key, Target
from domain.matching import ObservedDriver, UnreadableRecords
from domain.outcomes import DriverLookedUp, RosterScanFailed
from domain.profile import Profile
from services.projector import scans
from services.projector.breaker import LONGEST_PROBE, _failure_of_probe
from services.projector.scanning import LONGEST_LOOK_UP, LONGEST_SCAN
from services.projector.scans import RosterScan
from tests.support import travelling_time
from tests.support.stepped_services import ACME, SteppedServices
from tests.support.target_twin import TargetTwin
from tests.unit.services.projector.rosters import due, request, shown
from tests.unit.services.projector.sayings import reported, say

DRIVERI = Target.DRIVERI


class Inventing(TargetTwin):
    """Shows ever more drivers, `new` of each page; `pages` is how many were read."""

    def __init__(self, new: int = 100) -> None:
        super().__init__(DRIVERI)
        self.pages = 0
        self._new = new

    async def scan(self, unreadable: UnreadableRecords | None = None) -> AsyncGenerator[Sequence[ObservedDriver], None]:  # noqa: ARG002
        numbers = count()
        while True:
            self.pages += 1
            yield [shown(next(numbers)) for _ in range(self._new)]


class Silent(TargetTwin):
    """Answers nothing."""

    async def scan(self, unreadable: UnreadableRecords | None = None) -> AsyncGenerator[Sequence[ObservedDriver], None]:  # noqa: ARG002
        await asyncio.Event().wait()
        yield []

    async def find(self, key: Key | None, profile: Profile) -> ObservedDriver | None:
        await asyncio.Event().wait()
        return await super().find(key, profile)

    async def probe(self) -> None:
        await asyncio.Event().wait()


def put(fleet: SteppedServices, twin: TargetTwin) -> None:
    assert isinstance(fleet.twins, dict)
    fleet.twins[ACME, DRIVERI] = twin
    fleet.follow(DRIVERI)


def failures(fleet: SteppedServices) -> list[tuple[str, str]]:
    return [(each.reason, each.detail) for each in reported(fleet) if isinstance(each, RosterScanFailed)]


def of_acme(fleet: SteppedServices) -> RosterScan:
    fleet.wait(seconds=1)
    return next(scan for scan in fleet.projectors[DRIVERI]._scans.due() if scan.account == ACME)


def test_two_hundred_thousand_invented_drivers_are_more_than_a_roster_may_show() -> None:
    assert scans.MOST_DRIVERS < 200_000
    assert scans.MOST_DRIVERS > 100_000


def test_a_roster_of_invented_drivers_ends_with_a_reason(
    fleet: SteppedServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans, "MOST_DRIVERS", 1000)
    twin = Inventing()
    put(fleet, twin)
    asyncio.run(fleet.projectors[DRIVERI]._scanning.scan(of_acme(fleet)))
    detail = "the roster shows more than 1000 drivers: check with the vendor what this account's list shows"
    assert failures(fleet) == [("down", detail)]
    assert twin.pages <= 12
    fleet.wait(seconds=200)
    assert ACME not in [scan.account for scan in fleet.projectors[DRIVERI]._scanning.take()[0]]
    fleet.wait(seconds=200)
    assert ACME in [scan.account for scan in fleet.projectors[DRIVERI]._scanning.take()[0]]


def test_a_list_that_is_too_long_in_all_is_read_again_seldom(fleet: SteppedServices) -> None:
    class Long(TargetTwin):
        async def scan(
            self,
            unreadable: UnreadableRecords | None = None,  # noqa: ARG002
        ) -> AsyncGenerator[Sequence[ObservedDriver], None]:
            yield [shown(1)]
            raise ListWithoutEnd(Unavailable(reason=Reason.DOWN, detail="longer than can be"))

    put(fleet, Long(DRIVERI))
    asyncio.run(fleet.projectors[DRIVERI]._scanning.scan(of_acme(fleet)))
    assert failures(fleet) == [("down", "longer than can be")]
    fleet.wait(seconds=200)
    assert ACME not in [scan.account for scan in fleet.projectors[DRIVERI]._scanning.take()[0]]
    fleet.wait(seconds=200)
    assert ACME in [scan.account for scan in fleet.projectors[DRIVERI]._scanning.take()[0]]


def test_a_large_fleet_may_have_a_large_roster(fleet: SteppedServices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "MOST_DRIVERS", 10)
    for number in range(5):
        say(fleet, CreateDecided, f"p{number}", desired_key=f"D{number}")
    for number in range(50):
        fleet.twins[ACME, DRIVERI].drivers.put(shown(number))
    asyncio.run(fleet.projectors[DRIVERI]._scanning.scan(of_acme(fleet)))
    assert failures(fleet) == []
    assert ACME not in due(fleet)


def test_pages_without_an_end_end_with_a_reason(fleet: SteppedServices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "MOST_PAGES", 20)
    put(fleet, Inventing(new=0))
    asyncio.run(fleet.projectors[DRIVERI]._scanning.scan(of_acme(fleet)))
    detail = (
        "the roster has more than 20 pages, and shows 0 drivers: check with the vendor what this account's list shows"
    )
    assert failures(fleet) == [("down", detail)]


def test_a_roster_that_is_not_read_for_hours_is_given_up(fleet: SteppedServices) -> None:
    put(fleet, Silent(DRIVERI))
    travelling_time.run(fleet.projectors[DRIVERI]._scanning.scan(of_acme(fleet)))
    assert failures(fleet) == [("down", f"the roster was not read within {LONGEST_SCAN / 3600:g} hours")]


def test_a_look_up_without_an_answer_is_given_up_with_a_reason(fleet: SteppedServices) -> None:
    put(fleet, Silent(DRIVERI))
    request(fleet, DRIVERI, "p1", "1")
    reconciling = fleet.projectors[DRIVERI]._scanning
    _, reads = reconciling.take()
    travelling_time.run(reconciling.read(reads[0]))
    (done,) = [event for event in reported(fleet) if isinstance(event, DriverLookedUp)]
    assert done.detail == f"no answer to a look-up within {LONGEST_LOOK_UP:.0f} seconds"


def test_a_probe_without_an_answer_is_given_up_with_a_reason() -> None:
    failure = travelling_time.run(_failure_of_probe(Silent(DRIVERI), ACME))
    assert isinstance(failure, Unavailable)
    assert failure.detail == f"no answer to a probe within {LONGEST_PROBE:.0f} seconds"
