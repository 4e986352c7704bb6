import pytest

from domain.failures import Reason, Rejected
from domain.ports import Done
from tests.unit.adapters.motive.company import (
    BODY,
    EDIT,
    JANE,
    KEY,
    OURS,
    READ,
    company,
    driver,
    drivers,
    one,
    user,
)

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
