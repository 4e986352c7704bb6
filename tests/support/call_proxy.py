"""A proxy on loopback that treats each call to a sandbox as a test wants, down to the bytes of the answer."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

import h11
import httpx

from services.sandbox.demo import NO_TLS
from tests.support.hanging import HANGS

_CHUNK: Final = 65_536
_PASSED_ON: Final = frozenset({"content-type", "authorization", "x-api-key", "accept", "accept-language"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call as it came. Equal calls are repeats of each other."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def is_read(self) -> bool:
        """Whether it cannot change anything."""
        return self.method == "GET"

    def header(self, name: str) -> str:
        """What this header says; blank where there is none."""
        return next((text for known, text in self.headers if known == name), "")


Forward = Callable[[], Awaitable[httpx.Response]]
"""Sends the call on; the sandbox's answer."""

Treatment = Callable[[Call, Forward], AsyncGenerator[bytes, None]]
"""The bytes that the caller gets. Behind the last ones the connection is closed; none at all: it is just closed."""


def answer(status: int, body: bytes, kind: str = "application/json", encoding: str = "") -> bytes:
    """A whole answer."""
    named = {"content-type": kind, "content-encoding": encoding, "content-length": str(len(body))}
    head = "".join(f"{name}: {text}\r\n" for name, text in named.items() if text)
    return f"HTTP/1.1 {status} Answer\r\n{head}connection: close\r\n\r\n".encode() + body


def passed_back(reply: httpx.Response) -> bytes:
    """The sandbox's own answer."""
    return answer(reply.status_code, reply.content, reply.headers.get("content-type", "application/json"))


@asynccontextmanager
async def proxy(upstream: str, treat: Treatment) -> AsyncIterator[str]:
    """Serve on a free loopback port; the base address."""
    serving: set[asyncio.Task[None]] = set()
    async with httpx.AsyncClient(base_url=upstream, timeout=HANGS, verify=NO_TLS) as client:

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            each = asyncio.ensure_future(_serve(reader, writer, client, treat))
            serving.add(each)
            each.add_done_callback(serving.discard)
            await asyncio.wait({each})

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for each in serving:
                each.cancel()
            await asyncio.gather(*serving, return_exceptions=True)
            await server.wait_closed()


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: httpx.AsyncClient, treat: Treatment
) -> None:
    """One call on each connection; the caller may have gone meanwhile."""
    try:
        with suppress(ConnectionError, h11.RemoteProtocolError):
            if call := await _received(reader):
                await _treated(call, reader, writer, client, treat)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _treated(
    call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: httpx.AsyncClient, treat: Treatment
) -> None:
    async def forward() -> httpx.Response:
        if reader.at_eof():
            raise ConnectionAbortedError("the caller has gone: as if the call had not arrived")
        headers = [(name, text) for name, text in call.headers if name in _PASSED_ON]
        return await client.request(call.method, call.target, headers=headers, content=call.body)

    async with aclosing(treat(call, forward)) as answers:
        async for part in answers:
            writer.write(part)
            await writer.drain()


async def _received(reader: asyncio.StreamReader) -> Call | None:
    inbound, request, body = h11.Connection(h11.SERVER), None, b""
    while True:
        event = inbound.next_event()
        if event is h11.NEED_DATA:
            inbound.receive_data(await reader.read(_CHUNK))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        else:
            return _to_call(request, body) if request and isinstance(event, h11.EndOfMessage) else None


def _to_call(request: h11.Request, body: bytes) -> Call:
    headers = tuple((name.decode(), text.decode()) for name, text in request.headers)
    return Call(method=request.method.decode(), target=request.target.decode(), headers=headers, body=body)
