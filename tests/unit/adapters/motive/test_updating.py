import pytest

from domain.failures import Reason, Rejected, TargetFailed, Unavailable
from domain.identity import Key
from domain.ports import Done, Missing
from tests.unit.adapters.motive.company import (
    BODY,
    EDIT,
    JANE,
    KEY,
    NOBODY,
    OURS,
    READ,
    company,
    driver,
    drivers,
    one,
    user,
)
from tests.unit.adapters.vendor import answer

pytestmark = pytest.mark.anyio


async def test_update_without_external_ids_is_one_call() -> None:
    vendor = company()
    vendor.on(EDIT, one(user(OURS)))
    assert await drivers(vendor).update(KEY, JANE, ["email", "last_name"]) == Done(seen=driver())
    assert vendor.calls == [EDIT]
    assert vendor.body(EDIT) == {"last_name": "Doe", "email": "jane@fleet.test"}


async def test_update_takes_external_ids_that_the_answer_leaves_out_as_desired() -> None:
    vendor = company()
    vendor.on(EDIT, answer(200, {"user": {"id": 17, "role": "driver", "status": "active", **BODY}}))
    assert await drivers(vendor).update(KEY, JANE, ["email"]) == Done(seen=driver())


async def test_update_believes_an_answer_that_shows_no_external_ids() -> None:
    vendor = company()
    vendor.on(EDIT, one(user() | {"external_ids": None}))
    answered = await drivers(vendor).update(KEY, JANE, ["email"])
    assert isinstance(answered, Done)
    assert not answered.seen.profile.keys() & {"portal_driver_id", "driveri_driver_id"}


async def test_update_whose_answer_shows_no_user_reads_back() -> None:
    vendor = company()
    vendor.on(EDIT, answer(200))
    vendor.on(READ, one(user(OURS)))
    assert await drivers(vendor).update(KEY, JANE, ["email"]) == Done(seen=driver())


async def test_update_whose_answer_shows_another_driver_reads_back() -> None:
    vendor = company()
    vendor.on(EDIT, one(user(OURS) | {"id": 18}))
    vendor.on(READ, one(user(OURS)))
    assert await drivers(vendor).update(KEY, JANE, ["email"]) == Done(seen=driver())


async def test_an_answer_about_another_driver_says_nothing() -> None:
    vendor = company()
    vendor.on(READ, one(user(OURS) | {"id": 18}))
    with pytest.raises(TargetFailed) as raised:
        await drivers(vendor).find(KEY, JANE)
    assert raised.value.failure == Unavailable(reason=Reason.DOWN, detail="an answer about another user")


@pytest.mark.parametrize("fields", [["email"], ["email", "portal_driver_id"]])
async def test_update_whose_answer_shows_no_user_is_unknown_if_the_user_does_not_show_it(fields: list[str]) -> None:
    vendor = company()
    vendor.on(EDIT, answer(200))
    vendor.on(READ, one(user() | {"email": "other@fleet.test"}))
    answered = await drivers(vendor).update(KEY, JANE, fields)
    assert isinstance(answered, Unavailable)
    assert answered.reason is Reason.NO_ANSWER


@pytest.mark.parametrize("status", [400, 409, 422, 451, 503])
async def test_update_whose_answer_shows_no_user_is_unknown_if_the_user_cannot_be_read(status: int) -> None:
    vendor = company()
    vendor.on(EDIT, answer(200))
    vendor.on(READ, answer(status))
    expected = Unavailable(reason=Reason.NO_ANSWER, detail=f"written, but not read back: answered {status}")
    assert await drivers(vendor).update(KEY, JANE, ["email"]) == expected


async def test_update_of_a_user_who_vanishes_meanwhile_is_missing() -> None:
    vendor = company()
    vendor.on(EDIT, answer(200))
    vendor.on(READ, NOBODY)
    assert await drivers(vendor).update(KEY, JANE, ["email"]) == Missing(key=KEY)


