"""A process that fails begins anew, until it is told to stop or has failed for too long."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

import pytest
from structlog.testing import capture_logs

from domain.store import Misconfigured, StoreFailed
from services.wiring.distributed import keep_running
from services.wiring.health import EndsNot, Health, Progress
from tests.support.travelling_time import run

PATIENCE = 60.0
DOWN = StoreFailed("the database cannot be reached")
WRONG = Misconfigured("topics are missing: accounts.v1; run `driverlink topics create`")


def progress(*, taken: int = 0, behind: int = 0, sent: int = 0, unsent: int = 0, relaying: bool = False) -> Progress:
    return Progress(taken=taken, behind=behind, sent=sent, unsent=unsent, relaying=relaying, partitions=0)


class Attempt:
    """A process that runs for some seconds, and then fails so; or ends, or is stopped."""

    def __init__(self, seconds: float, failure: Exception | None = None) -> None:
        self._seconds = seconds
        self._failure = failure
        self.was_stopped = False

    async def run(self, patience: float) -> None:
        assert patience == PATIENCE
        try:
            await asyncio.sleep(self._seconds)
        except asyncio.CancelledError:
            self.was_stopped = True
            raise
        if self._failure:
            raise ExceptionGroup("unhandled errors in a TaskGroup", [self._failure])

    async def progress(self) -> Progress:
        return progress()


def opening(attempts: Sequence[Attempt | StoreFailed]) -> Callable[[], Coroutine[Any, Any, Attempt]]:
    """Gives one attempt after the other; the last one again and again."""
    left = list(attempts)

    async def open_next() -> Attempt:
        attempt = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(attempt, StoreFailed):
            raise attempt
        return attempt

    return open_next


def kept(*attempts: Attempt | StoreFailed, stop_after: float | None = None) -> float:
    """Keep these attempts running; how many seconds it took."""

    async def keep() -> float:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        if stop_after is not None:
            loop.call_later(stop_after, stop.set)
        await keep_running(opening(attempts), Health("decider"), stop=stop, patience=PATIENCE)
        return loop.time()

    return run(keep())


class Deaf(Attempt):
    """It does not hear that it shall end."""

    async def run(self, patience: float) -> None:  # noqa: ARG002 - it does not end anyway
        clock = asyncio.get_running_loop().time
        until = clock() + self._seconds
        while clock() < until:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(until - clock())


def test_a_process_runs_until_it_is_told_to_stop() -> None:
    attempt = Attempt(1_000)
    assert kept(attempt, stop_after=100) == 100
    assert attempt.was_stopped


def test_a_process_that_fails_begins_anew() -> None:
    last = Attempt(1_000)
    kept(Attempt(5, DOWN), DOWN, Attempt(5, DOWN), last, stop_after=100)
    assert last.was_stopped


def test_who_has_failed_for_longer_than_patience_ends_with_the_failure() -> None:
    with pytest.raises(StoreFailed, match="cannot be reached"):
        kept(DOWN, stop_after=PATIENCE * 10)


def test_a_steady_run_makes_up_for_failures_before_it() -> None:
    last = Attempt(1_000)
    kept(*[DOWN] * 10, Attempt(PATIENCE, DOWN), *[DOWN] * 10, last, stop_after=PATIENCE * 5)
    assert last.was_stopped


def test_what_is_no_trouble_of_stores_ends_at_once() -> None:
    with pytest.raises(ExceptionGroup) as failures:
        kept(Attempt(1, ZeroDivisionError("a defect")), stop_after=100)
    assert failures.group_contains(ZeroDivisionError)


def test_who_does_not_end_is_not_waited_for() -> None:
    with pytest.raises(EndsNot, match="has not come to an end within 25 seconds"):
        kept(Deaf(1_000), stop_after=10)


def test_who_is_told_to_stop_while_it_waits_ends() -> None:
    assert kept(DOWN, stop_after=10) == 10


@pytest.mark.parametrize("attempt", [WRONG, Attempt(1, WRONG)], ids=["opening", "running"])
def test_what_a_person_has_to_set_up_otherwise_is_not_waited_for(attempt: Attempt | StoreFailed) -> None:
    with pytest.raises(Misconfigured, match="topics are missing"):
        kept(DOWN, attempt, Attempt(1_000), stop_after=PATIENCE)


def test_of_failures_at_once_the_one_that_waiting_does_not_help_against_counts() -> None:
    class Both(Attempt):
        async def run(self, patience: float) -> None:  # noqa: ARG002 - it fails at once
            raise ExceptionGroup("unhandled errors in a TaskGroup", [DOWN, WRONG])

    with pytest.raises(Misconfigured, match="topics are missing"):
        kept(Both(0), Attempt(1_000), stop_after=PATIENCE)


def test_who_is_told_to_stop_while_it_opens_ends() -> None:
    async def never() -> Attempt:
        await asyncio.sleep(1_000)
        raise AssertionError

    async def keep() -> float:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.call_later(3, stop.set)
        await keep_running(never, Health("decider"), stop=stop, patience=PATIENCE)
        return loop.time()

    assert run(keep()) == 3


def test_trouble_is_said_once_and_once_more_when_it_is_over() -> None:
    other = StoreFailed("Kafka cannot be reached")
    with capture_logs() as logs:
        kept(*[DOWN] * 5, Attempt(1, DOWN), other, DOWN, Attempt(100), stop_after=PATIENCE)
    assert [(each["event"], each["trouble"]) for each in logs] == [
        ("process begins anew", str(DOWN)),
        ("process begins anew", str(other)),
        ("process begins anew", str(DOWN)),
        ("trouble is over", str(DOWN)),
    ]
