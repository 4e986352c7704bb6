"""What intake makes of the Portal's API, over its sandbox."""

from pathlib import Path

import pytest

from domain.failures import Reason, TargetFailed
from domain.identity import PortalDriverId
from services.intake.handlers import SnapshotRefused
from services.intake.read_models import ShownDriver
from tests.support.portal_fleet import ACME, PortalFleet, driver, fleet, user
from tests.support.stated import said, whole

pytestmark = pytest.mark.anyio

JANE = driver(1, driver_id="D1", email="jane@fleet.test", phone="555-0101")
BOB = driver(2, name="Bob", driver_id="D2")
EVE = driver(3, name="Eve")


async def test_everybody_in_the_list_is_created_with_what_list_and_attributes_state(tmp_path: Path) -> None:
    async with PortalFleet(tmp_path, [JANE, EVE]) as acme:
        await acme.read()
        assert acme.changes == ["DriverCreated 1", "DriverCreated 3"]
        assert acme.profile(1) == {
            "first_name": "Jane",
            "last_name": "Doe",
            "driveri_driver_id": "D1",
            "email": "jane@fleet.test",
            "phone": "555-0101",
        }
        assert acme.profile(3) == {"first_name": "Eve", "last_name": "Doe"}


async def test_a_list_that_was_read_before_adds_nothing(tmp_path: Path) -> None:
    async with PortalFleet(tmp_path, [JANE, BOB, EVE]) as acme:
        await acme.read()
        end = acme.store.log.end()
        for _ in range(3):
            await acme.read()
        assert acme.store.log.end() == end


async def test_what_has_changed_in_list_or_attributes_is_an_update(tmp_path: Path) -> None:
    async with PortalFleet(tmp_path, [JANE, BOB, EVE]) as acme:
        await acme.read()
        await acme.state([JANE | {"firstname": "Joan"}, driver(2, name="Bob", driver_id="D9"), EVE])
        await acme.read()
        assert acme.changes[3:] == ["DriverUpdated 1", "DriverUpdated 2"]
        assert acme.profile(1)["first_name"] == "Joan"
        assert acme.profile(2)["driveri_driver_id"] == "D9"


async def test_fields_that_the_api_never_states_stay_as_an_export_has_stated_them(tmp_path: Path) -> None:
    async with PortalFleet(tmp_path, [JANE, BOB, EVE]) as acme:
        stated = {"first_name": "Jane", "last_name": "Doe", "ref_id": "00417", "licence_number": "X1"}
        acme.intake.state(ACME, PortalDriverId("1"), whole(stated), source="export")
        await acme.read()
        assert acme.profile(1).items() >= stated.items()
        assert acme.profile(1)["driveri_driver_id"] == "D1"


async def test_a_blank_in_the_list_takes_a_field_back_and_a_missing_attribute_does_not(tmp_path: Path) -> None:
    """A wrong name of the attribute would take the key of every driver."""
    async with PortalFleet(tmp_path, [JANE, BOB, EVE]) as acme:
        await acme.read()
        await acme.state([driver(1), driver(2, name="Bob", driver_id=""), EVE])
        await acme.read()
        assert acme.profile(1) == {"first_name": "Jane", "last_name": "Doe", "driveri_driver_id": "D1"}
        assert acme.profile(2) == {"first_name": "Bob", "last_name": "Doe"}


async def test_the_name_of_the_attribute_is_a_setting_and_its_letter_case_does_not_count(tmp_path: Path) -> None:
    async with PortalFleet(tmp_path, [driver(1, attributes={"CAMERA id": "D7", "RefID": "00417"})]) as acme:
        names = {"driveri_driver_id": "Camera ID", "ref_id": "refid"}
        await acme.read(acme.login(attributes=names))
        assert (acme.profile(1)["driveri_driver_id"], acme.profile(1)["ref_id"]) == ("D7", "00417")


async def test_without_an_attribute_no_driver_is_asked_for_any(tmp_path: Path) -> None:
    async with PortalFleet(tmp_path, [JANE]) as acme:
        await acme.fail({"fault": "failing", "path": "/v2/driver/getattributes"})
        await acme.read(acme.login(attributes={}))
        assert "driveri_driver_id" not in acme.profile(1)


async def test_attributes_of_another_driver_whose_ref_id_is_this_id_are_not_believed(tmp_path: Path) -> None:
    """The Portal looks for a driver by RefID before it looks by id."""
    async with PortalFleet(tmp_path, [JANE, BOB | {"ref_id": "1"}, EVE]) as acme:
        await acme.read()
        assert acme.changes == ["DriverCreated 2", "DriverCreated 3"]
        assert (acme.row.drivers, acme.row.refused) == (3, 1)


async def test_a_line_that_cannot_be_stored_shows_that_its_driver_is_there(tmp_path: Path) -> None:
    async with PortalFleet(tmp_path, [JANE, BOB, EVE]) as acme:
        await acme.read()
        await acme.state([JANE, BOB, EVE | {"email": "no address"}])
        for _ in range(3):
            await acme.read()
        assert len(acme.changes) == 3
        assert acme.row.refused == 1


async def test_a_driver_that_two_lists_in_a_row_lack_is_deleted(tmp_path: Path) -> None:
    async with PortalFleet(tmp_path, [JANE, BOB, EVE]) as acme:
        await acme.read()
        await acme.state([JANE, BOB])
        await acme.read()
        assert acme.changes[3:] == ["DriverMissed 3"]
        await acme.read()
        assert acme.changes[3:] == ["DriverMissed 3", "DriverDeleted 3"]


