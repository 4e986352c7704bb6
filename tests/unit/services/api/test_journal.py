"""What people did that no event says: who, and why."""

from datetime import timedelta
from json import dumps

import pytest

from domain.account import Role
from domain.store import JournalRow, Unit
from services.api import V1
from tests.unit.services.api.api_stand import ApiStand, Json, letter, name

pytestmark = pytest.mark.anyio

ACCOUNT: Json = {"account": "acme", "tier": "pro", "master_user": "jane", "note": "a new customer"}
CREDENTIALS: Json = {"target": "motive", "values": {"api_key": "secret"}}
DONE: list[tuple[str, Json, str]] = [
    ("/accounts/acme/credentials", CREDENTIALS, "stored credentials for Motive."),
    ("/accounts/acme/credentials/removed", {"target": "motive"}, "removed the credentials for Motive."),
    ("/accounts/acme/push-secrets/portal", {}, "created the push secret of portal."),
    ("/accounts/acme/push-secrets/portal/rotation", {}, "replaced the push secret of portal."),
    ("/accounts/acme/push-secrets/portal/revocation", {}, "revoked the push secret of portal."),
    ("/dead-letters/resubmission", {"name": name()}, f"resubmitted the dead letter {name()}."),
    ("/dead-letters/resubmissions", {"service": "decider"}, "resubmitted 1 dead letters."),
    ("/dead-letters/discard", {"name": name()}, f"discarded the dead letter {name()}."),
]


@pytest.fixture
async def stand(stand: ApiStand) -> ApiStand:
    await stand.post("/accounts", ACCOUNT)
    stand.keep(letter())
    return stand


async def journal(stand: ApiStand, **query: str) -> list[Json]:
    return list((await stand.get("/journal", **query)).json()["entries"])


async def test_every_command_without_an_event_is_noted_with_who_and_why(stand: ApiStand) -> None:
    for path, body, _ in DONE:
        stand.now += timedelta(seconds=1)
        assert (await stand.post(path, {**body, "note": f"because of {path}"})).is_success
    found = (await journal(stand))[::-1]
    assert [each["fact"] for each in found] == [f"operator {fact}" for _, _, fact in DONE]
    assert [each["note"] for each in found] == [f"because of {path}" for path, _, _ in DONE]
    assert {each["account"] for each in found} == {"acme", ""}


async def test_keys_are_noted(stand: ApiStand) -> None:
    made = (await stand.post("/keys", {"name": "nightly", "roles": ["viewer"], "note": "for the report"})).json()
    stand.now += timedelta(seconds=1)
    await stand.post(f"/keys/{made['key_id']}/revoked", {"note": "it leaked"})
    assert [(each["command"], each["subject"], each["note"]) for each in await journal(stand)] == [
        ("revoke_key", f"{made['key_id']} (nightly)", "it leaked"),
        ("create_key", f"{made['key_id']} (nightly)", "for the report"),
    ]


async def test_what_is_about_an_account_is_in_its_history(stand: ApiStand) -> None:
    for path, body, _ in DONE[:5]:
        await stand.post(path, {**body, "note": "why not"})
    entries = (await stand.get("/accounts/acme/history")).json()["entries"]
    assert {(each["kind"], each["by"], each["note"]) for each in entries[:5]} == {("setting", "operator", "why not")}
    assert entries[-1]["note"] == "a new customer"
    assert [each["account"] for each in await journal(stand, account="acme")] == ["acme"] * 5


async def test_what_is_refused_is_not_noted(stand: ApiStand) -> None:
    assert (await stand.post("/dead-letters/discard", {"name": name(7)})).status_code == 404
    assert not (await stand.post("/accounts/acme/credentials/removed", {"target": "motive"})).json()["removed"]
    assert await journal(stand) == []


async def test_a_reason_is_stored_in_the_transaction_of_what_was_done(
    stand: ApiStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, units = stand.decider, list[Unit]()
    commit = store.commit

    def seen(unit: Unit) -> bool:
        units.append(unit)
        return commit(unit)

    monkeypatch.setattr(store, "commit", seen)
    await stand.post("/dead-letters/discard", {"name": name(), "note": "a test record"})
    (unit,) = units
    assert [row.note for row in unit.rows.values() if isinstance(row, JournalRow)] == ["a test record"]
    assert unit.removed


async def test_so_is_the_reason_for_a_key(stand: ApiStand, monkeypatch: pytest.MonkeyPatch) -> None:
    store, units = stand.access.store, list[Unit]()
    commit = store.commit

    def seen(unit: Unit) -> bool:
        units.append(unit)
        return commit(unit)

    monkeypatch.setattr(store, "commit", seen)
    made = (await stand.post("/keys", {"name": "nightly", "roles": ["viewer"], "note": "a"})).json()
    await stand.post(f"/keys/{made['key_id']}/revoked", {"note": "b"})
    await stand.post(f"/keys/{made['key_id']}/revoked", {"note": "it is revoked already"})
    assert [sorted(kind.TABLE for kind, _ in unit.rows) for unit in units] == [["api_keys", "journal"]] * 2


async def test_the_journal_of_all_is_for_those_of_the_installation(stand: ApiStand) -> None:
    headers = {"authorization": f"Bearer {stand.key({'acme': frozenset({Role.OPERATOR})})}"}
    assert (await stand.outside("GET", f"{V1}/journal", headers=headers)).status_code == 403
    assert (await stand.outside("GET", f"{V1}/journal?account=acme", headers=headers)).status_code == 200


async def test_a_long_journal_comes_in_pages(stand: ApiStand) -> None:
    for _ in range(101):
        await stand.send("/accounts/acme/credentials", dumps(CREDENTIALS).encode())
    first = (await stand.get("/journal")).json()
    second = (await stand.get("/journal", after=first["next"])).json()
    assert (len(first["entries"]), len(second["entries"]), second["next"]) == (100, 1, None)
