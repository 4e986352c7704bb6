"""What carries an account's requests to a vendor: as many connections as there are requests at once.

httpx's pool looks at all its connections several times for each request, and loses one when a request is cancelled
while it waits. Here a request has a connection to itself, and there is nothing to wait for.
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

from adapters.answer import OF_A_TARGET, AnswerLimits, in_time, read_whole

KEPT: Final = 5.0
"""Seconds for which a connection is kept that nobody uses: by then the vendor may have closed it."""

_ONE: Final = httpx.Limits(max_connections=1)
_PORTS: Final = range(1, 65_536)

Connection = httpx.AsyncBaseTransport
"""One connection, which is made with the first request, and again after one that has ended it."""


class Transport(httpx.AsyncBaseTransport):
    """The connections of one account to one vendor; the one that was used last is used next.

    What a vendor sends behind an answer would be taken for the next one, so such a connection is used no more; and
    accounts share none.
    `connect` makes a connection that can reach a URL, `clock` is in seconds since any moment, `pause` waits for some.
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
        self._tidying: asyncio.Task[None] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, read to its end. Raises `httpx.RequestError` when there is none, or no end to it."""
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
        """Close the connections that nobody uses now; the others are closed a while after their requests."""
        await self._close_idle(float("inf"))

    def _put_back(self, connection: Connection) -> None:
        self._idle.append((self._clock(), connection))
        if self._tidying is None or self._tidying.done():
            self._tidying = asyncio.create_task(self._tidy())

    async def _tidy(self) -> None:
        """Close what nobody has used for a while, as long as there is something."""
        while self._idle:
            await self._pause(KEPT)
            await self._close_idle(self._clock() - KEPT)

    async def _close_idle(self, until: float) -> None:
        """Close the connections that were used at this moment for the last time, or before."""
        while self._idle and self._idle[0][0] <= until:
            _, connection = self._idle.popleft()
            await connection.aclose()


def _has_surplus(connection: Any) -> bool:  # noqa: ANN401 - httpcore keeps to itself what was received and not read
    """Whether something has come behind the last answer; what comes later httpcore finds before the next request."""
    for each in getattr(getattr(connection, "_pool", None), "connections", ()):
        while inner := getattr(each, "_connection", None):
            each = inner  # noqa: PLW2901 - through a proxy there are several, one in the other
        if (state := getattr(each, "_h11_state", None)) and state.trailing_data[0]:
            return True
    return False


def _connection(url: httpx.URL) -> Connection:
    """Raises `httpx.ProxyError` where the environment names a proxy that is none."""
    try:
        return httpx.AsyncHTTPTransport(verify=_certificates(), limits=_ONE, proxy=_proxy(url))
    except (ImportError, ValueError, httpx.InvalidURL) as failure:
        raise httpx.ProxyError("the proxy that the environment names cannot be used") from failure


def _proxy(url: httpx.URL) -> str | None:
    """The proxy that the environment names for this URL; `NO_PROXY` has hosts, with or without a port.

    Raises `ValueError` or `httpx.InvalidURL` where it is none.
    """
    is_direct = proxy_bypass(url.host) or proxy_bypass(url.netloc.decode())
    known = {} if is_direct else getproxies()
    named = known.get(url.scheme) or known.get("all")
    proxy = f"http://{named}" if named and "://" not in named else named
    if proxy and httpx.URL(proxy).port not in (None, *_PORTS):
        raise ValueError("no port")
    return proxy


@cache
def _certificates() -> SSLContext:
    """Whom to trust, the same for all: a megabyte each time that it is loaded."""
    return httpx.create_ssl_context()
