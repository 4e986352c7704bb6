"""The product at Driveri under each reading of what is not public, whichever the sandbox assumes otherwise.

Each switch of `services/sandbox/driveri/tenant.py` is set to its other values. The adapter keeps its contract,
apart from the few promises that a reading makes void; and a fleet that lives through a day of changes ends with
everybody there once, under the desired id, and no other driver touched.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from httpx import ASGITransport, AsyncClient
from starlette.applications import Starlette

from adapters.driveri.target import DriveriDrivers
from adapters.driveri.wire import DriveriAccess
from domain.driver_link import Deferred, Refused
from domain.failures import Rejected
from domain.identity import Key, Target
from domain.ports import Done, Exists
from services.sandbox import driveri
from services.sandbox.driveri.tenant import ASSUMED, Assumptions
from tests.contract.targets.drivers import DriveriContract
from tests.contract.targets.sandboxes import Json, Tenant, Time, in_process, tenant
from tests.contract.targets.stands import SEEDED, TargetStand
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
    "emails unique": {"emails": "unique"},
    "groups named by name": {"group_named_by": "name"},
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
    "status ignored": {"status_in_updates": "ignored"},
    "status refused": {"status_in_updates": "refused"},
    "reinstating keeps fields": {"reinstated_fields": "kept"},
    "reinstating keeps the status": {"reinstated_status": "kept"},
    "blanks ignored": {"blank_text": "ignored"},
    "blanks refused": {"blank_text": "refused"},
    "a part of a licence taken": {"partial_licence": "taken"},
    "states shown with country": {"license_states": "shown_with_country"},
    "states shown without country": {"license_states": "shown_without"},
    "states with country": {"license_states": "with_country"},
    "states without country": {"license_states": "without"},
    "another group refuses": {"other_group": "refused"},
    "another group is kept": {"other_group": "kept_first"},
    "deleted not listed": {"listed_deleted": "hidden"},
    "unset fields left out": {"unset_fields": "left_out"},
    "unset fields empty": {"unset_fields": "empty"},
    "links relative": {"links": "relative"},
    "links left out": {"links": "left_out"},
    "total left out": {"total_count": "left_out"},
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
        "reinstated_fields": "kept",
        "blank_text": "refused",
        "other_group": "refused",
        "unset_fields": "left_out",
        "links": "left_out",
        "total_count": "left_out",
    },
}


def test_every_switch_is_set_to_another_value() -> None:
    settings = [setting for reading in READINGS.values() for setting in reading.items()]
    turned = {name for name, value in settings if value != getattr(ASSUMED, name)}
    assert turned | {"shown_after"} == set(Assumptions.model_fields)  # what is shown late is in `test_late_vendors`


OF_THEIR_OWN = {
    "ids exact",
    "deleted id freed",
    "status ignored",
    "status refused",
    "states shown with country",
    "states with country",
    "deleted not listed",
    "reinstating keeps fields",
    "reinstating keeps the status",
    "blanks ignored",
    "blanks refused",
    "a part of a licence taken",
    "states without country",
    "another group refuses",
    "another group is kept",
}
"""Readings under which the contract differs, or that say nothing of most of it; see below."""


@pytest.fixture(params=[name for name in READINGS if name not in OF_THEIR_OWN])
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
        desired = (await stand.find(stand.people.bob)).profile
        answered = await stand.drivers.rename(stand.people.bob, Key("b 2"), desired)
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
        await stand.drivers.create(stand.people.desired_key, stand.people.jane)
        await stand.drivers.delete(Key("Zoë/1 %2F"))
        assert isinstance(await stand.drivers.create(stand.people.desired_key, stand.people.jane), Done)
        assert (await stand.find(Key("Zoë/1 %2F"))).active
        assert not (await stand.find(Key("Zoë/1 %2F-deleted-1"))).active

    @pytest.mark.parametrize(("taken", "active"), [("s-7", True)])
    async def test_a_rename_never_takes_the_id_of_another(
        self, stand: TargetStand, taken: str, *, active: bool
    ) -> None:
        await super().test_a_rename_never_takes_the_id_of_another(stand, taken, active=active)


class TestDriveriDriversWhereTheListHidesDeletedOnes(DriveriContract):
    """A deleted driver is found by its id alone."""

    @pytest.fixture
    async def stand(self) -> AsyncIterator[Tenant]:
        async with tenant(in_process, assumptions={"listed_deleted": "hidden"}) as stand:
            yield stand

    async def test_a_scan_shows_everybody_once(self, stand: TargetStand) -> None:
        shown = [driver.key for driver in await stand.roster()]
        assert sorted(shown) == sorted({stand.people.bob, *(f"S-{number}" for number in range(SEEDED))})

    async def test_a_deleted_driver_stays_to_be_seen(self, stand: TargetStand) -> None:
        assert isinstance(await stand.drivers.delete(stand.people.bob), Done)
        assert not (await stand.find(stand.people.bob)).active


STATUS_IS_NOT_WRITTEN = {"ignored": "the driver's status is as it was", "refused": "status: cannot be written"}


@pytest.mark.parametrize("status", STATUS_IS_NOT_WRITTEN)
async def test_a_delete_without_effect_is_said_and_leaves_the_driver_as_it_was(status: str) -> None:
    async with tenant(in_process, seeded=3, assumptions={"status_in_updates": status}) as stand:
        before = await stand.find(stand.people.bob)
        for _ in range(2):
            answered = await stand.drivers.delete(stand.people.bob)
            assert isinstance(answered, Rejected)
            assert STATUS_IS_NOT_WRITTEN[status] in answered.detail
        assert await stand.find(stand.people.bob) == before


@pytest.mark.parametrize("status", STATUS_IS_NOT_WRITTEN)
async def test_a_deleted_driver_comes_back_without_a_status_that_is_written(status: str) -> None:
    async with tenant(in_process, seeded=3, assumptions={"status_in_updates": status}) as stand:
        answered = await stand.drivers.reinstate(stand.people.departed, stand.people.jane)
        assert isinstance(answered, Done)
        found = await stand.find(stand.people.departed)
        assert found.active
        assert stand.is_shown(stand.people.jane, found)


@pytest.mark.parametrize("other_group", ["left", "refused", "kept_first"])
async def test_a_driver_moves_from_one_group_to_another(other_group: str) -> None:
    async with tenant(in_process, seeded=3, assumptions={"other_group": other_group}) as stand:
        for group in ("North", "South", "West", "West"):
            desired = {**stand.people.jane, "driveri_group": group}
            answered = await stand.drivers.update(stand.people.bob, desired, tuple(desired))
            assert isinstance(answered, Done)
            assert (await stand.find(stand.people.bob)).profile["driveri_group"] == group
        kept = (await stand.state())["tenants"][0]["drivers"][0]
        assert (kept["group"]["groupUniqueName"], kept["furtherGroups"]) == ("West", None)


@pytest.mark.parametrize("other_group", ["left", "refused", "kept_first"])
async def test_a_deleted_driver_comes_back_into_another_group(other_group: str) -> None:
    async with tenant(in_process, seeded=3, assumptions={"other_group": other_group}) as stand:
        north, south = ({**stand.people.jane, "driveri_group": group} for group in ("North", "South"))
        await stand.drivers.update(stand.people.bob, north, tuple(north))
        await stand.drivers.delete(stand.people.bob)
        assert isinstance(await stand.drivers.reinstate(stand.people.bob, south), Done)
        found = await stand.find(stand.people.bob)
        assert found.active
        assert stand.is_shown(south, found)


@pytest.mark.parametrize("other_group", ["left", "refused", "kept_first"])
async def test_a_rename_that_moves_to_another_group_is_done_in_the_end(other_group: str) -> None:
    async with tenant(in_process, seeded=3, assumptions={"other_group": other_group}) as stand:
        north, south = ({**stand.people.jane, "driveri_group": group} for group in ("North", "South"))
        await stand.drivers.update(stand.people.bob, north, tuple(north))
        assert isinstance(await stand.drivers.rename(stand.people.bob, Key("B 9"), south), Done)
        assert stand.is_shown(south, await stand.find(Key("B 9")))


async def test_a_driver_stays_in_its_group_where_there_is_only_that_one() -> None:
    switches = {"other_group": "refused", "group_unknown": "refused"}
    async with tenant(in_process, seeded=3, assumptions=switches) as stand:
        desired = {**stand.people.jane, "driveri_group": "North"}
        await stand.drivers.update(stand.people.bob, desired, tuple(desired))
        answered = await stand.drivers.update(
            stand.people.bob, {**desired, "driveri_group": "South"}, ["driveri_group"]
        )
        assert isinstance(answered, Rejected)
        assert "there is no such group" in answered.detail
        assert (await stand.find(stand.people.bob)).profile["driveri_group"] == "North"


@pytest.mark.parametrize("again", [False, True])
async def test_an_email_address_that_another_driver_has_is_refused_in_words_and_makes_no_driver(*, again: bool) -> None:
    async with tenant(in_process, seeded=3, assumptions={"emails": "unique"}) as stand:
        if again:
            await stand.drivers.delete(stand.people.bob)
        before = (await stand.state())["tenants"][0]["drivers"]
        desired = {**stand.people.jane, "email": "BOB@fleet.test"}
        for answered in (
            await stand.drivers.create(stand.people.desired_key, desired),
            await stand.drivers.update(Key("S-1"), desired, tuple(desired)),
            await stand.drivers.rename(Key("S-1"), Key("S 1"), desired),
        ):
            assert isinstance(answered, Rejected)
            assert "email: another driver has it" in answered.detail
        assert (await stand.state())["tenants"][0]["drivers"] == before
        own = (await stand.find(stand.people.bob)).profile
        assert isinstance(await stand.drivers.reinstate(stand.people.bob, own), Done)


@pytest.mark.parametrize(("named_by", "name"), [("unique_name", "groupUniqueName"), ("name", "groupName")])
@pytest.mark.parametrize("other_group", ["left", "refused", "kept_first"])
async def test_a_driver_moves_between_groups_by_the_name_that_writes_take(
    named_by: str, name: str, other_group: str
) -> None:
    switches = {"group_named_by": named_by, "other_group": other_group, "group_unknown": "refused"}
    async with tenant(in_process, seeded=3, assumptions=switches) as stand:
        state = await stand.state()
        groups = [{"groupName": f"{each} Region", "groupUniqueName": each.lower()} for each in ("North", "South")]
        for driver, group in zip(state["tenants"][0]["drivers"][2:4], groups, strict=True):
            driver["group"] = group
        await stand.seed(state)
        for group in (*groups, groups[0]):
            desired = {**stand.people.jane, "driveri_group": group[name]}
            answered = await stand.drivers.update(stand.people.bob, desired, tuple(desired))
            assert isinstance(answered, Done)
            kept = (await stand.state())["tenants"][0]["drivers"][0]
            assert (kept["group"], kept["furtherGroups"]) == (group, None)


async def test_a_driver_that_no_call_brings_back_is_said_to_be_deleted_still() -> None:
    switches = {"reinstated_status": "kept", "status_in_updates": "ignored"}
    async with tenant(in_process, seeded=3, assumptions=switches) as stand:
        answered = await stand.drivers.reinstate(stand.people.departed, stand.people.jane)
        assert isinstance(answered, Rejected)
        assert "status is as it was" in answered.detail
        assert not (await stand.find(stand.people.departed)).active


@pytest.mark.parametrize("form", ["as_written", "shown_with_country", "shown_without", "with_country", "without"])
@pytest.mark.parametrize("state", ["CO", "US-CO", "Colorado"])
async def test_a_state_of_a_licence_arrives_in_whatever_form_driveri_takes_and_shows_it(form: str, state: str) -> None:
    async with tenant(in_process, seeded=3, assumptions={"license_states": form}) as stand:
        desired = {**stand.people.jane, "licence_state": state}
        assert isinstance(await stand.drivers.create(stand.people.desired_key, desired), Done)
        assert isinstance(await stand.drivers.update(stand.people.bob, desired, tuple(desired)), Done)
        for key in (Key("Zoë/1 %2F"), stand.people.bob):
            assert stand.is_shown(desired, await stand.find(key))
        answered = await stand.drivers.rename(stand.people.bob, Key("B 9"), desired)
        assert isinstance(answered, Done)
        await stand.drivers.delete(Key("B 9"))
        assert isinstance(await stand.drivers.reinstate(Key("B 9"), desired), Done)


SEED: Json = {
    "tenant": "acme",
    "clients": [{"client_id": "acme-key", "client_secret": "acme-secret"}],
    "drivers": [
        {"driverId": "D1", "firstName": "Old 1", "group": {"groupName": "North Region", "groupUniqueName": "north"}},
        {"driverId": "D2", "firstName": "Old 2", "status": 4},
        *({"driverId": f"S{number}", "firstName": "Unmanaged"} for number in range(12)),
    ],
}
UNMANAGED = {f"S{number}" for number in range(12)}


IMPOSSIBLE = {
    "ignored": {"delete": ["not_effective: answered without an error, but the driver's status is as it was"]},
    "refused": {"delete": ["invalid: answered 400: INVALID_REQUEST status: cannot be written"]},
}
"""What is said of a delete where the status cannot be written."""


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
        self.impossible = IMPOSSIBLE.get(reading.get("status_in_updates", ""), {})
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

    def refused(self, driver: str, *, after: int) -> list[str]:
        """Why what was desired for a driver could not be done, each reason once, after this many decisions."""
        decided = self.services.decided(Target.DRIVERI)[after:]
        found = [event for event in decided if isinstance(event, Refused | Deferred) and event.driver == driver]
        return sorted({f"{event.reason}: {event.detail}" for event in found})

    def calls(self) -> int:
        """How many writes have reached the sandbox."""
        return len(asyncio.run(_asked(self.app, "journal"))["entries"])

    def created(self) -> list[str]:
        """The drivers that calls have created, in order."""
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
    """The active drivers who are not unmanaged, by id; fails if two have the same id."""
    active = [driver for driver in drivers if driver["status"] == 1 and driver["driverId"] not in UNMANAGED]
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
    deciding = len(day.services.decided(Target.DRIVERI))
    day.services.delete("p5")
    day.run()
    after = {"X/3": "First 3", "D2": "First 1", "D1": "First 2", "d4": "Fourth"}
    refused = day.refused("p5", after=deciding)
    assert refused == day.impossible.get("delete", [])
    after |= {"D5": "First 5"} if refused else {}
    assert everybody(day.kept()) == after

    day.state(5)
    day.state(6, driveri_driver_id="D3")
    day.run()
    assert everybody(day.kept()) == {**after, "D5": "First 5", "D3": "First 6"}
    assert sorted(day.created()) == ["D3", "D3", "D4", "D5"]
    calls = day.calls()
    for _ in range(3):
        day.run()
    assert day.calls() == calls
    assert day.services.states() == {f"p{number}": "in_sync" for number in (1, 2, 3, 4, 5, 6)}
    assert {
        each["driverId"] for each in day.kept() if each["firstName"] == "Unmanaged" and each["status"] == 1
    } == UNMANAGED


def test_a_group_that_driveri_does_not_have_is_reported_and_no_other_driver_waits(tmp_path: Path) -> None:
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


def test_ids_that_differ_in_letter_case_only_make_no_driver_twice(tmp_path: Path) -> None:
    day = Day(tmp_path, READINGS["ids exact"])
    day.state(1, driveri_driver_id="d1")
    day.state(2, driveri_driver_id="d2")
    day.run()
    assert everybody(day.kept()) == {"d1": "First 1", "d2": "First 2"}
    assert day.created() == []
    day.services.close()
