"""Webhooks on their pages: created with a secret that is shown once, looked at, and ended."""

import re

import httpx
import pytest

from domain.store import Unit
from services.webhooks.read_models import EndpointRequest, MessageRow
from tests.unit.services.api.api_stand import ApiStand
from tests.unit.services.console.test_pages import browser, seen
from tests.unit.services.console.test_secrets import shown_secret

__all__ = ["browser"]
pytestmark = pytest.mark.anyio

WEBHOOKS = "accounts/acme/webhooks"


@pytest.fixture
async def endpoint(stand: ApiStand, browser: httpx.AsyncClient) -> str:
    """An endpoint for what needs a person, made on the page."""
    await stand.post("/accounts", {"account": "acme", "tier": "pro", "master_user": "jane"})
    assert "nothing is sent anywhere" in seen(await browser.get(WEBHOOKS))
    form = {"url": "https://receiver.test/<b>", "type-driver.needs_person": "on"}
    page = await browser.post(WEBHOOKS, data=form)
    secret = shown_secret(page)
    again = await browser.get(WEBHOOKS)
    assert secret not in again.text
    assert "https://receiver.test/&lt;b&gt;" in again.text
    (made,) = re.findall(r'<h2 id="(ep_[0-9a-f]+)"', again.text)
    return str(made)


async def test_an_endpoint_is_pinged_rotated_turned_off_and_on_and_deleted(
    stand: ApiStand, browser: httpx.AsyncClient, endpoint: str
) -> None:
    assert "driver.needs_person" in seen(await browser.get(WEBHOOKS))
    assert (await browser.post(f"{WEBHOOKS}/{endpoint}/ping")).status_code == 303
    assert [row.asked for row in stand.stores["webhooks"].select(EndpointRequest)] == ["ping"]
    assert shown_secret(await browser.post(f"{WEBHOOKS}/{endpoint}/rotation")).startswith("whsec_")
    assert "Signed by two secrets until" in seen(await browser.get(WEBHOOKS))
    assert (await browser.post(f"{WEBHOOKS}/{endpoint}/turned")).status_code == 303
    assert "Enable" in seen(await browser.get(WEBHOOKS))
    assert (await browser.post(f"{WEBHOOKS}/{endpoint}/turned", data={"on": "on"})).status_code == 303
    assert "Disable" in seen(await browser.get(WEBHOOKS))
    assert (await browser.post(f"{WEBHOOKS}/{endpoint}/deletion")).status_code == 303
    assert "nothing is sent anywhere" in seen(await browser.get(WEBHOOKS))


async def test_a_message_shows_its_tries_and_is_sent_again(
    stand: ApiStand, browser: httpx.AsyncClient, endpoint: str
) -> None:
    assert "was sent there in the last thirty days" in seen(await browser.get(f"{WEBHOOKS}/{endpoint}"))
    unit, at = Unit(), stand.now.isoformat()
    unit.keep(
        [
            MessageRow(
                account="acme",
                endpoint=endpoint,
                message="msg_1",
                type="driver.parked",
                link="1",
                number=1,
                place="1",
                hour=at[:13],
                at=at,
                body={"type": "driver.parked", "data": {"driver": "417"}},
                state="parked",
                attempts=[{"at": at, "status": 500, "detail": "answered 500", "seconds": 0.1}],
            )
        ]
    )
    stand.stores["webhooks"].commit(unit)
    page = await browser.get(f"{WEBHOOKS}/{endpoint}?state=parked")
    assert "answered 500" in seen(page)
    assert 'href="/console/accounts/acme/drivers/417"' in page.text
    assert (await browser.post(f"{WEBHOOKS}/{endpoint}/messages/msg_1/resend")).status_code == 303
    assert [row.message for row in stand.stores["webhooks"].select(EndpointRequest)] == ["msg_1"]
