"""Clients that send byte by byte, and everybody else meanwhile."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from services.runtime.serving import listening, tcp_socket
from tests.support.travelling_time import TRAVELLING

pytestmark = pytest.mark.anyio

HEAD = b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 10_000
WHOLE = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
SLOWEST = 0.3


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """As the API does: a body that is refused is not read any further."""
    request = Request(scope, receive)
    status = 413 if request.method == "POST" else 200
    await PlainTextResponse("", status)(scope, receive, send)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Time passes only where nothing else does, so that no slow machine is taken for a slow client."""
    return TRAVELLING


@pytest.fixture
async def port() -> AsyncIterator[int]:
    with tcp_socket("127.0.0.1", 0) as bound:
        async with listening({bound: answer}, slowest_head=SLOWEST):
            yield bound.getsockname()[1]


async def dribbled(port: int, begin: bytes, rest: bytes) -> tuple[bytes, int]:
    """What is answered to somebody who sends the rest byte by byte until they are cut off, and how much they sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(begin)
    sent, bytes_left = 0, iter(rest)
    ended = asyncio.ensure_future(reader.read())
    while not ended.done():
        writer.write(bytes([next(bytes_left)]))
        sent += 1
        await asyncio.wait([ended], timeout=0.02)
    writer.close()
    return await ended, sent


async def asked(port: int) -> bytes:
    """The first line of the answer to a whole request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(WHOLE)
    line = await reader.readline()
    writer.close()
    return line


@pytest.mark.parametrize("begin", [b"", WHOLE], ids=["first head", "second head"])
async def test_a_head_that_comes_byte_by_byte_is_cut_off_and_nobody_else_waits(port: int, begin: bytes) -> None:
    async with asyncio.timeout(10):
        slow = asyncio.ensure_future(dribbled(port, begin, HEAD))
        while not slow.done():
            assert await asked(port) == b"HTTP/1.1 200 OK\r\n"
            await asyncio.sleep(0.01)  # else something would always be ready, and no time pass
        came, sent = await slow
    assert came.rpartition(b"HTTP/1.1 ")[2].startswith(b"408 ")
    assert sent < len(HEAD)


async def test_a_connection_on_which_nothing_comes_is_closed(port: int) -> None:
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_a_body_that_goes_on_after_its_answer_is_cut_off(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n"
    async with asyncio.timeout(10):
        came, sent = await dribbled(port, head, b" " * 1_000_000)
    assert came.startswith(b"HTTP/1.1 413 ")
    assert sent < 1_000_000


async def test_a_head_that_comes_in_time_keeps_its_connection(port: int) -> None:
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            for at in range(len(WHOLE)):
                writer.write(WHOLE[at : at + 1])
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
            with suppress(TimeoutError):
                async with asyncio.timeout(SLOWEST / 2):
                    await asyncio.Event().wait()
        writer.close()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX], ids=["port", "local socket"])
async def test_nothing_is_sent_to_a_client_that_is_gone(
    family: socket.AddressFamily, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As when a page of events is sent, of which every one is there already."""
    client, sent, ended = socket.socket(family), 0, asyncio.Event()

    async def lines() -> AsyncIterator[bytes]:
        nonlocal sent
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        for _ in range(200):
            sent += 1
            yield b"x" * 1000

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await StreamingResponse(lines())(scope, receive, send)
        ended.set()

    with socket.socket(family) as bound, client:
        bound.bind(("127.0.0.1", 0) if family is socket.AF_INET else str(tmp_path / "socket"))
        bound.listen()
        async with listening({bound: stream}):
            client.connect(bound.getsockname())
            client.sendall(WHOLE)
            async with asyncio.timeout(10):
                await ended.wait()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
    assert sent < 10
