import pytest

from domain.failures import Reason, Rejected
from domain.ports import Done, Missing
from tests.unit.adapters.driveri.tenant import (
    A1,
    ACTIVE,
    ADD,
    CONFIGURATIONS,
    DELETED,
    JANE,
    LIST,
    LOOK,
    MESSAGE,
    NOBODY,
    SENT,
    calls_after_tokens,
    driver,
    drivers,
    edit,
    listed,
    row,
    tenant,
)
from tests.unit.adapters.vendor import Answer, answer

pytestmark = pytest.mark.anyio


async def test_delete_writes_the_status_that_the_tenant_calls_deleted() -> None:
    vendor = tenant()
    vendor.on(edit("A1"), MESSAGE)
    assert await drivers(vendor).delete(A1) == Done(seen=driver("A1", active=False, profile={}))
    assert calls_after_tokens(vendor) == [CONFIGURATIONS, edit("A1"), LOOK]
    assert vendor.body(edit("A1")) == {"status": DELETED}


async def test_delete_that_leaves_the_driver_active_is_not_effective() -> None:
    vendor = tenant()
    vendor.on(edit("A1"), MESSAGE)
    vendor.on(LOOK, listed(row("A1")))
    answered = await drivers(vendor).delete(A1)
    assert isinstance(answered, Rejected)
    assert answered.reason is Reason.NOT_EFFECTIVE


@pytest.mark.parametrize("status", [400, 404, 409])
async def test_delete_of_a_deleted_driver_is_done(status: int) -> None:
    vendor = tenant()
    vendor.on(edit("A1"), answer(status))
    vendor.on(LIST, listed(row("A1", DELETED)))
    assert await drivers(vendor).delete(A1) == Done(seen=driver("A1", active=False))


async def test_delete_of_an_unknown_driver_is_missing() -> None:
    vendor = tenant()
    vendor.on(edit("A1"), NOBODY)
    assert await drivers(vendor).delete(A1) == Missing(key=A1)


async def test_delete_that_is_refused_says_why_without_personal_data() -> None:
    vendor = tenant()
    vendor.on(edit("A1"), answer(400, {"message": "Doe drives just now"}))
    vendor.on(LOOK, listed(row("A1")))
    expected = Rejected(reason=Reason.INVALID, detail="answered 400: <last_name> drives just now")
    assert await drivers(vendor).delete(A1) == expected


async def test_reinstate_asks_driveri_to_bring_the_driver_back() -> None:
    vendor = tenant()
    vendor.on(ADD, MESSAGE)
    vendor.on(LOOK, listed(row("A1")))
    assert await drivers(vendor).reinstate(A1, JANE) == Done(seen=driver("A1"))
    assert calls_after_tokens(vendor) == [ADD, CONFIGURATIONS, LOOK]
    assert vendor.queries(ADD) == [{"reinstateDriver": "true"}]


@pytest.mark.parametrize("found", [row("A1", DELETED), row("A1", profile={"first_name": "Janet"})])
@pytest.mark.parametrize("first", [MESSAGE, answer(409)])
async def test_reinstate_writes_what_the_return_left_out(found: dict[str, object], first: Answer) -> None:
    vendor = tenant()
    vendor.on(ADD, first)
    vendor.on(LOOK, listed(found), listed(row("A1")))
    vendor.on(edit("A1"), MESSAGE)
    assert await drivers(vendor).reinstate(A1, JANE) == Done(seen=driver("A1"))
    assert vendor.body(edit("A1")) == {"status": ACTIVE, **SENT}


async def test_reinstate_keeps_in_sight_what_it_did_not_write() -> None:
    vendor = tenant()
    vendor.on(ADD, MESSAGE)
    vendor.on(LOOK, listed(row("A1", DELETED)), listed(row("A1")))
    vendor.on(edit("A1"), MESSAGE)
    seen = {"first_name": "Janet", "last_name": "Doe", "email": "jane@fleet.test"}
    assert await drivers(vendor).reinstate(A1, {"first_name": "Janet"}) == Done(seen=driver("A1", profile=seen))


async def test_reinstate_that_brings_no_driver_back_is_not_effective() -> None:
    vendor = tenant()
    vendor.on(ADD, MESSAGE)
    answered = await drivers(vendor).reinstate(A1, JANE)
    assert isinstance(answered, Rejected)
    assert answered.reason is Reason.NOT_EFFECTIVE


async def test_reinstate_that_is_refused_says_why() -> None:
    vendor = tenant()
    vendor.on(ADD, answer(400, {"message": "no"}))
    assert await drivers(vendor).reinstate(A1, JANE) == Rejected(reason=Reason.INVALID, detail="answered 400: no")
    vendor.on(LOOK, listed(row("A1", DELETED)))
    vendor.on(edit("A1"), answer(400, {"message": "never"}))
    assert await drivers(vendor).reinstate(A1, JANE) == Rejected(reason=Reason.INVALID, detail="answered 400: never")
