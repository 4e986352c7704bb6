"""When a call is sent again, and for how long a target's stop is waited for."""

from collections.abc import Awaitable, Callable, Coroutine
from types import MappingProxyType
from typing import Final, ParamSpec, TypeVar

from adapters.http.rate_limit import LONGEST_WAIT
from domain.failures import CallFailure, Reason, TargetFailed, Unavailable

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

LONGEST_STOP: Final = 300.0
"""The longest stop, in seconds, that a read waits for; a longer one is the caller's decision."""

MOST_WAITS: Final = 10
"""How many stops one read waits for."""

_UNSTATED: Final = 30.0
"""Seconds for which a target is left alone that does not say for how long it wants to be."""


def delay(failed: int, jitter: Jitter) -> float:
    """Seconds before the next try, after this many failed ones before the last."""
    return min(FIRST_DELAY * 2.0**failed * (1 + jitter() / 2), LONGEST_WAIT)


def outwaiting(ask: Callable[P, Awaitable[T]], pause: Pause) -> Callable[P, Coroutine[None, None, T]]:
    """The same read, repeated when the target accepts calls again, so that a long scan is not lost to a stop.

    While it waits it takes none of the account's slots.
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
    """How many seconds to wait before the next try; None if there is none."""
    if not isinstance(failure, Unavailable) or failure.reason is not Reason.LIMITED:
        return None
    wait = _UNSTATED if failure.retry_after is None else failure.retry_after
    return wait if wait <= LONGEST_STOP else None
