import json

import httpx
import pytest

from domain.failures import Reason, Rejected, Unavailable
from domain.ports import Done, Exists
from tests.unit.adapters.motive.company import (
    ADD,
    BODY,
    BY_EXTERNAL_ID,
    EDIT,
    JANE,
    LOOKUP,
    NOBODY,
    OURS,
    READ,
    TAKEN,
    company,
    driver,
    drivers,
    one,
    user,
)
from tests.unit.adapters.vendor import Vendor, answer, failure

pytestmark = pytest.mark.anyio


async def test_create_makes_a_driver_with_our_external_ids_and_reads_it_back() -> None:
    vendor = company()
    vendor.on(ADD, one(user(), 201))
    vendor.on(READ, one(user(OURS)))
    assert await drivers(vendor).create(None, JANE) == Done(seen=driver())
    assert vendor.calls == [ADD, READ]
    ours = [{"external_id": "p-1", "integration_name": "gps_portal"}]
    assert vendor.body(ADD) == {**BODY, "role": "driver", "external_ids_attributes": ours}


async def test_create_without_an_email_address_uses_a_username_of_ours() -> None:
    vendor = company()
    vendor.on(ADD, one(user(), 201))
    vendor.on(READ, one(user(OURS)))
    await drivers(vendor).create(None, {"first_name": "Jane", "portal_driver_id": "p-1"})
    assert vendor.body(ADD) == {
        "first_name": "Jane",
        "role": "driver",
        "username": "gps_portal-p-1",
        "external_ids_attributes": [{"external_id": "p-1", "integration_name": "gps_portal"}],
    }


async def test_create_writes_external_ids_that_did_not_take() -> None:
    vendor = company()
    vendor.on(ADD, one(user(), 201))
    vendor.on(READ, one(user()), one(user(OURS)))
    vendor.on(EDIT, one(user(OURS)))
    assert await drivers(vendor).create(None, JANE) == Done(seen=driver())
    ours = [{"external_id": "p-1", "integration_name": "gps_portal"}]
    assert vendor.body(EDIT) == {"external_ids": ours}


async def test_create_that_created_nothing_is_not_effective() -> None:
    vendor = company()
    vendor.on(ADD, one(user(), 201))
    vendor.on(READ, NOBODY)
    expected = Rejected(reason=Reason.NOT_EFFECTIVE, detail="answered 201, but the user is not there")
    assert await drivers(vendor).create(None, JANE) == expected


async def test_create_in_test_mode_is_not_effective() -> None:
    vendor = company()
    vendor.on(ADD, one(user(), 200))
    detail = "answered 200 in place of 201: the key seems to be in test mode"
    assert await drivers(vendor).create(None, JANE) == Rejected(reason=Reason.NOT_EFFECTIVE, detail=detail)
    assert vendor.calls == [ADD]


async def test_create_whose_answer_names_no_user_is_settled_by_our_external_id() -> None:
    vendor = company()
    vendor.on(ADD, answer(201))
    vendor.on(BY_EXTERNAL_ID, one(user(OURS)))
    assert await drivers(vendor).create(None, JANE) == Done(seen=driver())


async def test_create_whose_answer_names_no_user_is_settled_by_the_email_address_too() -> None:
    vendor = company()
    vendor.on(ADD, answer(201))
    vendor.on(LOOKUP, one(user(OURS)))
    assert await drivers(vendor).create(None, JANE) == Done(seen=driver())


async def test_create_that_cannot_be_read_back_may_have_taken_effect() -> None:
    vendor = company()
    vendor.on(ADD, one(user(), 201))
    vendor.on(READ, answer(429, headers={"Retry-After": "60"}))
    detail = "written, but not read back: answered 429"
    expected = Unavailable(reason=Reason.NO_ANSWER, detail=detail, retry_after=60.0)
    assert await drivers(vendor).create(None, JANE) == expected


@pytest.mark.parametrize("status", [400, 401, 403, 409, 410, 418, 422, 451])
async def test_create_whose_reading_back_is_refused_may_have_taken_effect(status: int) -> None:
    vendor = company()
    vendor.on(ADD, one(user(), 201))
    vendor.on(READ, answer(status))
    expected = Unavailable(reason=Reason.NO_ANSWER, detail=f"written, but not read back: answered {status}")
    assert await drivers(vendor).create(None, JANE) == expected


async def test_create_without_an_answer_is_not_repeated() -> None:
    vendor = company()
    vendor.on(ADD, failure(httpx.ReadTimeout))
    expected = Unavailable(reason=Reason.NO_ANSWER, detail="sent, but no answer came")
    assert await drivers(vendor).create(None, JANE) == expected
    assert vendor.calls == [ADD]


