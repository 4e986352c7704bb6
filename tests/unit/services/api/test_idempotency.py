"""`Idempotency-Key`: a command that is sent again takes effect once, and is answered as it was the first time."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from copy import deepcopy
from datetime import timedelta
from json import dumps

import httpx
import pytest

from domain.account import AccountEvent, Role
from domain.identity import AccountId, account_stream
from domain.store import CommandAnswer, Unit
from services.api import V1, idempotency
from tests.unit.services.api.api_stand import ApiStand, Json, letter, name

pytestmark = pytest.mark.anyio

KEY = '"8e03978e-40d5-43dd-bc93-6894a57f9324"'
ACCOUNT: Json = {"account": "acme", "tier": "pro", "mode": "full", "master_user": "jane"}
ON: Json = {"by": "jane", "on": True}


@pytest.fixture
async def stand(stand: ApiStand) -> ApiStand:
    await stand.post("/accounts", ACCOUNT)
    return stand


async def command(stand: ApiStand, path: str, body: Json, key: str = KEY) -> httpx.Response:
    return await stand.send(path, dumps(body).encode(), {"idempotency-key": key})


def facts(stand: ApiStand, account: str = "acme") -> list[str]:
    stream = account_stream(AccountId(account))
    return [
        type(each).__name__ for each in stand.asked_store.histories([stream])[stream] if isinstance(each, AccountEvent)
    ]


def said(answer: httpx.Response) -> tuple[int, str, str]:
    return answer.status_code, answer.headers["content-type"], answer.text


COMMANDS: Mapping[str, tuple[str, Json]] = {
    "add_account": ("/accounts", {**ACCOUNT, "account": "beta"}),
    "apply_accounts": ("/accounts/applied", {"accounts": [{"account": "beta", "master_user": "jane"}]}),
    "remove_account": ("/accounts/acme/removed", {}),
    "set_people": ("/accounts/acme/people", {"account_manager": "bob"}),
    "set_mode": ("/accounts/acme/mode", {"by": "jane", "target": "motive", "mode": "off"}),
    "turn_sync": ("/accounts/acme/sync", {"by": "jane", "on": False}),
    "request_reconciliation": ("/accounts/acme/reconciliations", {"by": "jane"}),
    "state_driver": (
        "/accounts/acme/drivers",
        {"action": "create", "driver": "7", "profile": {"first_name": "Jane", "last_name": "Doe"}},
    ),
    "connect_target": ("/accounts/acme/credentials", {"target": "motive", "values": {"api_key": "secret"}}),
    "create_secret": ("/accounts/acme/push-secrets/portal", {}),
    "discard_letter": ("/dead-letters/discard", {"name": name()}),
    "resubmit_letter": ("/dead-letters/resubmission", {"name": name()}),
    "create_key": ("/keys", {"name": "nightly", "roles": ["viewer"]}),
    "make_sign_in_link": ("/sign-in-links", {}),
}


def stored(stand: ApiStand) -> list[str]:
    """Everything in every store but when keys were used."""
    logs = [str([(each.id, each.body) for each in store.log.read(0, 1000)]) for store in stand.stores.values()]
    return [*logs, str(stand.letters()), str(stand.submitted()), str(stand.access.keys())]


@pytest.mark.parametrize("route", COMMANDS)
async def test_a_command_that_is_sent_again_changes_nothing_and_is_answered_the_same(
    stand: ApiStand, route: str
) -> None:
    await stand.post("/accounts/acme/sync", ON)
    stand.step()
    stand.keep(letter())
    path, body = COMMANDS[route]
    if route == "make_sign_in_link":
        stand.at_console("http://127.0.0.1:1")
    first = await command(stand, path, body)
    assert first.is_success, first.text
    after = stored(stand)
    again = await command(stand, path, body)
    assert said(again) == said(first)
    assert stored(stand) == after


async def test_it_is_answered_the_same_when_everything_has_changed_since(stand: ApiStand) -> None:
    first = await command(stand, "/accounts/acme/sync", ON)
    await stand.post("/accounts/acme/sync", {"by": "jane", "on": False})
    before = facts(stand)
    assert said(await command(stand, "/accounts/acme/sync", ON)) == said(first)
    assert facts(stand) == before


async def test_what_changed_nothing_does_not_take_effect_later(stand: ApiStand) -> None:
    await stand.post("/accounts/acme/sync", ON)
    await command(stand, "/accounts/acme/sync", ON)
    await stand.post("/accounts/acme/sync", {"by": "jane", "on": False})
    await command(stand, "/accounts/acme/sync", ON)
    assert facts(stand)[-1] == "SyncTurnedOff"


@pytest.mark.parametrize("other", [("/accounts/acme/sync", {"by": "jane", "on": False}), ("/accounts/acme/allow", ON)])
async def test_a_key_is_good_for_one_request(stand: ApiStand, other: tuple[str, Json]) -> None:
    await command(stand, "/accounts/acme/sync", ON)
    before = facts(stand)
    refused = await command(stand, *other)
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems#idempotency-key-reused")
    assert facts(stand) == before


@pytest.mark.parametrize(
    "key", ["", '""', "too-short", f'"{"x" * 256}"', '"8e03978e-40d5-43dd-bc93-6894a57f9324', "tab\there-and-more"]
)
async def test_what_is_not_a_key_is_refused(stand: ApiStand, key: str) -> None:
    answer = await stand.send("/accounts/acme/sync", dumps(ON).encode(), {"idempotency-key": key})
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems#invalid-request")
    assert facts(stand) == ["AccountAdded"]


async def test_a_key_is_the_same_with_and_without_quotes(stand: ApiStand) -> None:
    first = await command(stand, "/accounts/acme/reconciliation-time", {"by": "jane", "reconcile_at": "02:30"})
    again = await command(
        stand, "/accounts/acme/reconciliation-time", {"by": "jane", "reconcile_at": "02:30"}, KEY.strip('"')
    )
    assert said(again) == said(first)


async def test_callers_do_not_share_keys(stand: ApiStand) -> None:
    await command(stand, "/accounts/acme/sync", ON)
    secret = stand.key({"*": frozenset({Role.ADMIN})})
    headers = {"idempotency-key": KEY, "authorization": f"Bearer {secret}"}
    answer = await stand.outside("POST", f"{V1}/accounts/acme/sync", json={"by": "jane", "on": False}, headers=headers)
    assert (answer.status_code, facts(stand)[-1]) == (200, "SyncTurnedOff")


async def test_a_command_that_is_refused_may_be_sent_again(stand: ApiStand) -> None:
    wrong = await command(stand, "/accounts/acme/sync", {"by": "eve", "on": True})
    assert wrong.status_code == 403
    assert (await command(stand, "/accounts/acme/sync", ON)).status_code == 200


@pytest.mark.parametrize("path", ["accounts/acme/sync", "accounts/nobody/sync", "keys"])
async def test_the_body_of_a_command_is_read_only_for_who_may_give_it(stand: ApiStand, path: str) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(64):
            sent += 1
            yield b" " * 2**17

    secret = stand.key({"*": frozenset({Role.VIEWER})})
    headers = {"idempotency-key": KEY, "authorization": f"Bearer {secret}", "content-type": "application/json"}
    answer = await stand.outside("POST", f"{V1}/{path}", content=body(), json=None, headers=headers)
    assert answer.status_code == 403
    assert sent <= 9, "what is read and thrown away, so that the client reads the answer"


async def test_a_command_whose_account_is_gone_is_answered_again(stand: ApiStand) -> None:
    first = await command(stand, "/accounts/acme/sync", ON)
    await stand.post("/accounts/acme/removed", {})
    assert said(await command(stand, "/accounts/acme/sync", ON)) == said(first)
    other = await command(stand, "/accounts/acme/sync", {**ON, "on": False})
    assert other.json()["type"] == "/problems#idempotency-key-reused"


async def test_of_two_at_once_one_takes_effect(stand: ApiStand) -> None:
    await stand.post("/accounts/acme/sync", ON)
    stand.step()
    path, body = COMMANDS["request_reconciliation"]
    answers = await asyncio.gather(*(command(stand, path, body) for _ in range(4)))
    done = [each for each in answers if each.is_success]
    assert len({each.text for each in done}) == 1
    assert {each.json()["type"] for each in answers if not each.is_success} <= {"/problems#idempotency-key-outstanding"}
    assert facts(stand).count("ReconciliationRequested") == 2, "one for each target"


async def test_of_two_at_once_in_two_processes_one_takes_effect(
    stand: ApiStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, commit = stand.asked_store, stand.asked_store.commit

    def overtaken(unit: Unit) -> bool:
        """Another process has stored the same command first."""
        monkeypatch.setattr(store, "commit", commit)
        assert commit(deepcopy(unit))
        return commit(unit)

    monkeypatch.setattr(store, "commit", overtaken)
    first = await command(stand, "/accounts/acme/sync", ON)
    assert (first.status_code, facts(stand)) == (200, ["AccountAdded", "SyncTurnedOn"])
    assert said(await command(stand, "/accounts/acme/sync", ON)) == said(first)


async def test_the_answer_is_stored_with_the_effect(stand: ApiStand, monkeypatch: pytest.MonkeyPatch) -> None:
    store, commit, units = stand.asked_store, stand.asked_store.commit, list[Unit]()

    def noted(unit: Unit) -> bool:
        units.append(unit)
        return commit(unit)

    monkeypatch.setattr(store, "commit", noted)
    await command(stand, "/accounts/acme/sync", ON)
    (unit,) = units
    assert [type(event).__name__ for event in unit.events] == ["SyncTurnedOn"]
    assert [kind for kind, _ in unit.rows if kind is CommandAnswer] == [CommandAnswer]


async def test_what_is_stored_of_an_answer_can_be_read_only_with_the_key(stand: ApiStand) -> None:
    made = (await command(stand, "/keys", {"name": "nightly", "roles": ["viewer"]})).json()["key"]
    rows = stand.access.store.select(CommandAnswer)
    assert rows
    assert all(secret not in str(rows) for secret in (made, made.rpartition("_")[2], KEY.strip('"'), "operator"))


async def test_a_key_is_forgotten_after_a_day(stand: ApiStand) -> None:
    await stand.post("/accounts/acme/sync", ON)
    stand.step()
    path, body = COMMANDS["request_reconciliation"]
    first = await command(stand, path, body)
    stand.now += idempotency.KEPT
    assert (await command(stand, path, body)).text == first.text
    stand.now += timedelta(hours=1)
    assert (await command(stand, path, body)).text != first.text
    assert len(stand.asked_store.select(CommandAnswer)) == 1


async def test_the_oldest_of_a_caller_is_forgotten_when_there_are_too_many(
    stand: ApiStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "MOST_KEPT", 3)
    for number in range(5):
        await command(
            stand,
            "/accounts/acme/reconciliation-time",
            {"by": "jane", "reconcile_at": f"0{number}:30"},
            f"{KEY}{number}"[1:].replace('"', ""),
        )
    assert sorted(row.number for row in stand.asked_store.select(CommandAnswer)) == [3, 4, 5]


async def test_a_command_that_is_overtaken_is_done_again(stand: ApiStand, monkeypatch: pytest.MonkeyPatch) -> None:
    store, commit = stand.asked_store, stand.asked_store.commit

    def overtaken(unit: Unit) -> bool:
        monkeypatch.setattr(store, "commit", commit)
        stand.ask("acme", "jane", lambda person, known: person.turn_on(known))
        return commit(unit)

    monkeypatch.setattr(store, "commit", overtaken)
    answer = await command(stand, "/accounts/acme/reconciliation-time", {"by": "jane", "reconcile_at": "02:30"})
    assert (answer.status_code, answer.json()["sync"]) == (200, "on")
    assert facts(stand) == ["AccountAdded", "SyncTurnedOn", "ReconciliationTimeSet"]


@pytest.mark.parametrize(("path", "body"), COMMANDS.values(), ids=COMMANDS)
async def test_others_are_notified_when_it_is_stored(stand: ApiStand, path: str, body: Json) -> None:
    stand.keep(letter())
    stand.at_console("http://127.0.0.1:8100")
    await stand.post("/accounts/acme/sync", ON)
    stand.step()
    waiter, seen = stand.services[0].waiter(), [ends(stand)]

    async def look() -> None:
        while await waiter.wait():
            waiter.clear()
            seen.append(ends(stand))

    looking = asyncio.create_task(look())
    assert (await command(stand, path, body)).is_success
    await asyncio.sleep(0)
    looking.cancel()
    assert seen[-1] == ends(stand)


def ends(stand: ApiStand) -> list[int]:
    """How far each log has come."""
    return [store.log.end() for store in stand.stores.values()]
