"""`If-Match`: a change is made to what its sender saw, or not at all."""

from json import dumps

import pytest

from domain.store import Unit
from tests.unit.services.api.api_stand import ApiStand, Json

pytestmark = pytest.mark.anyio

ACCOUNT: Json = {"account": "acme", "tier": "pro", "master_user": "jane"}
CHANGES: dict[str, Json] = {
    "people": {"account_manager": "bob"},
    "mode": {"by": "jane", "target": "motive", "mode": "full"},
    "sync": {"by": "jane", "on": True},
    "reconciliation-time": {"by": "jane", "reconcile_at": "02:30"},
    "removed": {},
}


def dumped(body: Json) -> bytes:
    return dumps(body).encode()


@pytest.fixture
async def stand(stand: ApiStand) -> ApiStand:
    await stand.post("/accounts", ACCOUNT)
    return stand


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_of_an_account_that_is_otherwise_than_it_was_seen_is_refused(
    stand: ApiStand, change: str
) -> None:
    shown = await stand.get("/accounts/acme")
    seen = shown.headers["etag"]
    assert seen == f'"{shown.json()["version"]}"'
    await stand.post("/accounts/acme/people", {"account_manager": "eve"})
    before = (await stand.get("/accounts/acme")).json()
    answer = await stand.send(f"/accounts/acme/{change}", dumped(CHANGES[change]), {"if-match": seen})
    assert (answer.status_code, answer.json()["type"]) == (412, "/problems#not-as-seen")
    assert (await stand.get("/accounts/acme")).json() == before
    now = (await stand.get("/accounts/acme")).headers["etag"]
    for header in (f'"0", {now}', "*"):
        assert (await stand.send(f"/accounts/acme/{change}", dumped(CHANGES[change]), {"if-match": header})).is_success
        if change == "removed":
            break


async def test_nothing_comes_between_what_was_compared_and_what_is_stored(
    stand: ApiStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = (await stand.get("/accounts/acme")).headers["etag"]
    store, commit = stand.asked_store, stand.asked_store.commit

    def overtaken(unit: Unit) -> bool:
        monkeypatch.setattr(store, "commit", commit)
        stand.ask("acme", "jane", lambda person, known: person.turn_on(known))
        return commit(unit)

    monkeypatch.setattr(store, "commit", overtaken)
    answer = await stand.send("/accounts/acme/mode", dumped(CHANGES["mode"]), {"if-match": seen})
    assert answer.status_code == 412
    assert (await stand.get("/accounts/acme")).json()["modes"]["motive"] == "observe"


async def test_a_plan_is_applied_as_it_was_seen(stand: ApiStand) -> None:
    body = dumped({"by": "jane", "plan": "0" * 16})
    await stand.post("/accounts/acme/sync", CHANGES["sync"])
    refused = await stand.send("/accounts/acme/plan", body, {"if-match": f'"{"1" * 16}"'})
    assert (refused.status_code, refused.json()["type"]) == (412, "/problems#not-as-seen")


async def test_held_deletes_are_approved_as_they_were_seen(stand: ApiStand) -> None:
    listed = await stand.get("/accounts/acme/approvals")
    assert (listed.json(), listed.headers["etag"]) == ([], '""')
    body = dumped({"by": "jane", "target": "motive", "digest": "0" * 16, "approve": True})
    refused = await stand.send("/accounts/acme/approvals", body, {"if-match": '"another"'})
    assert refused.status_code == 412
    assert (await stand.send("/accounts/acme/approvals", body, {"if-match": '""'})).status_code == 403
