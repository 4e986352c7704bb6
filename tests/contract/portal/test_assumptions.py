"""What intake makes of the Portal's API under each reading of what the Portal's texts leave open."""

from pathlib import Path
from typing import get_args

import pytest

from domain.failures import TargetFailed
from services.intake.handlers import SnapshotRefused
from services.sandbox.portal.state import Assumptions
from tests.support.portal_fleet import Json, PortalFleet, driver, user

pytestmark = pytest.mark.anyio

ONE_BY_ONE: list[Json] = [{}] + [
    {name: value}
    for name, field in Assumptions.model_fields.items()
    for value in get_args(field.annotation)
    if value != field.default
]
"""Every switch in each of its other positions."""

CODES = [
    {"ended_session": code, "errors": errors}
    for code in get_args(Assumptions.model_fields["ended_session"].annotation)
    for errors in ("by_status", "with_200")
]
FLEET = [
    driver(1, driver_id="D1", email="jane@fleet.test", phone="555-0101"),
    driver(2, name="Bob", driver_id="D2"),
    driver(3, name="Eve"),
]


@pytest.mark.parametrize("assumptions", ONE_BY_ONE, ids=str)
async def test_a_fleet_is_read_changed_and_left_whatever_is_assumed(tmp_path: Path, assumptions: Json) -> None:
    async with PortalFleet(tmp_path, FLEET, assumptions=assumptions) as acme:
        await acme.read()
        assert sorted(acme.changes) == ["DriverCreated 1", "DriverCreated 2", "DriverCreated 3"]
        assert acme.profile(1) == {
            "first_name": "Jane",
            "last_name": "Doe",
            "driveri_driver_id": "D1",
            "email": "jane@fleet.test",
            "phone": "555-0101",
        }
        await acme.read()
        assert len(acme.changes) == 3
        await acme.state([FLEET[0] | {"firstname": "Joan"}, driver(2, name="Bob", driver_id="D9")])
        for _ in range(2):
            await acme.read()
        assert sorted(acme.changes[3:]) == ["DriverDeleted 3", "DriverMissed 3", "DriverUpdated 1", "DriverUpdated 2"]
        assert acme.profile(2)["driveri_driver_id"] == "D9"


@pytest.mark.parametrize("assumptions", CODES, ids=str)
async def test_a_session_that_is_over_begins_again_whatever_says_so(tmp_path: Path, assumptions: Json) -> None:
    short = user(session_lifetime=60_000)
    async with PortalFleet(tmp_path, FLEET, short, assumptions=assumptions) as acme:
        for _ in range(3):
            await acme.read()
        assert len(acme.changes) == 3


@pytest.mark.parametrize("assumptions", CODES, ids=str)
async def test_a_session_that_ends_in_mid_read_deletes_no_driver_and_is_got_over(
    tmp_path: Path, assumptions: Json
) -> None:
    everybody = [driver(number, driver_id=f"D{number}") for number in range(1, 31)]
    async with PortalFleet(tmp_path, everybody, assumptions=assumptions) as acme:
        await acme.read()
        await acme.fail({"fault": "expired_token", "path": "/v2/driver/getattributes", "every": 7, "times": 1})
        for _ in range(3):
            try:
                await acme.read()
            except TargetFailed:
                continue
        assert len(acme.changes) == 30
        await acme.state([each | {"firstname": "Joan"} for each in everybody])
        await acme.read()
        assert len(acme.changes) == 60


@pytest.mark.parametrize("assumptions", CODES, ids=str)
async def test_a_user_who_is_refused_is_refused_clearly_whatever_the_status(tmp_path: Path, assumptions: Json) -> None:
    async with PortalFleet(tmp_path, FLEET, user(), user("bob"), assumptions=assumptions) as acme:
        await acme.state(FLEET, user("bob"))
        with pytest.raises(TargetFailed) as failed:
            await acme.read()
        assert failed.value.failure.detail == "answered 403"
        assert acme.changes == []


@pytest.mark.parametrize("empty", ["list", "null"])
async def test_an_empty_list_deletes_no_driver_in_whatever_form(tmp_path: Path, empty: str) -> None:
    async with PortalFleet(tmp_path, FLEET, assumptions={"empty_list": empty}) as acme:
        await acme.read()
        await acme.state([])
        for _ in range(3):
            with pytest.raises((SnapshotRefused, TargetFailed)):
                await acme.read()
        assert len(acme.changes) == 3


@pytest.mark.parametrize(("named_by", "left_out"), [("ref_id_first", 1), ("id_first", 0), ("id_only", 0)])
async def test_attributes_of_another_driver_are_never_stored(tmp_path: Path, named_by: str, left_out: int) -> None:
    drivers = [FLEET[0], FLEET[1] | {"ref_id": "1"}, FLEET[2]]
    async with PortalFleet(tmp_path, drivers, assumptions={"driver_named_by": named_by}) as acme:
        await acme.read()
        assert (acme.row.drivers, acme.row.refused) == (3, left_out)
        if not left_out:
            assert acme.profile(1)["driveri_driver_id"] == "D1"


@pytest.mark.parametrize(("form", "is_kept"), [("shown", False), ("null", False), ("left_out", True)])
async def test_an_attribute_that_was_emptied_takes_its_field_back_where_it_is_shown(
    tmp_path: Path, form: str, *, is_kept: bool
) -> None:
    async with PortalFleet(tmp_path, FLEET, assumptions={"empty_attributes": form}) as acme:
        await acme.read()
        await acme.state([driver(1, driver_id="", email="jane@fleet.test"), *FLEET[1:]])
        await acme.read()
        assert ("driveri_driver_id" in acme.profile(1)) is is_kept
