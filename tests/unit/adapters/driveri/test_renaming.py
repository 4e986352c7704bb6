import pytest

from domain.failures import Reason, Rejected, Unavailable
from domain.identity import Key
from domain.ports import Done, Exists, Missing
from tests.unit.adapters.driveri.tenant import (
    A1,
    ACTIVE,
    B2,
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
from tests.unit.adapters.vendor import Answer, answer

pytestmark = pytest.mark.anyio


async def test_rename_is_one_call_on_the_old_id() -> None:
    vendor = tenant()
    vendor.on(edit("A1"), MESSAGE)
    assert await drivers(vendor).rename(A1, B2, JANE) == Done(seen=driver("B2"))
    assert calls_after_tokens(vendor) == [edit("A1")]
    assert vendor.body(edit("A1")) == {"driverId": "B2", **SENT}


@pytest.mark.parametrize(("shown", "is_known"), [("B2", True), ("b2", False)])
async def test_rename_whose_answer_is_not_driveris_is_done_if_the_driver_shows_it(
    shown: str, *, is_known: bool
) -> None:
    vendor = tenant()
    vendor.on(edit("A1"), answer(200))
    vendor.on(LOOK, listed(row(shown)))
    answered = await drivers(vendor).rename(A1, B2, JANE)
    assert answered == Done(seen=driver("B2")) if is_known else isinstance(answered, Unavailable)


@pytest.mark.parametrize("status", [400, 404, 409])
async def test_rename_that_has_happened_already_is_done(status: int) -> None:
    vendor = tenant()
    vendor.on(edit("A1"), answer(status))
    vendor.on(LOOK, listed(row("B2")), NOBODY)
    assert await drivers(vendor).rename(A1, B2, JANE) == Done(seen=driver("B2"))


@pytest.mark.parametrize("status", [400, 409])
@pytest.mark.parametrize("code", [ACTIVE, DELETED])
async def test_rename_to_a_taken_id_answers_with_its_holder(status: int, code: int) -> None:
    vendor = tenant()
    vendor.on(edit("A1"), answer(status))
    vendor.on(LOOK, listed(row("b2", code)), listed(row("A1")))
    assert await drivers(vendor).rename(A1, B2, JANE) == Exists(seen=driver("b2", active=code == ACTIVE))


async def test_rename_of_an_unknown_driver_is_missing() -> None:
    vendor = tenant()
    vendor.on(edit("A1"), NOBODY)
    assert await drivers(vendor).rename(A1, B2, JANE) == Missing(key=A1)


async def test_rename_of_an_unknown_driver_to_a_deleted_one_is_missing() -> None:
    vendor = tenant()
    vendor.on(edit("A1"), NOBODY)
    vendor.on(LOOK, listed(row("B2", DELETED)), NOBODY)
    assert await drivers(vendor).rename(A1, B2, JANE) == Missing(key=A1)


async def test_rename_that_is_refused_for_another_reason_says_which() -> None:
    vendor = tenant()
    vendor.on(edit("A1"), answer(400, {"message": "no"}))
    assert await drivers(vendor).rename(A1, B2, JANE) == Rejected(reason=Reason.INVALID, detail="answered 400: no")


async def test_a_change_of_letter_case_is_a_rename_of_oneself() -> None:
    vendor = tenant()
    vendor.on(edit("A1"), answer(409, {"message": "taken"}))
    vendor.on(LOOK, listed(row("A1")))
    expected = Rejected(reason=Reason.INVALID, detail="answered 409: taken")
    assert await drivers(vendor).rename(A1, Key("a1"), JANE) == expected
    vendor.on(LOOK, listed(row("a1")))
    assert await drivers(vendor).rename(A1, Key("a1"), JANE) == Done(seen=driver("a1"))


@pytest.mark.parametrize("refusal", [400, 404, 409])
@pytest.mark.parametrize("shown", [answer(503), NOBODY, listed(row("B2"))])
async def test_rename_whose_repeat_is_refused_is_unknown_until_it_is_read_back(refusal: int, shown: Answer) -> None:
    vendor = tenant()
    vendor.on(edit("A1"), answer(502), answer(refusal))
    vendor.on(LOOK, shown)
    answered = await drivers(vendor).rename(A1, B2, JANE)
    assert isinstance(answered, Unavailable)
    assert answered.reason is Reason.NO_ANSWER


@pytest.mark.parametrize("refusal", [400, 401, 404, 409])
@pytest.mark.parametrize("call", ["update", "delete"])
async def test_a_write_whose_repeat_is_refused_is_unknown_until_it_is_read_back(refusal: int, call: str) -> None:
    vendor = tenant()
    vendor.on(edit("A1"), answer(502), answer(refusal))
    target = drivers(vendor)
    answered = await (target.delete(A1) if call == "delete" else target.update(A1, JANE, ["email"]))
    assert isinstance(answered, Unavailable)
    assert answered.reason is Reason.NO_ANSWER


async def test_a_rename_to_an_id_that_its_holder_gives_up_meanwhile_is_made_once_more() -> None:
    vendor = tenant()
    vendor.on(edit("A1"), answer(409), MESSAGE)
    vendor.on(LOOK, NOBODY)
    assert await drivers(vendor).rename(A1, B2, JANE) == Done(seen=driver("B2"))
    assert calls_after_tokens(vendor).count(edit("A1")) == 2


async def test_a_rename_that_is_refused_for_another_reason_is_made_once() -> None:
    vendor = tenant()
    vendor.on(edit("A1"), answer(400, {"message": "lastName is too long"}))
    vendor.on(LOOK, NOBODY)
    answered = await drivers(vendor).rename(A1, B2, JANE)
    assert isinstance(answered, Rejected)
    assert calls_after_tokens(vendor).count(edit("A1")) == 1
