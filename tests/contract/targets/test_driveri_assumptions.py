"""The product at Driveri under each reading of what is not public, whichever the sandbox assumes otherwise.

Each switch of `services/sandbox/driveri/assumptions.py` is set to its other values. The adapter keeps its contract,
apart from the few promises that a reading makes void; and a fleet that lives through a day of changes ends with
everybody there once, under the wished id, and nobody else touched.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from httpx import ASGITransport, AsyncClient
from starlette.applications import Starlette

from adapters.driveri import DriveriAccess, DriveriDrivers
from domain.driver_link import Refused
from domain.identity import Key, Target
from domain.ports import Done, Exists
from services.sandbox import driveri
from services.sandbox.driveri.assumptions import ASSUMED, Assumptions
from tests.contract.targets.drivers import DriveriContract
from tests.contract.targets.sandboxes import Json, Tenant, Time, in_process, tenant
from tests.contract.targets.stands import TargetStand
from tests.support.stepped_services import ACME, SteppedServices, person
from tests.support.target_twin import TargetTwin

pytestmark = pytest.mark.anyio

READINGS: dict[str, Json] = {
    "as assumed": {},
    "configurations flat": {"configurations": "flat"},
    "ids exact": {"ids": "exact"},
    "taken id 400": {"taken_id": 400},
    "deleted id freed": {"deleted_id": "freed"},
    "reinstating unknown refused": {"reinstating_unknown": "refused"},
    "reinstating live updated": {"reinstating_live": "updated"},
    "phone shown": {"phone": "shown"},
    "group unknown refused": {"group_unknown": "refused"},
    "look up deleted hidden": {"look_up_deleted": "hidden"},
    "look up miss empty": {"look_up_miss": "empty"},
    "short pages": {"longest_page": 7},
    "long limit cut": {"long_limit": "cut"},
    "bulk bounded": {"longest_bulk": 1},
    "errors at the top": {"errors": "at_the_top"},
    "writes answer nothing": {"write_answers": "empty"},
    "third token revokes": {"third_token": "oldest_revoked"},
    "tokens without secrets": {"listed_tokens": "without_secrets"},
    "the strictest of all": {
        "ids": "any_case",
        "taken_id": 400,
        "reinstating_unknown": "refused",
        "look_up_deleted": "hidden",
        "look_up_miss": "empty",
        "longest_page": 3,
        "errors": "at_the_top",
        "write_answers": "empty",
        "listed_tokens": "without_secrets",
    },
}


def test_every_switch_is_set_to_another_value() -> None:
    settings = [setting for reading in READINGS.values() for setting in reading.items()]
    turned = {name for name, value in settings if value != getattr(ASSUMED, name)}
    assert turned == set(Assumptions.model_fields)


@pytest.fixture(params=[name for name in READINGS if name not in ("ids exact", "deleted id freed")])
async def stand(request: pytest.FixtureRequest) -> AsyncIterator[Tenant]:
    async with tenant(in_process, assumptions=READINGS[request.param]) as stand:
        yield stand


class TestDriveriDriversUnderEachReading(DriveriContract):
    """The adapter keeps the contract."""


class TestDriveriDriversWithExactIds(DriveriContract):
    """Where letter case counts in Driveri, ids that differ in it alone are two drivers there."""

    @pytest.fixture
    async def stand(self) -> AsyncIterator[Tenant]:
        async with tenant(in_process, assumptions={"ids": "exact"}) as stand:
            yield stand

    async def test_an_id_can_change_in_letter_case_alone(self, stand: TargetStand) -> None:
        wished = (await stand.find(stand.people.bob)).profile
        answered = await stand.drivers.rename(stand.people.bob, Key("b 2"), wished)
        assert isinstance(answered, Done)
        assert (await stand.find(Key("b 2"))).key == "b 2"
        assert await stand.drivers.find(stand.people.bob, {}) is None

    @pytest.mark.parametrize(("taken", "active"), [("S-7", True), ("D/3", False)])
    async def test_a_rename_never_takes_the_id_of_another(
        self, stand: TargetStand, taken: str, *, active: bool
    ) -> None:
        await super().test_a_rename_never_takes_the_id_of_another(stand, taken, active=active)

    async def test_a_create_never_takes_the_id_of_another(self, stand: TargetStand) -> None:
        bob = await stand.find(stand.people.bob)
        assert await stand.drivers.create(stand.people.bob, stand.people.jane) == Exists(seen=bob)
        assert await stand.find(stand.people.bob) == bob


class TestDriveriDriversWithFreedIds(DriveriContract):
    """Where deleted drivers lose their ids to who asks for them, they go on under another one."""

    @pytest.fixture
    async def stand(self) -> AsyncIterator[Tenant]:
        async with tenant(in_process, assumptions={"deleted_id": "freed"}) as stand:
            yield stand

    async def test_a_deleted_driver_who_is_created_again_exists(self, stand: TargetStand) -> None:
        await stand.drivers.create(stand.people.wished_key, stand.people.jane)
        await stand.drivers.delete(Key("Zoë/1 %2F"))
        assert isinstance(await stand.drivers.create(stand.people.wished_key, stand.people.jane), Done)
        assert (await stand.find(Key("Zoë/1 %2F"))).active
        assert not (await stand.find(Key("Zoë/1 %2F-deleted-1"))).active

    @pytest.mark.parametrize(("taken", "active"), [("s-7", True)])
    async def test_a_rename_never_takes_the_id_of_another(
        self, stand: TargetStand, taken: str, *, active: bool
    ) -> None:
        await super().test_a_rename_never_takes_the_id_of_another(stand, taken, active=active)


SEED: Json = {
    "tenant": "acme",
    "clients": [{"client_id": "acme-key", "client_secret": "acme-secret"}],
    "drivers": [
        {"driverId": "D1", "firstName": "Old 1", "group": {"groupName": "North Region", "groupUniqueName": "north"}},
        {"driverId": "D2", "firstName": "Old 2", "status": 4},
        *({"driverId": f"S{number}", "firstName": "Stray"} for number in range(12)),
    ],
}
STRAYS = {f"S{number}" for number in range(12)}


class Day:
    """A fleet on the product and on Driveri's sandbox; Motive is a twin."""

    def __init__(self, folder: Path, reading: Json) -> None:
        time = Time()
        self.app = driveri.application({"tenants": [{**SEED, "assumptions": reading}]}, time.milliseconds)
        access = DriveriAccess(
            base_url="http://sandbox.test", tenant="acme", client_id="acme-key", client_secret="acme-secret"
        )
        transport = ASGITransport(self.app)
        drivers = DriveriDrivers(access, transport=transport, clock=time, pause=time.pause, jitter=lambda: 0.0)
        twins = {(ACME, Target.DRIVERI): cast("TargetTwin", drivers), (ACME, Target.MOTIVE): TargetTwin(Target.MOTIVE)}
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

    def kept(self) -> list[Json]:
        """All drivers that the sandbox keeps."""
        state = asyncio.run(_asked(self.app, "state"))
        drivers: list[Json] = state["tenants"][0]["drivers"]
        return drivers

    def created(self) -> list[str]:
        """Whom calls have made, in order."""
        entries = asyncio.run(_asked(self.app, "journal"))["entries"]
        return [entry["driver"] for entry in entries if entry["created"]]


