"""The page of the Master User: Sync Drivers, the plan before the switch, and what is and is not synced."""

from collections.abc import AsyncIterator

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from domain.account import Account, Tier
from domain.profile import SPECS
from services.api import plans, status
from services.api.account_history import show_account_history
from services.api.accounts import TurnSync, allow_sync, turn_sync
from services.api.driver_search import list_drivers, names_of
from services.api.explanation_text import field_name
from services.api.plans import ApplyPlan, PlanLine, PlannedStep, PlanSummary
from services.api.routing import Called, Installed, KnownAccount
from services.api.schema import ByPerson
from services.console.rendering import page, see_other
from services.console.routing import Form, body_of, in_name_of, new_pages

router = new_pages(prefix="/accounts/{account}")

_MOST_STEPS = 500
"""Steps of a plan that its page shows."""


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


@router.get("/plan")
async def show_plan(request: Request, known: KnownAccount, caller: Called, installation: Installed) -> HTMLResponse:
    """What a reconciliation would do: the real decider on what the targets show now, and nothing is written."""
    steps: list[PlannedStep] = []
    summary: PlanSummary | None = None
    error = ""
    async for line in _lines(await plans.make_plan(known, caller, installation)):
        steps += (line.steps or [])[: max(0, _MOST_STEPS - len(steps))]
        summary, error = line.plan or summary, (line.problem.detail if line.problem else error)
    names = await installation.readers.call(
        names_of, installation.readers.decider, known.account, [step.driver for step in steps]
    )
    total = sum(sum(counts.values()) for counts in summary.counts.values()) if summary else 0
    return page(
        request,
        "plan.html",
        account=known.account,
        known=known,
        steps=steps,
        names=names,
        plan=summary,
        error=error,
        total=total,
    )


@router.post("/plan")
async def apply_plan_of_page(
    request: Request, form: Form, known: KnownAccount, installation: Installed, caller: Called
) -> Response:
    """Do exactly what the plan said, or nothing."""
    error = ""
    by = None if known.is_on else in_name_of(caller, known.master_user)
    body = body_of(ApplyPlan, by=by, note=form.get("note"), plan=form.get("plan"))
    async for line in _lines(await plans.apply_plan(body, known, caller, installation)):
        error = line.problem.detail if line.problem else error
    if error:
        return page(request, "refused.html", 409, sentence=error, account=known.account)
    return see_other("accounts", known.account, "sync", done="applied")


async def _lines(response: plans.PlanLines) -> AsyncIterator[PlanLine]:
    """The lines of a response that takes long, as they come."""
    async for line in response.body_iterator:
        yield PlanLine.model_validate_json(bytes(line) if isinstance(line, memoryview) else line)
