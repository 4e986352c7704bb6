"""A vendor's answers: what one, or its absence, means for a call, and how it is read.

no connection, so nothing was sent    retried, then DOWN
an answer too long, or without end    a read is DOWN, and not retried; a write is NO_ANSWER
silence after sending                 a read is retried, then DOWN; a write is NO_ANSWER at once
429                                   the rate is lowered; retried if the wait is short, then LIMITED
502, 503, 504                         retried if the wait is short, but a create never; then as below
301, 302, 303, 307, 308               never followed: NOT_CONFIGURED, with the setting and where the redirect points;
                                      NO_ANSWER for a write that may have taken effect
other 5xx, 408, 3xx, web pages,
404 or 410 in words that are not JSON a read is DOWN; the outcome of a write is unknown: NO_ANSWER
401, 403                              an answer: CREDENTIALS
404                                   an answer: the call knows what it means, else NOT_CONFIGURED
other 4xx                             an answer: INVALID

A refusal of a repeat says nothing about the first try, which may have taken effect: such a write is NO_ANSWER too,
whatever the refusal says, until its outcome is read back.

httpx reads an answer of any length, unpacks it to any size, and counts its timeout again for each part. Here both are
bounded, so that no vendor can fill our memory or hold a slot. A line that cannot be read is left out of its list, and
all others are read.
"""

import asyncio
import codecs
import json
import re
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from functools import wraps
from typing import Any, Final, Generic, ParamSpec, TypeVar

import httpx
import structlog
from pydantic import TypeAdapter, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from domain.cleaning import DAY, LONGEST_ID, bounded, clean, seconds
from domain.failures import (
    CLASSES,
    CallFailure,
    FailureClass,
    ListWithoutEnd,
    Reason,
    Rejected,
    TargetFailed,
    Unavailable,
    redacted,
)
from domain.matching import UnreadableRecord
from domain.ports import Answer
from domain.profile import Profile

P = ParamSpec("P")
T = TypeVar("T")

LONGEST_WAIT: Final = 2.0
"""The longest stop, in seconds, that a call waits for; what comes during a longer one is the caller's decision."""

REFUSED: Final = frozenset({400, 409, 422})
"""The statuses by which a vendor refuses what a write says."""

_NOT_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)
_BEFORE: Final = b" \t\r\n" + codecs.BOM_UTF8
_JSON: Final = (b"{", b"[", b'"', b"null")
_PASSING: Final = frozenset({502, 503, 504})
_PERSONAL: Final = re.compile(r"\S*@\S*|\+?\d[\d().\- ]{5,}\d")


class UnboundedAnswer(httpx.RequestError):
    """An answer was given up because of its length or duration; the message says so in words for people."""


class Intent(Enum):
    """What a call is for, and so what may be done when its answer is lost."""

    READ = auto()
    """Leaves nothing behind that counts: may be repeated in any case."""

    WRITE = auto()
    """States a whole desired state: may be repeated after a gateway's failure, not after silence."""

    CREATE = auto()
    """Makes something new: never repeated once it was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedTry:
    """Why one try of a call failed, and whether the next one may succeed."""

    failure: CallFailure
    is_passing: bool

    @property
    def wait(self) -> float:
        """How many seconds the vendor asked to wait."""
        return (self.failure.retry_after if isinstance(self.failure, Unavailable) else None) or 0.0


class RepeatRefused(TargetFailed):
    """A repeat was refused after a first try that may have taken effect: NO_ANSWER until it is read back.

    `reply` is the refusal, for a caller that can find out from it what became of the first try.
    """

    def __init__(self, first: Unavailable, reply: httpx.Response) -> None:
        super().__init__(no_answer(f"{first.detail}, and {reply.status_code} to the repeat"))
        self.reply = reply


def failure_of_error(error: httpx.RequestError, intent: Intent) -> FailedTry:
    """What it means that no answer came."""
    if isinstance(error, _NOT_SENT):
        through = ", and none through the environment's proxy" if isinstance(error, httpx.ProxyError) else ""
        return FailedTry(failure=down(f"no connection{through}"), is_passing=True)
    if isinstance(error, UnboundedAnswer):
        failing = down if intent is Intent.READ else no_answer
        return FailedTry(failure=failing(str(error)), is_passing=False)
    if intent is Intent.READ:
        return FailedTry(failure=down("no answer to a read"), is_passing=True)
    return FailedTry(failure=no_answer("sent, but no answer came"), is_passing=False)


def failure_of_redirect(
    reply: httpx.Response, url: httpx.URL, intent: Intent, *, path: str, setting: str
) -> FailedTry | None:
    """What a redirect means; None for any other answer. `path` is what the call added to the setting's address."""
    failure = redirected(reply, url, path, setting)
    if failure is None:
        return None
    # "See other", or "found" at the same host, may answer a write that took effect.
    is_found = reply.status_code == httpx.codes.FOUND
    may_be_done = reply.status_code == httpx.codes.SEE_OTHER or (
        is_found and _joined(url, reply.headers["Location"]).raw_host == url.raw_host
    )
    is_open = intent is not Intent.READ and may_be_done
    return FailedTry(failure=in_doubt(failure) if is_open else failure, is_passing=False)


