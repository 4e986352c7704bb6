"""A secret is shown on the page that made it, and on no other; what is revoked is good for nothing."""

import re

import httpx
import pytest

from tests.unit.services.api.api_stand import ApiStand
from tests.unit.services.console.test_pages import browser, seen

__all__ = ["browser"]
pytestmark = pytest.mark.anyio

PUSH_SECRETS = "accounts/acme/push-secrets"


def shown_secret(page: httpx.Response) -> str:
    """What the page says to copy."""
    found = re.findall(r'<code class="copied"[^>]*>([^<]+)</code>', page.text)
    assert page.status_code == 200
    assert len(found) == 1
    return str(found[0])


def since(page: httpx.Response) -> str:
    """Since when the secret is good that the page would replace."""
    found = re.search(r'name="since" value="([^"]+)"', page.text)
    assert found
    return found[1]


async def test_a_push_secret_is_shown_once(stand: ApiStand, browser: httpx.AsyncClient) -> None:
    await stand.post("/accounts", {"account": "acme", "tier": "pro", "master_user": "jane"})
    assert "none: every push is refused" in seen(await browser.get(PUSH_SECRETS))
    secret = shown_secret(await browser.post(f"{PUSH_SECRETS}/portal"))
    assert secret.startswith("whsec_")
    page = await browser.get(PUSH_SECRETS)
    assert secret not in page.text
    assert "one secret is good" in seen(page)


async def test_two_secrets_are_good_after_a_rotation_and_loading_its_answer_again_rotates_nothing(
    stand: ApiStand, browser: httpx.AsyncClient
) -> None:
    await stand.post("/accounts", {"account": "acme", "tier": "pro", "master_user": "jane"})
    first = shown_secret(await browser.post(f"{PUSH_SECRETS}/portal"))
    form = {"since": since(await browser.get(PUSH_SECRETS))}
    stand.now = stand.now.replace(hour=9)
    second = shown_secret(await browser.post(f"{PUSH_SECRETS}/portal/rotation", data=form))
    assert second != first
    assert "two secrets are good" in seen(await browser.get(PUSH_SECRETS))
    again = await browser.post(f"{PUSH_SECRETS}/portal/rotation", data=form)
    assert again.status_code == 409
    assert "replaced since this page was loaded" in again.text
    form = {"since": since(await browser.get(PUSH_SECRETS)), "at_once": "on"}
    shown_secret(await browser.post(f"{PUSH_SECRETS}/portal/rotation", data=form))
    assert "one secret is good" in seen(await browser.get(PUSH_SECRETS))


async def test_a_revoked_push_secret_is_gone(stand: ApiStand, browser: httpx.AsyncClient) -> None:
    await stand.post("/accounts", {"account": "acme", "tier": "pro", "master_user": "jane"})
    assert shown_secret(await browser.post(f"{PUSH_SECRETS}/motive", data={"secret": "of-motive-itself"})) == (
        "of-motive-itself"
    )
    assert (await browser.post(f"{PUSH_SECRETS}/motive/revocation")).status_code == 303
    assert seen(await browser.get(PUSH_SECRETS)).count("no secret") == 2


async def test_an_api_key_is_shown_once_works_and_is_revoked(stand: ApiStand, browser: httpx.AsyncClient) -> None:
    await stand.post("/accounts", {"account": "acme", "tier": "pro", "master_user": "jane"})
    form = {"name": "night shift", "role-viewer": "on", "accounts": "acme", "days": "30"}
    key = shown_secret(await browser.post("keys", data=form))
    headers = {"Authorization": f"Bearer {key}"}
    assert (await stand.outside("GET", "/v1/accounts/acme", headers=headers)).status_code == 200
    page = await browser.get("keys")
    assert key not in page.text
    assert "night shift" in seen(page)
    path = re.search(r'action="/console/(keys/[^"]+/revoked)"', page.text)
    assert path
    assert (await browser.post(path[1])).status_code == 303
    assert (await stand.outside("GET", "/v1/accounts/acme", headers=headers)).status_code == 401


async def test_a_key_is_offered_the_roles_of_machines(stand: ApiStand, browser: httpx.AsyncClient) -> None:
    page = await browser.get("keys")
    offered = re.findall(r'name="role-([a-z_]+)"', page.text)
    assert offered == ["viewer", "operator", "approver", "account_manager", "admin"]
    sent = await browser.post("keys", data={"name": "acme", "role-master_user": "on"})
    assert (sent.status_code, stand.access.keys()) == (400, [])


async def test_an_api_key_without_a_role_is_not_made(browser: httpx.AsyncClient) -> None:
    sent = await browser.post("keys", data={"name": "idle"})
    assert (sent.status_code, "tick one at least" in sent.text) == (400, True)
    assert "There is no API key yet" in (await browser.get("keys")).text
