"""`/accounts/{account}/plan`: what a reconciliation would do, and people who want exactly that done."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import structlog
from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse
from pydantic import Field

from domain.account import Account, Mode, NotPermitted
from domain.account import Request as Person
from domain.identity import AccountId, PortalDriverId, Target, reconciliation_stream
from domain.reconciliation import (
    Plan,
    PlanPart,
    PlanStep,
    ReconciliationCompleted,
    ReconciliationEvent,
    ReconciliationRefused,
)
from domain.store import Store, StoreConflict, StoreFailed
from services.accounts.handlers import UnknownAccount
from services.api.installation import Installation, Installed, KnownAccount
from services.api.naming import NamedTarget, find_stated, only_one
from services.api.planner import (
    DryRunProgress,
    Planner,
    RosterUnreadable,
    Told,
    planned_targets,
    unsaid,
    with_sync_on,
)
from services.api.reconciliations import ReconciliationProgress, Requested, Stage, reconciliation_progress
from services.api.schema import ByPerson, Malformed, to_json
from services.decider.read_models import ReconciliationRow, RunningReconciliation
from services.runtime.context import utc_now
from services.wiring.registry import open_dry_run


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedPlan:
    """A reconciliation that was requested; `plan` is what the last request has to go by, empty once that is void."""

    account: AccountId
    target: Target
    request: int
    plan: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOutcome:
    """How far the reconciliation is: `state` is waiting, stopped, done, refused or void.

    `doing` is what goes on or, of a reconciliation that is stopped, what keeps it from going on; `done` of about
    `total` drivers were read, or looked at. `found` counts what a reconciliation that is done has found; `plan` is
    what a refused one had to go by, and `would_be` what it would have been, empty where nobody knows.
    """

    state: str
    doing: str = ""
    done: int = 0
    total: int = 0
    found: dict[str, int] = field(default_factory=dict)
    plan: str = ""
    would_be: str = ""


def outcome_of(decider: Store, projector: Store, wanted: RequestedPlan) -> PlanOutcome:
    """How far the reconciliation of this request is, or what came of it. Raises `StoreFailed`."""
    place = {"account": str(wanted.account), "target": str(wanted.target)}
    last = decider.select(ReconciliationRow, place)
    if last and last[0].answered >= wanted.request:
        return _ended(_fact(decider, wanted))
    in_hand = decider.select(RunningReconciliation, {**place, "request": wanted.request})
    if not in_hand and not wanted.plan:
        return PlanOutcome(state="void")
    requested = Requested(account=wanted.account, target=wanted.target, request=wanted.request)
    return _under_way(
        reconciliation_progress(decider, projector, requested), is_compared=any(work.plan for work in in_hand)
    )


def _under_way(progress: ReconciliationProgress, *, is_compared: bool) -> PlanOutcome:
    if progress.stage is Stage.STOPPED:
        return PlanOutcome(state="stopped", doing=progress.trouble)
    doing = "deciding" if progress.stage is Stage.DECIDING else "reading the roster"
    return PlanOutcome(
        state="waiting",
        doing="comparing with the plan" if is_compared else doing,
        done=progress.done,
        total=progress.of,
    )


def _fact(decider: Store, wanted: RequestedPlan) -> ReconciliationEvent | None:
    """The end of this reconciliation; None where one for a later request has come before it."""
    stream = reconciliation_stream(wanted.account, wanted.target)
    facts = decider.histories([stream]).get(stream, ())
    return next(
        (fact for fact in facts if isinstance(fact, ReconciliationEvent) and fact.request == wanted.request), None
    )


def _ended(fact: ReconciliationEvent | None) -> PlanOutcome:
    match fact:
        case ReconciliationCompleted():
            return PlanOutcome(state="done", found=fact.found)
        case ReconciliationRefused():
            return PlanOutcome(state="refused", plan=fact.plan, would_be=fact.would_be)
    return PlanOutcome(state="void")


_log = structlog.get_logger()


class PlanChanged(Exception):
    """What would be done is not what the person saw."""


_TOLD = (NotPermitted, PlanChanged, RosterUnreadable, StoreConflict, StoreFailed, UnknownAccount)
"""Failures whose message is the last line of an answer that has begun."""


router = APIRouter(prefix="/accounts/{account}/plan", tags=["plans"])

Json = dict[str, Any]


class ApplyPlan(ByPerson):
    """Do exactly what the plan of this hash says: of this target, or of all that are synchronised."""

    plan: str = Field(pattern=r"^[0-9a-f]{16}$")
    target: Target | None = None


_STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}}
"""A dry run may take long, so it is answered with JSON lines.

