"""The accounts: their settings, and what they are connected with, which is written and never read."""

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from domain.account import Mode, Tier
from domain.failures import Reason
from domain.identity import PORTAL, Target
from domain.ports import CredentialsUnreadable
from domain.profile import CREDENTIALS
from services.api import accounts
from services.api.routing import Called, Installed, KnownAccount
from services.console.overview import MOST_LISTED
from services.console.rendering import page, place_named, see_other
from services.console.routing import Form, body_of, body_with_blanks, new_pages

router = new_pages(prefix="/accounts")

_FIELD = "value-"
"""How the names of the fields begin that hold credentials."""

_PEOPLE = ("tier", "master_user", "account_manager", "note")
"""The fields of the form about an account's tier and people."""


@router.get("")
async def show_accounts(
    request: Request, caller: Called, installation: Installed, find: str = "", after: str = ""
) -> HTMLResponse:
    """The accounts with their settings, by name, in pages; those whose name or people have this in it."""
    wanted, behind = find.strip().casefold(), after
    found: list[accounts.AccountSettings] = []
    while listed := await accounts.list_accounts(caller, installation, behind):
        found += (
            each
            for each in listed
            if wanted in f"{each.account}\n{each.master_user}\n{each.account_manager}".casefold()
        )
        behind = listed[-1].account
        if len(found) > MOST_LISTED or len(listed) < accounts.MOST_LISTED:
            break
    return page(
        request,
        "accounts.html",
        accounts=found[:MOST_LISTED],
        next=found[MOST_LISTED - 1].account if len(found) > MOST_LISTED else "",
        find=find,
        after=after,
        tiers=[*map(str, Tier)],
    )


@router.post("")
async def add_account_of_page(form: Form, installation: Installed, caller: Called) -> RedirectResponse:
    """Add an account, whose targets are only observed until a person sets another mode."""
    fields = {name: form.get(name) for name in ("account", "tier", "master_user", "account_manager", "note")}
    added = await accounts.add_account(body_of(accounts.AddAccount, **fields), caller, installation)
    return see_other("accounts", added.account, done="added")


@router.get("/{account}")
async def show_settings(request: Request, known: KnownAccount, installation: Installed) -> HTMLResponse:
    """An account's settings, and where it has credentials."""
    connected, unreadable = frozenset[str](), ""
    try:
        connected = await installation.accounts_service.call(installation.credentials.connected, known.account)
    except CredentialsUnreadable as failure:
        unreadable = str(failure)
    return page(
        request,
        "account.html",
        account=known.account,
        known=known,
        settings=await accounts.show_account(known),
        modes=[*map(str, Mode)],
        tiers=[*map(str, Tier)],
        targets=[*map(str, Target)],
        connected=connected,
        unreadable=unreadable,
        forms={where: CREDENTIALS[where] for where in (PORTAL, *map(str, Target))},
    )


@router.post("/{account}/people")
async def set_people_of_page(
    form: Form, known: KnownAccount, installation: Installed, caller: Called
) -> RedirectResponse:
    """Set the tier, the Master User and the account manager."""
    body = body_with_blanks(accounts.SetPeople, {name: form.get(name, "") for name in _PEOPLE if name in form})
    await accounts.set_people(known.account, body, caller, installation)
    return see_other("accounts", known.account, done="people")


@router.post("/{account}/mode")
async def set_account_mode(
    form: Form, known: KnownAccount, installation: Installed, caller: Called
) -> RedirectResponse:
    """Set how far synchronisation with a target may go."""
    body = body_of(accounts.SetMode, note=form.get("note"), target=form.get("target"), mode=form.get("mode"))
    await accounts.set_mode(known.account, body, caller, installation)
    return see_other("accounts", known.account, done="mode")


@router.post("/{account}/reconciliation-time")
async def set_time(form: Form, known: KnownAccount, installation: Installed, caller: Called) -> RedirectResponse:
    """Set when daily reconciliations begin."""
    fields = {name: form.get(name, "") for name in ("reconcile_at", "note")}
    body = body_with_blanks(accounts.SetReconciliationTime, fields)
    await accounts.set_reconciliation_time(known.account, body, caller, installation)
    return see_other("accounts", known.account, done="time")


@router.post("/{account}/credentials")
async def store_credentials(
    form: Form, known: KnownAccount, installation: Installed, caller: Called
) -> RedirectResponse:
    """Store credentials; they are never shown again."""
    values = {name.removeprefix(_FIELD): text for name, text in form.items() if name.startswith(_FIELD) and text}
    body = body_of(accounts.Connect, note=form.get("note"), target=form.get("target"), values=values)
    await accounts.connect_target(body, known, installation, caller)
    return see_other("accounts", known.account, done=f"connected-{body.target}")


@router.post("/{account}/credentials/removed")
async def remove_credentials(
    form: Form, known: KnownAccount, installation: Installed, caller: Called
) -> RedirectResponse:
    """Remove credentials."""
    body = body_of(accounts.Disconnect, note=form.get("note"), target=form.get("target"))
    await accounts.disconnect_target(body, known, installation, caller)
    return see_other("accounts", known.account, done=f"removed-{body.target}")


@router.post("/{account}/credentials/check")
async def check_credentials(
    request: Request, form: Form, known: KnownAccount, installation: Installed, _: Called
) -> Response:
    """Make the cheapest call that a target answers only to this account."""
    body = body_of(accounts.CheckCredentials, target=form.get("target"))
    checked = await accounts.check_credentials(body, known, installation)
    if not checked.ok:
        why = f"{checked.reason.replace('_', ' ')}: {checked.detail}"
        sentence = f"The credentials for {place_named(checked.target)} do not work now: {why}."
        if checked.reason == Reason.NOT_CONFIGURED:
            sentence = f"Nothing was checked: {checked.detail}."
        return page(request, "refused.html", 409, sentence=sentence, account=known.account)
    return see_other("accounts", known.account, done=f"checked-{checked.target}")
