"""What every vendor's adapter needs of HTTP: sending, short retries, and the classing of failures.

no connection, so nothing was sent    tried again, then DOWN
an answer too long, or without end    a read is DOWN, and not tried again; anything else is NO_ANSWER
silence after sending                 a read is tried again, then DOWN; anything else is NO_ANSWER at once
429                                   the pace is lowered; tried again if the wait is short, then LIMITED
502, 503, 504                         tried again if the wait is short, but a create never; then as below
301, 302, 303, 307, 308               never followed: NOT_CONFIGURED, with the setting and where the redirect points;
                                      NO_ANSWER for a write that may have taken effect
other 5xx, 408, 3xx, web pages,
404 or 410 in words that are no JSON  a read is DOWN; of anything else nobody knows what became: NO_ANSWER
401, 403                              an answer: CREDENTIALS
404                                   an answer: the call knows what it means, else NOT_CONFIGURED
other 4xx                             an answer: INVALID

A refusal of a repeat says nothing of the try before it, which may have taken effect: a write that is refused after
such a try is NO_ANSWER too, whatever the refusal says, until somebody has read back what became of it.

How much is read of many answers together: each can be short, and all of them without an end.

What is answered when a target said that all went well, and nobody can see that it did.

Reads that are worth waiting for: a target's stop is outwaited, so that a long reading is not lost to it.

What carries an account's requests to a vendor: as many connections as there are requests at once.

httpx's pool looks at all its connections several times for each request, and loses one when a request is cancelled
while it waits. Here a request has a connection to itself, and there is nothing to wait for.
"""

import asyncio
import codecs
import logging
import math
import re
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from functools import cache
from importlib.metadata import version
from ssl import SSLContext
from types import MappingProxyType
from typing import Any, Final, ParamSpec, TypeVar
from urllib.request import getproxies, proxy_bypass

import httpx
from pydantic import TypeAdapter, ValidationError
from sniffio import current_async_library_cvar

from adapters.http.answer import (
    MEGABYTE,
    OF_A_TARGET,
    AnswerLimits,
    UnboundedAnswer,
    count,
    in_time,
    may_be_done,
    read_bytes,
    read_whole,
    redirected,
)
from adapters.http.rate_limit import LONGEST_WAIT, UNLIMITED, RateLimiter, limited
from domain.cleaning import DAY, bounded, seconds
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
from domain.ports import Answer
from domain.profile import Profile

Clock = Callable[[], float]
"""The time of day, in seconds since the epoch."""

Pause = Callable[[float], Awaitable[None]]
"""Waits for so many seconds."""

Jitter = Callable[[], float]
"""A number from 0 up to 1, so that callers who failed together do not return together."""

REFUSED: Final = frozenset({400, 409, 422})
"""The statuses by which a vendor refuses what a write says."""

RETRIES: Final = MappingProxyType({Reason.DOWN: 3, Reason.LIMITED: 10})
"""How often a call is sent again. At a 429 nothing has happened, and the wait is the pace's, so that costs little."""

FIRST_DELAY: Final = 0.2
"""Seconds; each further delay is twice as long, up to `LONGEST_WAIT`."""

_EXTENSIONS: Final = {"timeout": httpx.Timeout(30.0, connect=5.0).as_dict()}
_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": f"driverlink/{version('driverlink')}",
}
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

# A client of httpx writes the URL of every request to its log, httpcore even the headers.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)

Form = TypeVar("Form")


class Intent(Enum):
    """What a call is for, and so what may be done when its answer is lost."""

    READ = auto()
    """Leaves nothing behind that matters: may be repeated whatever happens."""

    WRITE = auto()
    """States a whole desired state: may be repeated after a gateway's failure, not after silence."""

    CREATE = auto()
    """Makes something new: never repeated once it was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. `path` is below the base URL and already quoted.

    Where a vendor `may_lack` the call, 404 is an answer to it in whatever form.
    """

    path: str
    method: str = "GET"
    intent: Intent = Intent.READ
    params: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, object] | None = None
    may_lack: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trouble:
    failure: CallFailure
    passing: bool

    @property
    def wait(self) -> float:
        """How many seconds the vendor asked to wait."""
        return (self.failure.retry_after if isinstance(self.failure, Unavailable) else None) or 0.0