async def _asked(app: Starlette, about: str) -> Any:  # noqa: ANN401
    async with AsyncClient(transport=ASGITransport(app), base_url="http://sandbox.test") as client:
        return (await client.get(f"/sandbox/{about}", params={"limit": 1000} if about == "journal" else {})).json()


@pytest.fixture(params=list(READINGS))
def day(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Day]:
    day = Day(tmp_path, READINGS[request.param])
    yield day
    day.services.close()


def everybody(drivers: list[Json]) -> dict[str, str]:
    """The active drivers who are no strays, by id; fails if two have the same id."""
    active = [driver for driver in drivers if driver["status"] == 1 and driver["driverId"] not in STRAYS]
    found = {driver["driverId"]: driver["firstName"] for driver in active}
    assert len(found) == len(active)
    return found


def test_a_fleet_lives_through_a_day_and_everybody_is_there_once(day: Day) -> None:
    for number in (1, 2, 3, 4, 5):
        day.state(number)
    day.run()
    assert everybody(day.kept()) == {f"D{number}": f"First {number}" for number in (1, 2, 3, 4, 5)}
    assert sorted(day.created()) == ["D3", "D4", "D5"]

    day.state(3, driveri_driver_id="X/3")
    day.state(1, driveri_driver_id="D2")
    day.state(2, driveri_driver_id="D1")
    day.state(4, driveri_driver_id="d4", first_name="Fourth")
    day.services.delete("p5")
    day.run()
    after = {"X/3": "First 3", "D2": "First 1", "D1": "First 2", "d4": "Fourth"}
    assert everybody(day.kept()) == after

    day.state(5)
    day.state(6, driveri_driver_id="D3")
    day.run()
    assert everybody(day.kept()) == {**after, "D5": "First 5", "D3": "First 6"}
    assert sorted(day.created()) == ["D3", "D3", "D4", "D5"]
    assert day.services.states() == {f"p{number}": "in_step" for number in (1, 2, 3, 4, 5, 6)}
    assert {each["driverId"] for each in day.kept() if each["firstName"] == "Stray" and each["status"] == 1} == STRAYS


def test_a_group_that_driveri_does_not_have_is_told_and_nobody_else_waits(tmp_path: Path) -> None:
    day = Day(tmp_path, READINGS["group unknown refused"])
    day.state(3, driveri_group="south")
    day.state(4, driveri_group="north")
    day.run()
    assert everybody(day.kept()) == {"D1": "Old 1", "D4": "First 4"}
    refused = [event for event in day.services.decided(Target.DRIVERI) if isinstance(event, Refused)]
    assert {(event.driver, event.reason, event.detail) for event in refused} == {
        ("p3", "invalid", "answered 400: INVALID_REQUEST group.name: there is no such group")
    }
    day.services.close()


def test_ids_that_differ_in_letter_case_only_make_nobody_twice(tmp_path: Path) -> None:
    day = Day(tmp_path, READINGS["ids exact"])
    day.state(1, driveri_driver_id="d1")
    day.state(2, driveri_driver_id="d2")
    day.run()
    assert everybody(day.kept()) == {"d1": "First 1", "d2": "First 2"}
    assert day.created() == []
    day.services.close()