`{"progress": ...}` and `{"steps": [...]}` as it goes along, then `{"plan": ...}`, or `{"error": one line}`.
"""


@router.get("", response_class=StreamingResponse, responses=_STREAM)
async def make_plan(
    known: KnownAccount,
    installation: Installed,
    target: NamedTarget | None = None,
    driver: str | None = None,
    by: str | None = None,
) -> Response:
    """Show what a reconciliation would do, as JSON lines: progress and steps, then the plan."""
    readers, account = installation.readers, known.account
    stated = PortalDriverId("")
    if driver:
        stated = only_one(await readers.call(find_stated, readers.intake, account, driver), account, driver)
    future, targets = with_sync_on(known, utc_now()), planned_targets(known, target)
    if by:
        _check(known, targets, by)
    return _to_stream(_plan_lines(installation, known, future, targets, stated))


@router.post("", response_class=StreamingResponse, responses=_STREAM)
async def apply_plan(body: ApplyPlan, known: KnownAccount, installation: Installed) -> Response:
    """Request exactly what a plan said, as JSON lines: progress, then the requests by target."""
    targets = planned_targets(known, body.target)
    _check(known, targets, body.by)
    return _to_stream(_apply_lines(installation, known, targets, body))


@router.get("/outcome")
async def show_plan_outcome(
    known: KnownAccount, installation: Installed, target: NamedTarget | None = None, request: str = ""
) -> PlanOutcome:
    """Show how far the reconciliation of a plan is, or what came of it."""
    if target is None or not request.isdecimal():
        raise Malformed("say of which target and which request")
    wanted = RequestedPlan(account=known.account, target=target, request=int(request), plan=known.plans.get(target, ""))
    readers = installation.readers
    return await readers.call(outcome_of, readers.decider, readers.projectors[target], wanted)


async def _plan_lines(
    installation: Installation, account: Account, future: Account, targets: Sequence[Target], driver: str
) -> AsyncGenerator[Json, None]:
    parts: list[PlanPart] = []
    async for told in _dry_runs(installation, future, targets, parts, driver):
        if line := _line(told):
            yield line
    lacking = await unsaid(installation.intake_service, account.account, targets)
    yield {"plan": {**_summary(account, parts, driver), "unsaid": {str(each): lacking[each] for each in lacking}}}


async def _apply_lines(
    installation: Installation, account: Account, targets: Sequence[Target], body: ApplyPlan
) -> AsyncGenerator[Json, None]:
    parts: list[PlanPart] = []
    async for told in _dry_runs(installation, with_sync_on(account, utc_now()), targets, parts):
        if isinstance(told, DryRunProgress):
            yield _line(told)
    would_be = Plan(account=account.account, parts=tuple(parts)).digest
    if would_be != body.plan:
        raise PlanChanged(
            f"the plan of {account.account} is {would_be} by now, not {body.plan}, so nothing was done; "
            f"look at it again: `driverlink plan {account.account}`"
        )
    plans = {part.target: part.digest for part in parts}
    after = await installation.accounts_service.call_again(
        installation.accounts.ask, account.account, body.by, lambda person, known: person.go_by(known, plans)
    )
    installation.accounts_service.notify()
    yield {"requested": {str(part.target): after.reconciliations[part.target] for part in parts}}


async def _dry_runs(
    installation: Installation, future: Account, targets: Sequence[Target], parts: list[PlanPart], driver: str = ""
) -> AsyncIterator[Told]:
    """Everything that the dry runs report; the parts are collected."""
    planner = Planner(
        decider=installation.decider_service,
        intake=installation.intake_service,
        projectors=installation.projectors,
        scratch=open_dry_run,
        clock=utc_now,
    )
    for target in targets:
        async with aclosing(planner.run_dry(future, target, driver)) as dry_run:
            async for told in dry_run:
                if isinstance(told, PlanPart):
                    parts.append(told)
                yield told


def _check(account: Account, targets: Sequence[Target], person: str) -> None:
    """Raise `NotPermitted` where this person could not have such a plan done, before it is made."""
    Person(by=person, at=utc_now()).go_by(account, dict.fromkeys(targets, ""))


def _line(told: Told) -> Json:
    """What is told of a dry run; empty for what is not, as parts are with the whole."""
    if isinstance(told, DryRunProgress):
        return {"progress": to_json(told)}
    if isinstance(told, PlanPart):
        return {}
    return {"steps": [_to_line(step) for step in told]}


def _to_line(step: PlanStep) -> Json:
    """A step for people and scripts: without the values that would be written."""
    return {
        "target": str(step.target),
        "action": str(step.action),
        "driver": step.driver,
        "situation": step.situation,
        "key": step.key,
        "desired_key": step.desired_key,
        "fields": list(step.fields),
        "reason": step.reason,
    }


def _summary(account: Account, parts: Sequence[PlanPart], driver: str) -> Json:
    """The end of a plan. One of a single driver has no hash: it is for looking only."""
    plan = Plan(account=account.account, parts=tuple(parts))
    planned = {part.target for part in parts}
    return {
        "account": account.account,
        "sync": "on" if account.is_on else "off",
        "driver": driver,
        "counts": {str(part.target): {str(action): many for action, many in part.counts.items()} for part in parts},
        "modes": {str(target): str(mode) for target, mode in account.modes.items() if target in planned},
        "left_out": [str(target) for target in Target if account.modes.get(target, Mode.OFF) is Mode.OFF],
        "digest": "" if driver else plan.digest,
    }


def _to_stream(told: AsyncGenerator[Json, None]) -> Response:
    return StreamingResponse(_encoded(told), media_type="application/x-ndjson")


async def _encoded(told: AsyncGenerator[Json, None]) -> AsyncIterator[str]:
    async with aclosing(told):
        try:
            async for line in told:
                yield json.dumps(line) + "\n"
        except _TOLD as refused:
            yield json.dumps({"error": str(refused)}) + "\n"
        except Exception as failure:  # noqa: BLE001 - an answer that just breaks off would tell nobody anything
            _log.exception("plan failed unexpectedly")
            error = f"the plan could not be made (unexpected {type(failure).__name__}); see the log of the services"
            yield json.dumps({"error": error}) + "\n"
