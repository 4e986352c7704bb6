"""A fleet lives through a day at Motive, under each reading of what Motive's texts leave open.

No driver is lost or doubled, the external ids of other integrations survive, and what cannot be done says why and stops
no other driver.
"""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from httpx import ASGITransport, AsyncClient

from adapters.motive.target import MotiveDrivers
from adapters.motive.wire import MotiveAccess
from domain.driver_link import Deferred, Refused
from domain.identity import Target
from services.sandbox import motive
from services.sandbox.motive.company import Assumptions
from tests.contract.targets.sandboxes import Json, Time
from tests.contract.targets.test_motive_assumptions import ONE_BY_ONE, pairs
from tests.support.stepped_services import ACME, SteppedServices, person
from tests.support.target_twin import TargetTwin

UNMANAGED = range(100, 106)
SEED: Json = {
    "api_key": "acme-key",
    "users": [
        {
            "id": 1,
            "first_name": "Old 1",
            "last_name": "Last",
            "driver_company_id": "R1",
            "external_ids": [{"external_id": "W1", "integration_name": "payroll"}],
        },
        {
            "id": 2,
            "first_name": "Old 2",
            "last_name": "Last",
            "driver_company_id": "R2",
            "status": "deactivated",
            "external_ids": [{"external_id": "W2", "integration_name": "payroll"}],
        },
        *(
            {
                "id": number,
                "first_name": "Unmanaged",
                "last_name": f"S{number}",
                "external_ids": [{"external_id": f"W{number}", "integration_name": "payroll"}],
            }
            for number in UNMANAGED
        ),
    ],
}
EVERYBODY = {"p1", "p2", "p3", "p4", "p5", "p6"}

IMPOSSIBLE: Mapping[tuple[str, object], Mapping[str, str]] = {
    ("names_in_updates", "neither"): dict.fromkeys(("p1", "p2"), "neither as"),
    ("status_in_updates", "ignored"): {"p2": "status is as it was", "p5": "status is as it was"},
    ("status_in_updates", "refused"): {"p2": "status is not permitted", "p5": "status is not permitted"},
    ("password", "required"): dict.fromkeys(("p3", "p4", "p5", "p6"), "password can't be blank"),
    ("created_users", "not_there"): dict.fromkeys(("p3", "p4", "p5", "p6"), "the user is not there"),
}
"""The drivers for which something cannot be done under a switch, and what is said then."""

NEVER_TAKEN_OFF = ("external_ids_calls", "absent")
"""The switch under which no external id can be taken off, so that a driver who left keeps the DriverID."""


class Day:
    """A fleet on the product and on Motive's sandbox; Driveri is a twin."""

    def __init__(self, folder: Path, switches: Json) -> None:
        time = Time()
        self.app = motive.application({"companies": [{**SEED, "assumptions": switches}]}, time.milliseconds)
        access = MotiveAccess(base_url="http://sandbox.test", api_key="acme-key")
        transport = ASGITransport(self.app)
        drivers = MotiveDrivers(access, transport=transport, clock=time, pause=time.pause, jitter=lambda: 0.0)
        twins = {(ACME, Target.MOTIVE): cast("TargetTwin", drivers), (ACME, Target.DRIVERI): TargetTwin(Target.DRIVERI)}
        self.services = SteppedServices(folder, twins)
        self.services.add()

    def state(self, number: int, **changed: str) -> None:
        """The Portal states one driver."""
        self.services.state(f"p{number}", person(number, **changed))

    def run(self) -> None:
        """Everybody works until nothing is left to do, also a day later, with another look at the roster."""
        self.services.run()
        self.services.wait(hours=25)
        self.services.run()

    def live(self) -> None:
        """Drivers are adopted, reinstated, created, changed, deleted and hired again."""
        for number in (1, 2, 4, 5):
            self.state(number)
        odd = {"phone": "+1 (303) 555-0142", "licence_number": "co 12-3", "licence_state": "CO"}
        self.state(3, email="P3@fleet.test", **odd)
        self.run()
        self.state(1, driveri_driver_id="D9", first_name="First")
        self.state(3, email="p4@fleet.test", **odd)
        self.state(4, email="p3@fleet.test")
        self.services.delete("p5")
        self.state(6, driveri_driver_id="D5")
        self.run()
        self.run()

    def users(self) -> list[Json]:
        """All users that the sandbox keeps."""
        users: list[Json] = asyncio.run(self._asked("state"))["companies"][0]["users"]
        return users

    def calls(self) -> int:
        """How many writes have reached the sandbox."""
        return len(asyncio.run(self._asked("journal"))["entries"])

    def reasons(self) -> dict[str, str]:
        """Everything that was said of what could not be done, by driver."""
        reasons: dict[str, str] = {}
        for event in self.services.decided(Target.MOTIVE):
            if isinstance(event, Refused | Deferred):
                reasons[event.driver] = f"{reasons.get(event.driver, '')} {event.detail}"
        return reasons

    async def _asked(self, about: str) -> Any:  # noqa: ANN401
        async with AsyncClient(transport=ASGITransport(self.app), base_url="http://sandbox.test") as client:
            return (await client.get(f"/sandbox/{about}", params={"limit": 1000} if about == "journal" else {})).json()


