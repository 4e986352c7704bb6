"""Accounts are listed in pages, each once, to who may see them; their history says what reconciliations found."""

import pytest

from domain.identity import AccountId, Target, reconciliation_stream
from domain.reconciliation import ReconciliationCompleted
from domain.store import Unit
from services.api import accounts as module
from services.api.accounts import accounts_behind
from services.api.permissions import Principal, PrincipalKind
from tests.unit.services.api.api_stand import NOW, ApiStand, Json

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


async def test_a_reconciliation_counts_the_roster_apart_from_the_portals_drivers(stand: ApiStand) -> None:
    account, target = AccountId("acme"), Target.DRIVERI
    found = {"absent": 1085, "conflict": 18, "dormant": 30, "found": 367, "unmanaged": 0}
    for number, unmanaged in enumerate((0, 5), 1):
        completed = ReconciliationCompleted(
            originator_id=reconciliation_stream(account, target),
            originator_version=number,
            at=NOW,
            account=account,
            target=target,
            request=0,
            scan=number,
            drivers=415,
            found={**found, "unmanaged": unmanaged},
            drifted={},
            at_odds={},
        )
        stand.decider.commit(Unit(events=[completed]))
    entries = (await stand.get("/accounts/acme/history", kind="reconciliation")).json()["entries"]
    counts = "1085 absent, 18 conflict, 30 dormant, 367 found"
    assert sorted(each["fact"] for each in entries) == [
        f"Reconciliation 1 of Driveri read a roster of 415 drivers. Drivers of the Portal: {counts}.",
        f"Reconciliation 2 of Driveri read a roster of 415 drivers. Drivers of the Portal: {counts}. "
        "Only on the target: 5 unmanaged.",
    ]
