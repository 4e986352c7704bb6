"""Webhooks by the API: endpoints with a secret that is shown once, and what was sent to each."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.credentials import CredentialsFile
from domain.store import Unit
from domain.webhooks import MessageType
from services.webhooks.read_models import EndpointRequest, EndpointRow, MessageRow
from tests.unit.services.api.api_stand import NOW, ApiStand

pytestmark = pytest.mark.anyio

PATH = "/accounts/acme/webhooks"
URL = "https://receiver.test/hooks?of=acme"


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[ApiStand]:
    made = ApiStand(tmp_path)
    await made.post("/accounts", {"account": "acme", "tier": "pro", "master_user": "jane", "mode": "full"})
    yield made
    made.close()


async def created(stand: ApiStand, **body: object) -> Any:  # noqa: ANN401 - JSON
    return (await stand.post(PATH, {"url": URL, **body})).json()


async def shown(stand: ApiStand) -> Any:  # noqa: ANN401 - JSON
    (endpoint,) = (await stand.get(PATH)).json()
    return endpoint


async def test_an_endpoint_shows_its_secret_once_and_who_made_it_is_noted(stand: ApiStand, tmp_path: Path) -> None:
    answer = await stand.post(PATH, {"url": URL, "types": ["driver.held"], "note": "for the night shift"})
    made = answer.json()
    assert (answer.status_code, made["secret"][:6], made["former_until"]) == (201, "whsec_", None)
    stored = CredentialsFile(tmp_path / "credentials").signing_secrets("acme", made["endpoint"])
    assert stored is not None
    assert stored.secret == made["secret"]
    endpoint = await shown(stand)
    assert endpoint == {
        "account": "acme",
        "endpoint": made["endpoint"],
        "url": URL,
        "types": ["driver.held"],
        "state": "on",
        "created": NOW.isoformat(),
        "ended": "",
        "failing_since": None,
        "former_secret_until": None,
        "waiting": 0,
        "delivered": 0,
        "parked": 0,
    }
    (entry,) = (await stand.get("/journal", account="acme")).json()["entries"]
    assert (entry["command"], entry["note"]) == ("create_webhook", "for the night shift")
    assert made["secret"] not in json.dumps([endpoint, entry])


async def test_an_endpoint_gets_every_type_unless_some_are_chosen(stand: ApiStand) -> None:
    await created(stand)
    assert (await shown(stand))["types"] == sorted(MessageType)


async def test_a_command_that_comes_again_makes_one_endpoint(stand: ApiStand) -> None:
    async def post() -> httpx.Response:
        headers = {"idempotency-key": '"0123456789abcdef"'}
        return await stand.send(PATH, json.dumps({"url": URL}).encode(), headers)

    first, again = await post(), await post()
    assert first.status_code == 201
    assert again.json() == first.json()
    assert len(stand.stores["webhooks"].select(EndpointRow)) == 1


async def test_for_a_day_after_a_rotation_two_secrets_are_good_unless_one_ends_at_once(
    stand: ApiStand, tmp_path: Path
) -> None:
    made = await created(stand)
    keeper, now = CredentialsFile(tmp_path / "credentials"), NOW.timestamp()

    def good(after: float) -> tuple[str, ...]:
        secrets = keeper.signing_secrets("acme", made["endpoint"])
        return secrets.valid(now + after) if secrets else ()

    second = (await stand.post(f"{PATH}/{made['endpoint']}/rotation", {})).json()
    assert good(3600) == (second["secret"], made["secret"])
    assert good(90_000) == (second["secret"],)
    assert (await shown(stand))["former_secret_until"] == second["former_until"]
    third = (await stand.post(f"{PATH}/{made['endpoint']}/rotation", {"at_once": True})).json()
    assert good(0) == (third["secret"],)


async def test_the_secret_in_use_stays_good_though_the_answer_to_a_rotation_was_lost(
    stand: ApiStand, tmp_path: Path
) -> None:
    made = await created(stand)
    path, keeper = f"{PATH}/{made['endpoint']}/rotation", CredentialsFile(tmp_path / "credentials")
    lost, again = [(await stand.post(path, {})).json() for _ in range(2)]
    secrets = keeper.signing_secrets("acme", made["endpoint"])
    assert secrets
    assert secrets.valid(NOW.timestamp() + 3600) == (again["secret"], lost["secret"], made["secret"])
    refused = await stand.post(path, {})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems#webhook")
    assert "--at-once" in refused.json()["detail"]
    assert keeper.signing_secrets("acme", made["endpoint"]) == secrets
    assert (await stand.post(path, {"at_once": True})).status_code == 200


async def test_a_ping_is_asked_of_the_service_and_only_while_the_endpoint_is_on(stand: ApiStand) -> None:
    path = f"{PATH}/{(await created(stand))['endpoint']}"
    asked = await stand.post(f"{path}/ping", {})
    assert asked.status_code == 202
    (request,) = stand.stores["webhooks"].select(EndpointRequest)
    assert (request.asked, request.message) == ("ping", asked.json()["message"])
    assert (await stand.post(f"{path}/disabled", {})).json()["state"] == "off"
    refused = await stand.post(f"{path}/ping", {})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems#webhook")
    assert "driverlink webhooks enable acme" in refused.json()["detail"]
    assert (await stand.post(f"{path}/enabled", {})).json()["state"] == "on"


async def test_a_deleted_endpoint_leaves_no_secret(stand: ApiStand, tmp_path: Path) -> None:
    made = await created(stand)
    path = f"{PATH}/{made['endpoint']}"
    assert (await stand.post(f"{path}/deletion", {})).status_code == 200
    assert (await stand.get(PATH)).json() == []
    assert CredentialsFile(tmp_path / "credentials").signing_secrets("acme", made["endpoint"]) is None
    gone = await stand.post(f"{path}/ping", {})
    assert (gone.status_code, gone.json()["type"]) == (404, "/problems#unknown-webhook")


async def test_messages_are_listed_the_newest_first_and_sent_again(stand: ApiStand) -> None:
    made = await created(stand)
    path, store = f"{PATH}/{made['endpoint']}", stand.stores["webhooks"]
    unit = Unit()
    unit.keep(_message(made["endpoint"], number, "parked" if number == 100 else "delivered") for number in range(101))
    store.commit(unit)
    page = (await stand.get(f"{path}/messages")).json()
    assert [each["message"] for each in page["messages"]] == [f"msg_{number}" for number in range(100, 0, -1)]
    rest = (await stand.get(f"{path}/messages", after=page["next"])).json()
    assert ([each["message"] for each in rest["messages"]], rest["next"]) == (["msg_0"], None)
    (parked,) = (await stand.get(f"{path}/messages", state="parked")).json()["messages"]
    assert parked["attempts"] == [{"at": NOW.isoformat(), "status": 500, "detail": "answered 500", "seconds": 0.1}]
    assert (await shown(stand))["delivered"] == 100
    assert (await stand.post(f"{path}/messages/msg_100/resend", {})).status_code == 202
    assert [row.asked for row in store.select(EndpointRequest)] == ["resend"]
    assert (await stand.post(f"{path}/messages/msg_7000/resend", {})).status_code == 404


@pytest.mark.parametrize(
    "url",
    [
        "http://receiver.test/",
        "ftp://receiver.test/",
        "https://",
        "https://user:secret@receiver.test/",
        "https://receiver.test/#part",
        "https://receiver.test:0/",
        "https://receiver.test/ a",
        "https://receiver.test:port/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://10.1.2.3/",
        "javascript:alert(1)",
    ],
)
async def test_an_address_that_must_not_be_reached_is_refused_with_its_field(stand: ApiStand, url: str) -> None:
    answer = await stand.post(PATH, {"url": url})
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems#invalid-request")
    assert answer.json()["detail"].startswith("url: ")
    assert stand.stores["webhooks"].select(EndpointRow) == []


async def test_an_address_that_is_too_long_is_refused_by_its_characters(stand: ApiStand) -> None:
    answer = await stand.post(PATH, {"url": f"https://receiver.test/{'a' * 2000}"})
    assert answer.json()["detail"] == "url: must have 2000 characters at most"


async def test_a_type_that_there_is_not_is_refused(stand: ApiStand) -> None:
    answer = await stand.post(PATH, {"url": URL, "types": ["driver.born"]})
    assert answer.status_code == 400


async def test_an_eleventh_endpoint_is_refused_and_leaves_no_secret(stand: ApiStand, tmp_path: Path) -> None:
    for _ in range(10):
        await created(stand)
    refused = await stand.post(PATH, {"url": URL})
    assert (refused.status_code, "delete one first" in refused.json()["detail"]) == (409, True)
    assert len(CredentialsFile(tmp_path / "credentials").of("acme").endpoints) == 10


def _message(endpoint: str, number: int, state: str) -> MessageRow:
    attempt = {"at": NOW.isoformat(), "status": 500, "detail": "answered 500", "seconds": 0.1}
    return MessageRow(
        account="acme",
        endpoint=endpoint,
        message=f"msg_{number}",
        type="driver.linked",
        link="1",
        number=number,
        place=f"{1000 - number:04}",
        hour="2026-01-05T08",
        at=NOW.isoformat(),
        body={"type": "driver.linked", "data": {"driver": "417"}},
        state=state,
        attempts=[attempt],
    )
