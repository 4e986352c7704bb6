"""Sends calls to one vendor: at the account's rate, with short retries, over a connection for each request.

Rate: a bucket fills at the rate of calls a second, and holds those of half a second. A 429 halves the rate, takes one
from the calls at once (slots), and stops the account until its `Retry-After` is over; each answer that is not one
raises both by a hundredth of what is configured. Calls go out in the order in which they came, those of scans among
the others.

Connections: httpx's pool goes through all of its connections several times for each request, and loses one when a
request is cancelled while it waits for a connection. So it is used through a proxy only.
"""

import asyncio
import logging
import math
import random
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from types import MappingProxyType
from typing import Any, Final, ParamSpec, TypedDict, TypeVar
from urllib.request import getproxies, proxy_bypass

import httpx

from adapters.http.connection import KEPT, DirectConnection, trusted_certificates
from adapters.http.response import (
    LONGEST_WAIT,
    OF_A_TARGET,
    AnswerLimits,
    FailedTry,
    Intent,
    RepeatRefused,
    code_of,
    count,
    failure_of_error,
    failure_of_redirect,
    failure_of_reply,
    in_doubt,
    in_time,
    limited,
    read_whole,
    seconds_until,
)
from domain.failures import Reason, TargetFailed, Unavailable
from domain.ports import Exchange, note_exchange

P = ParamSpec("P")
T = TypeVar("T")

Pause = Callable[[float], Awaitable[None]]
"""Waits for this many seconds."""

Jitter = Callable[[], float]
"""A number from 0 up to 1, so that callers who failed together do not return together."""

LONGEST_STOP: Final = 86_400.0
"""The longest stop, in seconds, that a target can ask for: a day."""

_BUCKET: Final = 0.5
"""Seconds of calls that may go out together after a rest."""

LEAST_RATE: Final = 0.5
"""Calls a second that are left however often a target answers 429."""

STEPS: Final = 100
"""How many good answers lead from nothing to all that is configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """What is configured: calls a second, and calls at once."""

    calls_per_second: float
    calls_at_once: int


UNLIMITED: Final = RateLimits(calls_per_second=10_000.0, calls_at_once=16)
"""As fast as the target answers, where no limit is known."""


class RateLimiter:
    """The rate limiter of one account at one target. `clock` is in seconds since any moment; `pause` waits."""

    def __init__(
        self,
        limits: RateLimits,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self.limits = limits
        self._clock = clock
        self._pause = pause
        self._rate = limits.calls_per_second
        self._at_once = float(limits.calls_at_once)
        self._under_way = 0
        self._stopped_until = self._lowered_at = float("-inf")
        self._filled_at = clock()
        self._level = self._size
        self._queue = asyncio.Lock()
        self._ended = asyncio.Event()

    def slots(self) -> int:
        """How many calls may be under way now without one having to wait, those under way included."""
        now = self._clock()
        if now < self._stopped_until:
            return 0
        return min(int(self._at_once), self._under_way + int(self._level_at(now)))

    def free_in(self, calls: int) -> float:
        """Seconds until this many calls may be under way, if none of them ends first; infinite where one has to."""
        lacking = calls - self._under_way
        if calls > int(self._at_once) or lacking > self._size:
            return math.inf
        now = self._clock()
        soonest = max(now, self._stopped_until)
        return soonest - now + max(0.0, lacking - self._level_at(soonest)) / self._rate

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[float]:
        """Wait until a call may go out, and count it as under way until the context ends; when it began.

        Raises `TargetFailed` when the target has asked for more than `LONGEST_WAIT`.
        """
        async with self._queue:
            while self._under_way >= int(self._at_once):
                self._ended.clear()
                await self._ended.wait()
            began = await self._wait_until(self._next())
            while began < self._stopped_until:
                began = await self._wait_until(self._next())
            self._level = self._level_at(began) - 1
            self._filled_at = max(self._filled_at, began)
            self._under_way += 1
        try:
            yield began
        finally:
            self._under_way -= 1
            self._ended.set()

    def lower(self, seconds: float, began: float) -> None:
        """A call that began then was answered 429: stop for this many seconds, and go on slower.

        Calls that were under way together are lowered for once.
        """
        now = self._clock()
        self._stopped_until = max(self._stopped_until, now + min(seconds, LONGEST_STOP))
        if began >= self._lowered_at:
            self._lowered_at = now
            self._rate = max(self._rate / 2, min(LEAST_RATE, self.limits.calls_per_second))
            self._at_once = max(self._at_once - 1, 1.0)
        self._filled_at, self._level = self._stopped_until, 1.0

    def rise(self) -> None:
        """A call was answered, and not by a 429."""
        most = self.limits
        self._rate = min(self._rate + most.calls_per_second / STEPS, most.calls_per_second)
        self._at_once = min(self._at_once + most.calls_at_once / STEPS, float(most.calls_at_once))

    async def _wait_until(self, moment: float) -> float:
        """The moment, once it has come; the clock may not show it yet, as pauses need not be exact."""
        wait = moment - self._clock()
        if self._stopped_until - self._clock() > LONGEST_WAIT:
            raise TargetFailed(limited(self._stopped_until - self._clock()))
        if wait > 0:
            await self._pause(wait)
        return moment

    def _next(self) -> float:
        """The moment at which the next call may go out."""
        soonest = max(self._clock(), self._stopped_until)
        lacking = 1 - self._level_at(soonest)
        return soonest + max(0.0, lacking) / self._rate

    def _level_at(self, moment: float) -> float:
        return min(self._level + max(0.0, moment - self._filled_at) * self._rate, self._size)

    @property
    def _size(self) -> float:
        return max(1.0, self._rate * _BUCKET)


_RETRIES: Final = MappingProxyType({Reason.DOWN: 3, Reason.LIMITED: 10})
"""How often a call is sent again. A 429 has had no effect, and the rate limiter waits, so that costs little."""

_FIRST_DELAY: Final = 0.2
"""Seconds; each further delay is twice as long, up to `LONGEST_WAIT`."""

LONGEST_WAITED_OUT: Final = 300.0
"""The longest stop, in seconds, that a read waits for; a longer one is the caller's decision."""

