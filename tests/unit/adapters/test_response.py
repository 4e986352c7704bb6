"""How much of an answer is read, and for how long it is waited for."""

import asyncio
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine
from gzip import compress
from itertools import count
from typing import Final

import httpx
import pytest

from adapters.http.client import UNLIMITED, Call, RateLimiter, Sender, Transport
from adapters.http.response import MEGABYTE, AnswerLimits, Intent, UnboundedAnswer, parsed, parsed_if, read_whole
from domain.failures import Reason, TargetFailed, Unavailable
from tests.support import travelling_time

LIMITS: Final = AnswerLimits(most_bytes=MEGABYTE, seconds=60.0)
TOO_LONG, TOO_SLOW = "the answer is longer than 1 MB", "the answer took longer than 60 seconds"
GZIP = {"Content-Encoding": "gzip"}

Parts = Callable[[], AsyncIterator[bytes]]


class Flow(httpx.AsyncByteStream):
    """An answer's body that comes part by part; `read` is how many parts were taken."""

    def __init__(self, parts: AsyncIterator[bytes]) -> None:
        self._parts = parts
        self.read = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._parts:
            self.read += 1
            yield part


async def endless(part: bytes = b"x" * 10_000) -> AsyncIterator[bytes]:
    while True:
        yield part


async def dribbling() -> AsyncIterator[bytes]:
    for _ in count():
        await asyncio.sleep(10)
        yield b" "


async def whole(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def read(body: AsyncIterator[bytes], headers: dict[str, str] | None = None) -> bytes:
    reply = httpx.Response(200, headers=headers, stream=Flow(body))
    return (await read_whole(reply, LIMITS)).content


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Length": "100"}, {"Transfer-Encoding": "chunked"}, {"Content-Encoding": "identity"}]
)
def test_an_answer_comes_as_it_was_sent(headers: dict[str, str]) -> None:
    assert asyncio.run(read(whole(b"a" * 50, b"b" * 50), headers)) == b"a" * 50 + b"b" * 50


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", compress(b"hello" * 1000, mtime=0)),
        ("x-gzip", compress(b"hello" * 1000, mtime=0)),
        ("GZIP", compress(b"hello" * 1000, mtime=0)),
        ("deflate", zlib.compress(b"hello" * 1000)),
        ("deflate", zlib.compress(b"hello" * 1000)[2:-4]),
    ],
    ids=["gzip", "x-gzip", "capitals", "deflate", "raw deflate"],
)
def test_a_packed_answer_is_unpacked(encoding: str, packed: bytes) -> None:
    parts = [packed[start : start + 7] for start in range(0, len(packed), 7)]
    assert asyncio.run(read(whole(*parts), {"Content-Encoding": encoding})) == b"hello" * 1000


@pytest.mark.parametrize(
    ("encoding", "packed"), [("gzip", b"no gzip"), ("deflate", b"\xff" * 9), ("br", b"x"), ("gzip, gzip", b"x")]
)
def test_what_cannot_be_unpacked_is_not_an_answer(encoding: str, packed: bytes) -> None:
    with pytest.raises(httpx.DecodingError):
        asyncio.run(read(whole(packed), {"Content-Encoding": encoding}))


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "9" * 5000}, {"Content-Length": "2000000"}])
def test_an_answer_without_an_end_is_given_up_as_soon_as_it_is_too_long(headers: dict[str, str]) -> None:
    flow = Flow(endless())
    with pytest.raises(UnboundedAnswer, match=TOO_LONG):
        asyncio.run(_read_whole(httpx.Response(200, headers=headers, stream=flow)))
    assert flow.read == 101


def test_a_small_answer_that_unpacks_to_a_huge_one_takes_no_memory() -> None:
    packed = compress(b"\0" * 300 * MEGABYTE)
    tracemalloc.start()
    with pytest.raises(UnboundedAnswer, match=TOO_LONG):
        asyncio.run(read(whole(packed), GZIP))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5 * MEGABYTE


def test_an_answer_of_just_the_length_that_may_be_is_read() -> None:
    body = b"x" * MEGABYTE
    assert asyncio.run(read(whole(compress(body)), GZIP)) == body
    assert asyncio.run(read(whole(body))) == body


async def _read_whole(reply: httpx.Response) -> httpx.Response:
    return await read_whole(reply, LIMITS)


class Answering(httpx.AsyncBaseTransport):
    """A connection that answers so each time."""

    def __init__(self, answer: Callable[[], Coroutine[None, None, httpx.Response]]) -> None:
        self._answer = answer
        self.asked = 0
        self.is_closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:  # noqa: ARG002 - a transport's
        self.asked += 1
        return await self._answer()

    async def aclose(self) -> None:
        self.is_closed = True


async def never() -> httpx.Response:
    """Headers without an end, for instance."""
    await asyncio.Event().wait()
    raise AssertionError


async def dribbled() -> httpx.Response:
    return httpx.Response(200, stream=Flow(dribbling()))


async def endless_answer() -> httpx.Response:
    return httpx.Response(200, stream=Flow(endless()))


def failure_of(connection: Answering, call: Call) -> Unavailable:
    async def scene() -> Unavailable:
        transport = Transport(lambda _: connection, limits=LIMITS)
        sender = Sender(
            base_url="https://vendor.test",
            headers={},
            transport=transport,
            rate_limiter=RateLimiter(UNLIMITED),
            clock=lambda: 0.0,
            pause=asyncio.sleep,
            jitter=lambda: 0.0,
        )
        with pytest.raises(TargetFailed) as raised:
            await sender.send(call)
        assert isinstance(raised.value.failure, Unavailable)
        return raised.value.failure

    return travelling_time.run(scene())


@pytest.mark.parametrize(
    ("answer", "detail"),
    [(never, TOO_SLOW), (dribbled, TOO_SLOW), (endless_answer, TOO_LONG)],
)
@pytest.mark.parametrize(
    ("intent", "reason"),
    [(Intent.READ, Reason.DOWN), (Intent.WRITE, Reason.NO_ANSWER), (Intent.CREATE, Reason.NO_ANSWER)],
)
def test_an_answer_that_is_given_up_is_reported_and_a_write_may_have_taken_effect(
    answer: Callable[[], Coroutine[None, None, httpx.Response]], detail: str, intent: Intent, reason: Reason
) -> None:
    connection = Answering(answer)
    failure = failure_of(connection, Call(path="/things", method="PUT", intent=intent))
    assert failure == Unavailable(reason=reason, detail=detail)
    assert (connection.asked, connection.is_closed) == (1, True)


def reply_of(body: bytes) -> httpx.Response:
    return httpx.Response(200, content=body)


@pytest.mark.parametrize("depth", [100, 1000, 100_000])
def test_an_answer_that_is_nested_deeply_is_of_another_form(depth: int) -> None:
    body = b'{"a":' * depth + b"1" + b"}" * depth
    with pytest.raises(TargetFailed, match="unexpected form"):
        parsed(reply_of(body), dict[str, int])
    assert parsed_if(reply_of(body), dict[str, int]) is None
    nested = b"[" * depth + b"]" * depth
    with pytest.raises(TargetFailed, match="unexpected form"):
        parsed(reply_of(nested), list[int])


@pytest.mark.parametrize("form", [dict[str, int], dict[str, float], dict[str, str]])
def test_a_number_of_ten_thousand_digits_costs_nothing(form: type[dict[str, object]]) -> None:
    body = json.dumps({"a": 1}).replace("1", "9" * 10_000).encode()
    assert parsed_if(reply_of(body), form) in (None, {"a": float("inf")})