def failure_of_reply(reply: httpx.Response, intent: Intent, now: float, *, may_lack: bool) -> FailedTry | None:
    """What an answer means that leaves the call open; None for one that ends it."""
    status = reply.status_code
    wait = seconds_until(reply.headers.get("Retry-After"), now)
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return FailedTry(failure=limited(wait), is_passing=_is_short(wait))
    if _is_answer(reply) or (may_lack and status == httpx.codes.NOT_FOUND):
        return None
    failing = down if intent is Intent.READ else no_answer
    is_passing = status in _PASSING and _is_short(wait) and intent is not Intent.CREATE
    return FailedTry(failure=failing(f"answered {status}", wait), is_passing=is_passing)


_CODES: Final = re.compile(rb'"(?:messageCode|error_code|code)"\s*:\s*"([A-Z][A-Z0-9_]{1,40})"')


def code_of(reply: httpx.Response) -> str:
    """The vendor's own code of an error, which is in capitals and so says nothing about anybody; empty for none."""
    found = _CODES.search(reply.content) if reply.is_error else None
    return found[1].decode() if found else ""


def down(detail: str, retry_after: float | None = None) -> Unavailable:
    """The vendor does not work at the moment."""
    return Unavailable(reason=Reason.DOWN, detail=detail, retry_after=retry_after)


def in_doubt(failure: CallFailure) -> Unavailable:
    """The same failure of a write that may have taken effect."""
    return no_answer(failure.detail, failure.retry_after if isinstance(failure, Unavailable) else None)


def no_answer(detail: str, retry_after: float | None = None) -> Unavailable:
    """The outcome of a write is unknown until it is read back."""
    return Unavailable(reason=Reason.NO_ANSWER, detail=detail, retry_after=retry_after)


def limited(retry_after: float | None) -> Unavailable:
    """The target takes no more calls of this account for a while, whether this one was sent or not."""
    return Unavailable(reason=Reason.LIMITED, detail="answered 429", retry_after=retry_after)


def _is_short(wait: float | None) -> bool:
    return wait is None or wait <= LONGEST_WAIT


def _is_answer(reply: httpx.Response) -> bool:
    """Whether the API answers, and not a server in front of it: by a web page, or by text that knows no address."""
    if reply.status_code == httpx.codes.UNAUTHORIZED:
        return True
    said = reply.content.lstrip(_BEFORE)
    is_miss = reply.status_code in (httpx.codes.NOT_FOUND, httpx.codes.GONE)
    if said.startswith(b"<") or (is_miss and said and not said.startswith(_JSON)):
        return False
    return reply.is_success or (reply.is_client_error and reply.status_code != httpx.codes.REQUEST_TIMEOUT)


def seconds_until(text: str | None, now: float) -> float | None:
    """The meaning of a `Retry-After`, in seconds, at most a day: a number, or an HTTP date. Source: RFC 9110, 10.2.3.

    Some send the time itself, in seconds or milliseconds since the epoch.
    """
    if text is None:
        return None
    if (wait := seconds(text, now)) is not None:
        return wait
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    ends_at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return bounded(ends_at - now, least=0.0, most=DAY)


