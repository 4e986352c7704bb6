"""A plan that takes long is worked out once, says how far it is, and ends with the last page that asks about it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.requests import Request

from domain.account import Role
from services.api.permissions import THE_OPERATOR, Caller
from services.api.planner import DryRunProgress
from services.api.plans import PlanLine, PlanLines
from services.console import plans
from services.console.plans import PlansInWork
from services.runtime.serving import ENDING
from tests.support.hanging import HANGS

pytestmark = pytest.mark.anyio


class SlowPlan:
    """The API's response to a request for a plan, which goes on when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_over = asyncio.Event()
        self.may_end = asyncio.Event()

    async def ask(self) -> PlanLines:
        """Begin."""
        self.asked += 1
        return PlanLines(self._lines())

    async def _lines(self) -> AsyncIterator[str]:
        try:
            progress = DryRunProgress(target="motive", doing="reading", done=1200, total=0)
            yield PlanLine(progress=progress).model_dump_json(exclude_none=True)
            await self.may_end.wait()
            yield PlanLine(steps=[]).model_dump_json(exclude_none=True)
        finally:
            self.is_over.set()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"PATIENCE": 0.01, "_TICK": 0.01}.items():
        monkeypatch.setattr(plans, name, seconds)


def asked_by_operator(ending: asyncio.Event | None = None) -> Request:
    """A request of the operator."""
    request = Request({"type": "http", "headers": [], ENDING: ending or asyncio.Event()})
    request.state.caller = Caller(principal=THE_OPERATOR, role=Role.OPERATOR)
    return request


async def until_over(plan: SlowPlan) -> None:
    """Wait until nothing of it goes on any more."""
    async with asyncio.timeout(HANGS):
        await plan.is_over.wait()


async def test_a_plan_is_worked_out_once_shown_once_and_says_how_far_it_is() -> None:
    works, plan, request = PlansInWork(), SlowPlan(), asked_by_operator()
    for _ in range(3):
        await works.begin(request, "acme", "look", plan.ask)
        work = await works.taken(request, "acme", "look")
        assert work
        assert not work.is_done.is_set()
        assert work.progress
        assert work.progress.done == 1200
    assert plan.asked == 1
    plan.may_end.set()
    await until_over(plan)
    work = await works.taken(request, "acme", "look")
    assert work
    assert work.is_done.is_set()
    assert works.of(request, "acme", "look") is None


async def test_a_plan_that_no_page_asks_about_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    works, plan, request = PlansInWork(), SlowPlan(), asked_by_operator()
    await works.begin(request, "acme", "look", plan.ask)
    await works.taken(request, "acme", "look")
    monkeypatch.setattr(plans, "_ABANDONED", 0.0)
    await until_over(plan)
    assert not plan.may_end.is_set()


async def test_a_plan_ends_with_its_process() -> None:
    works, plan, ending = PlansInWork(), SlowPlan(), asyncio.Event()
    request = asked_by_operator(ending)
    await works.begin(request, "acme", "look", plan.ask)
    await works.taken(request, "acme", "look")
    ending.set()
    await until_over(plan)
    assert not plan.may_end.is_set()
