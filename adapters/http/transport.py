"""The connections of one account to one vendor: as many as there are requests at once.

httpx's pool goes through all of its connections several times for each request, and loses one when a request is
cancelled while it waits for a connection. Here each request has a connection to itself, so none has to wait.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import cache
from ssl import SSLContext
from typing import Any, Final
from urllib.request import getproxies, proxy_bypass

import httpx

from adapters.http.answer import OF_A_TARGET, AnswerLimits, in_time, read_whole

KEPT: Final = 5.0
"""Seconds for which an unused connection is kept: by then the vendor may have closed it."""

_ONE: Final = httpx.Limits(max_connections=1)
_PORTS: Final = range(1, 65_536)

Connection = httpx.AsyncBaseTransport
"""One connection, which is made with the first request, and again after one that has ended it."""


class Transport(httpx.AsyncBaseTransport):
    """The connections of one account to one vendor; the one that was used last is used next.

    What a vendor sends after the end of an answer would be read as the next answer, so such a connection is closed.
    Accounts share no connections.
    `connect` makes a connection that can reach a URL, `clock` is in seconds since any moment, `pause` waits.
    """

    def __init__(
        self,
        connect: Callable[[httpx.URL], Connection] | None = None,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        *,
        limits: AnswerLimits = OF_A_TARGET,
    ) -> None:
        self._limits = limits
        self._connect = connect or _connection
        self._clock = clock
        self._pause = pause
        self._idle: deque[tuple[float, Connection]] = deque()
        self._closing_unused: asyncio.Task[None] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, read to its end. Raises `httpx.RequestError` when there is none, or it does not end."""
        connection = self._idle.pop()[1] if self._idle else self._connect(request.url)
        try:
            async with in_time(self._limits):
                reply = await read_whole(await connection.handle_async_request(request), self._limits)
        except BaseException:
            await connection.aclose()
            raise
        if _has_surplus(connection):
            await connection.aclose()
        else:
            self._put_back(connection)
        return reply

    async def aclose(self) -> None:
        """Close the connections that are unused now; the others are closed a while after their requests."""
        await self._close_idle(float("inf"))

    def _put_back(self, connection: Connection) -> None:
        self._idle.append((self._clock(), connection))
        if self._closing_unused is None or self._closing_unused.done():
            self._closing_unused = asyncio.create_task(self._close_unused())

    async def _close_unused(self) -> None:
        """Close what has been unused for a while, until all are closed."""
        while self._idle:
            await self._pause(KEPT)
            await self._close_idle(self._clock() - KEPT)

    async def _close_idle(self, until: float) -> None:
        """Close the connections that were last used at this moment, or before."""
        while self._idle and self._idle[0][0] <= until:
            _, connection = self._idle.popleft()
            await connection.aclose()


def _has_surplus(connection: Any) -> bool:  # noqa: ANN401 - httpcore keeps to itself what was received and not read
    """Whether bytes follow the last answer; httpcore itself finds those that come later, before the next request."""
    for each in getattr(getattr(connection, "_pool", None), "connections", ()):
        while inner := getattr(each, "_connection", None):
            each = inner  # noqa: PLW2901 - through a proxy there are several, one in the other
        if (state := getattr(each, "_h11_state", None)) and state.trailing_data[0]:
            return True
    return False


def _connection(url: httpx.URL) -> Connection:
    """Raises `httpx.ProxyError` where the environment names an unusable proxy."""
    try:
        return httpx.AsyncHTTPTransport(verify=_certificates(), limits=_ONE, proxy=_proxy(url))
    except (ImportError, ValueError, httpx.InvalidURL) as failure:
        raise httpx.ProxyError("the proxy that the environment names cannot be used") from failure


def _proxy(url: httpx.URL) -> str | None:
    """The proxy that the environment names for this URL; `NO_PROXY` lists hosts, with or without a port.

    Raises `ValueError` or `httpx.InvalidURL` where its address is invalid.
    """
    is_direct = proxy_bypass(url.host) or proxy_bypass(url.netloc.decode())
    known = {} if is_direct else getproxies()
    named = known.get(url.scheme) or known.get("all")
    proxy = f"http://{named}" if named and "://" not in named else named
    if proxy and httpx.URL(proxy).port not in (None, *_PORTS):
        raise ValueError("the proxy has an invalid port")
    return proxy


@cache
def _certificates() -> SSLContext:
    """The trusted certificates, the same for all connections: loading them takes a megabyte each time."""
    return httpx.create_ssl_context()
