import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from gzip import compress

import httpcore
import httpx
import pytest

from adapters.http.client import KEPT, DirectConnection, Transport

pytestmark = pytest.mark.anyio

Answering = Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]


class Scripted(httpx.AsyncBaseTransport):
    """A connection that answers as it is set to."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self.asked = 0
        self.is_closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        return await self._answering(request)

    async def aclose(self) -> None:
        self.is_closed = True


class Vendor:
    """A vendor to connect to; responses can be held back."""

    def __init__(self) -> None:
        self.connections: list[Scripted] = []
        self.now = 0.0
        self.gate = asyncio.Event()
        self.gate.set()
        self.later = asyncio.Event()
        self.transport = Transport(self._connect, lambda: self.now, self._pause)

    async def ask(self) -> httpx.Response:
        return await self.transport.handle_async_request(httpx.Request("GET", "http://vendor.test/"))

    async def ask_at_once(self, number: int) -> None:
        """Several, none of which is answered before all were asked."""
        self.gate.clear()
        asked = [asyncio.create_task(self.ask()) for _ in range(number)]
        await asyncio.sleep(0)
        self.gate.set()
        await asyncio.gather(*asked)

    async def let_pass(self, seconds: float) -> None:
        """Let this many seconds pass, and whatever waited for them go on."""
        await asyncio.sleep(0)
        self.now += seconds
        self.later.set()
        for _ in range(9):
            await asyncio.sleep(0)

    async def _pause(self, seconds: float) -> None:
        assert seconds == KEPT
        self.later.clear()
        await self.later.wait()

    def _connect(self, url: httpx.URL) -> Scripted:
        assert url.host == "vendor.test"
        self.connections.append(Scripted(self._answer))
        return self.connections[-1]

    async def _answer(self, _: httpx.Request) -> httpx.Response:
        await self.gate.wait()
        return httpx.Response(200, json={})


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


async def test_requests_one_after_the_other_share_a_connection(vendor: Vendor) -> None:
    for _ in range(3):
        assert (await vendor.ask()).json() == {}
    assert [each.asked for each in vendor.connections] == [3]


async def test_requests_at_once_have_a_connection_each(vendor: Vendor) -> None:
    await vendor.ask_at_once(3)
    await vendor.ask_at_once(3)
    assert [each.asked for each in vendor.connections] == [2, 2, 2]


async def test_a_connection_without_an_answer_is_closed_and_used_no_more(vendor: Vendor) -> None:
    async def refused(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("scripted", request=request)

    await vendor.ask()
    vendor.connections[0]._answering = refused
    with pytest.raises(httpx.ConnectError):
        await vendor.ask()
    await vendor.ask()
    assert [each.is_closed for each in vendor.connections] == [True, False]


async def test_the_connection_of_a_cancelled_request_is_closed_and_used_no_more(vendor: Vendor) -> None:
    vendor.gate.clear()
    asked = asyncio.create_task(vendor.ask())
    await asyncio.sleep(0)
    asked.cancel()
    with suppress(asyncio.CancelledError):
        await asked
    vendor.gate.set()
    await vendor.ask()
    assert [each.is_closed for each in vendor.connections] == [True, False]


async def test_connections_that_are_not_used_are_closed(vendor: Vendor) -> None:
    await vendor.ask_at_once(3)
    await vendor.let_pass(KEPT - 1)
    assert not any(each.is_closed for each in vendor.connections)
    await vendor.ask()
    await vendor.let_pass(1)
    assert sorted(each.is_closed for each in vendor.connections) == [False, True, True]
    assert [each.asked for each in vendor.connections if not each.is_closed] == [2]
    await vendor.let_pass(KEPT)
    assert all(each.is_closed for each in vendor.connections)


async def test_a_connection_that_is_used_again_and_again_is_kept(vendor: Vendor) -> None:
    for _ in range(20):
        await vendor.ask()
        await vendor.let_pass(KEPT - 1)
    assert [each.asked for each in vendor.connections] == [20]


async def test_after_a_rest_connections_are_looked_after_as_before(vendor: Vendor) -> None:
    await vendor.ask()
    await vendor.let_pass(KEPT)
    await vendor.ask()
    await vendor.let_pass(KEPT)
    assert [each.is_closed for each in vendor.connections] == [True, True]


async def test_closing_leaves_requests_under_way_alone_and_further_ones_possible(vendor: Vendor) -> None:
    await vendor.ask_at_once(2)
    vendor.gate.clear()
    under_way = asyncio.create_task(vendor.ask())
    await asyncio.sleep(0)
    await vendor.transport.aclose()
    assert sorted(each.is_closed for each in vendor.connections) == [False, True]
    vendor.gate.set()
    assert (await under_way).is_success
    await vendor.transport.aclose()
    assert all(each.is_closed for each in vendor.connections)
    assert (await vendor.ask()).is_success


async def test_an_answer_that_came_packed_is_unpacked_once() -> None:
    async def packed(_: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(compress(b"all of it"))
        )

    transport = Transport(lambda _: Scripted(packed))
    reply = await transport.handle_async_request(httpx.Request("GET", "http://vendor.test/"))
    assert await reply.aread() == b"all of it"


async def test_an_answer_that_cannot_be_unpacked_is_an_error_of_the_request() -> None:
    async def torn(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"torn"))

    connection = Scripted(torn)
    with pytest.raises(httpx.DecodingError):
        await Transport(lambda _: connection).handle_async_request(httpx.Request("GET", "http://vendor.test/"))
    assert connection.is_closed


@pytest.mark.parametrize(
    ("direct", "asked_of_the_proxy"),
    [("", 1), ("other.test", 1), ("127.0.0.2:8", 1), ("127.0.0.2", 0), ("127.0.0.2:9", 0)],
)
async def test_the_proxy_of_the_environment_is_gone_through(
    direct: str, asked_of_the_proxy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = list[bytes]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append(await reader.readline())
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as proxy:
        host, port = proxy.sockets[0].getsockname()
        for name in ("http_proxy", "all_proxy", "ALL_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTP_PROXY", f"{host}:{port}")
        monkeypatch.setenv("NO_PROXY", direct)
        transport = Transport()
        with suppress(httpx.ConnectError):
            await transport.handle_async_request(httpx.Request("GET", "http://127.0.0.2:9/drivers"))
        await transport.aclose()
    assert lines == [b"GET http://127.0.0.2:9/drivers HTTP/1.1\r\n"] * asked_of_the_proxy


@pytest.mark.parametrize(
    "named",
    [
        "socks4://127.0.0.1:1",
        "ftp://127.0.0.1",
        "http://127.0.0.1:port",
        "127.0.0.1:99999",
        "127.0.0.1:-1",
        "://",
        "\N{SNOWMAN}",
    ],
)
async def test_a_proxy_that_is_none_is_an_error_of_the_request(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", named)
    with pytest.raises(httpx.RequestError):
        await Transport().handle_async_request(httpx.Request("GET", "http://127.0.0.2:9/drivers"))


@pytest.mark.parametrize("proxy", ["", "through a proxy"])
@pytest.mark.parametrize("surplus", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1", b"?", b"\r\n"])
async def test_what_comes_behind_an_answer_is_never_taken_for_another(
    surplus: bytes, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                wanted = head.split(b" ", 2)[1][-1:]
                sent = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + wanted
                writer.write(sent + (surplus if wanted == b"1" else b""))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        for name in ("http_proxy", "no_proxy", "NO_PROXY", "HTTP_PROXY"):
            monkeypatch.delenv(name, raising=False)
        if proxy:
            monkeypatch.setenv("HTTP_PROXY", f"{host}:{port}")
        transport = Transport()
        for wanted in "123":
            reply = await transport.handle_async_request(httpx.Request("GET", f"http://{host}:{port}/{wanted}"))
            assert reply.text == wanted
        await transport.aclose()
    assert connections == 1 + bool(surplus)


class Wire(httpcore.AsyncMockStream):
    """A connection on which an answer has come already; it keeps what is sent, or takes nothing."""

    def __init__(self, answer: bytes, *, is_deaf: bool = False) -> None:
        super().__init__([answer])
        self._is_deaf = is_deaf
        self.sent: list[bytes] = []

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's signature
        if self._is_deaf:
            raise httpcore.WriteError
        self.sent.append(buffer)
        await super().write(buffer, timeout)


class Network(httpcore.AsyncMockBackend):
    """Leads to one connection."""

    def __init__(self, wire: Wire) -> None:
        super().__init__([])
        self._wire = wire

    async def connect_tcp(self, *_: object, **__: object) -> Wire:
        return self._wire


async def put(wire: Wire) -> httpx.Response:
    transport = Transport(lambda _: DirectConnection(Network(wire)))
    return await transport.handle_async_request(httpx.Request("PUT", "http://vendor.test/", json={"name": "Ann"}))


async def test_head_and_body_of_a_request_are_sent_at_once() -> None:
    wire = Wire(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert (await put(wire)).status_code == httpx.codes.NO_CONTENT
    (sent,) = wire.sent
    assert sent.startswith(b"PUT / HTTP/1.1\r\n")
    assert sent.endswith(b'\r\n\r\n{"name":"Ann"}')


async def test_an_answer_to_a_request_that_is_not_taken_whole_is_heard() -> None:
    wire = Wire(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n", is_deaf=True)
    assert (await put(wire)).status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
