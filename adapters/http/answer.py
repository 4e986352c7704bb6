"""Bounds on a vendor's answers, in bytes and in seconds, so that no vendor can fill our memory or hold a slot.

httpx reads an answer of any length, unpacks it to any size, and counts its timeout again for each part.

A redirect is never followed: it would carry credentials to an address that no setting names.
The failure names the wrong setting and where the redirect points: host and path, without the part of the path that
the call itself added. Source of the statuses: RFC 9110, 15.4.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

import httpx

from domain.failures import ListWithoutEnd, Reason, Rejected, Unavailable

P = ParamSpec("P")
T = TypeVar("T")

MEGABYTE: Final = 1_000_000

_UNPACKED: Final = frozenset({"content-encoding", "content-length", "transfer-encoding"})
"""Headers that do not hold any more of an answer that is unpacked."""

_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLimits:
    """The most that is read of one answer: bytes, packed and unpacked, and seconds from the request on."""

    most_bytes: int
    seconds: float


OF_A_TARGET: Final = AnswerLimits(most_bytes=8 * MEGABYTE, seconds=60.0)
"""A page of 200 drivers has about 0.2 MB."""

OF_A_LIST: Final = AnswerLimits(most_bytes=32 * MEGABYTE, seconds=300.0)
"""The Portal answers with all drivers at once: a hundred thousand have about 15 MB."""


_READ: Final[ContextVar[list[int] | None]] = ContextVar("read", default=None)


@contextmanager
def read_bytes() -> Iterator[list[int]]:
    """The bytes, unpacked, of each answer that is read in here."""
    sizes: list[int] = []
    token = _READ.set(sizes)
    try:
        yield sizes
    finally:
        _READ.reset(token)


def count(reply: httpx.Response) -> None:
    """Note that an answer was read whole."""
    if (sizes := _READ.get()) is not None:
        sizes.append(len(reply.content))


class UnboundedAnswer(httpx.RequestError):
    """An answer was given up because of its length or duration; the message says so in words for people."""


@asynccontextmanager
async def in_time(limits: AnswerLimits) -> AsyncIterator[None]:
    """Raise `UnboundedAnswer` where what is in here takes longer than an answer may."""
    try:
        async with asyncio.timeout(limits.seconds):
            yield
    except TimeoutError:
        raise UnboundedAnswer(f"the answer took longer than {limits.seconds:g} seconds") from None


async def read_whole(reply: httpx.Response, limits: AnswerLimits) -> httpx.Response:
    """The answer, read to its end and unpacked. Raises `UnboundedAnswer`, and other `httpx.RequestError`."""
    if reply.is_closed:
        return reply
    if _is_plain(reply, limits.most_bytes):
        await reply.aread()
        return reply
    parts = [part async for part in _unpacked(reply, limits.most_bytes)]
    headers = [(name, value) for name, value in reply.headers.items() if name not in _UNPACKED]
    return httpx.Response(reply.status_code, headers=headers, content=b"".join(parts), extensions={**reply.extensions})


def _is_plain(reply: httpx.Response, most: int) -> bool:
    """Whether it states its length, and is not packed: more than the stated length is never read."""
    stated = reply.headers.get("content-length", "")
    is_from_driveri = stated.isascii() and stated.isdecimal() and len(stated) < len(str(most)) + 1
    return is_from_driveri and int(stated) <= most and "content-encoding" not in reply.headers


async def _unpacked(reply: httpx.Response, most: int) -> AsyncIterator[bytes]:
    encoding = reply.headers.get("content-encoding", "identity").strip().lower()
    unpacking = _Unpacking(encoding, most)
    async for part in reply.aiter_raw():
        yield unpacking.unpacked(part)
    yield unpacking.end()


class _Unpacking:
    """Unpacks an answer part by part, and no more of it than may be."""

    def __init__(self, encoding: str, most: int) -> None:
        self._most = most
        self._taken = self._made = 0
        self._encoding = encoding
        self._inflating = self._first()

    def unpacked(self, part: bytes) -> bytes:
        """What this part becomes. Raises `UnboundedAnswer`, and `httpx.DecodingError` where it cannot be unpacked."""
        self._taken += len(part)
        self._check(self._taken)
        return self._counted(part if self._inflating is None else self._inflated(part))

    def end(self) -> bytes:
        """What is left."""
        return b"" if self._inflating is None else self._counted(self._inflating.flush())

    def _first(self) -> "zlib._Decompress | None":
        match self._encoding:
            case "identity" | "":
                return None
            case "gzip" | "x-gzip":
                return zlib.decompressobj(_GZIP)
            case "deflate":
                return zlib.decompressobj(_ZLIB)
        raise httpx.DecodingError("packed in a way that we did not ask for")

    def _inflated(self, part: bytes) -> bytes:
        most = self._most - self._made + 1
        try:
            return self._inflating.decompress(part, most) if self._inflating else part
        except zlib.error as failure:
            is_raw = self._encoding == "deflate" and self._taken == len(part)
            if not is_raw:
                raise httpx.DecodingError("cannot be unpacked") from failure
        # Some send "deflate" without its header.
        self._inflating = zlib.decompressobj(_RAW)
        try:
            return self._inflating.decompress(part, most)
        except zlib.error as failure:
            raise httpx.DecodingError("cannot be unpacked") from failure

    def _counted(self, made: bytes) -> bytes:
        self._made += len(made)
        self._check(self._made)
        return made

    def _check(self, size: int) -> None:
        if size > self._most:
            raise UnboundedAnswer(f"the answer is longer than {self._most / MEGABYTE:g} MB")


def down(detail: str, retry_after: float | None = None) -> Unavailable:
    """The vendor does not work at the moment."""
    return Unavailable(reason=Reason.DOWN, detail=detail, retry_after=retry_after)


MOST_OF_A_ROSTER: Final = 2000 * MEGABYTE
"""Bytes of all pages of a scan: three readings of 150,000 drivers with 4 kB each."""

MOST_OF_THE_PORTAL: Final = 1000 * MEGABYTE
"""Bytes of the Portal's list, with the attributes of each driver: 6 kB each."""