def refusal(reply: httpx.Response, words: str, profile: Profile) -> Rejected:
    """What a refusing answer means.

    The vendor's words are repeated only if the profile is there to take personal data out of them.
    """
    status = reply.status_code
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return Rejected(reason=Reason.CREDENTIALS, detail=f"answered {status}")
    if status == httpx.codes.NOT_FOUND:
        return Rejected(reason=Reason.NOT_CONFIGURED, detail="answered 404: nothing is known at this address")
    repeated = _PERSONAL.sub("<...>", redacted(words, profile)) if profile else ""
    return Rejected(reason=Reason.INVALID, detail=f"answered {status}: {repeated}".rstrip(": "))


def answered(call: Callable[P, Coroutine[None, None, Answer]]) -> Callable[P, Coroutine[None, None, Answer]]:
    """The same call; a failure on its way becomes the value that it carries."""

    @wraps(call)
    async def with_failures(*args: P.args, **kwargs: P.kwargs) -> Answer:
        try:
            return await call(*args, **kwargs)
        except TargetFailed as failed:
            return failed.failure

    return with_failures


UNKNOWN_OUTCOME: Final = no_answer("answered in an unknown form, and what was written is not seen")
"""The call was sent, and whether it took effect has to be looked up."""


def without_effect(detail: str) -> Rejected:
    """The target reported success, and yet it does not show what was asked for."""
    return Rejected(reason=Reason.NOT_EFFECTIVE, detail=detail)


_UNREAD: Final = "written, but not read back: "


def unconfirmed(failed: TargetFailed) -> CallFailure:
    """The write succeeded, and a call after it did not: read back, unless the target refuses the desired state."""
    failure = failed.failure
    return failure if CLASSES[failure.reason] is FailureClass.FINAL else _unread(failure)


def _unread(failure: CallFailure) -> Unavailable:
    """The write succeeded, and then the target could not be read, for whatever reason."""
    doubt = in_doubt(failure)
    return no_answer(_UNREAD + doubt.detail.removeprefix(_UNREAD), doubt.retry_after)


async def read_back(reading: Awaitable[T]) -> T:
    """What a target shows after it has answered a write.

    Raises `TargetFailed` with NO_ANSWER where it cannot be read, because the write may have taken effect: a target that
    refuses to show a driver, in whatever words, does not refuse what was written.
    """
    try:
        return await reading
    except TargetFailed as failed:
        raise TargetFailed(_unread(failed.failure)) from failed


_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_LONGEST: Final = 100
_SEGMENTS: Final = 3
"""How much of another address's path is shown: what follows may name a driver."""


def redirected(reply: httpx.Response, url: httpx.URL, call_path: str, setting: str) -> Rejected | None:
    """The setting to correct, where this answer to a call at `url` is a redirect; None for any other answer.

    A redirect is never followed: it would carry credentials to an address that no setting names. The failure shows host
    and path, without the part of the path that the call itself added. Source of the statuses: RFC 9110, 15.4.
    """
    if reply.status_code not in _MOVED or "Location" not in reply.headers:
        return None
    target = _joined(url, reply.headers["Location"])
    where = "an address that cannot be read"
    if target.raw_host:
        path = target.raw_path.decode("ascii").partition("?")[0].rstrip("/")
        if path.endswith(call_path):
            base = path.removesuffix(call_path)
        else:
            segments = path.split("/")
            base = "/".join(segments[: _SEGMENTS + 1]) + ("/..." if len(segments) > _SEGMENTS + 1 else "")
        port = f":{target.port}" if target.port else ""
        where = f"{target.scheme}://{target.raw_host.decode('ascii')[:_LONGEST]}{port}{base[:_LONGEST]}"
    detail = f"answered {reply.status_code}, a redirect to {where}, which is not followed: correct {setting}"
    return Rejected(reason=Reason.NOT_CONFIGURED, detail=detail)


def _joined(url: httpx.URL, location: str) -> httpx.URL:
    try:
        return url.join(location)
    except (httpx.InvalidURL, ValueError):
        return httpx.URL()


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
