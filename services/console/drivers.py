"""The drivers of an account, and one driver whole: where it stands on each target, and how that came about."""

from functools import partial
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from domain.identity import Target
from services.api import V1, driver_details, driver_search, reconciliations, status
from services.api.as_of import AsOf
from services.api.issues import RequestRetry, retry_parked
from services.api.routing import Called, Installed, KnownAccount
from services.api.schema import to_json
from services.console.rendering import page, see_other, url
from services.console.routing import Form, body_of, new_pages

router = new_pages(prefix="/accounts/{account}/drivers")

_VIEWS = ("timeline", "compact", "json")

_EVER: Final = "2020-01-01"
"""Since when everything is listed: before there was anything."""


@router.get("")
async def show_drivers(
    request: Request,
    known: KnownAccount,
    installation: Installed,
    find: str = "",
    target: str = "",
    state: str = "",
    reason: str = "",
    after: str = "",
) -> HTMLResponse:
    """The drivers of an account, filtered by the address."""
    values = {"find": find, "target": target, "state": state, "reason": reason}
    chosen = Target(target) if target in list(Target) else None
    figures = next(iter(await status.show_status(installation, account=known.account)), None)
    if state == "unmanaged":
        drivers = await status.list_links(known, installation, target=chosen, state=state, after=after)
        return page(
            request,
            "unmanaged.html",
            account=known.account,
            drivers=drivers,
            figures=figures,
            most=status.MOST_LINKS,
            **values,
        )
    found = await driver_search.list_drivers(
        known, installation, find=find, target=chosen, state=state, reason=reason, after=after
    )
    return page(
        request,
        "drivers.html",
        account=known.account,
        found=found,
        figures=figures,
        states=driver_search.STATES,
        targets=[*map(str, Target)],
        after=after,
        **values,
    )


@router.get("/{driver:path}")
async def show_driver_page(
    request: Request,
    driver: str,
    known: KnownAccount,
    installation: Installed,
    view: str = "timeline",
    where: Annotated[str, Query(description="Only what happened there.")] = "",
    as_of: AsOf = None,
) -> HTMLResponse:
    """One driver, whole, now or as of a moment."""
    found = await driver_details.show_driver(driver, known, installation, as_of=as_of or None)
    history = [entry for entry in found.history if where in ("", entry.where)]
    return page(
        request,
        "driver.html",
        account=known.account,
        driver=found,
        history=history,
        document=to_json(found) if view == "json" else None,
        view=view if view in _VIEWS else "timeline",
        views=_VIEWS,
        where=where,
        places=["portal", "account", *map(str, Target)],
        is_on=known.is_on,
        as_of=as_of or "",
        capsule="/".join((V1, "accounts", quote(known.account, safe=""), "drivers", quote(driver, safe=""), "capsule")),
        situations={each.target: _situation(found, each.target) for each in found.targets},
        events_of=partial(_events_of, known.account, found.driver),
    )


def _events_of(account: str, driver: str, entry: driver_details.DetailedEntry) -> str:
    """Where the events are listed that have the same trigger as an entry of a driver's history, or its type."""
    rationale = entry.data.get("rationale") or {}
    trigger = ("change", entry.version) if entry.where == "portal" else (rationale.get("trigger"), rationale.get("ref"))
    if all(trigger):
        return url("events", account=account, driver=driver, correlation="/".join(map(str, trigger)), since=_EVER)
    of_driver = None if entry.where == "account" else driver
    return url("events", account=account, driver=of_driver, type_=entry.type, since=_EVER)


def _situation(driver: driver_details.DriverDetails, target: str) -> str:
    """In which situation the driver was when it was last decided on; empty if it never was."""
    rationales = (entry.data.get("rationale", {}) for entry in driver.history if entry.where == target)
    return next((str(each["situation"]) for each in rationales if each.get("situation")), "")


@router.post("/{driver:path}/retry")
async def retry_driver(
    driver: str, form: Form, known: KnownAccount, installation: Installed, caller: Called
) -> RedirectResponse:
    """Look again at one driver that is set aside."""
    body = body_of(RequestRetry, note=form.get("note"), driver=driver, target=form.get("target"))
    await retry_parked(body, known, caller, installation)
    return see_other("accounts", known.account, "drivers", driver, done="retried")


@router.post("/{driver:path}/reconcile")
async def reconcile_driver(
    driver: str, form: Form, known: KnownAccount, installation: Installed, caller: Called
) -> RedirectResponse:
    """Look one driver up on a target, and decide."""
    body = body_of(
        reconciliations.RequestReconciliation, note=form.get("note"), driver=driver, target=form.get("target")
    )
    await reconciliations.request_reconciliation(body, known, caller, installation)
    return see_other("accounts", known.account, "drivers", driver, done="reconciled")
