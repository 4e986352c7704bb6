"""The page of the Master User: Sync Drivers on and off, what is synced, and how each driver is linked."""

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

from domain.account import Account, Tier
from domain.profile import SPECS
from services.api import approvals, status
from services.api.account_history import show_account_history
from services.api.accounts import TurnSync, allow_sync, turn_sync
from services.api.driver_search import list_drivers
from services.api.explanation_text import field_name
from services.api.routing import Called, Installed, KnownAccount
from services.api.schema import ByPerson
from services.console.rendering import page, see_other
from services.console.routing import Form, body_of, in_name_of, new_pages

router = new_pages(prefix="/accounts/{account}")


@router.get("/sync")
async def show_sync(
    request: Request, known: KnownAccount, caller: Called, installation: Installed, after: str = ""
) -> HTMLResponse:
    """Configuration Options: the switch, and how the drivers are linked."""
    switches = await show_account_history(known, installation, kind="sync")
    figures = next(iter(await status.show_status(installation, account=known.account)), None)
    drivers = await list_drivers(known, installation, after=after)
    done = [each.reconciled_at for each in figures.targets if each.mode != "off"] if figures else []
    return page(
        request,
        "sync.html",
        account=known.account,
        known=known,
        in_name_of=in_name_of(caller, known.account_manager if _needs_manager(known) else known.master_user),
        needs_manager=_needs_manager(known),
        switches=switches.entries[:5],
        figures=figures,
        last_sync=min(filter(None, done)) if done and all(done) else None,
        drivers=drivers,
        rekeyed=len((await approvals.list_rekeyings(known, installation)).drivers),
        fields={spec.name: [field_name(field) for field in spec.owned] for spec in SPECS.values()},
        targets=[*map(str, SPECS)],
        after=after,
    )


def _needs_manager(known: Account) -> bool:
    return known.tier is Tier.STANDARD and not known.is_allowed


@router.post("/sync")
async def switch_sync(form: Form, known: KnownAccount, installation: Installed, caller: Called) -> RedirectResponse:
    """Turn Sync Drivers off; it is turned on by a plan."""
    by = in_name_of(caller, known.master_user)
    body = body_of(TurnSync, by=by, note=form.get("note"), on=False)
    await turn_sync(known.account, body, caller, installation)
    return see_other("accounts", known.account, "sync", done="turned-off")


@router.post("/allow")
async def allow(form: Form, known: KnownAccount, installation: Installed, caller: Called) -> RedirectResponse:
    """Let a Standard account turn Sync Drivers on."""
    by = in_name_of(caller, known.account_manager)
    await allow_sync(known.account, body_of(ByPerson, by=by, note=form.get("note")), caller, installation)
    return see_other("accounts", known.account, "sync", done="allowed")
