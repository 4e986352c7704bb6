import httpx
import pytest

from domain.failures import Reason, Rejected, Unavailable
from domain.ports import Done
from tests.unit.adapters.motive.company import (
    BODY,
    BY_EXTERNAL_ID,
    EDIT,
    JANE,
    KEY,
    LOOKUP,
    OURS,
    READ,
    TAKEN,
    company,
    driver,
    drivers,
    one,
    user,
)
from tests.unit.adapters.vendor import Vendor, answer

pytestmark = pytest.mark.anyio


async def test_delete_deactivates_and_reads_back() -> None:
    vendor = company()
    vendor.on(READ, one(user(OURS)), one(user(OURS, status="deactivated")))
    vendor.on(EDIT, one(user(OURS, status="deactivated")))
    assert await drivers(vendor).delete(KEY) == Done(seen=driver(active=False))
    assert vendor.calls == [READ, EDIT, READ]
    assert vendor.body(EDIT) == {"status": "deactivated"}


async def test_delete_of_a_deactivated_driver_is_done_without_a_write() -> None:
    vendor = company()
    vendor.on(READ, one(user(OURS, status="deactivated")))
    assert await drivers(vendor).delete(KEY) == Done(seen=driver(active=False))
    assert vendor.calls == [READ]


async def test_delete_that_changes_nothing_is_not_effective() -> None:
    vendor = company()
    vendor.on(READ, one(user(OURS)))
    vendor.on(EDIT, one(user(OURS)))
    answered = await drivers(vendor).delete(KEY)
    assert isinstance(answered, Rejected)
    assert answered.reason is Reason.NOT_EFFECTIVE


async def test_delete_whose_reading_back_is_refused_may_have_taken_effect() -> None:
    vendor = company()
    vendor.on(READ, one(user(OURS)), answer(422))
    vendor.on(EDIT, one(user(OURS, status="deactivated")))
    expected = Unavailable(reason=Reason.NO_ANSWER, detail="written, but not read back: answered 422")
    assert await drivers(vendor).delete(KEY) == expected


async def test_reinstate_activates_with_the_whole_profile_and_reads_back() -> None:
    vendor = company()
    vendor.on(READ, one(user(status="deactivated")), one(user(OURS)))
    vendor.on(EDIT, one(user(OURS)))
    assert await drivers(vendor).reinstate(KEY, JANE) == Done(seen=driver())
    ours = [{"external_id": "p-1", "integration_name": "gps_portal"}]
    assert vendor.body(EDIT) == {"status": "active", **BODY, "external_ids": ours}
    assert vendor.calls == [READ, EDIT, READ]


async def test_reinstate_that_changes_nothing_is_not_effective() -> None:
    vendor = company()
    vendor.on(READ, one(user(OURS, status="deactivated")))
    vendor.on(EDIT, one(user(OURS)))
    answered = await drivers(vendor).reinstate(KEY, JANE)
    assert isinstance(answered, Rejected)
    assert answered.reason is Reason.NOT_EFFECTIVE


DRIVERI = {"id": 2, "external_id": "A1", "integration_name": "driveri"}
PAYROLL = {"id": 3, "external_id": "77", "integration_name": "payroll"}
REMOVE = "DELETE /v1/external_ids/2"
FORMER = "GET /v1/users/18"


@pytest.mark.parametrize("status", ["active", "deactivated"])
async def test_delete_takes_the_driverid_off_and_leaves_all_other_external_ids(status: str) -> None:
    vendor = company()
    vendor.on(READ, one(user(OURS, DRIVERI, PAYROLL, status=status)), one(user(OURS, PAYROLL, status="deactivated")))
    vendor.on(EDIT, one(user(OURS, PAYROLL, status="deactivated")))
    vendor.on(REMOVE, answer(204))
    assert await drivers(vendor).delete(KEY) == Done(seen=driver(active=False))
    assert vendor.calls == [READ, REMOVE, *([EDIT] if status == "active" else []), READ]


DESIRED = {**JANE, "driveri_driver_id": "A1"}


def _company_with_a_former(*, status: str) -> Vendor:
    """Another user carries the DriverID, and an update that states it is refused until that is gone."""
    vendor = company()
    former = user({"id": 9, "external_id": "p-2", "integration_name": "gps_portal"}, DRIVERI, status=status, number=18)
    vendor.on(BY_EXTERNAL_ID, one(former))
    vendor.on(FORMER, one(former))
    vendor.on(REMOVE, answer(204))
    has_arrived: list[bool] = []

    def edit(request: httpx.Request) -> httpx.Response:
        if REMOVE not in vendor.calls:
            return answer(400, {"error_message": "external id is taken"})(request)
        has_arrived.append(True)
        return one(user(OURS, DRIVERI))(request)

    def read(request: httpx.Request) -> httpx.Response:
        return one(user(OURS, *([DRIVERI] if has_arrived else [])))(request)

    vendor.on(READ, read)
    vendor.on(EDIT, edit)
    return vendor


async def test_a_deactivated_user_gives_up_the_driverid_that_an_active_one_gets() -> None:
    vendor = _company_with_a_former(status="deactivated")
    answered = await drivers(vendor).update(KEY, DESIRED, ["driveri_driver_id"])
    assert answered == Done(seen=driver(profile=DESIRED))
    assert vendor.calls.count(REMOVE) == 1


async def test_an_active_user_keeps_its_driverid() -> None:
    vendor = _company_with_a_former(status="active")
    answered = await drivers(vendor).update(KEY, DESIRED, ["driveri_driver_id"])
    assert isinstance(answered, Rejected)
    assert REMOVE not in vendor.calls


@pytest.mark.parametrize(("status", "is_ours"), [("deactivated", True), ("deactivated", False), ("active", True)])
async def test_a_deactivated_user_of_ours_gives_up_the_e_mail_that_an_active_one_gets(
    status: str, *, is_ours: bool
) -> None:
    vendor = company()
    theirs = {"id": 9, "external_id": "p-2", "integration_name": "gps_portal" if is_ours else "payroll"}
    vendor.on(LOOKUP, one(user(theirs, status=status, number=18)))
    vendor.on("PUT /v1/users/18", one(user(theirs, status=status, number=18)))
    vendor.on(EDIT, TAKEN, one(user(OURS)))
    answered = await drivers(vendor).update(KEY, JANE, ["email"])
    if (status, is_ours) == ("deactivated", True):
        assert answered == Done(seen=driver())
        assert vendor.body("PUT /v1/users/18") == {"email": "former-18@driverlink.invalid"}
    else:
        assert isinstance(answered, Rejected)
        assert "PUT /v1/users/18" not in vendor.calls
