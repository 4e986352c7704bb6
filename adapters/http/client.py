"""Sends calls to one vendor: at the account's rate, with short retries, and with bounds on each answer."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Final, TypedDict

import httpx
from sniffio import current_async_library_cvar

from adapters.http.failures import (
    FailedTry,
    Intent,
    RepeatRefused,
    failure_of_error,
    failure_of_redirect,
    failure_of_reply,
    in_doubt,
    seconds_until,
)
from adapters.http.rate_limit import RETRIES, UNLIMITED, Jitter, Pause, RateLimiter, delay
from adapters.http.response import OF_A_TARGET, AnswerLimits, count, read_whole
from adapters.http.transport import Transport
from domain.failures import Reason, TargetFailed, Unavailable

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
    """One request. `path` is below the base URL and already quoted.

    Where a vendor `may_lack` the call, 404 is an answer to it in whatever form.
    """

    path: str
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
        # Else httpcore finds out several times for each call by which library it is called.
        current_async_library_cvar.set("asyncio")
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
            if not result.is_passing or failed[reason] == RETRIES[reason]:
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
        try:
            async with self._rate_limiter.slot() as began:
                reply = await read_whole(await self._transport.handle_async_request(request), self._limits)
        except httpx.RequestError as error:
            return failure_of_error(error, call.intent)
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
