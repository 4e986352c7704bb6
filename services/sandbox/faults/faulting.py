"""Where the faults happen: around a vendor's API, and inside it only by what a call carries in its scope."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import assert_never

from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.sandbox.clock import Now
from services.sandbox.faults.answers import ERROR_PAGE, Held, retry_after, spoil_as
from services.sandbox.faults.fault import (
    Asking,
    CreatesNothing,
    ExpiredToken,
    Failing,
    Limited,
    Reordered,
    Reset,
    Shift,
    Shifted,
    Spoilt,
    ThirdToken,
    TurningAway,
    WebPage,
)
from services.sandbox.faults.marks import Arrangement, mark_arrangement, mark_fault, mark_hollow
from services.sandbox.faults.resetting import reset
from services.sandbox.faults.rule import Rules, Strike
from services.sandbox.faults.vendor import FaultyVendor
from services.sandbox.faults.written import WrittenFaults, parsed_faults

Pause = Callable[[float], Awaitable[None]]
"""Waits for so many seconds."""

RecordRefusal = Callable[[Scope, str | None, int | None], None]
"""Writes into the journal that a call about this account was turned away, and the status it got, if any."""


class Faults:
    """The faults of one sandbox, switched on and off while it runs."""

    def __init__(self) -> None:
        self.rules = Rules()
        self._written = WrittenFaults()

    def switch_on(self, document: object) -> None:
        """Let these rules take the place of all others. Raises `FaultsRefused`, and then nothing has changed."""
        self._written = parsed_faults(document)
        self.rules = Rules(self._written.built())

    def switch_off(self) -> None:
        """Have no faults."""
        self.switch_on({})

    def shown(self) -> dict[str, object]:
        """The rules, and how many calls have met each of them."""
        return self._written.shown() | {"struck": list(self.rules.struck)}


class Faulting:
    """ASGI middleware that lets calls meet their faults; what it turns away does not reach the API below it."""

    def __init__(
        self,
        app: ASGIApp,
        faults: Faults,
        vendor: FaultyVendor,
        *,
        now: Now,
        record: RecordRefusal,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._app = app
        self._faults = faults
        self._vendor = vendor
        self._now = now
        self._record = record
        self._pause = pause

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; ASGI's own signature."""
        if scope["type"] != "http" or not self._faults.rules.are_any:
            await self._app(scope, receive, send)
            return
        delays, strike = self._faults.rules.strikes(self._vendor.served(scope))
        receive = await _read_ahead(receive) if delays else receive
        for delay in delays:
            mark_fault(scope, "latency")
            await self._pause(delay.seconds)
        if strike is None:
            await self._app(scope, receive, send)
            return
        mark_fault(scope, strike.name)
        await self._meet(strike, scope, receive, send)

    async def _meet(self, strike: Strike, scope: Scope, receive: Receive, send: Send) -> None:
        fault = strike.fault
        match fault:
            case Limited() | WebPage() | Failing(has_effect=False) | Spoilt(has_effect=False):
                answer = self._refusal(fault, scope)
                self._turn_away(scope, answer.status_code)
                await answer(scope, receive, send)
            case Reset(has_effect=False):
                self._turn_away(scope, None)
                await reset(scope, receive)
            case Failing() | Reset() | Spoilt():
                await self._serve_and_lose(fault, scope, receive, send)
            case _:
                self._prepare(fault, scope, strike.draws)
                await self._app(scope, receive, send)

    def _turn_away(self, scope: Scope, status: int | None) -> None:
        self._record(scope, self._vendor.served(scope).account, status)

    async def _serve_and_lose(
        self, fault: Failing | Reset | Spoilt, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Let the API do what it is asked for, and something else be heard of it."""
        held = Held()
        await self._app(scope, receive, held.send)
        match fault:
            case Spoilt():
                await held.send_on(spoil_as(fault.spoiling), send)
            case Failing():
                await self._refusal(fault, scope)(scope, receive, send)
            case Reset():
                await reset(scope, receive)

    def _refusal(self, fault: TurningAway, scope: Scope) -> Response:
        match fault:
            case WebPage():
                return HTMLResponse(ERROR_PAGE, status_code=fault.status)
            case Limited():
                return self._vendor.refusal(scope, 429, retry_after(fault, self._now))
            case Failing():
                return self._vendor.refusal(scope, fault.status, retry_after(fault, self._now))
            case Spoilt():
                return Response(spoil_as(fault.spoiling)(b'{"data": null}'), media_type="application/json")

    def _prepare(self, fault: Asking, scope: Scope, draws: random.Random) -> None:
        match fault:
            case ExpiredToken():
                self._vendor.expire_token(scope)
            case ThirdToken():
                self._vendor.take_tokens(scope)
            case CreatesNothing():
                mark_hollow(scope)
            case Reordered():
                mark_arrangement(scope, partial(_shuffled, draws))
            case Shifted():
                mark_arrangement(scope, _SHIFTS[fault.shift])
            case _:
                assert_never(fault)


async def _read_ahead(receive: Receive) -> Receive:
    """The same request, read already: whoever sent it may be gone by the time that it is served."""
    read: list[Message] = [await receive()]
    while read[-1].get("more_body"):
        read.append(await receive())

    async def receive_again() -> Message:
        return read.pop(0) if read else await receive()

    return receive_again


def _shuffled(draws: random.Random, rows: Sequence[int]) -> Sequence[int]:
    return draws.sample(rows, len(rows))


_SHIFTS: dict[Shift, Arrangement] = {
    Shift.LEFT: lambda rows: rows[1:],
    Shift.CAME: lambda rows: [*rows[:1], *rows],
    Shift.TO_END: lambda rows: [*rows[1:], *rows[:1]],
    Shift.TO_FRONT: lambda rows: [*rows[-1:], *rows[:-1]],
}
