import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from gzip import compress
from socket import SHUT_RDWR

import httpx
import pytest

from adapters.http.client import Transport
from adapters.http.connection import KEPT

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


class Server:
    """Takes requests on connections of its own, and answers each with these bytes, the parts one after the other."""

    def __init__(self, *parts: bytes, closes: bool = False, takes: int = 100_000) -> None:
        self._parts = parts
        self._closes = closes
        self._takes = takes
        self.requests: list[bytes] = []
        self.connections = 0

    async def put(self, *bodies: object) -> list[httpx.Response]:
        """The answers to a request with each of these bodies, one after the other, on what connections there are."""
        transport = Transport()
        async with await asyncio.start_server(self._answer, "127.0.0.1", 0, limit=1) as server:
            host, port = server.sockets[0].getsockname()
            url = f"http://{host}:{port}/"
            answers = [
                await transport.handle_async_request(httpx.Request("PUT", url, json=body, extensions=_PATIENT))
                for body in bodies
            ]
            await transport.aclose()
        return answers

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while request := await reader.read(self._takes):
            self.requests.append(request)
            for part in self._parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
            if self._closes:
                break
        writer.close()


_PATIENT = {"timeout": httpx.Timeout(5.0).as_dict()}


async def test_head_and_body_of_a_request_are_sent_at_once() -> None:
    server = Server(b"HTTP/1.1 204 No Content\r\n\r\n")
    (answer,) = await server.put({"name": "Ann"})
    assert answer.status_code == httpx.codes.NO_CONTENT
    (sent,) = server.requests
    assert sent.startswith(b"PUT / HTTP/1.1\r\n")
    assert sent.endswith(b'\r\n\r\n{"name":"Ann"}')


async def test_an_answer_to_a_request_that_is_not_taken_whole_is_heard() -> None:
    server = Server(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n", closes=True, takes=10)
    (answer,) = await server.put("x" * 20_000_000)
    assert answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE


@pytest.mark.parametrize(
    "parts",
    [
        [b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nall of"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", b"all", b" of"],
        [b"HTTP/1.1 200 OK\nContent-Length: 6\n\nall of"],
        [b"HTTP/1.1 200 O", b"K\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nall\r\n", b"3\r\n of\r\n0\r\nX: y\r\n\r\n"],
        [b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nall of"],
    ],
    ids=["at once", "in parts", "without carriage returns", "in chunks", "behind another one"],
)
async def test_an_answer_is_read_to_its_end_and_the_connection_used_again(parts: list[bytes]) -> None:
    server = Server(*parts)
    assert [answer.text for answer in await server.put(1, 2)] == ["all of"] * 2
    assert server.connections == 1


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"]
)
async def test_an_answer_without_a_length_ends_with_its_connection(head: bytes) -> None:
    server = Server(head, b"all of", b" it", closes=True)
    assert [answer.text for answer in await server.put(1, 2)] == ["all of it"] * 2
    assert server.connections == 2


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nall of",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nall\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n1",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n"
        + b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 2_000,
        b"220 mail.test ESMTP\r\n",
    ],
    ids=["nothing", "half a head", "half", "some chunks", "odd chunks", "two lengths", "other", "long", "no HTTP"],
)
async def test_what_is_no_whole_answer_is_an_error_of_the_request(sent: bytes) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await Server(sent, closes=True).put(1)


async def test_an_answer_is_waited_for_as_long_as_the_request_says() -> None:
    is_over = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass
        writer.close()
        is_over.set()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        timeout = {"timeout": httpx.Timeout(5.0, read=0.01).as_dict()}
        with pytest.raises(httpx.ReadTimeout):
            await Transport().handle_async_request(httpx.Request("GET", f"http://{host}:{port}/", extensions=timeout))
        await is_over.wait()


async def test_a_connection_that_the_server_has_closed_is_not_used_again() -> None:
    connections: list[asyncio.StreamWriter] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while await reader.read(1000):
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        transport = Transport()
        for _ in range(3):
            await transport.handle_async_request(httpx.Request("GET", f"http://{host}:{port}/"))
            # The loop has not looked yet when it is asked again.
            connections[-1].get_extra_info("socket").shutdown(SHUT_RDWR)
        await transport.aclose()
    assert len(connections) == 3


@pytest.mark.parametrize("header", ["a\nb", "a\rb", "a\0b"])
async def test_a_header_with_a_line_of_its_own_is_never_sent(header: str) -> None:
    request = httpx.Request("GET", "http://127.0.0.1:1/", headers={"X-Api-Key": header})
    with pytest.raises(httpx.LocalProtocolError):
        await Transport().handle_async_request(request)


async def test_a_host_that_cannot_be_found_or_reached_is_not_connected_to() -> None:
    for url in ("http://127.0.0.1:1/", "https://127.0.0.1:1/", "http://nowhere.invalid/"):
        with pytest.raises(httpx.ConnectError):
            await Transport().handle_async_request(httpx.Request("GET", url, extensions=_PATIENT))