class RepeatRefused(TargetFailed):
    """A repeat was refused after a first try that may have taken effect: NO_ANSWER until it is read back.

    `reply` is the refusal, for a caller that can find out from it what became of the first try.
    """

    def __init__(self, first: Unavailable, reply: httpx.Response) -> None:
        detail = f"{first.detail}, and {reply.status_code} to the repeat"
        super().__init__(Unavailable(reason=Reason.NO_ANSWER, detail=detail))
        self.reply = reply


class Sender:
    """Sends calls to one vendor: at the account's pace if there is one, with short retries of blips.

    `setting` is the name of the setting that holds the base address.
    """

    def __init__(
        self,
        *,
        base_url: str,
        setting: str = "the base address",
        headers: Mapping[str, str],
        transport: httpx.AsyncBaseTransport | None,
        rate_limiter: RateLimiter | None = None,
        limits: AnswerLimits = OF_A_TARGET,
        clock: Clock,
        pause: Pause,
        jitter: Jitter,
    ) -> None:
        self._limits = limits
        self._rate_limiter = rate_limiter or RateLimiter(UNLIMITED, clock=clock, pause=pause)
        self._transport = transport or Transport(limits=limits)
        self._headers = {**_HEADERS, **headers}
        self._base_url = base_url
        self._setting = setting
        self._clock = clock
        self._pause = pause
        self._jitter = jitter

    async def send(self, call: Call, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """The vendor's answer: a success, or a refusal (4xx except 408 and 429).

        Raises `TargetFailed` with `Unavailable` when there is no such answer, `RepeatRefused` when only a repeat was
        refused.
        """
        # Else httpcore finds out several times for each call by which library it is called.
        current_async_library_cvar.set("asyncio")
        failed: Counter[Reason] = Counter()
        unheard: Unavailable | None = None
        while True:
            result = await self._attempt(call, headers, failed[Reason.LIMITED])
            if isinstance(result, httpx.Response):
                return _unless_repeat_refused(result, unheard)
            if isinstance(result.failure, Unavailable) and result.failure.reason is Reason.NO_ANSWER:
                unheard = result.failure
            reason = Reason.LIMITED if result.failure.reason is Reason.LIMITED else Reason.DOWN
            if not result.passing or failed[reason] == RETRIES[reason]:
                raise TargetFailed(_in_doubt(result.failure) if unheard else result.failure)
            if reason is not Reason.LIMITED:
                await self._pause(max(result.wait, self._delay(failed[reason])))
            failed[reason] += 1

    def slots(self) -> int:
        """How many calls may be under way now; see `RateLimiter.slots`."""
        return self._rate_limiter.slots()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def _attempt(
        self, call: Call, headers: Mapping[str, str] | None, limited_before: int
    ) -> httpx.Response | _Trouble:
        request = self._to_request(call, headers or {})
        try:
            async with self._rate_limiter.slot() as began:
                reply = await read_whole(await self._transport.handle_async_request(request), self._limits)
        except httpx.RequestError as error:
            return _trouble_of_error(error, call.intent)
        count(reply)
        self._keep_pace(reply, began, limited_before)
        return (
            _trouble_of_redirect(reply, request.url, call, self._setting)
            or _trouble_of_reply(reply, call, self._clock())
            or reply
        )

    def _to_request(self, call: Call, headers: Mapping[str, str]) -> httpx.Request:
        """The request, for the transport itself: a client would only add what an API has no use for, as cookies."""
        return httpx.Request(
            call.method,
            self._base_url + call.path,
            params=call.params or None,
            headers={**self._headers, **headers},
            json=call.body,
            extensions=_EXTENSIONS,
        )

    def _keep_pace(self, reply: httpx.Response, began: float, limited_before: int) -> None:
        if reply.status_code == httpx.codes.TOO_MANY_REQUESTS:
            asked_for = seconds_until(reply.headers.get("Retry-After"), self._clock())
            self._rate_limiter.lower(self._delay(limited_before) if asked_for is None else asked_for, began)
        elif not reply.is_server_error:
            self._rate_limiter.rise()

    def _delay(self, failed: int) -> float:
        return min(FIRST_DELAY * 2.0**failed * (1 + self._jitter() / 2), LONGEST_WAIT)


def _unless_repeat_refused(reply: httpx.Response, unheard: Unavailable | None) -> httpx.Response:
    if unheard is None or reply.is_success:
        return reply
    raise RepeatRefused(unheard, reply)


def _trouble_of_error(error: httpx.RequestError, intent: Intent) -> _Trouble:
    if isinstance(error, _NOT_SENT):
        through = ", and none through the environment's proxy" if isinstance(error, httpx.ProxyError) else ""
        return _Trouble(failure=down(f"no connection{through}"), passing=True)
    if isinstance(error, UnboundedAnswer):
        failing = down if intent is Intent.READ else _no_answer
        return _Trouble(failure=failing(str(error)), passing=False)
    if intent is Intent.READ:
        return _Trouble(failure=down("no answer to a read"), passing=True)
    return _Trouble(failure=_no_answer("sent, but no answer came"), passing=False)


def _trouble_of_redirect(reply: httpx.Response, url: httpx.URL, call: Call, setting: str) -> _Trouble | None:
    failure = redirected(reply, url, call.path, setting)
    if failure is None:
        return None
    is_open = call.intent is not Intent.READ and may_be_done(reply, url)
    return _Trouble(failure=_in_doubt(failure) if is_open else failure, passing=False)


def _in_doubt(failure: CallFailure) -> Unavailable:
    """The same of a write that may have taken effect."""
    retry_after = failure.retry_after if isinstance(failure, Unavailable) else None
    return _no_answer(failure.detail, retry_after)


def _trouble_of_reply(reply: httpx.Response, call: Call, now: float) -> _Trouble | None:
    status = reply.status_code
    wait = seconds_until(reply.headers.get("Retry-After"), now)
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return _Trouble(failure=limited(wait), passing=_is_short(wait))
    if _is_answer(reply) or (call.may_lack and status == httpx.codes.NOT_FOUND):
        return None
    failing = down if call.intent is Intent.READ else _no_answer
    is_passing = status in _PASSING and _is_short(wait) and call.intent is not Intent.CREATE
    return _Trouble(failure=failing(f"answered {status}", wait), passing=is_passing)


def _no_answer(detail: str, retry_after: float | None = None) -> Unavailable:
    return Unavailable(reason=Reason.NO_ANSWER, detail=detail, retry_after=retry_after)


def _is_short(wait: float | None) -> bool:
    return wait is None or wait <= LONGEST_WAIT


def _is_answer(reply: httpx.Response) -> bool:
    if reply.status_code == httpx.codes.UNAUTHORIZED:
        return True
    is_refusal = reply.is_client_error and reply.status_code != httpx.codes.REQUEST_TIMEOUT
    return not _is_of_another(reply) and (reply.is_success or is_refusal)


def _is_of_another(reply: httpx.Response) -> bool:
    """Whether something that stands before the API speaks: by a web page, or by other text that knows no address."""
    said = reply.content.lstrip(_BEFORE)
    is_miss = reply.status_code in (httpx.codes.NOT_FOUND, httpx.codes.GONE)
    return said.startswith(b"<") or (is_miss and not (not said or said.startswith(_JSON)))


def json_of(reply: httpx.Response) -> bytes:
    """The body without a byte-order mark, which some servers write before JSON. Source: RFC 8259, 8.1."""
    return reply.content.removeprefix(codecs.BOM_UTF8)


def seconds_until(text: str | None, now: float) -> float | None:
    """The meaning of a `Retry-After`, in seconds, at most a day: a number, or an HTTP date. Source: RFC 9110, 10.2.3.

    Some send the time itself, in seconds or milliseconds since the epoch.
    """
    if text is None:
        return None
    wait = seconds(text, now)
    return bounded(_moment(text) - now, least=0.0, most=DAY) if wait is None else wait


def _moment(text: str) -> float:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return math.nan
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def down(detail: str, retry_after: float | None = None) -> Unavailable:
    """The vendor does not work just now."""
    return Unavailable(reason=Reason.DOWN, detail=detail, retry_after=retry_after)


class UnexpectedForm(TargetFailed):
    """An answer has another form than its wire form."""


def parsed(reply: httpx.Response, form: type[Form]) -> Form:
    """The body in its wire form.

    Raises `UnexpectedForm` when it has another form; the places are named, never what stands there.
    """
    try:
        return _to(form).validate_json(json_of(reply))
    except ValidationError as error:
        places = {".".join(str(part) for part in found["loc"]) or "body" for found in error.errors(include_input=False)}
    raise UnexpectedForm(down(f"an answer of an unexpected form at {', '.join(sorted(places)[:5])}"))


def parsed_if(reply: httpx.Response, form: type[Form]) -> Form | None:
    """The body in its wire form; None when it has another."""
    try:
        return _to(form).validate_json(json_of(reply))
    except ValidationError:
        return None


_FORMS: dict[type[object], TypeAdapter[Any]] = {}


def _to(form: type[Form]) -> TypeAdapter[Form]:
    if form not in _FORMS:
        _FORMS[form] = TypeAdapter(form)
    return _FORMS[form]


def refusal(reply: httpx.Response, words: str, profile: Profile) -> Rejected:
    """What a refusing answer means.

    The vendor's words are repeated only if the profile is there to take personal data out of them.
    """
    status = reply.status_code
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return Rejected(reason=Reason.CREDENTIALS, detail=f"answered {status}")
    if status == httpx.codes.NOT_FOUND:
        return Rejected(reason=Reason.NOT_CONFIGURED, detail="answered 404: nothing is known at this address")
    told = _PERSONAL.sub("<...>", redacted(words, profile)) if profile else ""
    return Rejected(reason=Reason.INVALID, detail=f"answered {status}: {told}".rstrip(": "))


async def answered(call: Coroutine[object, object, Answer]) -> Answer:
    """The answer of a call; a failure on the way becomes the value that it carries."""
    try:
        return await call
    except TargetFailed as failed:
        return failed.failure


P = ParamSpec("P")
T = TypeVar("T")

MOST_OF_A_ROSTER: Final = 2000 * MEGABYTE
"""Bytes of all pages of a scan: three readings of 150,000 drivers, of whom each takes 4 kB."""

MOST_OF_THE_PORTAL: Final = 1000 * MEGABYTE
"""Bytes of the Portal's list, with the attributes of each driver, of whom each takes 6 kB."""


class ByteBudget:
    """The bytes of all answers to some questions, and the most that they may be; `what` names them for people."""

    def __init__(self, what: str, most: int) -> None:
        self._what = what
        self._most = most
        self._taken = 0

    def of(self, ask: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[None, None, T]]:
        """The same question, whose answers count. It raises `ListWithoutEnd` where all together are too long."""

        async def asked(*args: P.args, **kwargs: P.kwargs) -> T:
            with read_bytes() as counted:
                answer = await ask(*args, **kwargs)
            self._add(sum(counted))
            return answer

        return asked

    def _add(self, taken: int) -> None:
        self._taken += taken
        if self._taken > self._most:
            told = f"{self._what} is longer than {self._most / MEGABYTE:g} MB in all"
            raise ListWithoutEnd(down(f"{told}: check with the vendor what this account's list shows"))


UNKNOWN_OUTCOME: Final = Unavailable(
    reason=Reason.NO_ANSWER,
    detail="answered in an unknown form, and what was written is not seen",
)
"""The call was sent, and whether it took effect has to be looked up."""


def without_effect(detail: str) -> Rejected:
    """The target reported no error, and yet it does not show what was asked for."""
    return Rejected(reason=Reason.NOT_EFFECTIVE, detail=detail)


_UNREAD: Final = "written, but not read back: "


def unconfirmed(failed: TargetFailed) -> CallFailure:
    """The write went well, and then another call did not.

    Unless the target refuses what we desired state, it is looked up.
    """
    failure = failed.failure
    return failure if CLASSES[failure.reason] is FailureClass.FINAL else _unread(failure)


def _unread(failure: CallFailure) -> Unavailable:
    """The write went well, and then the target could not be read, for whatever reason."""
    retry_after = failure.retry_after if isinstance(failure, Unavailable) else None
    detail = _UNREAD + failure.detail.removeprefix(_UNREAD)
    return Unavailable(reason=Reason.NO_ANSWER, detail=detail, retry_after=retry_after)


async def read_back(reading: Awaitable[T]) -> T:
    """What a target shows after it has answered a write.

    Raises `TargetFailed` with NO_ANSWER where it cannot be read, because the write may have taken effect: a target that
    refuses to show somebody, in whatever words, does not refuse what was written.
    """
    try:
        return await reading
    except TargetFailed as failed:
        raise TargetFailed(_unread(failed.failure)) from failed


LONGEST_STOP: Final = 300.0
"""The longest stop, in seconds, that is outwaited; a longer one is the caller's decision."""

MOST_WAITS: Final = 10
"""How many stops are outwaited for one question."""

_UNTOLD: Final = 30.0
"""Seconds for which a target is left alone that does not say for how long it wants to be."""


def outwaiting(ask: Callable[P, Awaitable[T]], pause: Pause) -> Callable[P, Coroutine[None, None, T]]:
    """The same question, asked again when the target takes calls again.

    Nobody is held up meanwhile: while it waits it has no place among the account's calls.
    """

    async def asked(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(MOST_WAITS):
            try:
                return await ask(*args, **kwargs)
            except TargetFailed as failed:
                wait = _stop(failed.failure)
                if wait is None:
                    raise
            await pause(wait)
        return await ask(*args, **kwargs)

    return asked


def _stop(failure: CallFailure) -> float | None:
    """For how long to wait before the question is asked again; None: it is not."""
    if not isinstance(failure, Unavailable) or failure.reason is not Reason.LIMITED:
        return None
    wait = _UNTOLD if failure.retry_after is None else failure.retry_after
    return wait if wait <= LONGEST_STOP else None


KEPT: Final = 5.0
"""Seconds for which a connection is kept that nobody uses: by then the vendor may have closed it."""

_ONE: Final = httpx.Limits(max_connections=1)
_PORTS: Final = range(1, 65_536)

Connection = httpx.AsyncBaseTransport
"""One connection, which is made with the first request, and again after one that has ended it."""


class Transport(httpx.AsyncBaseTransport):
    """The connections of one account to one vendor; the one that was used last is used next.

    What a vendor sends behind an answer would be taken for the next one, so such a connection is used no more; and
    accounts share none.
    `connect` makes a connection that can reach a URL, `clock` is in seconds since any moment, `pause` waits for some.
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
        self._connect = connect or _connection
        self._clock = clock
        self._pause = pause
        self._idle: deque[tuple[float, Connection]] = deque()
        self._tidying: asyncio.Task[None] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, read to its end. Raises `httpx.RequestError` when there is none, or no end to it."""
        connection = self._idle.pop()[1] if self._idle else self._connect(request.url)
        try:
            async with in_time(self._limits):
                reply = await read_whole(await connection.handle_async_request(request), self._limits)
        except BaseException:
            await connection.aclose()
            raise
        if _has_surplus(connection):
            await connection.aclose()
        else:
            self._put_back(connection)
        return reply

    async def aclose(self) -> None:
        """Close the connections that nobody uses now; the others are closed a while after their requests."""
        await self._close_idle(float("inf"))

    def _put_back(self, connection: Connection) -> None:
        self._idle.append((self._clock(), connection))
        if self._tidying is None or self._tidying.done():
            self._tidying = asyncio.create_task(self._tidy())

    async def _tidy(self) -> None:
        """Close what nobody has used for a while, as long as there is something."""
        while self._idle:
            await self._pause(KEPT)
            await self._close_idle(self._clock() - KEPT)

    async def _close_idle(self, until: float) -> None:
        """Close the connections that were used at this moment for the last time, or before."""
        while self._idle and self._idle[0][0] <= until:
            _, connection = self._idle.popleft()
            await connection.aclose()


def _has_surplus(connection: Any) -> bool:  # noqa: ANN401 - httpcore keeps to itself what was received and not read
    """Whether something has come behind the last answer; what comes later httpcore finds before the next request."""
    for each in getattr(getattr(connection, "_pool", None), "connections", ()):
        while inner := getattr(each, "_connection", None):
            each = inner  # noqa: PLW2901 - through a proxy there are several, one in the other
        if (state := getattr(each, "_h11_state", None)) and state.trailing_data[0]:
            return True
    return False


def _connection(url: httpx.URL) -> Connection:
    """Raises `httpx.ProxyError` where the environment names a proxy that is none."""
    try:
        return httpx.AsyncHTTPTransport(verify=_certificates(), limits=_ONE, proxy=_proxy(url))
    except (ImportError, ValueError, httpx.InvalidURL) as failure:
        raise httpx.ProxyError("the proxy that the environment names cannot be used") from failure


def _proxy(url: httpx.URL) -> str | None:
    """The proxy that the environment names for this URL; `NO_PROXY` has hosts, with or without a port.

    Raises `ValueError` or `httpx.InvalidURL` where it is none.
    """
    is_direct = proxy_bypass(url.host) or proxy_bypass(url.netloc.decode())
    known = {} if is_direct else getproxies()
    named = known.get(url.scheme) or known.get("all")
    proxy = f"http://{named}" if named and "://" not in named else named
    if proxy and httpx.URL(proxy).port not in (None, *_PORTS):
        raise ValueError("no port")
    return proxy


@cache
def _certificates() -> SSLContext:
    """Whom to trust, the same for all: a megabyte each time that it is loaded."""
    return httpx.create_ssl_context()
