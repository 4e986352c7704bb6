"""How fast the calls of one account go out to one target, and when a call that was limited or failed is sent again.

A bucket fills at the rate of calls a second, and holds those of half a second.
A 429 halves the rate, takes one from the calls at once (slots), and stops the account until its `Retry-After` is over;
each answer that is not one raises both by a hundredth of what is configured.
Calls go out in the order in which they came, those of scans among the others.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, ParamSpec, TypeVar

from domain.failures import Reason, TargetFailed, Unavailable

LONGEST_WAIT: Final = 2.0
"""The longest stop, in seconds, that a call waits for; what comes during a longer one is the caller's decision."""

LONGEST_STOP: Final = 86_400.0
"""The longest stop, in seconds, that a target can ask for: a day."""

BUCKET: Final = 0.5
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
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
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
        return max(1.0, self._rate * BUCKET)


def limited(retry_after: float | None) -> Unavailable:
    """The target takes no more calls of this account for a while, whether this one was sent or not."""
    return Unavailable(reason=Reason.LIMITED, detail="answered 429", retry_after=retry_after)


P = ParamSpec("P")
T = TypeVar("T")

Pause = Callable[[float], Awaitable[None]]
"""Waits for this many seconds."""

Jitter = Callable[[], float]
"""A number from 0 up to 1, so that callers who failed together do not return together."""

RETRIES: Final = MappingProxyType({Reason.DOWN: 3, Reason.LIMITED: 10})
"""How often a call is sent again. A 429 has had no effect, and the rate limiter waits, so that costs little."""

FIRST_DELAY: Final = 0.2
"""Seconds; each further delay is twice as long, up to `LONGEST_WAIT`."""

LONGEST_WAITED_OUT: Final = 300.0
"""The longest stop, in seconds, that a read waits for; a longer one is the caller's decision."""

MOST_WAITS: Final = 10
"""How many stops one read waits for."""

_UNSTATED: Final = 30.0
"""Seconds for which a target is left alone that does not say for how long it wants to be."""


def delay(failed: int, jitter: Jitter) -> float:
    """Seconds before the next try, after this many failed ones before the last."""
    return min(FIRST_DELAY * 2.0**failed * (1 + jitter() / 2), LONGEST_WAIT)


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
