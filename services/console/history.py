"""What happened: an account's settings and reconciliations in one timeline, and every event of every log."""

from collections import deque
from dataclasses import replace
from datetime import timedelta
from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from domain.identity import Target
from domain.outcomes import Outcome
from services.api import account_history, events, reconciliations
from services.api.installation import Installation
from services.api.naming import moment_named
from services.api.routing import Called, Installed, KnownAccount
from services.console.rendering import page, see_other
from services.console.routing import Form, body_of, new_pages
from services.runtime.context import utc_now

router = new_pages()

_KINDS = ("sync", "setting", "verdict", "request", "reconciliation")
_PAGE = 100
"""Events that one page shows."""

_READ = 1000
"""Events that are read at a time."""


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
    until: str = "",
    log: str = "",
    reason: str = "",
    outcome: str = "",
    trigger: str = "",
    by: str = "",
    correlation: str = "",
    cursor: str = "",
    before: Annotated[str, Query(description="The event, as LOG/POSITION, that the page ends before.")] = "",
) -> HTMLResponse:
    """The events of every log from a moment on, the newest first; those that come are added above them."""
    began = since or (utc_now() - timedelta(hours=1)).replace(microsecond=0).isoformat()
    query = events.EventQuery(
        account=account or None,
        driver=driver or None,
        driver_id=driver_id or None,
        target=next((each for each in Target if each == target), None),
        kinds=[type] if type else (),
        since=began,
        until=until or None,
        log=log or None,
        reason=reason or None,
        outcome=next((each for each in Outcome if each == outcome), None),
        trigger=trigger or None,
        by=by or None,
        correlation=correlation or None,
    )
    if cursor:
        found, is_all = await (await events.reader_of(installation, query)).page(cursor, _PAGE), True
    else:
        found, is_all = await _newest(installation, query, before)
    return page(
        request,
        "events.html",
        events=[*reversed(found.events)],
        position=found.cursor,
        is_live=not (until or before),
        is_end=found.is_end,
        is_all=is_all,
        account=account,
        driver=driver,
        driver_id=driver_id,
        target=target,
        type=type,
        since=began,
        log=log,
        reason=reason,
        outcome=outcome,
        trigger=trigger,
        by=by,
        correlation=correlation,
        outcomes=[*map(str, Outcome)],
        triggers=events.TRIGGERS,
        logs=[*installation.logs],
        targets=[*map(str, Target)],
        cursor=cursor,
        until=until,
    )


_LOOKED_BACK = timedelta(seconds=10)
"""How far it is looked back for the newest events first; then ten times as far, and so on."""


async def _newest(
    installation: Installation, query: events.EventQuery, before: str
) -> tuple[events.FollowedEventPage, bool]:
    """The newest events before this one, or of all, and whether these are all that there are. Raises `Malformed`."""
    began, end = moment_named(query.since), moment_named(query.until) or utc_now()
    assert began is not None  # noqa: S101 - the caller has named it
    back = _LOOKED_BACK
    while True:
        start = end - min(back, end - began)
        reader = await events.reader_of(installation, replace(query, since=start.isoformat()))
        found, is_all = await _last(reader, before)
        if len(found.events) == _PAGE or start == began:
            return found, is_all and start == began
        back *= 10


async def _last(reader: events.EventReader, before: str) -> tuple[events.FollowedEventPage, bool]:
    """The last events that the reader finds before this one, and whether there are none before them."""
    kept, cursor, number, is_over = deque[events.LoggedEvent](maxlen=_PAGE), None, 0, False
    while not is_over:
        found = await reader.page(cursor, _READ)
        for event in found.events:
            if is_over := f"{event.log}/{event.position}" == before:
                break
            kept.append(event)
            number += 1
        cursor, is_over = found.cursor, is_over or found.is_end
    return found.model_copy(update={"events": tuple(kept)}), number <= _PAGE
