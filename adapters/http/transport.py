"""The connections of one account to one vendor: one for each request, so none has to wait.

httpx's pool goes through all of its connections several times for each request, and loses one when a request is
cancelled while it waits for a connection. So httpcore's connections are used without it.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import cache
from ssl import SSLContext
from typing import Any, Final
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from adapters.http.response import OF_A_TARGET, AnswerLimits, in_time, read_whole

KEPT: Final = 4.0
"""Seconds for which an unused connection is kept: less than the five after which many servers close it."""

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
        self._connect = connect or _Connecting()
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
            return reply
        self._idle.append((self._clock(), connection))
        if self._closing_unused is None or self._closing_unused.done():
            self._closing_unused = asyncio.create_task(self._close_unused())
        return reply

    async def aclose(self) -> None:
        """Close the connections that are unused now; the others are closed a while after their requests."""
        await self._close_idle(float("inf"))

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
    for each in getattr(getattr(connection, "_pool", None), "connections", [connection]):
        while inner := getattr(each, "_connection", None):
            each = inner  # noqa: PLW2901 - through a proxy there are several, one in the other
        if (state := getattr(each, "_h11_state", None)) and state.trailing_data[0]:
            return True
    return False


class DirectConnection(httpx.AsyncBaseTransport):
    """One connection without a proxy, and without httpx's pool, which takes a fifth of the time of a request.

    `network` makes its streams.
    """

    def __init__(self, network: httpcore.AsyncNetworkBackend | None = None) -> None:
        self._network = _Network(network or httpcore.AnyIOBackend())
        self._connection: httpcore.AsyncHTTPConnection | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, whose body is still to be read. Raises `httpx.RequestError`."""
        url = request.url
        asked = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        try:
            reply = await (await self._connected(asked.url.origin)).handle_async_request(asked)
        except _FAILURES as failure:
            raise _to_httpx(failure) from failure
        return httpx.Response(reply.status, headers=reply.headers, stream=_Body(reply), extensions={**reply.extensions})

    async def aclose(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.aclose()

    async def _connected(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        """The connection, or another one where it can be used no more."""
        connection = self._connection
        if connection is not None:
            is_good = connection.can_handle_request(origin) and connection.is_idle() and not connection.has_expired()
            if is_good:
                return connection
            await connection.aclose()
        self._connection = httpcore.AsyncHTTPConnection(
            origin, _certificates(), keepalive_expiry=KEPT, network_backend=self._network
        )
        return self._connection


class _Stream(httpcore.AsyncNetworkStream):
    """A connection on which the head and the body of a request are sent at once, before an answer is waited for.

    Each time that something is sent takes longer than everything else on the way of a request.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._unsent: list[bytes] = []
        self._timeout: float | None = None

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's signature
        """Send this with what comes next."""
        self._unsent.append(buffer)
        self._timeout = timeout

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's signature
        """Send what was written, and wait for what comes. A server may answer and take no more of the request."""
        if self._unsent:
            buffer, self._unsent = b"".join(self._unsent), []
            with suppress(httpcore.WriteError):
                await self._stream.write(buffer, self._timeout)
        return await self._stream.read(max_bytes, timeout)

    async def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        """The same connection, encrypted."""
        return _Stream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's signature
        """What is known of the connection."""
        return self._stream.get_extra_info(info)


class _Network(httpcore.AsyncNetworkBackend):
    """Makes such streams."""

    def __init__(self, network: httpcore.AsyncNetworkBackend) -> None:
        self._network = network

    async def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:  # noqa: ANN401 - httpcore's signature
        """A connection to a host. Raises httpcore's `ConnectError` and `ConnectTimeout`."""
        return _Stream(await self._network.connect_tcp(*args, **kwargs))


class _Body(httpx.AsyncByteStream):
    """The body of an answer that came without httpx's pool."""

    def __init__(self, reply: httpcore.Response) -> None:
        self._reply = reply

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._reply.aiter_stream():
                yield part
        except _FAILURES as failure:
            raise _to_httpx(failure) from failure

    async def aclose(self) -> None:
        await self._reply.aclose()


_SCHEMES: Final = frozenset({"http", "https"})
_FAILURES: Final = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError)


def _to_httpx(failure: Exception) -> httpx.RequestError:
    """The error of the same name, as httpx's own transport raises it."""
    error: httpx.RequestError = getattr(httpx, type(failure).__name__)(str(failure))
    return error


class _Connecting:
    """Makes connections; the proxy of a host is looked up once, as that goes through the whole environment."""

    def __init__(self) -> None:
        self._proxies: dict[tuple[str, bytes], str | None] = {}

    def __call__(self, url: httpx.URL) -> Connection:
        """Raises `httpx.ProxyError` where the environment names an unusable proxy."""
        host = url.scheme, url.netloc
        try:
            if host not in self._proxies:
                self._proxies[host] = _proxy(url)
            proxy = self._proxies[host]
            if proxy is None and url.scheme in _SCHEMES:
                return DirectConnection()
            return httpx.AsyncHTTPTransport(verify=_certificates(), limits=_ONE, proxy=proxy)
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
