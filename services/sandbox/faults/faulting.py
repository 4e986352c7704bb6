"""Where the faults happen: around a vendor's API, and inside it only by what a call carries in its scope.

What takes the place of an answer, and what becomes of one that is spoilt on its way.

Breaks connections off, so that a client gets a reset in place of an answer.

What faults need to know of a vendor's API.
"""

import asyncio
import math
import random
import socket
import struct
from asyncio import Transport
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from typing import Any, Final, Protocol, assert_never

from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.sandbox.faults.faults import (
    Arrangement,
    Asking,
    CreatesNothing,
    ExpiredToken,
    Failing,
    FaultRules,
    Limited,
    Reordered,
    Reset,
    Served,
    Shift,
    Shifted,
    Spoiling,
    Spoilt,
    Strike,
    ThirdToken,
    TurningAway,
    WebPage,
    WrittenFaults,
    mark_arrangement,
    mark_fault,
    mark_hollow,
    parsed_faults,
)
from services.sandbox.state import Now

ERROR_PAGE = (
    "<!DOCTYPE html><html><head><title>Something is wrong</title></head>"
    "<body><h1>Something is wrong</h1><p>Please come back later.</p></body></html>"
)


def retry_after(fault: Limited | Failing, now: Now) -> dict[str, str]:
    """The header `Retry-After`, if the fault has one. Source: RFC 9110, 10.2.3."""
    if fault.retry_after is None:
        return {}
    if not fault.as_date:
        return {"Retry-After": f"{math.ceil(fault.retry_after)}"}
    moment = datetime.fromtimestamp(math.ceil(now() / 1000 + fault.retry_after), UTC)
    return {"Retry-After": format_datetime(moment, usegmt=True)}


class Held:
    """Takes an answer down in place of sending it."""

    def __init__(self) -> None:
        self._start: Message = {}
        self._body = b""

    async def send(self, message: Message) -> None:
        """ASGI's own signature."""
        if message["type"] == "http.response.start":
            self._start = message
        else:
            self._body += message.get("body", b"")

    async def send_on(self, spoil: Callable[[bytes], bytes], send: Send) -> None:
        """Send the answer with another body; one that has none stays as it is.

        There is no answer to send where the client has gone meanwhile.
        """
        if not self._start:
            return
        body = spoil(self._body) if self._body else b""
        length = str(len(body)).encode()
        headers = [(name, length if name == b"content-length" else text) for name, text in self._start["headers"]]
        await send({**self._start, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def spoil_as(spoiling: Spoiling) -> Callable[[bytes], bytes]:
    """What such a fault does to a body."""
    return _SPOILT[spoiling]


_SPOILT: dict[Spoiling, Callable[[bytes], bytes]] = {
    Spoiling.TRUNCATED: lambda body: body[: len(body) // 2],
    Spoiling.MALFORMED: lambda body: b"OK" + body.replace(b'"', b"'"),
    Spoiling.SENSELESS: lambda _: b"{}",
    Spoiling.EMPTY: lambda _: b"",
}


_RESET: Final = "sandbox.reset"
_AT_ONCE: Final = struct.pack("ii", 1, 0)


class Connection(Protocol):
    """What a server knows of one connection; `client` is the address at its other end."""

    client: tuple[str, int] | None
    transport: Transport


class Resettable:
    """ASGI middleware next to the server: lets what is below break off the connection of a call."""

    def __init__(self, app: ASGIApp, connections: Callable[[], Iterable[Connection]]) -> None:
        self._app = app
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; ASGI's own signature."""
        scope[_RESET] = self._reset
        await self._app(scope, receive, send)

    def _reset(self, client: tuple[str, int]) -> None:
        for connection in [each for each in self._connections() if each.client == client]:
            _abort(connection.transport)


async def reset(scope: MutableMapping[str, Any], receive: Receive) -> None:
    """Break the call's connection off, and wait until it is.

    Raises `ConnectionResetError` where there is no connection, because the caller is in the same process.
    """
    if _RESET not in scope:
        raise ConnectionResetError("the sandbox breaks this call off")
    scope[_RESET](tuple(scope["client"]))
    while (await receive())["type"] != "http.disconnect":
        pass


def _abort(transport: Transport) -> None:
    """Close without a word: lingering for no time makes the kernel send a reset, and nothing that was written."""
    bound: socket.socket | None = transport.get_extra_info("socket")
    if bound is not None:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()


class FaultyVendor(Protocol):
    """The vendor's side of a fault."""

    def served(self, scope: Scope) -> Served:
        """The call, as rules look at it."""
        ...

    def refusal(self, scope: Scope, status: int, headers: dict[str, str]) -> Response:
        """How the vendor says no, as far as it is not the API that does."""
        ...

    def expire_token(self, scope: Scope) -> None:
        """End the access token that the call carries, if it is one that can end."""
        ...

    def take_tokens(self, scope: Scope) -> None:
        """Issue tokens of the call's API key to somebody else, as many as there may be."""
        ...


Pause = Callable[[float], Awaitable[None]]
"""Waits for this number of seconds."""

RecordRefusal = Callable[[Scope, str | None, int | None], None]
"""Writes into the journal that a call about this account was turned away, and the status it got, if any."""


class Faults:
    """The faults of one sandbox, switched on and off while it runs."""

    def __init__(self) -> None:
        self.rules = FaultRules()
        self._written = WrittenFaults()

    def switch_on(self, document: object) -> None:
        """Let these rules take the place of all others. Raises `FaultsRefused`, and then nothing has changed."""
        self._written = parsed_faults(document)
        self.rules = FaultRules(self._written.built())

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
    """The same request, already read: the client may be gone by the time it is served."""
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
