"""What happened: an account's settings and reconciliations in one timeline, and every event of every log."""

from datetime import timedelta

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

from domain.identity import Target
from services.api import account_history, events, reconciliations
from services.api.routing import Called, Installed, KnownAccount
from services.console.rendering import page, see_other
from services.console.routing import Form, body_of, new_pages
from services.runtime.context import utc_now

router = new_pages()

_KINDS = ("sync", "setting", "verdict", "request", "reconciliation")
_PAGE = 100


@router.get("/accounts/{account}/history")
async def show_history(
    request: Request, known: KnownAccount, installation: Installed, kind: str = "", after: str = ""
) -> HTMLResponse:
    """Settings, verdicts, requests and reconciliations in one timeline, with who did it."""
    found = await account_history.show_account_history(known, installation, after=after, kind=kind)
    return page(
        request, "history.html", account=known.account, known=known, found=found, kinds=_KINDS, kind=kind, after=after
    )


@router.post("/accounts/{account}/reconcile")
async def reconcile(form: Form, known: KnownAccount, installation: Installed, caller: Called) -> RedirectResponse:
    """Ask for a reconciliation of everybody."""
    body = body_of(reconciliations.RequestReconciliation, note=form.get("note"), target=form.get("target"))
    await reconciliations.request_reconciliation(body, known, caller, installation)
    return see_other("accounts", known.account, "history", done="reconciled")


@router.get("/events")
async def show_events(
    request: Request,
    installation: Installed,
    account: str = "",
    driver: str = "",
    driver_id: str = "",
    target: str = "",
    type: str = "",  # noqa: A002 - the name of the parameter in every address of events
    since: str = "",
    log: str = "",
    cursor: str = "",
) -> HTMLResponse:
    """Every event of every log, oldest first, from a moment on; at the end what comes is added."""
    chosen = next((each for each in Target if each == target), None)
    began = since or (utc_now() - timedelta(hours=1)).replace(microsecond=0).isoformat()
    query = events.EventQuery(
        account=account or None,
        driver=driver or None,
        driver_id=driver_id or None,
        target=chosen,
        kinds=[type] if type else (),
        since=began,
        log=log or None,
    )
    found = await (await events.reader_of(installation, query)).page(cursor or None, _PAGE)
    return page(
        request,
        "events.html",
        found=found,
        account=account,
        driver=driver,
        driver_id=driver_id,
        target=target,
        type=type,
        since=began,
        log=log,
        logs=[*installation.logs],
        targets=[*map(str, Target)],
        cursor=cursor,
    )