class ByteBudget:
    """The bytes of all answers to some calls, and the most that they may be; `what` names them for people."""

    def __init__(self, what: str, most: int) -> None:
        self._what = what
        self._most = most
        self._read = 0

    def of(self, ask: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[None, None, T]]:
        """The same call, whose answers count. It raises `ListWithoutEnd` where all together are too long."""

        async def asked(*args: P.args, **kwargs: P.kwargs) -> T:
            with read_bytes() as counted:
                answer = await ask(*args, **kwargs)
            self._read += sum(counted)
            if self._read > self._most:
                size = f"{self._what} is longer than {self._most / MEGABYTE:g} MB in all"
                raise ListWithoutEnd(down(f"{size}: check with the vendor what this account's list shows"))
            return answer

        return asked


_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_LONGEST: Final = 100
_SEGMENTS: Final = 3
"""How much of a foreign path is shown: what follows may name a driver."""


def redirected(reply: httpx.Response, url: httpx.URL, call_path: str, setting: str) -> Rejected | None:
    """The setting to correct, where this answer to a call at `url` is a redirect; None for any other answer."""
    if reply.status_code not in _MOVED or "Location" not in reply.headers:
        return None
    where = _where(url, reply.headers["Location"], call_path)
    detail = f"answered {reply.status_code}, a redirect to {where}, which is not followed: correct {setting}"
    return Rejected(reason=Reason.NOT_CONFIGURED, detail=detail)


def may_be_done(reply: httpx.Response, url: httpx.URL) -> bool:
    """Whether a redirect may answer a write that took effect: "see other", or "found" at the same host."""
    if reply.status_code == httpx.codes.SEE_OTHER:
        return True
    return reply.status_code == httpx.codes.FOUND and _joined(url, reply.headers["Location"]).raw_host == url.raw_host


def _where(url: httpx.URL, location: str, call_path: str) -> str:
    target = _joined(url, location)
    if not target.raw_host:
        return "an address that cannot be read"
    path = target.raw_path.decode("ascii").partition("?")[0].rstrip("/")
    base = path.removesuffix(call_path) if path.endswith(call_path) else _beginning(path)
    port = f":{target.port}" if target.port else ""
    return f"{target.scheme}://{target.raw_host.decode('ascii')[:_LONGEST]}{port}{base[:_LONGEST]}"


def _joined(url: httpx.URL, location: str) -> httpx.URL:
    try:
        return url.join(location)
    except (httpx.InvalidURL, ValueError):
        return httpx.URL()


def _beginning(path: str) -> str:
    segments = path.split("/")
    shown = "/".join(segments[: _SEGMENTS + 1])
    return shown if len(segments) <= _SEGMENTS + 1 else f"{shown}/..."
