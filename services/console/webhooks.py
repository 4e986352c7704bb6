"""Webhooks: where an account wants what happens to its drivers to be sent, and what was sent to each endpoint."""

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

from domain.webhooks import MessageState, MessageType
from services.api import webhooks
from services.api.routing import Called, Installed, KnownAccount
from services.api.schema import Reasoned
from services.console.rendering import page, see_other
from services.console.routing import Form, body_of, new_pages

router = new_pages(prefix="/accounts/{account}/webhooks")

_TYPE = "type-"
"""How the names of the fields begin that tick a type."""


@router.get("")
async def show_webhooks(request: Request, known: KnownAccount, installation: Installed) -> HTMLResponse:
    """An account's endpoints, and how each does."""
    return await _webhooks(request, known, installation)


@router.post("")
async def create_webhook_of_page(
    request: Request, form: Form, known: KnownAccount, installation: Installed, caller: Called
) -> HTMLResponse:
    """Create an endpoint, and show its secret."""
    types = tuple(name.removeprefix(_TYPE) for name in form if name.startswith(_TYPE))
    fields = {"url": form.get("url"), "note": form.get("note")} | ({"types": types} if types else {})
    made = await webhooks.create_webhook(body_of(webhooks.CreateWebhook, **fields), known, installation, caller)
    return await _webhooks(request, known, installation, made)


@router.post("/{endpoint}/rotation")
async def rotate_webhook_of_page(
    request: Request, endpoint: str, form: Form, known: KnownAccount, installation: Installed, caller: Called
) -> HTMLResponse:
    """Create another secret, and show it; messages are signed by the former too for a day."""
    body = body_of(webhooks.RotateWebhook, at_once="at_once" in form, note=form.get("note"))
    made = await webhooks.rotate_webhook(endpoint, body, known, installation, caller)
    return await _webhooks(request, known, installation, made)


@router.post("/{endpoint}/turned")
async def turn_webhook(
    endpoint: str, form: Form, known: KnownAccount, installation: Installed, caller: Called
) -> RedirectResponse:
    """Send to an endpoint again, or nothing more."""
    is_on = "on" in form
    turn = webhooks.enable_webhook if is_on else webhooks.disable_webhook
    await turn(endpoint, known, installation, caller, body_of(Reasoned, note=form.get("note")))
    return see_other("accounts", known.account, "webhooks", done="webhook-on" if is_on else "webhook-off")


@router.post("/{endpoint}/deletion")
async def delete_webhook_of_page(
    endpoint: str, form: Form, known: KnownAccount, installation: Installed, caller: Called
) -> RedirectResponse:
    """Delete an endpoint."""
    body = body_of(Reasoned, note=form.get("note"))
    await webhooks.delete_webhook(endpoint, known, installation, caller, body)
    return see_other("accounts", known.account, "webhooks", done="webhook-deleted")


@router.post("/{endpoint}/ping")
async def ping_webhook_of_page(
    endpoint: str, known: KnownAccount, installation: Installed, caller: Called
) -> RedirectResponse:
    """Send a ping, and look at the messages."""
    await webhooks.ping_webhook(endpoint, known, installation, caller)
    return see_other("accounts", known.account, "webhooks", endpoint, done="pinged")


@router.get("/{endpoint}")
async def show_webhook_messages(
    request: Request, endpoint: str, known: KnownAccount, installation: Installed, state: str = "", after: str = ""
) -> HTMLResponse:
    """What was sent to an endpoint, the newest first, with every try."""
    chosen = next((each for each in MessageState if each == state), None)
    found = await webhooks.list_webhook_messages(endpoint, known, installation, chosen, after)
    return page(
        request,
        "webhook_messages.html",
        account=known.account,
        endpoint=endpoint,
        messages=found.messages,
        next=found.next,
        state=state,
        states=[*map(str, MessageState)],
    )


@router.post("/{endpoint}/messages/{message}/resend")
async def resend_message_of_page(
    endpoint: str, message: str, known: KnownAccount, installation: Installed, caller: Called
) -> RedirectResponse:
    """Send a message again."""
    await webhooks.resend_webhook_message(endpoint, message, known, installation, caller)
    return see_other("accounts", known.account, "webhooks", endpoint, done="resent")


async def _webhooks(
    request: Request, known: KnownAccount, installation: Installed, made: webhooks.WebhookSecret | None = None
) -> HTMLResponse:
    return page(
        request,
        "webhooks.html",
        account=known.account,
        endpoints=await webhooks.list_webhooks(known, installation),
        made=made,
        types=[*map(str, MessageType)],
    )
