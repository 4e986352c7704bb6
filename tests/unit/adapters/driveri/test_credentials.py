import pytest

from domain.failures import Reason, Rejected, Unavailable
from domain.ports import Done
from tests.unit.adapters.driveri.tenant import (
    A1,
    ADD,
    JANE,
    MESSAGE,
    TOKENS,
    driver,
    drivers,
    edit,
    tenant,
)
from tests.unit.adapters.vendor import answer

pytestmark = pytest.mark.anyio


async def test_calls_carry_the_token_and_the_language() -> None:
    vendor = tenant()
    vendor.on(ADD, MESSAGE)
    await drivers(vendor).create(A1, JANE)
    headers = vendor.requests[-1].headers
    assert (headers["Authorization"], headers["Accept-Language"]) == ("Bearer secret-1", "en-GB")


async def test_a_token_that_is_no_longer_taken_is_renewed_once() -> None:
    vendor = tenant()
    vendor.on(edit("A1"), answer(401), MESSAGE)
    assert await drivers(vendor).update(A1, JANE, tuple(JANE)) == Done(seen=driver("A1"))
    assert vendor.calls == [*TOKENS, edit("A1"), *TOKENS, edit("A1")]


async def test_a_call_whose_second_token_was_taken_away_meanwhile_is_made_with_the_newest() -> None:
    vendor = tenant()
    vendor.on(edit("A1"), answer(401), answer(401), MESSAGE)
    assert await drivers(vendor).update(A1, JANE, tuple(JANE)) == Done(seen=driver("A1"))


LACKING = "answered 403: the API key may be another tenant's, or lack the scope Update Drivers"


@pytest.mark.parametrize(("status", "attempts", "detail"), [(401, 3, "answered 401"), (403, 1, LACKING)])
async def test_refused_credentials_end_a_call(status: int, attempts: int, detail: str) -> None:
    vendor = tenant()
    vendor.on(edit("A1"), answer(status))
    expected = Rejected(reason=Reason.CREDENTIALS, detail=detail)
    assert await drivers(vendor).update(A1, JANE, ["email"]) == expected
    assert vendor.calls.count(edit("A1")) == attempts


async def test_a_limit_says_when_to_come_back() -> None:
    vendor = tenant()
    vendor.on(edit("A1"), answer(429, headers={"Retry-After": "30"}))
    expected = Unavailable(reason=Reason.LIMITED, detail="answered 429", retry_after=30.0)
    assert await drivers(vendor).update(A1, JANE, ["email"]) == expected


async def test_close_gives_the_token_back() -> None:
    vendor = tenant()
    vendor.on(ADD, MESSAGE)
    target = drivers(vendor)
    await target.create(A1, JANE)
    vendor.on("DELETE /driveri/v1/auth/token/revoke", MESSAGE)
    await target.close()
    assert vendor.calls[-1] == "DELETE /driveri/v1/auth/token/revoke"
