"""What waits for a person: held deletes, what is set aside, and what somebody else keeps changing on a target."""

from collections.abc import Iterable
from itertools import groupby

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

from domain.guard import APPROVAL_LASTS
from domain.identity import Target
from services.api import account_history, approvals, issues, reconciliations
from services.api.driver_search import names_of
from services.api.driver_states import advice_on_parked
from services.api.routing import Called, Installed, KnownAccount
from services.console.rendering import page, see_other
from services.console.routing import Form, body_of, new_pages
from services.runtime.context import utc_now

router = new_pages(prefix="/accounts/{account}")


@router.get("/approvals")
async def show_approvals(request: Request, known: KnownAccount, installation: Installed) -> HTMLResponse:
    """Held deletes and held identifiers, with names: each set is judged as a whole, and as it was seen."""
    readers = installation.readers
    rekeyed = await approvals.list_rekeyings(known, installation)
    drivers = [each.driver for each in rekeyed.drivers]
    verdicts = await account_history.show_account_history(known, installation, kind="verdict")
    return page(
        request,
        "approvals.html",
        account=known.account,
        sets=await readers.call(approvals.held, readers.decider, known.account),
        rekeyed=rekeyed,
        names=await readers.call(names_of, readers.decider, known.account, drivers),
        verdicts=[each for each in verdicts.entries if each.at > utc_now() - APPROVAL_LASTS],
        lasts=APPROVAL_LASTS,
    )


@router.post("/approvals")
async def judge(form: Form, known: KnownAccount, installation: Installed, caller: Called) -> RedirectResponse:
    """Approve or reject exactly the set that the page showed."""
    is_approved = form.get("verdict") == "approve"
    body = body_of(
        approvals.Judge,
        note=form.get("note"),
        target=form.get("target"),
        digest=form.get("digest"),
        approve=is_approved,
    )
    await approvals.judge_held_deletes(body, known, caller, installation)
    return see_other("accounts", known.account, "approvals", done="approved" if is_approved else "rejected")


@router.post("/rekeyings")
async def approve_identifiers(
    form: Form, known: KnownAccount, installation: Installed, caller: Called
) -> RedirectResponse:
    """Approve exactly the other identifiers that the page showed."""
    body = body_of(approvals.ApproveReKeyings, digest=form.get("digest"), note=form.get("note"))
    await approvals.approve_rekeyings(body, known, caller, installation)
    return see_other("accounts", known.account, "approvals", done="rekeyed")


@router.get("/issues")
async def show_issues(
    request: Request,
    known: KnownAccount,
    installation: Installed,
    target: str = "",
    reason: str = "",
    after: str = "",
) -> HTMLResponse:
    """The open issues: groups by target and reason, and those of one group by driver."""
    groups = await issues.list_issue_groups(installation, account=known.account)
    found = await issues.list_issues(
        installation,
        account=known.account,
        target=target or None,  # type: ignore[arg-type]  # checked by the query
        reason=reason or None,
        after=after.split("/") if after else None,
    )
    of_account = [each for each in found.issues if not each.driver]
    of_drivers = [each for each in found.issues if each.driver]
    links = await installation.readers.call(issues.links_of, installation.readers.decider, of_drivers)
    return page(
        request,
        "issues.html",
        account=known.account,
        groups=groups,
        total=sum(group.drivers for group in groups),
        of_account=of_account,
        of_drivers=_grouped(of_drivers),
        advice={place: advice_on_parked(link) for place, link in links.items()},
        holders={place: link.parked.holder for place, link in links.items() if link.parked},
        target=target,
        reason=reason,
        next="/".join(found.next["after"]) if found.next else "",
    )


def _grouped(found: Iterable[issues.Issue]) -> list[tuple[tuple[str, str], list[issues.Issue]]]:
    def group(issue: issues.Issue) -> tuple[str, str]:
        return issue.target, issue.reason

    return [(key, [*members]) for key, members in groupby(sorted(found, key=group), group)]


@router.post("/retry")
async def retry(form: Form, known: KnownAccount, installation: Installed, caller: Called) -> RedirectResponse:
    """Look again at one driver, a group, or all that are set aside."""
    of_group, of_one = form.get("group", "").partition("/"), form.get("one", "").partition("/")
    body = body_of(
        issues.RequestRetry,
        note=form.get("note"),
        target=of_group[0] or of_one[0],
        reason=of_group[2],
        driver=of_one[2],
    )
    await issues.retry_parked(body, known, caller, installation)
    return see_other("accounts", known.account, "issues", done="retried")


@router.get("/drift")
async def show_drift(
    request: Request, known: KnownAccount, installation: Installed, target: str = "", after: str = ""
) -> HTMLResponse:
    """What the last reconciliation found changed on a target, though we had not changed it."""
    reports = await reconciliations.list_reconciliations(known, installation, last="1")
    last = {each.target: each for each in reports if not each.is_refused}
    chosen = (
        target if target in list(Target) else next((each for each in last if last[each].drifted), str(Target.DRIVERI))
    )
    found = await reconciliations.list_found_drivers(known, installation, target=chosen, after=after)
    drifted = [each for each in found.drivers if each.drifted]
    names = await installation.readers.call(
        names_of, installation.readers.decider, known.account, [each.driver for each in drifted]
    )
    return page(
        request,
        "drift.html",
        account=known.account,
        last=last,
        chosen=chosen,
        drifted=drifted,
        names=names,
        next=found.next or "",
        targets=[*map(str, Target)],
    )
