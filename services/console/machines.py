"""What machines prove by who they are: the push secrets, and API keys. Each is shown once, when it is made."""

from typing import get_args

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

from domain.identity import PushSender
from services.api import push_secrets, sign_in
from services.api.permissions import GrantedRole
from services.api.routing import Called, Installed, KnownAccount
from services.api.schema import Malformed, Reasoned
from services.console.rendering import page, see_other
from services.console.routing import Form, body_of, new_pages

router = new_pages()

_ROLE = "role-"
"""How the names of the fields begin that tick a role."""


@router.get("/accounts/{account}/push-secrets")
async def show_push_secrets(request: Request, known: KnownAccount, installation: Installed) -> HTMLResponse:
    """Who may push to an account, since when, and what was refused."""
    return await _push_secrets(request, known, installation)


@router.post("/accounts/{account}/push-secrets/{sender}")
async def create_push_secret(
    request: Request, sender: PushSender, form: Form, known: KnownAccount, installation: Installed, caller: Called
) -> HTMLResponse:
    """Create the secret of a sender, and show it."""
    body = body_of(push_secrets.CreateSecret, secret=form.get("secret"), note=form.get("note"))
    made = await push_secrets.create_secret(sender, body, known, installation, caller)
    return await _push_secrets(request, known, installation, made)


@router.post("/accounts/{account}/push-secrets/{sender}/rotation")
async def rotate_push_secret(
    request: Request, sender: PushSender, form: Form, known: KnownAccount, installation: Installed, caller: Called
) -> HTMLResponse:
    """Create another secret, and show it; the former stays good for a day, unless it is to end at once.

    A form that is sent a second time, as by loading its answer again, is refused: it would end the former secret.
    """
    now = {each.sender: each for each in await push_secrets.list_push_secrets(known, installation)}[sender]
    if now.since and form.get("since") != now.since.isoformat():
        raise push_secrets.PushSecretRefused(
            "the secret was replaced since this page was loaded, so nothing was done; look at the page again"
        )
    fields = {name: form.get(name) for name in ("secret", "note")}
    body = body_of(push_secrets.RotateSecret, at_once="at_once" in form, **fields)
    made = await push_secrets.rotate_secret(sender, body, known, installation, caller)
    return await _push_secrets(request, known, installation, made)


@router.post("/accounts/{account}/push-secrets/{sender}/revocation")
async def revoke_push_secret(
    sender: PushSender, form: Form, known: KnownAccount, installation: Installed, caller: Called
) -> RedirectResponse:
    """Refuse from now on what a sender pushes."""
    await push_secrets.revoke_secret(sender, known, installation, caller, body_of(Reasoned, note=form.get("note")))
    return see_other("accounts", known.account, "push-secrets", done="revoked")


async def _push_secrets(
    request: Request, known: KnownAccount, installation: Installed, made: push_secrets.PushSecret | None = None
) -> HTMLResponse:
    return page(
        request,
        "push_secrets.html",
        account=known.account,
        senders=await push_secrets.list_push_secrets(known, installation),
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
