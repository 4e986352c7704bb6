"""API keys: shown once, used within their roles and time, and revoked; and who is stored as having asked."""

from datetime import timedelta
from json import loads

import pytest

from domain.account import AccountEvent, ModeSet, RetryRequested, Role
from services.api.permissions import EVERYWHERE
from tests.unit.services.api.api_stand import NOW, ApiStand, Json

pytestmark = pytest.mark.anyio

ADMIN = {EVERYWHERE: frozenset({Role.ADMIN})}


def bearing(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def last_fact(stand: ApiStand) -> AccountEvent:
    event = stand.stores["accounts"].log.read(0, 1000)[-1].event
    assert isinstance(event, AccountEvent)
    return event


async def test_a_key_is_shown_once_and_works_until_it_is_revoked(stand: ApiStand) -> None:
    made: Json = (await stand.post("/keys", {"name": "report", "roles": ["viewer"]})).json()
    assert (await stand.outside("GET", "/v1/status", headers=bearing(made["key"]))).status_code == 200
    (listed,) = (await stand.get("/keys")).json()
    assert made["key"].split("_", 2)[2] not in str(listed)
    assert (listed["name"], listed["roles"], listed["accounts"], listed["by"]) == ("report", ["viewer"], [], "operator")
    assert listed["used"] == NOW.isoformat()
    await stand.post(f"/keys/{made['key_id']}/revoked", {})
    assert (await stand.outside("GET", "/v1/status", headers=bearing(made["key"]))).status_code == 401


@pytest.mark.parametrize("headers", [{}, bearing("dlk_guessed")])
async def test_who_proves_nothing_learns_how_to(stand: ApiStand, headers: dict[str, str]) -> None:
    refused = await stand.outside("GET", "/v1/status", headers=headers)
    assert (refused.status_code, "by `driverlink login`" in refused.json()["detail"]) == (401, True)


async def test_a_key_ends_when_it_was_said_to(stand: ApiStand) -> None:
    for days, status in ((timedelta(0), 401), (timedelta(days=1), 200)):
        _, key = stand.access.create_key("old", ADMIN, by="operator", expires=NOW + days)
        assert (await stand.outside("GET", "/v1/accounts", headers=bearing(key))).status_code == status


async def test_a_key_of_an_account_that_there_is_not_is_refused(stand: ApiStand) -> None:
    answer = await stand.post("/keys", {"name": "acme", "roles": ["viewer"], "accounts": ["nobody"]})
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems#unknown-account")
    assert (await stand.post("/keys/none/revoked", {})).json()["type"] == "/problems#unknown-key"


@pytest.mark.parametrize("accounts", [[], ["acme"]])
async def test_a_key_is_never_the_master_user(stand: ApiStand, accounts: list[str]) -> None:
    await stand.set_some_aside()
    roles = ["viewer", "master_user"]
    answer = await stand.post("/keys", {"name": "acme", "roles": roles, "accounts": accounts})
    assert (answer.status_code, answer.json()["detail"][:5]) == (400, "roles")
    # One that was made when this was not refused yet.
    key = stand.key({accounts[0] if accounts else EVERYWHERE: frozenset({Role.MASTER_USER})})
    for method, path in (("GET", ""), ("POST", "/mode"), ("POST", "/credentials"), ("POST", "/sync")):
        refused = await stand.outside(method, f"/v1/accounts/acme{path}", headers=bearing(key))
        assert (refused.status_code, refused.json()["type"]) == (403, "/problems#forbidden")


async def test_who_asks_is_who_proved_to_be_there(stand: ApiStand) -> None:
    await stand.set_some_aside()
    key = stand.key({"acme": frozenset({Role.OPERATOR})})
    body = {"note": "the ids were mended"}
    assert (await stand.outside("POST", "/v1/accounts/acme/retry", json=body, headers=bearing(key))).status_code == 200
    fact = last_fact(stand)
    assert isinstance(fact, RetryRequested)
    assert (fact.by, fact.role, fact.authenticated, fact.note) == ("key:test", "operator", "", "the ids were mended")


async def test_only_an_admin_asks_in_the_name_of_somebody_and_both_are_stored(stand: ApiStand) -> None:
    await stand.set_some_aside()
    body = {"by": "jane", "target": "motive", "mode": "observe"}
    manager = stand.key({EVERYWHERE: frozenset({Role.ACCOUNT_MANAGER})})
    refused = await stand.outside("POST", "/v1/accounts/acme/mode", json=body, headers=bearing(manager))
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        "key:test cannot ask in the name of jane: only an admin can",
    )
    admin = stand.key(ADMIN)
    assert (await stand.outside("POST", "/v1/accounts/acme/mode", json=body, headers=bearing(admin))).status_code == 200
    fact = last_fact(stand)
    assert isinstance(fact, ModeSet)
    assert (fact.by, fact.role, fact.authenticated) == ("jane", "master_user", "key:test")


ACCOUNT_COMMANDS: dict[str, Json] = {
    "people": {"tier": "enterprise"},
    "removed": {},
    "mode": {"target": "motive", "mode": "observe"},
    "reconciliation-time": {"reconcile_at": "02:30"},
    "retry": {},
    "reconciliations": {},
}


@pytest.mark.parametrize("command", ACCOUNT_COMMANDS)
async def test_who_has_no_part_in_an_account_asks_nothing_of_it_by_the_word_of_an_admin(
    stand: ApiStand, command: str
) -> None:
    await stand.set_some_aside()
    before = last_fact(stand)
    refused = await stand.post(f"/accounts/acme/{command}", {**ACCOUNT_COMMANDS[command], "by": "eve"})
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems#not-permitted"), refused.text
    assert last_fact(stand) == before


async def test_in_the_name_of_the_account_manager_an_admin_does_what_they_could(stand: ApiStand) -> None:
    await stand.set_some_aside()
    entries = [{"account": "acme", "tier": "enterprise"}, {"account": "beta", "master_user": "jane"}]
    for by, entry, is_done in (("bob", 0, True), ("eve", 0, False), ("jane", 1, False)):
        answer = await stand.post("/accounts/applied", {"accounts": [entries[entry]], "by": by})
        actions = [each["action"] for line in answer.text.splitlines() for each in loads(line).get("accounts") or ()]
        assert actions == ["refuse" if not is_done else "change"], answer.text
    fact = last_fact(stand)
    assert (fact.by, fact.role, fact.authenticated) == ("bob", "account_manager", "operator")


@pytest.mark.parametrize("name", ["jane", "key:jane"])
async def test_a_key_that_is_called_like_the_master_user_is_not_the_master_user(stand: ApiStand, name: str) -> None:
    await stand.set_some_aside()
    _, key = stand.access.create_key(name, ADMIN, by="operator", expires=None)
    answer = await stand.outside("POST", "/v1/accounts/acme/sync", json={"on": False}, headers=bearing(key))
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems#not-permitted")


async def test_the_local_operator_is_stored_as_such(stand: ApiStand) -> None:
    await stand.set_some_aside()
    assert (await stand.post("/accounts/acme/retry", {})).status_code == 200
    assert (last_fact(stand).by, last_fact(stand).role) == ("operator", "operator")
    await stand.post("/accounts/acme/retry", {"by": "bob"})
    assert (last_fact(stand).by, last_fact(stand).authenticated) == ("bob", "operator")