async def test_a_driver_that_a_list_shows_again_in_between_is_not_deleted(tmp_path: Path) -> None:
    async with PortalFleet(tmp_path, [JANE, BOB, EVE]) as acme:
        for drivers in ([JANE, BOB, EVE], [JANE, BOB], [JANE, BOB, EVE], [JANE, BOB]):
            await acme.state(drivers)
            await acme.read()
        assert acme.changes[3:] == ["DriverMissed 3", "DriverSeenAgain 3", "DriverMissed 3"]


async def test_a_fifth_of_a_fleet_can_leave(tmp_path: Path) -> None:
    everybody = fleet(50)
    async with PortalFleet(tmp_path, everybody) as acme:
        await acme.read()
        await acme.state(everybody[10:])
        for _ in range(2):
            await acme.read()
        assert acme.changes[50:] == [
            f"{fact} {number}" for fact in ("DriverMissed", "DriverDeleted") for number in first(10)
        ]


def first(number: int) -> list[str]:
    """The first ids in the order of a store, which is that of texts."""
    return sorted(str(each) for each in range(1, number + 1))


async def test_an_empty_list_deletes_no_driver(tmp_path: Path) -> None:
    async with PortalFleet(tmp_path, [JANE, BOB, EVE]) as acme:
        await acme.read()
        await acme.state([])
        for _ in range(3):
            with pytest.raises(SnapshotRefused, match="no driver at all"):
                await acme.read()
        assert len(acme.changes) == 3


@pytest.mark.parametrize("size", [4, 9, 40])
async def test_a_user_who_sees_only_half_from_now_on_deletes_no_driver(tmp_path: Path, size: int) -> None:
    everybody = fleet(size)
    async with PortalFleet(tmp_path, everybody) as acme:
        await acme.read()
        await acme.state(everybody, user(sees=list(range(1, size // 2 + 1))))
        for _ in range(3):
            with pytest.raises(SnapshotRefused, match=f"lacks {size - size // 2} of {size} drivers"):
                await acme.read()
        assert len(acme.changes) == size


@pytest.mark.parametrize("share", [2, 10])
async def test_another_user_who_sees_fewer_deletes_no_driver(tmp_path: Path, share: int) -> None:
    everybody = fleet(40)
    async with PortalFleet(tmp_path, everybody, user(), user("bob", sees=list(range(40 // share + 1, 41)))) as acme:
        await acme.read()
        for _ in range(3):
            await acme.read(acme.login("bob"))
        assert len(acme.changes) == 40


async def test_a_driver_stated_by_an_export_alone_is_not_deleted_by_the_api(tmp_path: Path) -> None:
    async with PortalFleet(tmp_path, [JANE, BOB, EVE]) as acme:
        acme.intake.state(ACME, PortalDriverId("ref:00417"), said(first_name="Ann"), source="export")
        for _ in range(3):
            await acme.read()
        assert acme.changes == ["DriverCreated ref:00417", *(f"DriverCreated {number}" for number in (1, 2, 3))]


async def test_a_session_that_is_over_begins_again(tmp_path: Path) -> None:
    async with PortalFleet(tmp_path, [JANE, BOB, EVE], user(session_lifetime=60_000)) as acme:
        for _ in range(3):
            await acme.read()
        assert len(acme.changes) == 3


async def test_a_session_that_ends_in_mid_read_begins_again(tmp_path: Path) -> None:
    async with PortalFleet(tmp_path, fleet(30)) as acme:
        await acme.fail({"fault": "expired_token", "path": "/v2/driver/getattributes", "every": 7, "times": 1})
        await acme.read()
        assert len(acme.changes) == 30


async def test_a_user_who_is_refused_is_reported_as_such_and_not_by_name(tmp_path: Path) -> None:
    async with PortalFleet(tmp_path, [JANE]) as acme:
        with pytest.raises(TargetFailed) as failed:
            await acme.read(acme.login("mallory"))
        assert failed.value.failure.reason is Reason.CREDENTIALS
        assert failed.value.failure.detail == "answered 403"
        assert acme.changes == []


async def test_of_a_large_fleet_a_share_is_asked_for_attributes_at_each_reading_and_each_new_driver(
    tmp_path: Path,
) -> None:
    without_id = [driver(number) for number in range(1, 41)]
    async with PortalFleet(tmp_path, without_id, most_asked=10) as acme:
        await acme.read()
        assert len(acme.changes) == 40
        await acme.state([driver(number, driver_id=f"E{number}") for number in range(1, 42)])
        updated = []
        for _ in range(5):
            before = len(acme.changes)
            await acme.read()
            updated.append(len(acme.changes) - before)
        assert "DriverCreated 41" in acme.changes[40 : 40 + updated[0]]
        assert max(updated) < 25
        assert {acme.profile(number)["driveri_driver_id"] for number in range(1, 42)} == {
            f"E{number}" for number in range(1, 42)
        }


async def test_of_two_readings_that_overlap_only_one_counts(tmp_path: Path) -> None:
    """Else two processes would see one absence twice in a row."""
    async with PortalFleet(tmp_path, [JANE, BOB, EVE]) as acme:
        await acme.read()
        await acme.state([JANE, BOB])
        one, two = (acme.reader.begin(ACME, acme.portal.login) for _ in range(2))
        await acme.reader.read(one, acme.portal)
        with pytest.raises(SnapshotRefused, match="another reading"):
            await acme.reader.read(two, acme.portal)
        assert acme.changes[3:] == ["DriverMissed 3"]


async def test_a_reading_of_a_fleet_in_step_writes_nothing_about_its_drivers(tmp_path: Path) -> None:
    async with PortalFleet(tmp_path, fleet(20)) as acme:
        await acme.read()
        before = list(acme.store.scan(ShownDriver))
        await acme.read()
        assert (len(before), list(acme.store.scan(ShownDriver))) == (20, before)
