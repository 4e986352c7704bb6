"""What machines prove by who they are: the secrets of webhooks, and API keys. Each is shown once, when it is made."""

from typing import get_args

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

from domain.identity import WebhookSender
from services.api import sign_in, webhooks
from services.api.permissions import GrantedRole
from services.api.routing import Called, Installed, KnownAccount
from services.api.schema import Malformed, Reasoned
from services.console.rendering import page, see_other
from services.console.routing import Form, body_of, new_pages

router = new_pages()

_ROLE = "role-"
"""How the names of the fields begin that tick a role."""


@router.get("/accounts/{account}/webhooks")
async def show_webhooks(request: Request, known: KnownAccount, installation: Installed) -> HTMLResponse:
    """Who may push to an account, since when, and what was refused."""
    return await _webhooks(request, known, installation)


@router.post("/accounts/{account}/webhooks/{sender}")
async def create_webhook(
    request: Request, sender: WebhookSender, form: Form, known: KnownAccount, installation: Installed, caller: Called
) -> HTMLResponse:
    """Create the secret of a sender, and show it."""
    body = body_of(webhooks.CreateSecret, secret=form.get("secret"), note=form.get("note"))
    made = await webhooks.create_secret(sender, body, known, installation, caller)
    return await _webhooks(request, known, installation, made)


@router.post("/accounts/{account}/webhooks/{sender}/rotation")
async def rotate_webhook(
    request: Request, sender: WebhookSender, form: Form, known: KnownAccount, installation: Installed, caller: Called
) -> HTMLResponse:
    """Create another secret, and show it; the former stays good for a day, unless it is to end at once.

    A form that is sent a second time, as by loading its answer again, is refused: it would end the former secret.
    """
    now = {each.sender: each for each in await webhooks.list_webhooks(known, installation)}[sender]
    if now.since and form.get("since") != now.since.isoformat():
        raise webhooks.WebhookRefused(
            "the secret was replaced since this page was loaded, so nothing was done; look at the page again"
        )
    fields = {name: form.get(name) for name in ("secret", "note")}
    body = body_of(webhooks.RotateSecret, at_once="at_once" in form, **fields)
    made = await webhooks.rotate_secret(sender, body, known, installation, caller)
    return await _webhooks(request, known, installation, made)


@router.post("/accounts/{account}/webhooks/{sender}/revocation")
async def revoke_webhook(
    sender: WebhookSender, form: Form, known: KnownAccount, installation: Installed, caller: Called
) -> RedirectResponse:
    """Refuse from now on what a sender pushes."""
    await webhooks.revoke_secret(sender, known, installation, caller, body_of(Reasoned, note=form.get("note")))
    return see_other("accounts", known.account, "webhooks", done="revoked")


async def _webhooks(
    request: Request, known: KnownAccount, installation: Installed, made: webhooks.WebhookSecret | None = None
) -> HTMLResponse:
    return page(
        request,
        "webhooks.html",
        account=known.account,
        senders=await webhooks.list_webhooks(known, installation),
        made=made,
        origin=str(request.base_url).rstrip("/"),
    )


@router.get("/keys")
async def show_keys(request: Request, installation: Installed) -> HTMLResponse:
    """Every API key: what it may do, who made it, and when it was used last."""
    return await _keys(request, installation)


@router.post("/keys")
async def create_api_key(request: Request, form: Form, installation: Installed, caller: Called) -> HTMLResponse:
    """Make an API key, and show it."""
    roles = [name.removeprefix(_ROLE) for name in form if name.startswith(_ROLE)]
    if not roles:
        raise Malformed("an API key needs a role: tick one at least")
    accounts = form.get("accounts", "").replace(",", " ").split()
    fields = {name: form.get(name) for name in ("name", "days", "note")}
    body = body_of(sign_in.CreateKey, roles=roles, accounts=accounts, **fields)
    return await _keys(request, installation, await sign_in.create_key(body, caller, installation))


@router.post("/keys/{key_id}/revoked")
async def revoke_api_key(key_id: str, form: Form, installation: Installed, caller: Called) -> RedirectResponse:
    """Refuse an API key from now on."""
    await sign_in.revoke_key(key_id, installation, caller, body_of(Reasoned, note=form.get("note")))
    return see_other("keys", done="key-revoked")


async def _keys(request: Request, installation: Installed, made: sign_in.CreatedKey | None = None) -> HTMLResponse:
    found = await sign_in.list_keys(installation)
    return page(request, "keys.html", keys=found, made=made, roles=get_args(GrantedRole))
