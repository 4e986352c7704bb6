import httpx
import pytest

from domain.failures import Reason, Rejected, Unavailable
from domain.identity import Key
from domain.ports import Done, Exists, Missing
from tests.unit.adapters.driveri.tenant import (
    A1,
    ACTIVE,
    ADD,
    CONFIGURATIONS,
    DELETED,
    JANE,
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
from tests.unit.adapters.vendor import Answer, answer, failure

pytestmark = pytest.mark.anyio


async def test_create_is_read_back_and_invites_no_user() -> None:
    vendor = tenant()
    vendor.on(ADD, MESSAGE)
    vendor.on(LOOK, listed(row("A1")))
    assert await drivers(vendor).create(A1, JANE) == Done(seen=driver("A1"))
    assert calls_after_tokens(vendor) == [ADD, CONFIGURATIONS, LOOK]
    assert vendor.queries(ADD) == [{"reinstateDriver": "false"}]
    assert vendor.body(ADD) == {"driverId": "A1", **SENT}


@pytest.mark.parametrize("status", [400, 409])
@pytest.mark.parametrize("code", [ACTIVE, DELETED])
async def test_create_of_a_taken_id_answers_with_its_holder(status: int, code: int) -> None:
    vendor = tenant()
    vendor.on(ADD, answer(status))
    vendor.on(LOOK, listed(row("a1", code)))
    assert await drivers(vendor).create(A1, JANE) == Exists(seen=driver("a1", active=code == ACTIVE))


async def test_create_that_is_refused_for_another_reason_says_which() -> None:
    vendor = tenant()
    vendor.on(ADD, answer(400, {"error": {"message": "bad mail jane@fleet.test", "messageCode": "E17"}}))
    expected = Rejected(reason=Reason.INVALID, detail="answered 400: E17 bad mail <email>")
    assert await drivers(vendor).create(A1, JANE) == expected


async def test_create_without_a_key_is_refused_without_a_call() -> None:
    vendor = tenant()
    expected = Rejected(reason=Reason.INVALID, detail="a Driveri driver needs a DriverID")
    assert await drivers(vendor).create(None, JANE) == expected
    assert vendor.calls == []


async def test_create_without_an_answer_is_not_repeated() -> None:
    vendor = tenant()
    vendor.on(ADD, failure(httpx.ReadTimeout))
    expected = Unavailable(reason=Reason.NO_ANSWER, detail="sent, but no answer came")
    assert await drivers(vendor).create(A1, JANE) == expected
    assert vendor.calls.count(ADD) == 1


@pytest.mark.parametrize("shown", [NOBODY, listed(row("A1", DELETED))])
async def test_create_that_created_nothing_is_not_effective(shown: Answer) -> None:
    vendor = tenant()
    vendor.on(ADD, MESSAGE)
    vendor.on(LOOK, shown)
    detail = "answered without an error, but the driver is not there"
    assert await drivers(vendor).create(A1, JANE) == Rejected(reason=Reason.NOT_EFFECTIVE, detail=detail)


@pytest.mark.parametrize("status", [400, 409, 422, 451, 503])
async def test_create_that_cannot_be_read_back_may_have_taken_effect(status: int) -> None:
    vendor = tenant()
    vendor.on(ADD, MESSAGE)
    vendor.on(LOOK, answer(status))
    expected = Unavailable(reason=Reason.NO_ANSWER, detail=f"written, but not read back: answered {status}")
    assert await drivers(vendor).create(A1, JANE) == expected


@pytest.mark.parametrize("body", [None, {}, [], {"error": {"message": "no"}}, {"data": {}, "error": {"message": "no"}}])
async def test_a_write_whose_answer_is_not_driveris_is_done_if_the_driver_shows_it(body: object) -> None:
    vendor = tenant()
    vendor.on(edit("A1"), answer(200, body))
    vendor.on(LOOK, listed(row("A1")))
    assert await drivers(vendor).update(A1, JANE, ["email", "phone"]) == Done(seen=driver("A1"))
    vendor.on(edit("A1"), answer(200, body))
    vendor.on(LOOK, listed(row("A1", DELETED)))
    assert await drivers(vendor).delete(A1) == Done(seen=driver("A1", active=False))


@pytest.mark.parametrize(
    "shown", [NOBODY, listed(row("A1", profile={"first_name": "Jane"})), listed(row("A1", DELETED))]
)
async def test_a_write_whose_answer_is_not_driveris_is_unknown_if_the_driver_does_not_show_it(shown: Answer) -> None:
    vendor = tenant()
    vendor.on(edit("A1"), answer(200))
    vendor.on(LOOK, shown)
    answered = await drivers(vendor).update(A1, JANE, ["email"])
    assert isinstance(answered, Unavailable)
    assert answered.reason is Reason.NO_ANSWER


async def test_a_phone_that_was_written_without_a_word_of_driveris_is_unknown() -> None:
    vendor = tenant()
    vendor.on(edit("A1"), answer(200))
    vendor.on(LOOK, listed(row("A1")))
    answered = await drivers(vendor).update(A1, JANE, ["phone"])
    assert isinstance(answered, Unavailable)
    assert answered.reason is Reason.NO_ANSWER


async def test_update_is_one_call_with_the_named_fields_only() -> None:
    vendor = tenant()
    vendor.on(edit("A1"), MESSAGE)
    assert await drivers(vendor).update(A1, JANE, ["email", "phone"]) == Done(seen=driver("A1"))
    assert calls_after_tokens(vendor) == [edit("A1")]
    assert vendor.body(edit("A1")) == {"email": "jane@fleet.test", "phone": "555-0100"}


@pytest.mark.parametrize("fields", [[], ["time_zone"]])
async def test_update_of_no_field_that_driveri_has_only_looks(fields: list[str]) -> None:
    vendor = tenant()
    vendor.on(LOOK, listed(row("A1", profile={"first_name": "Janet"})))
    found = Done(seen=driver("A1", profile={"first_name": "Janet"}))
    assert await drivers(vendor).update(A1, JANE, fields) == found
    vendor.on(LOOK, NOBODY)
    assert await drivers(vendor).update(A1, JANE, fields) == Missing(key=A1)


async def test_update_of_an_unknown_driver_is_missing() -> None:
    vendor = tenant()
    vendor.on(edit("A1"), NOBODY)
    assert await drivers(vendor).update(A1, JANE, ["email"]) == Missing(key=A1)


async def test_update_that_is_refused_says_why() -> None:
    vendor = tenant()
    vendor.on(edit("A1"), answer(400, {"message": "Doe is too short"}))
    expected = Rejected(reason=Reason.INVALID, detail="answered 400: <last_name> is too short")
    assert await drivers(vendor).update(A1, JANE, ["last_name"]) == expected


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a b", "a%20b"),
        ("a/b", "a%2Fb"),
        ("Zoë", "Zo%C3%AB"),
        ("a?b#c%", "a%3Fb%23c%25"),
        ("..", "%2E%2E"),
        (".", "%2E"),
    ],
)
async def test_any_id_fits_into_a_path(key: str, path: str) -> None:
    vendor = tenant()
    vendor.on(edit(path), MESSAGE)
    assert await drivers(vendor).update(Key(key), JANE, ["email"]) == Done(seen=driver(key))