async def test_update_that_meets_another_role_says_so() -> None:
    vendor = company()
    vendor.on(EDIT, one(user(role="admin")))
    detail = "user 17 has the role admin, not driver"
    assert await drivers(vendor).update(KEY, JANE, ["email"]) == Rejected(reason=Reason.FOREIGN_ROLE, detail=detail)


@pytest.mark.parametrize("fields", [[], ["country"]])
async def test_update_of_no_field_that_motive_has_only_looks(fields: list[str]) -> None:
    vendor = company()
    vendor.on(READ, one(user(OURS)))
    assert await drivers(vendor).update(KEY, JANE, fields) == Done(seen=driver())
    assert vendor.calls == [READ]


@pytest.mark.parametrize("fields", [[], ["email"], ["portal_driver_id"]])
async def test_update_of_an_unknown_driver_is_missing(fields: list[str]) -> None:
    vendor = company()
    vendor.on(EDIT, NOBODY)
    vendor.on(READ, NOBODY)
    assert await drivers(vendor).update(KEY, JANE, fields) == Missing(key=KEY)


@pytest.mark.parametrize("status", [200, 400, 404, 422])
async def test_a_miss_is_a_miss_whatever_its_status(status: int) -> None:
    vendor = company()
    missed = answer(status, {"error_message": "User not found"})
    vendor.on(EDIT, missed)
    vendor.on(READ, one(user(OURS)), missed)
    assert await drivers(vendor).update(KEY, JANE, ["driveri_driver_id", "email"]) == Missing(key=KEY)
    vendor.on(READ, missed)
    assert await drivers(vendor).update(KEY, JANE, ["email"]) == Missing(key=KEY)
    assert await drivers(vendor).delete(KEY) == Missing(key=KEY)
    assert await drivers(vendor).reinstate(KEY, JANE) == Missing(key=KEY)


async def test_update_that_is_refused_says_why() -> None:
    vendor = company()
    vendor.on(EDIT, answer(400, {"error_message": "jane@fleet.test is not an address"}))
    expected = Rejected(reason=Reason.INVALID, detail="answered 400: <email> is not an address")
    assert await drivers(vendor).update(KEY, JANE, ["email"]) == expected


async def test_rename_brings_the_whole_profile() -> None:
    vendor = company()
    vendor.on(READ, one(user(OURS)))
    vendor.on(EDIT, one(user(OURS)))
    assert await drivers(vendor).rename(KEY, Key("B2"), JANE) == Done(seen=driver())
    assert vendor.body(EDIT) == BODY


@pytest.mark.parametrize("role", ["fleet_user", "admin"])
async def test_users_of_another_role_are_never_written_to(role: str) -> None:
    vendor = company()
    vendor.on(READ, one(user(OURS, role=role)))
    target = drivers(vendor)
    expected = Rejected(reason=Reason.FOREIGN_ROLE, detail=f"user 17 has the role {role}, not driver")
    assert await target.delete(KEY) == expected
    assert await target.reinstate(KEY, JANE) == expected
    assert await target.update(KEY, JANE, ["email", "portal_driver_id"]) == expected
    assert await target.update(KEY, JANE, []) == expected
    assert set(vendor.calls) == {READ}


async def test_calls_about_a_user_who_is_gone_are_missing() -> None:
    vendor = company()
    vendor.on(READ, NOBODY)
    assert await drivers(vendor).delete(KEY) == Missing(key=KEY)
    assert await drivers(vendor).reinstate(KEY, JANE) == Missing(key=KEY)
    vendor.on(READ, one(user(OURS)))
    vendor.on(EDIT, NOBODY)
    assert await drivers(vendor).delete(KEY) == Missing(key=KEY)
    assert await drivers(vendor).reinstate(KEY, JANE) == Missing(key=KEY)


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_end_a_call(status: int) -> None:
    vendor = company()
    vendor.on(EDIT, answer(status, {"error_message": "no"}))
    expected = Rejected(reason=Reason.CREDENTIALS, detail=f"answered {status}")
    assert await drivers(vendor).update(KEY, JANE, ["email"]) == expected


async def test_close_ends_without_a_call() -> None:
    vendor = company()
    await drivers(vendor).close()
    assert vendor.calls == []
