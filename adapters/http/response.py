"""A vendor's answers: how much of one is read, its wire form, and lists with lines that cannot be read.

httpx reads an answer of any length, unpacks it to any size, and counts its timeout again for each part. Here both are
bounded, so that no vendor can fill our memory or hold a slot. A line that cannot be read is left out of its list, and
all others are read.
"""

import asyncio
import codecs
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Generic, ParamSpec, TypeVar

import httpx
import structlog
from pydantic import TypeAdapter, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from adapters.http.failures import UnboundedAnswer, down
from domain.cleaning import LONGEST_ID, clean
from domain.failures import ListWithoutEnd, TargetFailed
from domain.matching import UnreadableRecord

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
    stated = reply.headers.get("content-length", "")
    is_number = stated.isascii() and stated.isdecimal() and len(stated) <= len(str(limits.most_bytes))
    if is_number and int(stated) <= limits.most_bytes and "content-encoding" not in reply.headers:
        # More than the stated length is never read.
        await reply.aread()
        return reply
    unpacking = _Unpacking(reply.headers.get("content-encoding", "identity").strip().lower(), limits.most_bytes)
    parts = [unpacking.unpacked(part) async for part in reply.aiter_raw()]
    parts.append(unpacking.end())
    headers = [(name, value) for name, value in reply.headers.items() if name not in _UNPACKED]
    return httpx.Response(reply.status_code, headers=headers, content=b"".join(parts), extensions={**reply.extensions})


class _Unpacking:
    """Unpacks an answer part by part, and no more of it than may be."""

    def __init__(self, encoding: str, most: int) -> None:
        self._most = most
        self._taken = self._made = 0
        self._inflating: zlib._Decompress | None
        self._encoding = encoding
        match encoding:
            case "identity" | "":
                self._inflating = None
            case "gzip" | "x-gzip":
                self._inflating = zlib.decompressobj(_GZIP)
            case "deflate":
                self._inflating = zlib.decompressobj(_ZLIB)
            case _:
                raise httpx.DecodingError("packed in a way that we did not ask for")

    def unpacked(self, part: bytes) -> bytes:
        """What this part becomes. Raises `UnboundedAnswer`, and `httpx.DecodingError` where it cannot be unpacked."""
        self._taken += len(part)
        self._check(self._taken)
        return self._counted(part if self._inflating is None else self._inflated(part))

    def end(self) -> bytes:
        """What is left."""
        return b"" if self._inflating is None else self._counted(self._inflating.flush())

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


_log = structlog.stdlib.get_logger()

FEW: Final = 10
"""Up to this many odd lines do not cast doubt on a list; more do if they are more than a third."""

_MOST_LOGGED: Final = 10

Form = TypeVar("Form")


class UnexpectedForm(TargetFailed):
    """An answer has another form than its wire form."""


def parsed(reply: httpx.Response, form: type[Form]) -> Form:
    """The body in its wire form.

    Raises `UnexpectedForm` when it has another form; the places are named, never the values.
    """
    try:
        return _adapter(form).validate_json(_json_of(reply))
    except ValidationError as error:
        places = {".".join(str(part) for part in found["loc"]) or "body" for found in error.errors(include_input=False)}
    raise UnexpectedForm(down(f"an answer of an unexpected form at {', '.join(sorted(places)[:5])}"))


def parsed_if(reply: httpx.Response, form: type[Form]) -> Form | None:
    """The body in its wire form; None when it has another."""
    try:
        return _adapter(form).validate_json(_json_of(reply))
    except ValidationError:
        return None


def _json_of(reply: httpx.Response) -> bytes:
    """The body without a byte-order mark, which some servers write before JSON. Source: RFC 8259, 8.1."""
    return reply.content.removeprefix(codecs.BOM_UTF8)


_ADAPTERS: dict[type[object], TypeAdapter[Any]] = {}


def _adapter(form: type[Form]) -> TypeAdapter[Form]:
    if form not in _ADAPTERS:
        _ADAPTERS[form] = TypeAdapter(form)
    return _ADAPTERS[form]


def _if_legible(value: object, read: ValidatorFunctionWrapHandler) -> object:
    try:
        return read(value)
    except ValidationError:
        return None


IF_LEGIBLE: Final = WrapValidator(_if_legible)
"""Marks a part of a wire form without which the rest is of use: None where it has another form."""


class OddLine(UnexpectedForm):
    """An answer shows a driver, in a form that cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Where an answer has its lines, and which of their fields may be missing.

    `inner` is the part of a line that holds the fields, empty for the line itself, and `id` the field that names it.
    """

    place: tuple[str, ...]
    form: Any
    optional: frozenset[str]
    id: str
    inner: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Generic[Form]):
    """An answer, and which of its lines could not be read, or only in part."""

    answer: Form
    unreadable: tuple[UnreadableRecord, ...] = ()

    @property
    def left_out(self) -> int:
        """How many lines had to be left out."""
        return sum(record.is_left_out for record in self.unreadable)