@pytest.mark.parametrize("lookup", [BY_EXTERNAL_ID, LOOKUP])
async def test_create_of_a_driver_who_is_there_answers_with_that_driver(lookup: str) -> None:
    vendor = company()
    vendor.on(ADD, TAKEN)
    vendor.on(lookup, one(user(OURS, status="deactivated")))
    assert await drivers(vendor).create(None, JANE) == Exists(seen=driver(active=False))


async def test_create_looks_for_its_own_username_when_there_is_no_email_address() -> None:
    vendor = company()
    vendor.on(ADD, answer(400, {"error_message": "username has already been taken"}))
    vendor.on(LOOKUP, one(user(OURS)))
    assert await drivers(vendor).create(None, {"portal_driver_id": "p-1"}) == Exists(seen=driver())
    assert vendor.queries(LOOKUP) == [{"username": "gps_portal-p-1"}]


async def test_create_never_adopts_a_user_of_another_role() -> None:
    vendor = company()
    vendor.on(ADD, TAKEN)
    vendor.on(LOOKUP, one(user(role="fleet_user")))
    detail = "user 17 has the role fleet_user, not driver"
    assert await drivers(vendor).create(None, JANE) == Rejected(reason=Reason.FOREIGN_ROLE, detail=detail)


async def test_an_email_address_taken_out_of_sight_is_a_result_of_its_own() -> None:
    vendor = company()
    vendor.on(ADD, TAKEN)
    detail = "the e-mail address or the username belongs to a user that this company cannot see"
    assert await drivers(vendor).create(None, JANE) == Rejected(reason=Reason.TAKEN_ELSEWHERE, detail=detail)


async def test_create_that_is_refused_for_another_reason_says_which() -> None:
    vendor = company()
    vendor.on(ADD, answer(422, {"error_message": "Doe can't be a last_name"}))
    expected = Rejected(reason=Reason.INVALID, detail="answered 422: <last_name> can't be a last_name")
    assert await drivers(vendor).create(None, JANE) == expected


async def test_create_that_is_answered_as_unknown_is_a_matter_of_configuration() -> None:
    vendor = company()
    vendor.on(ADD, NOBODY)
    answered = await drivers(vendor).create(None, JANE)
    assert isinstance(answered, Rejected)
    assert answered.reason is Reason.NOT_CONFIGURED


async def test_create_whose_external_ids_are_refused_says_why() -> None:
    vendor = company()
    vendor.on(ADD, one(user(), 201))
    vendor.on(READ, one(user()))
    vendor.on(EDIT, answer(400))
    assert await drivers(vendor).create(None, JANE) == Rejected(reason=Reason.INVALID, detail="answered 400")


async def test_create_whose_external_ids_are_ignored_uses_the_other_name_next_time() -> None:
    vendor = company()
    vendor.on(ADD, one(user(), 201))
    vendor.on(READ, one(user()), one(user(OURS)))
    vendor.on(EDIT, one(user(OURS)))
    target = drivers(vendor)
    assert await target.create(None, JANE) == Done(seen=driver())
    vendor.on(READ, one(user(OURS)))
    assert await target.create(None, JANE) == Done(seen=driver())
    assert added(vendor) == ["external_ids_attributes", "external_ids"]
    assert await target.create(None, JANE) == Done(seen=driver())
    assert added(vendor)[2:] == ["external_ids"]


async def test_create_that_is_refused_for_the_name_is_made_under_the_other_once() -> None:
    vendor = company()
    vendor.on(ADD, answer(400, {"error_message": "external_ids_attributes is not permitted"}), one(user(), 201))
    vendor.on(READ, one(user(OURS)))
    assert await drivers(vendor).create(None, JANE) == Done(seen=driver())
    assert added(vendor) == ["external_ids_attributes", "external_ids"]


async def test_create_whose_external_id_is_taken_is_not_tried_under_another_name() -> None:
    vendor = company()
    vendor.on(ADD, answer(400, {"error_message": "external_id has already been taken for this integration_name"}))
    answered = await drivers(vendor).create(None, JANE)
    assert isinstance(answered, Rejected)
    assert added(vendor) == ["external_ids_attributes"] * 2, "once more, because no visible user has it any more"


async def test_create_that_conflicts_is_not_tried_under_another_name() -> None:
    vendor = company()
    vendor.on(ADD, answer(409))
    assert isinstance(await drivers(vendor).create(None, JANE), Rejected)
    assert vendor.calls.count(ADD) == 1


def added(vendor: Vendor) -> list[str]:
    """The names under which external ids were created, in order."""
    bodies = [json.loads(request.content) for request in vendor.requests if request.method == "POST"]
    return [name for body in bodies for name in body if name.startswith("external_ids")]