def own(users: list[Json]) -> dict[str, Json]:
    """The users who carry our external id, by it; fails if two carry the same."""
    carried = [(value, user) for user in users for name, value in pairs(user) if name == "gps_portal"]
    found = dict(carried)
    assert len(found) == len(carried)
    return found


def others_ids(users: list[Json]) -> set[tuple[int, str]]:
    """Who carries which external id of the other integration."""
    return {(user["id"], value) for user in users for name, value in pairs(user) if name == "payroll"}


@pytest.fixture(params=[None, *ONE_BY_ONE], ids=str)
def switch(request: pytest.FixtureRequest) -> tuple[str, object] | None:
    chosen: tuple[str, object] | None = request.param
    return chosen


@pytest.fixture
def day(switch: tuple[str, object] | None, tmp_path: Path) -> Iterator[Day]:
    day = Day(tmp_path, dict([switch]) if switch else {})
    yield day
    day.services.close()


def test_a_fleet_lives_through_a_day_at_motive_and_everybody_is_there_once(
    day: Day, switch: tuple[str, object] | None
) -> None:
    impossible = IMPOSSIBLE.get(switch, {}) if switch else {}
    before = day.users()
    day.live()
    users = day.users()
    unmanaged = [user for user in users if user["id"] in UNMANAGED]
    assert unmanaged == [user for user in before if user["id"] in UNMANAGED]
    assert others_ids(users) == others_ids(before)
    assert len(users) <= len(before) + 4
    assert len(own(users)) <= len(EVERYBODY)
    reasons = day.reasons()
    for driver, words in impossible.items():
        assert words in reasons.get(driver, ""), driver
    if not impossible:
        check_end(day, switch)


def check_end(day: Day, switch: tuple[str, object] | None) -> None:
    """Everybody as desired; a driver who left is hired again as who it was; then nothing is written any more."""
    found = own(day.users())
    assert found.keys() == EVERYBODY
    assert (found["p1"]["id"], found["p2"]["id"]) == (1, 2)
    assert {driver: user["status"] for driver, user in found.items()} == {
        driver: "deactivated" if driver == "p5" else "active" for driver in EVERYBODY
    }
    assert (found["p1"]["first_name"], found["p2"]["first_name"]) == ("First", "First 2")
    assert (found["p3"]["email"], found["p4"]["email"]) == ("p4@fleet.test", "p3@fleet.test")
    assert [driver for driver, user in found.items() if ("driveri", "D5") in pairs(user)] == [
        "p5" if switch == NEVER_TAKEN_OFF else "p6"
    ]
    assert ("driveri", "D9") in pairs(found["p1"])
    leaver = found["p5"]["id"]
    day.state(5, driveri_driver_id="D55")
    day.run()
    again = own(day.users())
    assert (again["p5"]["id"], again["p5"]["status"]) == (leaver, "active")
    assert ("driveri", "D55") in pairs(again["p5"])
    assert set(day.services.states(Target.MOTIVE).values()) == {"in_sync"}
    calls = day.calls()
    day.run()
    assert day.calls() == calls


def test_every_switch_is_tried() -> None:
    late = {"shown_after"}  # what is shown late is in `test_late_vendors`
    assert {name for name, _ in ONE_BY_ONE} | late == set(Assumptions.model_fields)