MOST_WAITS: Final = 10
"""How many stops one read waits for."""

_UNSTATED: Final = 30.0
"""Seconds for which a target is left alone that does not say for how long it wants to be."""


def delay(failed: int, jitter: Jitter) -> float:
    """Seconds before the next try, after this many failed ones before the last."""
    return min(_FIRST_DELAY * 2.0**failed * (1 + jitter() / 2), LONGEST_WAIT)


def retrying_limited(ask: Callable[P, Awaitable[T]], pause: Pause) -> Callable[P, Coroutine[None, None, T]]:
    """The same read, repeated when a target that has limited it accepts calls again: no stop loses a long scan.

    While it waits it takes none of the account's slots.
    """

    async def asked(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(MOST_WAITS):
            try:
                return await ask(*args, **kwargs)
            except TargetFailed as failed:
                failure = failed.failure
                if not isinstance(failure, Unavailable) or failure.reason is not Reason.LIMITED:
                    raise
                wait = _UNSTATED if failure.retry_after is None else failure.retry_after
                if wait > LONGEST_WAITED_OUT:
                    raise
            await pause(wait)
        return await ask(*args, **kwargs)

    return asked


Body = Mapping[str, object]
"""What a request states, as JSON."""

Clock = Callable[[], float]
"""The time of day, in seconds since the epoch."""

_EXTENSIONS: Final = {"timeout": httpx.Timeout(30.0, connect=5.0).as_dict()}
_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": f"driverlink/{version('driverlink')}",
}

