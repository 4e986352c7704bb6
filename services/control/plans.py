"""What sweeps would do, and people who want exactly that done."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from domain.account import Account, AccountEvent, Mode, NotPermitted
from domain.identity import PortalDriverId, Target
from domain.plan import Part, Plan, Step
from domain.requests import Request as Person
from domain.storing import StoreConflict, StoreFailed
from services.accounts.handlers import UnknownAccount, account_of
from services.asking.finding import find_stated
from services.control.installation import Installation
from services.control.messages import ApplyPlan, Malformed, received
from services.control.naming import only_one, target_named
from services.decider.wiring import open_rehearsal
from services.planning.outcome import Wanted, outcome_of
from services.planning.planner import Planner, Progress, RosterUnreadable, Told, outlook, planned_targets
from services.planning.unsaid import unsaid
from services.runtime.clock import utc_now

Json = dict[str, Any]

_log = structlog.get_logger()


class PlanChanged(Exception):
    """What would be done is not what the person saw."""


_TOLD = (NotPermitted, PlanChanged, RosterUnreadable, StoreConflict, StoreFailed, UnknownAccount)
"""Failures whose message is the last line of an answer that has begun."""


class PlanRoutes:
    """`/accounts/{account}/plan`, and what came of the sweeps that had to go by one.

    A rehearsal may take long, so its answer is JSON lines: `{"progress": ...}` and `{"steps": [...]}` as it goes along,
    then `{"plan": ...}`, or `{"error": one line}`.
    """

    def __init__(self, installation: Installation) -> None:
        self._accounts = installation.accounts
        self._accounts_service = installation.accounts_service
        self._readers = installation.readers
        self._decider = installation.decider_service
        self._intake = installation.intake_service
        self._projectors = installation.projectors
        self._planner = Planner(
            decider=installation.decider_service,
            intake=installation.intake_service,
            projectors=installation.projectors,
            scratch=open_rehearsal,
            clock=utc_now,
        )

    def routes(self) -> list[Route]:
        """Where these questions are asked."""
        return [
            Route("/accounts/{account}/plan", self._plan, methods=["GET"]),
            Route("/accounts/{account}/plan", self._apply, methods=["POST"]),
            Route("/accounts/{account}/plan/outcome", self._outcome, methods=["GET"]),
        ]

    async def _plan(self, request: Request) -> Response:
        account = await self._known(request)
        target = _target(request.query_params.get("target"))
        named = request.query_params.get("driver")
        driver = await self._stated(account.account, named) if named else ""
        future, targets = outlook(account, utc_now()), planned_targets(account, target)
        if person := request.query_params.get("by"):
            _check(account, targets, person)
        return _lines(self._told(account, future, targets, driver))

    async def _apply(self, request: Request) -> Response:
        account, asked = await self._known(request), await received(request, ApplyPlan)
        targets = planned_targets(account, asked.target)
        _check(account, targets, asked.by)
        return _lines(self._applied(account, targets, asked))

    async def _outcome(self, request: Request) -> Response:
        account, target = await self._known(request), _target(request.query_params.get("target"))
        version = request.query_params.get("request", "")
        if target is None or not version.isdecimal():
            raise Malformed("say of which target and which request")
        wanted = Wanted(
            account=account.account, target=target, request=int(version), plan=account.plans.get(target, "")
        )
        projector = self._readers.projectors[target]
        return JSONResponse((await self._readers.call(outcome_of, self._readers.decider, projector, wanted)).to_json())

    async def _told(
        self, account: Account, future: Account, targets: Sequence[Target], driver: str
    ) -> AsyncGenerator[Json, None]:
        parts: list[Part] = []
        async for told in self._rehearsed(future, targets, parts, driver):
            if line := _line(told):
                yield line
        lacking = await unsaid(self._intake, account.account, targets)
        yield {"plan": {**_summary(account, parts, driver), "unsaid": {str(each): lacking[each] for each in lacking}}}

    async def _applied(
        self, account: Account, targets: Sequence[Target], asked: ApplyPlan
    ) -> AsyncGenerator[Json, None]:
        parts: list[Part] = []
        async for told in self._rehearsed(outlook(account, utc_now()), targets, parts):
            if isinstance(told, Progress):
                yield _line(told)
        would_be = Plan(account=account.account, parts=tuple(parts)).digest
        if would_be != asked.plan:
            raise PlanChanged(
                f"the plan of {account.account} is {would_be} by now, not {asked.plan}, so nothing was done; "
                f"look at it again: `driverlink plan {account.account}`"
            )
        requesting = _requesting({part.target: part.digest for part in parts})
        after = await self._accounts_service.call_again(self._accounts.ask, account.account, asked.by, requesting)
        self._accounts_service.ring()
        yield {"requested": {str(part.target): after.sweeps[part.target] for part in parts}}

    async def _rehearsed(
        self, future: Account, targets: Sequence[Target], parts: list[Part], driver: str = ""
    ) -> AsyncIterator[Told]:
        """Everything that the rehearsals tell; the parts are collected."""
        for target in targets:
            async with aclosing(self._planner.rehearse(future, target, driver)) as rehearsal:
                async for told in rehearsal:
                    if isinstance(told, Part):
                        parts.append(told)
                    yield told

    async def _stated(self, account: str, text: str) -> PortalDriverId:
        """The driver whom a person means, be it one of whom the decider has not heard yet."""
        return only_one(await self._readers.call(find_stated, self._readers.intake, account, text), account, text)

    async def _known(self, request: Request) -> Account:
        return await self._readers.call(account_of, self._readers.accounts, request.path_params["account"])


def _check(account: Account, targets: Sequence[Target], person: str) -> None:
    """Raise `NotPermitted` where this person could not have such a plan done, before it is made."""
    Person(by=person, at=utc_now()).go_by(account, dict.fromkeys(targets, ""))


def _requesting(plans: Mapping[Target, str]) -> Callable[[Person, Account], tuple[AccountEvent, ...]]:
    return lambda person, account: person.go_by(account, plans)


def _target(named: str | None) -> Target | None:
    return None if named is None else target_named(named)


def _line(told: Told) -> Json:
    """What is told of a rehearsal; empty for what is not, as parts are with the whole."""
    if isinstance(told, Progress):
        return {"progress": told.to_json()}
    if isinstance(told, Part):
        return {}
    return {"steps": [_to_json(step) for step in told]}


def _to_json(step: Step) -> Json:
    """A step for people and scripts: without the values that would be written."""
    return {
        "target": str(step.target),
        "action": str(step.action),
        "driver": step.driver,
        "situation": step.situation,
        "key": step.key,
        "wished_key": step.wished_key,
        "fields": list(step.fields),
        "reason": step.reason,
    }


def _summary(account: Account, parts: Sequence[Part], driver: str) -> Json:
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


def _lines(told: AsyncGenerator[Json, None]) -> Response:
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
