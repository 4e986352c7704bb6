"""Reads that are worth waiting for: a target's stop is outwaited, so that a long reading is not lost to it."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Final, ParamSpec, TypeVar

from adapters.http import Pause
from domain.failures import CallFailure, Reason, TargetFailed, Unavailable

LONGEST_STOP: Final = 300.0
"""The longest stop, in seconds, that is outwaited; a longer one is the caller's decision."""

MOST_STOPS: Final = 10
"""How many stops are outwaited for one question."""

_UNTOLD: Final = 30.0
"""Seconds for which a target is left alone that does not say for how long it wants to be."""

P = ParamSpec("P")
T = TypeVar("T")


def patient(ask: Callable[P, Awaitable[T]], pause: Pause) -> Callable[P, Coroutine[None, None, T]]:
    """The same question, asked again when the target takes calls again.

    Nobody is held up meanwhile: while it waits it has no place among the account's calls.
    """

    async def asked(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(MOST_STOPS):
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
