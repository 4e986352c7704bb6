"""What any client may send to the API: too much, in the wrong form, or about nothing that there is."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from domain.store import Unit
from services.accounts.handlers import AccountRow
from services.api import API_HEADER
from services.api.installation import Limits
from tests.unit.services.api.api_stand import ApiStand, Json

pytestmark = pytest.mark.anyio


@pytest.fixture
async def stand(tmp_path_factory: pytest.TempPathFactory) -> ApiStand:
    stand = ApiStand(tmp_path_factory.mktemp("data"))
    await stand.post("/accounts", {"account": "acme", "tier": "pro", "mode": "full", "master_user": "jane"})
    return stand


async def in_chunks() -> AsyncIterator[bytes]:
    for _ in range(20):
        yield b" " * 100


@pytest.mark.parametrize("is_declared", [True, False])
async def test_a_body_that_is_too_large_is_refused(stand: ApiStand, *, is_declared: bool) -> None:
    stand.limit_to(Limits(largest_body=1000))
    answer = await stand.send("/accounts", b" " * 2000 if is_declared else in_chunks())
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems#too-large")
    assert (await stand.send("/accounts", b" " * 1000)).status_code == 400


@pytest.mark.parametrize("path", ["/accounts", "/nowhere", "/accounts/nobody", "/accounts/"])
async def test_every_response_says_whose_it_is(stand: ApiStand, path: str) -> None:
    assert (await stand.get(path)).headers[API_HEADER] == "1"


async def test_what_nothing_foresaw_is_one_line_and_says_whose_it_is(stand: ApiStand) -> None:
    store = stand.stores["accounts"]
    unit = Unit()
    unit.keep(replace(row, tier="a tier of another version") for row in store.select(AccountRow))
    store.commit(unit)
    answer = await stand.get("/accounts")
    assert (answer.status_code, answer.headers[API_HEADER]) == (500, "1")
    assert answer.json() == {
        "type": "/problems#unexpected",
        "title": "The services failed unexpectedly",
        "status": 500,
        "detail": "the services failed unexpectedly; see their log",
    }


async def test_a_body_that_is_no_json_is_said_to_be_none(stand: ApiStand) -> None:
    assert (await stand.send("/accounts", b"{")).json()["detail"] == "body: JSON decode error"


ACCOUNT: Json = {"account": "beta", "tier": "standard", "master_user": "jane"}


@pytest.mark.parametrize("manager", ["a\0b", "a\x1b[31mb", "\u200b"])
async def test_an_account_manager_is_named_as_everybody_is(stand: ApiStand, manager: str) -> None:
    answer = await stand.post("/accounts", {**ACCOUNT, "account_manager": manager})
    assert (answer.status_code, answer.json()["detail"][:15]) == (400, "account_manager")


async def test_an_account_manager_is_the_same_in_every_form_of_the_name(stand: ApiStand) -> None:
    assert (await stand.post("/accounts", {**ACCOUNT, "account_manager": "Jose\u0301"})).status_code == 201
    allowed = await stand.post("/accounts/beta/allow", {"by": "Jos\u00e9"})
    assert (allowed.status_code, allowed.json()["allowed"]) == (200, True)


async def test_a_list_with_a_field_that_there_is_not_is_refused(stand: ApiStand) -> None:
    line = {"line": 1, "driver": "417", "profile": {"first_name": "Jane", "last_name": "Doe", "e_mail": "j@x.example"}}
    for review in (True, False):
        answer = await stand.post("/accounts/acme/lists", {"lines": [line], "review": review})
        assert (answer.status_code, answer.json()["detail"][:21]) == (400, "unknown field e_mail;")


@pytest.mark.parametrize(
    "judged", [{"rekeyed": [{"driver": "a\0", "after": {}}]}, {"rekeyed": [{"driver": "a", "after": {"ref_id": "\0"}}]}]
)
async def test_a_judged_list_holds_nothing_that_no_store_takes(stand: ApiStand, judged: Json) -> None:
    answer = await stand.post("/accounts/acme/lists/judgement", judged)
    assert (answer.status_code, "must not hold control characters" in answer.json()["detail"]) == (400, True)


@pytest.mark.parametrize(
    "path",
    ["/accounts/%00", "/accounts/%00/changes", "/accounts/acme/drivers/%00", "/issues?account=%00", "/nowhere%00"],
)
async def test_an_address_with_a_character_that_no_store_looks_for_is_refused(stand: ApiStand, path: str) -> None:
    answer = await stand.outside("GET", f"/v1{path}")
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems#invalid-request")


async def test_a_key_is_for_accounts_that_a_store_can_look_for(stand: ApiStand) -> None:
    answer = await stand.post("/keys", {"name": "nightly", "roles": ["viewer"], "accounts": ["\0"]})
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems#invalid-request")
