"""One HTTP connection to a vendor: asyncio's own, with the parser of Node.js.

httpcore, with anyio and h11, takes four times as much processor time for each request. Of httpx there are only the
requests, the answers and the errors.
"""

import asyncio
import re
import select
import socket
from collections.abc import AsyncIterator, Callable
from functools import cache
from ssl import SSLContext
from typing import Final, cast

import httptools
import httpx

KEPT: Final = 4.0
"""Seconds for which an unused connection is kept: less than the five after which many servers close it."""

_LONGEST_HEAD: Final = 100_000
_MOST_WAITING: Final = 256 * 1024
"""Bytes of an answer that wait to be read; at this bound the server has to wait."""

_ILLEGAL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""What no header may contain. Source: RFC 9110, 5.5."""

_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})


class AddressRefused(httpx.ConnectError):
    """The host has an address that may not be connected to."""


class DirectConnection(httpx.AsyncBaseTransport):
    """One connection without a proxy, which is made with the first request, and again when it can be used no more.

    `may_reach` says to which IP addresses it may be made; a host that has any other one is not connected to.
    """

    def __init__(self, may_reach: Callable[[str], bool] = lambda _: True) -> None:
        self._may_reach = may_reach
        self._exchange: _Exchange | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, whose body may still have to be read. Raises `httpx.RequestError`."""
        seconds, sent = request.extensions.get("timeout", {}), await _sent(request)
        exchange = self._exchange
        if exchange is None or not exchange.can_go_on():
            await self.aclose()
            exchange = self._exchange = await _connected(request.url, seconds.get("connect"), self._may_reach)
        return await exchange.ask(sent, seconds.get("read"))

    def has_surplus(self) -> bool:
        """Whether bytes follow the last answer."""
        return self._exchange is not None and self._exchange.has_surplus

    async def aclose(self) -> None:
        """Close the connection."""
        if self._exchange is not None:
            await self._exchange.close()


async def _sent(request: httpx.Request) -> bytes:
    """A request as it is sent, head and body at once. Raises `httpx.LocalProtocolError`."""
    body, target = await request.aread(), request.url.raw_path
    parts = [request.method.encode(), b" ", target, b" HTTP/1.1\r\n"]
    for name, value in request.headers.raw:
        if _ILLEGAL.search(value) or _ILLEGAL.search(name):
            raise httpx.LocalProtocolError("a header cannot be sent")
        parts += name, b": ", value, b"\r\n"
    return b"".join((*parts, b"\r\n", body))


async def _connected(url: httpx.URL, seconds: float | None, may_reach: Callable[[str], bool]) -> "_Exchange":
    """A connection to the host of this URL, at one of its addresses, each of which has its part of the time."""
    loop, host = asyncio.get_running_loop(), url.raw_host.decode("ascii")
    is_safe = url.scheme == "https"
    failure: httpx.RequestError = httpx.ConnectError("the host has no address")
    try:
        async with asyncio.timeout(seconds):
            found = await loop.getaddrinfo(host, url.port or (443 if is_safe else 80), type=socket.SOCK_STREAM)
    except TimeoutError:
        raise httpx.ConnectTimeout("the address of the host was not found in time") from None
    except (OSError, UnicodeError) as reason:
        raise httpx.ConnectError(str(reason)) from reason
    places = dict.fromkeys((str(place[0]), int(place[1])) for *_, place in found)
    if not all(may_reach(address) for address, _ in places):
        raise AddressRefused("the host has an address that may not be connected to")
    for address, port in places:
        try:
            async with asyncio.timeout(seconds and seconds / len(places)):
                _, exchange = await loop.create_connection(
                    _Exchange,
                    address,
                    port,
                    ssl=trusted_certificates() if is_safe else None,
                    server_hostname=host if is_safe else None,
                )
                return exchange
        except TimeoutError:
            failure = httpx.ConnectTimeout("the host did not answer in time")
        except OSError as reason:
            failure = httpx.ConnectError(str(reason))
    raise failure


