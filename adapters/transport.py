"""What carries requests to a vendor: as many connections as there are requests at once, shared by all accounts.

httpx's pool looks at all its connections several times for each request, and loses one when a request is cancelled
while it waits. Here a request has a connection to itself, and there is nothing to wait for.
"""

import time
from collections import deque
from collections.abc import Callable
from functools import cache
from ssl import SSLContext
from typing import Final
from urllib.request import getproxies, proxy_bypass

import httpx

KEPT: Final = 5.0
"""Seconds for which a connection is kept that nobody uses: by then the vendor may have closed it."""

_ONE: Final = httpx.Limits(max_connections=1)

Connection = httpx.AsyncBaseTransport
"""One connection, which is made with the first request, and again after one that has ended it."""


class Transport(httpx.AsyncBaseTransport):
    """The connections to one vendor; the one that was used last is used next.

    Several accounts may share one: whoever closes it only closes the connections that nobody uses at that moment.
    `connect` makes a connection that can reach a URL; `clock` is in seconds since any moment.
    """

    def __init__(
        self, connect: Callable[[httpx.URL], Connection] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._connect = connect or _connection
        self._clock = clock
        self._idle: deque[tuple[float, Connection]] = deque()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, read to its end. Raises `httpx.RequestError` when there is none."""
        connection = self._idle.pop()[1] if self._idle else self._connect(request.url)
        try:
            reply = await _whole(connection, request)
        except BaseException:
            await connection.aclose()
            raise
        self._idle.append((self._clock(), connection))
        await self._close_idle(self._clock() - KEPT)
        return reply

    async def aclose(self) -> None:
        """Close the connections that nobody uses now."""
        await self._close_idle(float("inf"))

    async def _close_idle(self, before: float) -> None:
        """Close the connections that nobody has used since this moment."""
        while self._idle and self._idle[0][0] < before:
            _, connection = self._idle.popleft()
            await connection.aclose()


async def _whole(connection: Connection, request: httpx.Request) -> httpx.Response:
    reply = await connection.handle_async_request(request)
    if not isinstance(reply.stream, httpx.AsyncByteStream):
        raise TypeError("an answer that cannot be awaited")
    body = b"".join([part async for part in reply.stream])
    await reply.stream.aclose()
    return httpx.Response(reply.status_code, headers=reply.headers, content=body)


def _connection(url: httpx.URL) -> Connection:
    return httpx.AsyncHTTPTransport(verify=_certificates(), limits=_ONE, proxy=_proxy(url))


def _proxy(url: httpx.URL) -> str | None:
    """The proxy that the environment names for this URL: the variables are those that httpx's own clients heed."""
    known = {} if proxy_bypass(url.host) else getproxies()
    proxy = known.get(url.scheme) or known.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


@cache
def _certificates() -> SSLContext:
    """Whom to trust, the same for all: a megabyte each time that it is loaded."""
    return httpx.create_ssl_context()