# A client of httpx writes the URL of every request to its log, httpcore even the headers.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. `path` is below the base URL and already quoted; `route` is the same with names in place of ids.

    Where a vendor `may_lack` the call, 404 is an answer to it in whatever form.
    """

    path: str
    route: str = ""
    method: str = "GET"
    intent: Intent = Intent.READ
    params: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    may_lack: bool = False


class SenderOptions(TypedDict, total=False):
    """What every client hands on to its `Sender`; what is left out is as it is there."""

    transport: httpx.AsyncBaseTransport | None
    rate_limiter: RateLimiter | None
    clock: Clock
    pause: Pause
    jitter: Jitter


class Sender:
    """Sends calls to one vendor: through the account's rate limiter if there is one, with short retries.

    `setting` is the name of the setting that holds the base address.
    """

    def __init__(
        self,
        *,
        base_url: str,
        setting: str = "the base address",
        headers: Mapping[str, str],
        transport: httpx.AsyncBaseTransport | None = None,
        rate_limiter: RateLimiter | None = None,
        limits: AnswerLimits = OF_A_TARGET,
        clock: Clock = time.time,
        pause: Pause = asyncio.sleep,
        jitter: Jitter = random.random,
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
        failed: Counter[Reason] = Counter()
        lost: Unavailable | None = None
        while True:
            result = await self._try(call, headers, failed[Reason.LIMITED])
            if isinstance(result, httpx.Response):
                if lost is None or result.is_success:
                    return result
                raise RepeatRefused(lost, result)
            failure = result.failure
            if isinstance(failure, Unavailable) and failure.reason is Reason.NO_ANSWER:
                lost = failure
            reason = Reason.LIMITED if failure.reason is Reason.LIMITED else Reason.DOWN
            if not result.is_passing or failed[reason] == _RETRIES[reason]:
                raise TargetFailed(in_doubt(failure) if lost else failure)
            if reason is not Reason.LIMITED:
                await self._pause(max(result.wait, delay(failed[reason], self._jitter)))
            failed[reason] += 1

    def slots(self) -> int:
        """How many calls may be under way now; see `RateLimiter.slots`."""
        return self._rate_limiter.slots()

    def free_in(self, calls: int) -> float:
        """In how many seconds this many calls may be under way; see `RateLimiter.free_in`."""
        return self._rate_limiter.free_in(calls)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def _try(
        self, call: Call, headers: Mapping[str, str] | None, limited_before: int
    ) -> httpx.Response | FailedTry:
        # A request for the transport itself: a client would only add what an API has no use for, as cookies.
        request = httpx.Request(
            call.method,
            self._base_url + call.path,
            params=call.params or None,
            headers={**self._headers, **(headers or {})},
            json=call.body,
            extensions=_EXTENSIONS,
        )
        sent = self._clock()
        try:
            async with self._rate_limiter.slot() as began:
                sent = self._clock()
                reply = await read_whole(await self._transport.handle_async_request(request), self._limits)
        except httpx.RequestError as error:
            self._note(call, sent, None)
            return failure_of_error(error, call.intent)
        self._note(call, sent, reply)
        count(reply)
        if reply.status_code == httpx.codes.TOO_MANY_REQUESTS:
            asked_for = seconds_until(reply.headers.get("Retry-After"), self._clock())
            self._rate_limiter.lower(delay(limited_before, self._jitter) if asked_for is None else asked_for, began)
        elif not reply.is_server_error:
            self._rate_limiter.rise()
        return (
            failure_of_redirect(reply, request.url, call.intent, path=call.path, setting=self._setting)
            or failure_of_reply(reply, call.intent, self._clock(), may_lack=call.may_lack)
            or reply
        )

    def _note(self, call: Call, sent: float, reply: httpx.Response | None) -> None:
        """Note an exchange for who looks at it later."""
        note_exchange(
            Exchange(
                method=call.method,
                route=call.route or call.path,
                status=reply.status_code if reply else 0,
                code=code_of(reply) if reply else "",
                milliseconds=max(0, round((self._clock() - sent) * 1000)),
            )
        )


class Spellings:
    """How a vendor spells a value, where that is not public: a write that is refused for it is sent again in another.

    `of` gives a body in every spelling, in the same order for every body; the one that has worked is tried first.
    """

    def __init__(self, of: Callable[[Body], Sequence[Body]], *, is_refused: Callable[[httpx.Response], bool]) -> None:
        self._of = of
        self._is_refused = is_refused
        self._worked = 0

    async def write(self, send: Callable[[Call], Awaitable[httpx.Response]], call: Call) -> httpx.Response:
        """The answer to the first spelling that is not refused for it, or else the first refusal."""
        bodies, tried = self._of(call.body or {}), list[Body]()
        refusals: list[httpx.Response] = []
        for place in sorted(range(len(bodies)), key=lambda place: (place != self._worked, place)):
            if bodies[place] in tried:
                continue
            reply = await send(replace(call, body=bodies[place]))
            if not self._is_refused(reply):
                self._worked = place if len(bodies) > 1 else self._worked
                return reply
            tried.append(bodies[place])
            refusals.append(reply)
        return refusals[0]


_ONE: Final = httpx.Limits(max_connections=1)
_PORTS: Final = range(1, 65_536)

Connection = httpx.AsyncBaseTransport
"""One connection, which is made with the first request, and again after one that has ended it."""


class Transport(httpx.AsyncBaseTransport):
    """The connections of one account to one vendor; the one that was used last is used next.

    What a vendor sends after the end of an answer would be read as the next answer, so such a connection is closed.
    Accounts share no connections.
    `connect` makes a connection that can reach a URL, `clock` is in seconds since any moment, `pause` waits.
    """

    def __init__(
        self,
        connect: Callable[[httpx.URL], Connection] | None = None,
        clock: Callable[[], float] = time.monotonic,
        pause: Pause = asyncio.sleep,
        *,
        limits: AnswerLimits = OF_A_TARGET,
    ) -> None:
        self._limits = limits
        self._connect = connect or _Connecting()
        self._clock = clock
        self._pause = pause
        self._idle: deque[tuple[float, Connection]] = deque()
        self._closing_unused: asyncio.Task[None] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, read to its end. Raises `httpx.RequestError` when there is none, or it does not end."""
        connection = self._idle.pop()[1] if self._idle else self._connect(request.url)
        try:
            async with in_time(self._limits):
                reply = await read_whole(await connection.handle_async_request(request), self._limits)
        except BaseException:
            await connection.aclose()
            raise
        if _has_surplus(connection):
            await connection.aclose()
            return reply
        self._idle.append((self._clock(), connection))
        if self._closing_unused is None or self._closing_unused.done():
            self._closing_unused = asyncio.create_task(self._close_unused())
        return reply

    async def aclose(self) -> None:
        """Close the connections that are unused now; the others are closed a while after their requests."""
        await self._close_idle(float("inf"))

    async def _close_unused(self) -> None:
        """Close what has been unused for a while, until all are closed."""
        while self._idle:
            await self._pause(KEPT)
            await self._close_idle(self._clock() - KEPT)

    async def _close_idle(self, until: float) -> None:
        """Close the connections that were last used at this moment, or before."""
        while self._idle and self._idle[0][0] <= until:
            _, connection = self._idle.popleft()
            await connection.aclose()


