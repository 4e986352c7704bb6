"""Motive's webhook is a hint: one row for each user, and nothing is called before the answer."""

import hmac
import json
from hashlib import sha1

import httpx
import pytest

from domain.identity import Target
from services.api.push_secrets import verify_motive
from services.projector.read_models import Hint
from tests.unit.services.api.api_stand import NOW, ApiStand, Json

pytestmark = pytest.mark.anyio

SECRET = "8cbd43f98ba1e33c28c9"
V1: Json = {"action": "user_upserted", "user": {"id": 17, "role": "driver", "first_name": "Jane"}}
V2: Json = {"action": "user_upserted", "trigger": "updated", "id": 18, "role": "driver", "first_name": "Jane"}


@pytest.fixture
async def stand(stand: ApiStand) -> ApiStand:
    await stand.post("/accounts", {"account": "acme", "tier": "pro", "master_user": "jane"})
    await stand.post("/accounts/acme/push-secrets/motive", {"secret": SECRET})
    return stand


async def send(stand: ApiStand, body: bytes, signature: str | None = None, account: str = "acme") -> httpx.Response:
    right = hmac.digest(SECRET.encode(), body, sha1).hex()
    headers = {"X-KT-Webhook-Signature": right if signature is None else signature}
    return await stand.send(f"/accounts/{account}/hints/motive", body, headers)


def hinted(stand: ApiStand) -> list[tuple[str, str]]:
    rows = stand.stores[f"projector-{Target.MOTIVE}"].select(Hint, order_by="mark")
    return [(row.account, row.key) for row in rows]


def test_the_vendors_own_test_vector_is_right() -> None:
    signature = "5e1a966298ba4f3e91847aea8746198ca0530dd2"
    verify_motive({"x-kt-webhook-signature": signature}, b'{"action":"test"}', (SECRET,), NOW)


@pytest.mark.parametrize(
    ("document", "keys"),
    [(V1, {"17"}), (V2, {"18"}), ([V1, V2, V2], {"17", "18"}), ({**V2, "trigger": "created"}, {"18"})],
)
async def test_a_webhook_of_either_version_hints_at_its_users(stand: ApiStand, document: Json, keys: set[str]) -> None:
    answer = await send(stand, json.dumps(document).encode())
    assert (answer.status_code, answer.json()) == (200, {"hints": len(keys)})
    assert set(hinted(stand)) == {("acme", key) for key in keys}


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'["test"]',
        b'{"action":"test"}',
        b'[{"action":"test"}]',
        b"",
        b"{",
        b"7",
        json.dumps({**V2, "role": "fleet_user"}).encode(),
        json.dumps({**V2, "action": "vehicle_upserted"}).encode(),
        json.dumps({**V2, "id": None}).encode(),
        json.dumps({**V2, "id": "../17"}).encode(),
        json.dumps({**V2, "id": "1" * 30}).encode(),
        json.dumps({**V2, "id": "\u0661\u0667"}).encode(),
        json.dumps({**V1, "user": []}).encode(),
    ],
)
async def test_a_test_request_and_what_is_no_hint_get_200_and_leave_nothing(stand: ApiStand, body: bytes) -> None:
    answer = await send(stand, body)
    assert (answer.status_code, answer.json(), hinted(stand)) == (200, {"hints": 0}, [])


@pytest.mark.parametrize("signature", ["", "0" * 40, "not hex"])
async def test_a_wrong_signature_is_refused_but_never_by_403_which_would_end_the_webhook(
    stand: ApiStand, signature: str
) -> None:
    answer = await send(stand, json.dumps(V2).encode(), signature)
    unknown = await send(stand, json.dumps(V2).encode(), signature, account="nobody")
    assert (answer.status_code, answer.content) == (401, unknown.content)
    assert hinted(stand) == []


async def test_a_flood_about_one_user_is_one_hint(stand: ApiStand) -> None:
    for _ in range(20):
        await send(stand, json.dumps(V2).encode())
    assert hinted(stand) == [("acme", "18")]


async def test_a_hint_is_kept_where_the_account_is_named_otherwise(stand: ApiStand) -> None:
    await send(stand, json.dumps(V2).encode(), account="Acme")
    projector = stand._installation.projectors[Target.MOTIVE]
    assert [(row.account, row.keys) for row in projector._reads.due((), 1)] == [("acme", ["18"])]
