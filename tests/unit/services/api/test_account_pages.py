"""Accounts are listed in pages: each once, and only those that the caller may see."""

import pytest

from services.api import accounts as module
from services.api.accounts import accounts_behind
from services.api.permissions import Principal, PrincipalKind
from tests.unit.services.api.api_stand import ApiStand, Json

pytestmark = pytest.mark.anyio


@pytest.fixture
async def stand(stand: ApiStand, monkeypatch: pytest.MonkeyPatch) -> ApiStand:
    """Three accounts, of which two are Jane's, and pages of one."""
    monkeypatch.setattr(module, "MOST_LISTED", 1)
    for account, master_user in (("acme", "bob"), ("beta", "jane"), ("cape", "bob"), ("dune", "jane")):
        await stand.post("/accounts", {"account": account, "tier": "pro", "master_user": master_user})
    return stand


async def test_every_account_is_listed_once(stand: ApiStand) -> None:
    found, after = list[str](), ""
    while page := list[Json]((await stand.get("/accounts", after=after)).json()):
        found += (each["account"] for each in page)
        after = found[-1]
    assert found == ["acme", "beta", "cape", "dune"]


async def test_accounts_that_the_caller_may_not_see_do_not_end_a_page(stand: ApiStand) -> None:
    jane = Principal(who="jane", kind=PrincipalKind.PERSON, grants={})
    found, after = list[str](), ""
    while page := accounts_behind(stand.asked_store, jane, after):
        found += (each.account for each in page)
        after = found[-1]
    assert found == ["beta", "dune"]