def _has_surplus(connection: Any) -> bool:  # noqa: ANN401 - httpcore keeps to itself what was received and not read
    """Whether bytes follow the last answer; each connection itself finds those that come before the next request."""
    if isinstance(connection, DirectConnection):
        return connection.has_surplus()
    for each in getattr(getattr(connection, "_pool", None), "connections", []):
        while inner := getattr(each, "_connection", None):
            each = inner  # noqa: PLW2901 - there are several, one in the other
        if (state := getattr(each, "_h11_state", None)) and state.trailing_data[0]:
            return True
    return False


_SCHEMES: Final = frozenset({"http", "https"})


class _Connecting:
    """Makes connections; the proxy of a host is looked up once, as that goes through the whole environment."""

    def __init__(self) -> None:
        self._proxies: dict[tuple[str, bytes], str | None] = {}

    def __call__(self, url: httpx.URL) -> Connection:
        """Raises `httpx.ProxyError` where the environment names an unusable proxy."""
        host = url.scheme, url.netloc
        try:
            if host not in self._proxies:
                self._proxies[host] = _proxy(url)
            proxy = self._proxies[host]
            if proxy is None and url.scheme in _SCHEMES:
                return DirectConnection()
            return httpx.AsyncHTTPTransport(verify=trusted_certificates(), limits=_ONE, proxy=proxy)
        except (ImportError, ValueError, httpx.InvalidURL) as failure:
            raise httpx.ProxyError("the proxy that the environment names cannot be used") from failure


def _proxy(url: httpx.URL) -> str | None:
    """The proxy that the environment names for this URL; `NO_PROXY` lists hosts, with or without a port.

    Raises `ValueError` or `httpx.InvalidURL` where its address is invalid.
    """
    is_direct = proxy_bypass(url.host) or proxy_bypass(url.netloc.decode())
    known = {} if is_direct else getproxies()
    named = known.get(url.scheme) or known.get("all")
    proxy = f"http://{named}" if named and "://" not in named else named
    if proxy and httpx.URL(proxy).port not in (None, *_PORTS):
        raise ValueError("the proxy has an invalid port")
    return proxy
