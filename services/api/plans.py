"""`/v1/accounts/{account}/plan`: what a reconciliation would do, and the request to do exactly that."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Annotated, Any
from uuid import UUID

from fastapi.responses import StreamingResponse
from pydantic import Field

from domain.account import Account, AccountEvent, Mode, NotPermitted, UndoScope
from domain.account import Request as Person
from domain.driver_link import Decision, LinkEvent
from domain.failures import Reason
from domain.identity import PortalDriverId, Target, link_stream, reconciliation_stream
from domain.reconciliation import Action, Plan, PlanPart, PlanStep
from domain.store import Store, StoreConflict, StoreFailed
from services.accounts.handlers import Asker, UnknownAccount
from services.api.installation import Installation
from services.api.naming import NamedTarget, find_stated, moment_named, only_one, stated_names
from services.api.permissions import Caller, NotAsSeen
from services.api.planner import (
    DryRunProgress,
    NothingToPlan,
    PlanChanged,
    Planner,
    Reported,
    RosterUnreadable,
    planned_targets,
    unsaid,
    with_sync_on,
)
from services.api.problems import problem_at_end
from services.api.routing import Called, Installed, KnownAccount, new_router
from services.api.schema import IF_MATCH, PLAN_FORM, ByPerson, Malformed, Problem, ResponseBody
from services.api.streaming import encoded, to_line
from services.decider.read_models import LinkRow, ReconciliationRow, RunningReconciliation
from services.runtime.context import utc_now

_EVENT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/[0-9]+")
"""What is in `ce_id`: a history, and a version in it."""

_REFUSALS = (NotPermitted, PlanChanged, RosterUnreadable, StoreConflict, StoreFailed, UnknownAccount)
"""Failures whose message is the last line of a response that has begun."""


router = new_router("plans", prefix="/accounts/{account}/plan")


class ApplyPlan(ByPerson):
    """Do exactly what the plan of this hash says: of this target, or of all that are synchronised."""

    plan: str = Field(pattern=PLAN_FORM)
    target: Target | None = None


class PlannedStep(ResponseBody):
    """What would be done for one driver on one target, and why; see `domain.reconciliation.PlanStep`.

    `name` is the driver's, as the Portal states it. The values that would be written are left out.
    """

    target: str
    driver: str
    name: str
    action: str
    situation: str
    key: str
    desired_key: str
    fields: list[str]
    reason: str


class PlanSummary(ResponseBody):
    """What the steps of a plan add up to, by target and action; `digest` is its hash.

    A plan of one `driver` has no hash, because it cannot be applied. `left_out` are the targets whose mode is off;
    `unsaid` are, by target, the fields that drivers are matched by there and that the Portal states of no driver.
    """

    account: str
    sync: str
    driver: str
    counts: dict[str, dict[str, int]]
    modes: dict[str, str]
    left_out: list[str]
    digest: str
    unsaid: dict[str, Sequence[str]]


class PlanLine(ResponseBody):
    """One line of a response that takes long; it has one of these fields.

    `progress` and `steps` come as the plan is made, then `plan` or, by target, the `requested` reconciliations as
    versions of the account. A `problem` in one line is the last.
    """

    progress: DryRunProgress | None = None
    steps: list[PlannedStep] | None = None
    plan: PlanSummary | None = None
    requested: dict[str, int] | None = None
    problem: Problem | None = None


class PlanLines(StreamingResponse):
    """Lines of JSON, each of them a `PlanLine`."""

    media_type = "application/x-ndjson"


_RESPONSES: dict[int | str, dict[str, Any]] = {200: {"model": PlanLine}}


@router.get("", response_class=PlanLines, responses=_RESPONSES)
async def make_plan(
    known: KnownAccount,
    caller: Called,
    installation: Installed,
    target: NamedTarget | None = None,
    driver: str | None = None,
    by: str | None = None,
) -> PlanLines:
    """Show what a reconciliation would do, as JSON lines: progress and steps, then the plan."""
    readers, account = installation.readers, known.account
    stated = PortalDriverId("")
    if driver:
        stated = only_one(await readers.call(find_stated, readers.intake, account, driver), account, driver)
    future, targets = with_sync_on(known, utc_now()), planned_targets(known, target)
    if by:
        _check(known, targets, caller.asks(by))
    return PlanLines(encoded(_plan_lines(installation, known, future, targets, stated), _last))


_Number = Annotated[int, Field(gt=0)]
"""The number of a reconciliation."""


class Undoing(ResponseBody):
    """What is to be undone: one of `decision`, `reconciliation` and `since`; of one driver or target, where named.

    A `decision` is `TARGET/DRIVER/VERSION`, where the version is that of the decision in the history of the driver's
    link, or the `ce_id` of the event.
    """

    target: Target | None = None
    driver: str | None = None
    decision: str | None = None
    reconciliation: _Number | None = None
    since: str | None = None


class ApplyUndo(ByPerson, Undoing):
    """Undo exactly what the plan of this hash says."""

    plan: str = Field(pattern=PLAN_FORM)


@router.get("/undo", response_class=PlanLines, responses=_RESPONSES)
async def make_undo_plan(
    known: KnownAccount,
    caller: Called,
    installation: Installed,
    target: NamedTarget | None = None,
    driver: str | None = None,
    decision: str | None = None,
    reconciliation: _Number | None = None,
    since: str | None = None,
) -> PlanLines:
    """Show what undoing a decision, a reconciliation, or everything since a moment would do, as `make_plan` does."""
    wanted = Undoing(target=target, driver=driver, decision=decision, reconciliation=reconciliation, since=since)
    targets, scope = await _to_scope(installation, known, wanted, caller.principal.who)
    lines = _plan_lines(installation, known, known, targets, "", scope)
    return PlanLines(encoded(lines, _last))


@router.post("/undo", response_class=PlanLines, responses=_RESPONSES, openapi_extra=IF_MATCH)
async def apply_undo(body: ApplyUndo, known: KnownAccount, caller: Called, installation: Installed) -> PlanLines:
    """Request to undo exactly what a plan said, as `apply_plan` does."""
    asker = caller.asks(body.by, body.note)
    targets, scope = await _to_scope(installation, known, body, asker.by)
    Person(by=asker.by, at=utc_now(), role=asker.role).undo(known, dict.fromkeys(targets, ""), scope)
    caller.check_seen(body.plan)
    return await _applied(_apply_lines(installation, known, targets, body.plan, asker, scope), caller)


async def _to_scope(
    installation: Installation, known: Account, wanted: Undoing, by: str
) -> tuple[list[Target], UndoScope]:
    """On which targets what is to be undone. Raises `Malformed` and `NothingToPlan`."""
    stated = [each for each in (wanted.decision, wanted.reconciliation, wanted.since) if each is not None]
    if len(stated) != 1:
        raise Malformed("say what to undo by exactly one of decision, reconciliation and since")
    target, driver, version = wanted.target, wanted.driver or "", 0
    if wanted.decision is not None:
        target, driver, version = await _decision_in(installation, known, wanted.decision)
    if driver:
        readers = installation.readers
        driver = only_one(await readers.call(find_stated, readers.intake, known.account, driver), known.account, driver)
    targets = [each for each in ([target] if target else Target) if known.mode(each) in (Mode.UPSERT, Mode.FULL)]
    if not targets:
        named = target or "any target"
        raise NothingToPlan(
            f"nothing of {known.account} is sent to {named} now, so nothing can be undone there; "
            f"see `driverlink accounts show {known.account}`"
        )
    if wanted.reconciliation is not None and len(targets) > 1:
        raise Malformed("each target counts its own reconciliations: say which target")
    if version or wanted.reconciliation is not None:
        readers = installation.readers
        await readers.call(_check_is_there, readers.decider, known, targets[0], driver, version, wanted.reconciliation)
    since, number = moment_named(wanted.since), wanted.reconciliation or 0
    moment = since.isoformat() if since else ""
    return targets, UndoScope(by=by, driver=driver, decision=version, reconciliation=number, since=moment)


def _check_is_there(
    decider: Store, known: Account, target: Target, driver: str, version: int, reconciliation: int | None
) -> None:
    """Raise `Malformed` where there is no such decision, or no such reconciliation."""
    if version:
        link = link_stream(known.account, target, PortalDriverId(driver))
        facts = decider.histories([link]).get(link, ())
        if not any(isinstance(fact, Decision) and fact.originator_version == version for fact in facts):
            raise Malformed(
                f"there is no decision {version} about driver {driver} on {target}; "
                f"`driverlink events --account {known.account} --driver {driver} --log decisions` lists them"
            )
    if reconciliation is not None:
        history = reconciliation_stream(known.account, target)
        is_under_way = bool(decider.select(RunningReconciliation, {"account": known.account, "target": str(target)}))
        if reconciliation > len(decider.histories([history]).get(history, ())) + is_under_way:
            raise Malformed(
                f"there is no reconciliation {reconciliation} of {known.account} on {target}; "
                f"`driverlink reconciliations {known.account}` lists them"
            )


async def _decision_in(installation: Installation, known: Account, text: str) -> tuple[Target, str, int]:
    """Target, driver and version of a decision, by its place or its id in the log. Raises `Malformed`."""
    target, _, rest = text.partition("/")
    driver, _, version = rest.rpartition("/")
    if _EVENT_ID.fullmatch(text):
        readers, link = installation.readers, UUID(target)
        found = (await readers.call(readers.decider.histories, [link])).get(link, ())
        fact = next((each for each in found if isinstance(each, LinkEvent) and each.account == known.account), None)
        target, driver, version = (fact.target, fact.driver, rest) if fact else ("", "", "")
    if target not in list(Target) or not driver or not version.isascii() or not version.isdecimal() or not int(version):
        raise Malformed(
            f"a decision is TARGET/DRIVER/VERSION, such as motive/200006/4, or the id of the event; not {text!r}"
        )
    return Target(target), driver, int(version)


@router.post("", response_class=PlanLines, responses=_RESPONSES, openapi_extra=IF_MATCH)
async def apply_plan(body: ApplyPlan, known: KnownAccount, caller: Called, installation: Installed) -> PlanLines:
    """Request exactly what a plan said, as JSON lines: progress, then the requests by target.

    With `If-Match`, or an `Idempotency-Key`, the answer begins only once the plan was compared, and is a refusal then.
    """
    targets = planned_targets(known, body.target)
    asker = caller.asks(body.by, body.note)
    _check(known, targets, asker)
    caller.check_seen(body.plan)
    return await _applied(_apply_lines(installation, known, targets, body.plan, asker), caller)


async def _applied(lines: AsyncGenerator[PlanLine, None], caller: Caller) -> PlanLines:
    """The lines as they come, or once the plan was compared where the request depends on that."""
    if not (caller.if_match or caller.is_keyed):
        return PlanLines(encoded(lines, _last))
    try:
        whole = [line async for line in lines]
    except PlanChanged as changed:
        raise (NotAsSeen(str(changed)) if caller.if_match else changed) from None
    return PlanLines(to_line(line) for line in whole)


async def _plan_lines(
    installation: Installation,
    account: Account,
    future: Account,
    targets: Sequence[Target],
    driver: str,
    undo: UndoScope | None = None,
) -> AsyncGenerator[PlanLine, None]:
    parts: list[PlanPart] = []
    async for each in _dry_runs(installation, future, targets, parts, driver, undo):
        if isinstance(each, DryRunProgress):
            yield PlanLine(progress=each)
        elif not isinstance(each, PlanPart):
            yield PlanLine(steps=await _shown(installation, account, each))
    counts = {str(part.target): {str(action): count for action, count in part.counts.items()} for part in parts}
    lacking = {} if undo else await unsaid(installation.intake_service, account.account, targets)
    summary = PlanSummary(
        account=account.account,
        sync="on" if account.is_on else "off",
        driver=driver,
        counts=counts,
        modes={str(target): str(mode) for target, mode in account.modes.items() if str(target) in counts},
        left_out=[str(target) for target in Target if account.modes.get(target, Mode.OFF) is Mode.OFF and not undo],
        digest="" if driver else Plan(account=account.account, parts=tuple(parts)).digest,
        unsaid={str(each): lacking[each] for each in lacking},
    )
    yield PlanLine(plan=summary)


async def _shown(installation: Installation, account: Account, steps: Iterable[PlanStep]) -> list[PlannedStep]:
    """Steps with the names of their drivers, and with why the target has refused one before that is tried again."""
    readers, shown = installation.readers, [*steps]
    links = [(account.account, step.target, step.driver) for step in shown if step.action != Action.PARK]
    rows = await readers.call(readers.decider.among, LinkRow, LinkRow.KEY, links) if links else []
    refused = {(row.target, row.driver): row.reason for row in rows if row.reason in list(Reason)}
    names = await readers.call(stated_names, readers.intake, account.account, [step.driver for step in shown])
    return [
        PlannedStep(
            target=step.target,
            driver=step.driver,
            name=names.get(step.driver, ""),
            action=step.action,
            situation=step.situation,
            key=step.key,
            desired_key=step.desired_key,
            fields=list(step.fields),
            reason=_reason(step.reason, refused.get((step.target, step.driver), "")),
        )
        for step in shown
    ]


def _reason(reason: str, refusal: str) -> str:
    """Why there is a step, where its link was set aside for this refusal of the target."""
    return f"{reason}; refused before ({refusal.replace('_', ' ')}), and tried again" if refusal else reason


async def _apply_lines(
    installation: Installation,
    account: Account,
    targets: Sequence[Target],
    plan: str,
    asker: Asker,
    undo: UndoScope | None = None,
) -> AsyncGenerator[PlanLine, None]:
    parts: list[PlanPart] = []
    future, command = (account, "undo") if undo else (with_sync_on(account, utc_now()), "plan")
    async for each in _dry_runs(installation, future, targets, parts, undo=undo):
        if isinstance(each, DryRunProgress):
            yield PlanLine(progress=each)
    would_be = Plan(account=account.account, parts=tuple(parts)).digest
    if would_be != plan:
        raise PlanChanged(
            f"the plan of {account.account} is {would_be} by now, not {plan}, so nothing was done; "
            f"look at it again: `driverlink {command} {account.account}`"
        )
    plans = {part.target: part.digest for part in parts}
    if applied := await installation.readers.call(_being_applied, installation.readers.decider, account, plans):
        raise PlanChanged(
            f"the plan {plan} of {account.account} is being applied already on {' and '.join(applied)}; "
            f"see `driverlink status {account.account}`"
        )

    def go_by(person: Person, now: Account) -> tuple[AccountEvent, ...]:
        if now.reconciliations != account.reconciliations:
            raise PlanChanged(
                f"another reconciliation of {account.account} was requested meanwhile, so nothing was done; "
                f"look at the plan again: `driverlink {command} {account.account}`"
            )
        return person.undo(now, plans, undo) if undo else person.go_by(now, plans)

    after = await installation.accounts_service.call_again(installation.accounts.ask, account.account, asker, go_by)
    installation.accounts_service.notify()
    yield PlanLine(requested={str(part.target): after.reconciliations[part.target] for part in parts})


def _being_applied(decider: Store, account: Account, plans: Mapping[Target, str]) -> list[Target]:
    """The targets on which a reconciliation by the same plan was requested and has not ended. Raises `StoreFailed`.

    Another request would take the place of that one, which its person waits for.
    """
    answered = {row.target: row.answered for row in decider.select(ReconciliationRow, {"account": account.account})}
    return [
        target
        for target, plan in plans.items()
        if account.plans.get(target) == plan and answered.get(str(target), 0) < account.reconciliations[target]
    ]


async def _dry_runs(
    installation: Installation,
    future: Account,
    targets: Sequence[Target],
    parts: list[PlanPart],
    driver: str = "",
    undo: UndoScope | None = None,
) -> AsyncIterator[Reported]:
    """Everything that the dry runs report; the parts are collected."""
    planner = Planner(
        decider=installation.decider_service,
        intake=installation.intake_service,
        projectors=installation.projectors,
        scratch=installation.open_dry_run,
        clock=utc_now,
    )
    for target in targets:
        async with aclosing(planner.run_dry(future, target, driver, undo)) as dry_run:
            async for each in dry_run:
                if isinstance(each, PlanPart):
                    parts.append(each)
                yield each


def _check(account: Account, targets: Sequence[Target], asker: Asker) -> None:
    """Raise `NotPermitted` where this person could not have such a plan applied, before it is made."""
    Person(by=asker.by, at=utc_now(), role=asker.role).go_by(account, dict.fromkeys(targets, ""))


def _last(failure: Exception) -> PlanLine:
    return PlanLine(problem=problem_at_end(failure, "the plan"))
