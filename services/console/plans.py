"""The plan before the switch, and doing exactly what it says; while either is worked out, a page says how far it is."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, cast

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from services.api import plans
from services.api.driver_search import names_of
from services.api.planner import DryRunProgress
from services.api.plans import ApplyPlan, PlanLine, PlannedStep, PlanSummary
from services.api.routing import Called, Installed, KnownAccount, caller_of
from services.api.streaming import EventStream, Waiting
from services.console.rendering import page, render, see_other
from services.console.routing import Form, body_of, in_name_of, new_pages
from services.runtime.serving import ENDING

router = new_pages(prefix="/accounts/{account}/plan")

MOST_STEPS = 500
"""Steps of a plan that its page shows."""

PATIENCE = 1.0
"""Seconds that a page waits for a plan, before it says how far it is."""

_TICK = 0.5
"""Seconds between two looks at how far a plan is."""

_ABANDONED = 30.0
"""Seconds after which a plan that no page asks about is given up."""

Purpose = Literal["look", "apply"]


@dataclass(slots=True, eq=False)
class PlanInWork:
    """A plan that is worked out, to be looked at or to be applied: how far it is, and in the end what came of it."""

    looked_at: float
    is_done: asyncio.Event = field(default_factory=asyncio.Event)
    progress: DryRunProgress | None = None
    steps: list[PlannedStep] = field(default_factory=list)
    summary: PlanSummary | None = None
    error: str = ""

    async def read(self, response: plans.PlanLines) -> None:
        """Note every line of the API's response."""
        lines = cast("AsyncIterator[str]", response.body_iterator)
        try:
            async for line in lines:
                found = PlanLine.model_validate_json(line)
                self.progress = found.progress or self.progress
                self.steps += (found.steps or [])[: max(0, MOST_STEPS - len(self.steps))]
                self.summary = found.plan or self.summary
                self.error = found.problem.detail if found.problem else self.error
        finally:
            self.is_done.set()


class PlansInWork:
    """The plans that a process works out for pages, one for each account, person and purpose.

    A plan is forgotten once it was shown, once no page has asked about it for a while, and when the process ends.
    """

    def __init__(self) -> None:
        self._plans: dict[tuple[str, str, Purpose], PlanInWork] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(
        self, request: Request, account: str, purpose: Purpose, ask: Callable[[], Awaitable[plans.PlanLines]]
    ) -> None:
        """Work out the plan that is asked for, unless that goes on already."""
        key = (account, caller_of(request).principal.who, purpose)
        if key in self._plans:
            return
        lines = await ask()
        work = self._plans[key] = PlanInWork(asyncio.get_running_loop().time())
        task = asyncio.create_task(self._keep(key, work, lines, request.scope.get(ENDING) or asyncio.Event()))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def of(self, request: Request, account: str, purpose: Purpose) -> PlanInWork | None:
        """What goes on, or is done and was not shown yet."""
        work = self._plans.get((account, caller_of(request).principal.who, purpose))
        if work:
            work.looked_at = asyncio.get_running_loop().time()
        return work

    async def taken(self, request: Request, account: str, purpose: Purpose) -> PlanInWork | None:
        """The same, after some patience; what is done by then is shown, and forgotten."""
        work = self.of(request, account, purpose)
        if work:
            await _wait(work.is_done, PATIENCE)
            if work.is_done.is_set():
                self._plans.pop((account, caller_of(request).principal.who, purpose), None)
        return work

    async def _keep(
        self, key: tuple[str, str, Purpose], work: PlanInWork, lines: plans.PlanLines, ending: asyncio.Event
    ) -> None:
        reading = asyncio.create_task(work.read(lines))
        try:
            clock = asyncio.get_running_loop().time
            while self._plans.get(key) is work and clock() - work.looked_at < _ABANDONED and not ending.is_set():
                await _wait(ending, _TICK)
        finally:
            reading.cancel()
            await asyncio.wait([reading])
            if self._plans.get(key) is work:
                del self._plans[key]


async def _wait(event: asyncio.Event, seconds: float) -> None:
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait([waiting], timeout=seconds)
    finally:
        waiting.cancel()


def _works_of(request: Request) -> PlansInWork:
    """The plans that the application works out."""
    state = request.app.state
    if not hasattr(state, "plans_in_work"):
        state.plans_in_work = PlansInWork()
    return cast("PlansInWork", state.plans_in_work)


@router.get("")
async def show_plan(request: Request, known: KnownAccount, caller: Called, installation: Installed) -> HTMLResponse:
    """What a reconciliation would do: the real decider on what the targets show now, and nothing is written."""
    works = _works_of(request)
    await works.begin(request, known.account, "look", lambda: plans.make_plan(known, caller, installation))
    work = await works.taken(request, known.account, "look")
    if work is None or not work.is_done.is_set():
        return page(request, "planning.html", account=known.account, work=work, purpose="look")
    drivers = [step.driver for step in work.steps]
    names = await installation.readers.call(names_of, installation.readers.decider, known.account, drivers)
    total = sum(sum(counts.values()) for counts in work.summary.counts.values()) if work.summary else 0
    return page(request, "plan.html", account=known.account, known=known, work=work, names=names, total=total)


@router.post("")
async def apply_plan_of_page(
    request: Request, form: Form, known: KnownAccount, installation: Installed, caller: Called
) -> RedirectResponse:
    """Do exactly what the plan said, or nothing."""
    by = None if known.is_on else in_name_of(caller, known.master_user)
    body = body_of(ApplyPlan, by=by, note=form.get("note"), plan=form.get("plan"))
    await _works_of(request).begin(
        request, known.account, "apply", lambda: plans.apply_plan(body, known, caller, installation)
    )
    return see_other("accounts", known.account, "plan", "applying")


@router.get("/applying")
async def show_applying(request: Request, known: KnownAccount) -> Response:
    """How far the comparison with the plan is, and then what came of it."""
    work = await _works_of(request).taken(request, known.account, "apply")
    if work and not work.is_done.is_set():
        return page(request, "planning.html", account=known.account, work=work, purpose="apply")
    if work and work.error:
        return page(request, "refused.html", 409, sentence=work.error, account=known.account)
    return see_other("accounts", known.account, "sync", done="applied" if work else None)


@router.get("/progress")
async def stream_progress(request: Request, known: KnownAccount, of: Purpose = "look") -> EventStream:
    """How far a plan is, as Server-Sent Events; the last one says that it is done."""
    works = _works_of(request)

    async def lines(_: Waiting) -> AsyncIterator[str]:
        while (work := works.of(request, known.account, of)) and not work.is_done.is_set():
            yield f"event: progress\ndata: {render('progress.html', progress=work.progress)}\n\n"
            await _wait(work.is_done, _TICK)
        yield "event: done\ndata: .\n\n"

    return EventStream(request, lines)