class _Exchange(asyncio.Protocol):
    """Requests on one connection, one after the other, and the answer to each as it comes."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)
        self._transport: asyncio.Transport | None = None
        self._arrival: asyncio.Event = asyncio.Event()
        self._headers: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._waiting = 0
        self._status = 0
        self._has_head = False
        self._is_awaited = False
        self._is_kept = True
        self._used_at = 0.0
        self._seconds: float | None = None
        self._failure: httpx.RequestError | None = None
        self.has_surplus = False

    async def ask(self, sent: bytes, seconds: float | None) -> httpx.Response:
        """The answer to a request; each wait for more of it may take this many seconds. Raises `httpx.RequestError`."""
        self._headers, self._parts, self._waiting = [], [], 0
        self._has_head, self._is_awaited, self._seconds = False, True, seconds
        if self._transport is not None:
            self._transport.write(sent)
        while not self._has_head:
            await self._more()
        headers = httpx.Headers(self._headers)
        if self._is_awaited or "content-encoding" in headers:
            return httpx.Response(self._status, headers=headers, stream=_Body(self))
        return httpx.Response(self._status, headers=headers, content=b"".join(self._parts))

    async def body(self) -> AsyncIterator[bytes]:
        """What comes of the body of the answer."""
        while True:
            parts, self._parts = self._parts, []
            for part in parts:
                yield part
            if self._waiting >= _MOST_WAITING and self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()
            self._waiting = 0
            if not parts:
                if not self._is_awaited:
                    return
                await self._more()

    def can_go_on(self) -> bool:
        """Whether another request can be made: the server has sent nothing since, and has not closed it."""
        transport = self._transport
        if transport is None or self._is_awaited or not self._is_kept or self.has_surplus or transport.is_closing():
            return False
        if asyncio.get_running_loop().time() - self._used_at > KEPT:
            return False
        # Also what has come and was not looked at yet, as that it was closed.
        readable = select.poll()
        readable.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not readable.poll(0)

    async def close(self) -> None:
        """Close the connection, and wait for nothing: a server may never answer that with TLS."""
        if self._transport is not None:
            self._transport.close()
            await asyncio.sleep(0)
            self._transport.abort()

    async def _more(self) -> None:
        """Wait until more of the answer has come. Raises `httpx.RequestError`."""
        if self._failure:
            raise self._failure
        self._arrival.clear()
        try:
            async with asyncio.timeout(self._seconds):
                await self._arrival.wait()
        except TimeoutError:
            raise httpx.ReadTimeout("the answer did not come in time") from None
        if self._failure and self._is_awaited:
            raise self._failure

    def _fail(self, failure: httpx.RequestError) -> None:
        self._failure = self._failure or failure
        self._is_kept = False
        self._arrival.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There is a connection."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """An answer is whole with the last byte that has come; if it was so before, the last one is of something else.

        The parser itself skips some of what may follow an answer.
        """
        try:
            self._parser.feed_data(memoryview(data)[:-1])
            self.has_surplus = not self._is_awaited
            self._parser.feed_data(data[-1:])
        except httptools.HttpParserUpgrade:
            self._fail(httpx.RemoteProtocolError("the server speaks another protocol"))
        except httptools.HttpParserError as failure:
            self._fail(httpx.RemoteProtocolError(str(failure)))
        if not self._has_head:
            self._waiting += len(data)
            if self._waiting > _LONGEST_HEAD:
                self._fail(httpx.RemoteProtocolError("the head of the answer is too long"))
        self._arrival.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """An answer without a length ends here; each other one lacks something."""
        has_length = any(name.lower() in _FRAMING for name, _ in self._headers)
        if self._has_head and not has_length and exc is None and self._failure is None:
            self._is_awaited = False
        self._fail(
            httpx.ReadError(str(exc)) if exc else httpx.RemoteProtocolError("closed before the answer was whole")
        )

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser has read a header; what comes behind a body is left out."""
        if not self._has_head:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The parser has read a head; "100 Continue" and its like are followed by another one."""
        if not self._has_head:
            self._status = self._parser.get_status_code()
            self._has_head = self._status >= httpx.codes.OK
        if not self._has_head:
            self._headers.clear()

    def on_body(self, body: bytes) -> None:
        """The parser has read a part of a body."""
        if not self._is_awaited:
            return
        self._parts.append(body)
        self._waiting += len(body)
        if self._waiting >= _MOST_WAITING and self._transport is not None:
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """The parser has read a whole answer."""
        if self._has_head and self._is_awaited:
            self._is_kept = self._is_kept and self._parser.should_keep_alive()
            self._is_awaited, self._used_at = False, asyncio.get_running_loop().time()


class _Body(httpx.AsyncByteStream):
    """The body of an answer that has not come whole yet."""

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._exchange.body()


@cache
def trusted_certificates() -> SSLContext:
    """The trusted certificates, the same for all connections: loading them takes a megabyte each time."""
    return httpx.create_ssl_context()
