"""Breaks connections off, so that a client gets a reset in place of an answer."""

import socket
import struct
from asyncio import Transport
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, Final, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

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