def read_lines(reply: httpx.Response, form: type[Form], lines: Lines) -> Read[Form]:
    """The body in its wire form. A field of a line that cannot be read is taken as not shown.

    Raises `UnexpectedForm` when the frame, or many lines, have another form.
    """
    try:
        return Read(answer=parsed(reply, form))
    except UnexpectedForm:
        body = legible(reply.content)
        rows = _below(body, lines.place)
        if not isinstance(rows, list) or not rows:
            raise
        kept, unreadable = _kept(rows, lines)
        are_doubtful = are_many(len(rows) - len(kept), len(rows)) or _is_most(len(unreadable), len(rows))
        rows[:] = kept
        answer = None if are_doubtful else parsed_python(body, form)
        if answer is None:
            raise
        return Read(answer=answer, unreadable=unreadable)


def are_many(odd: int, lines: int) -> bool:
    """Whether enough lines are odd to doubt the list itself: all of them, or more than a few."""
    return 0 < odd == lines or _is_most(odd, lines)


def _is_most(odd: int, lines: int) -> bool:
    return odd > FEW and odd * 3 > lines


def read_one(reply: httpx.Response, form: type[Form], lines: Lines) -> Form:
    """The body in its wire form, which is that of one line; a field that cannot be read is taken as not shown.

    Raises `OddLine` when there is a line that cannot be read, and `UnexpectedForm` when there is none.
    """
    try:
        return parsed(reply, form)
    except UnexpectedForm as unexpected:
        body = legible(reply.content)
        wrong = _odd_fields(body, lines, TypeAdapter[object](form))
        answer = parsed_python(_without(body, wrong, lines), form) if wrong <= lines.optional else None
        if answer is not None:
            return answer
        if _id(body, lines):
            raise OddLine(unexpected.failure) from None
        raise


def legible(body: bytes) -> object:
    """JSON, or None. U+FFFD stands for what is not a character, so that a text that was cut hides no others."""
    try:
        return _whole(json.loads(body.decode("utf-8-sig", errors="replace"), strict=False, parse_int=_number))
    except (ValueError, RecursionError):
        return None


def _number(digits: str) -> int | str:
    """A whole number; one that is longer than any id stays text, and so hides no other lines."""
    return int(digits) if len(digits) <= LONGEST_ID else digits


def parsed_python(body: object, form: type[Form]) -> Form | None:
    """JSON that was read already, in its wire form; None when it has another."""
    try:
        return TypeAdapter(form).validate_python(body)
    except ValidationError:
        return None


def _kept(rows: list[object], lines: Lines) -> tuple[list[object], tuple[UnreadableRecord, ...]]:
    """The lines that can be read, without their odd fields, and those that were odd in any way."""
    adapter, kept, found = TypeAdapter[object](lines.form), [], list[UnreadableRecord]()
    for number, row in enumerate(rows):
        wrong = _odd_fields(row, lines, adapter)
        is_left_out = not wrong <= lines.optional
        if wrong:
            place, names = ".".join((*lines.place, str(number))), tuple(sorted(filter(None, wrong)))
            found.append(UnreadableRecord(place=place, key=_id(row, lines), fields=names, is_left_out=is_left_out))
        if not is_left_out:
            kept.append(_without(row, wrong, lines))
    for record in found[:_MOST_LOGGED]:
        _log.warning("line_unreadable", at=record.place, fields=list(record.fields), id=record.key)
    return kept, tuple(found)


def _odd_fields(row: object, lines: Lines, adapter: TypeAdapter[object]) -> set[str]:
    try:
        adapter.validate_python(row)
    except ValidationError as error:
        depth = len(lines.inner)
        return {clean(".".join(map(str, each["loc"][depth : depth + 1]))) for each in error.errors(include_input=False)}
    return set()


def _without(row: object, fields: set[str], lines: Lines) -> object:
    inner = _below(row, lines.inner)
    if isinstance(inner, dict):
        for field in fields:
            inner.pop(field, None)
    return row


def _id(row: object, lines: Lines) -> str:
    inner = _below(row, lines.inner)
    value = inner.get(lines.id) if isinstance(inner, Mapping) else None
    return clean(str(value), LONGEST_ID) if isinstance(value, int | str) else ""


def _whole(value: Any) -> Any:  # noqa: ANN401 - JSON
    """The same JSON with U+FFFD for halves of a character, which no form takes."""
    match value:
        case str():
            return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        case list():
            return [_whole(each) for each in value]
        case dict():
            return {_whole(name): _whole(each) for name, each in value.items()}
    return value


def _below(body: object, names: tuple[str, ...]) -> object:
    for name in names:
        body = body.get(name) if isinstance(body, Mapping) else None
    return body
