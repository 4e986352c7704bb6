"""A process runs until it is stopped, and ends with its failure when it cannot go on."""

import asyncio
from contextlib import suppress

import pytest

from domain.store import Misconfigured, StoreFailed
from services.runtime.process import Health, Progress, StillRunning, run_process
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


def ran(attempt: Attempt | StoreFailed, stop_after: float | None = None) -> float:
    """Run this process, or fail to open it; how many seconds it took."""

    async def opening() -> Attempt:
        if isinstance(attempt, StoreFailed):
            raise attempt
        return attempt

    async def play() -> float:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        if stop_after is not None:
            loop.call_later(stop_after, stop.set)
        await run_process(opening, Health("decider"), stop=stop, patience=PATIENCE)
        return loop.time()

    return run(play())


class Deaf(Attempt):
    """It ignores being cancelled."""

    async def run(self, patience: float) -> None:  # noqa: ARG002 - it does not end anyway
        clock = asyncio.get_running_loop().time
        until = clock() + self._seconds
        while clock() < until:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(until - clock())


def test_a_process_runs_until_it_is_stopped() -> None:
    attempt = Attempt(1_000)
    assert ran(attempt, stop_after=100) == 100
    assert attempt.was_stopped


@pytest.mark.parametrize("failure", [DOWN, WRONG], ids=["passing", "misconfigured"])
@pytest.mark.parametrize("is_opened", [False, True], ids=["opening", "running"])
def test_a_process_that_cannot_go_on_ends_with_its_failure_at_once(failure: StoreFailed, *, is_opened: bool) -> None:
    with pytest.raises(type(failure), match=str(failure).partition(":")[0]):
        ran(Attempt(1, failure) if is_opened else failure)


def test_a_defect_ends_a_process_with_all_that_is_known_of_it() -> None:
    with pytest.raises(ExceptionGroup) as failures:
        ran(Attempt(1, ZeroDivisionError("a defect")))
    assert failures.group_contains(ZeroDivisionError)


def test_a_process_that_does_not_end_is_not_waited_for() -> None:
    with pytest.raises(StillRunning, match="has not come to an end within 25 seconds"):
        ran(Deaf(1_000), stop_after=10)


def test_of_failures_at_once_the_one_that_needs_a_person_is_reported() -> None:
    class Both(Attempt):
        async def run(self, patience: float) -> None:  # noqa: ARG002 - it fails at once
            raise ExceptionGroup("unhandled errors in a TaskGroup", [DOWN, WRONG])

    with pytest.raises(Misconfigured, match="topics are missing"):
        ran(Both(0))


def test_a_process_can_be_stopped_while_it_opens() -> None:
    async def never() -> Attempt:
        await asyncio.sleep(1_000)
        raise AssertionError

    async def play() -> float:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.call_later(3, stop.set)
        await run_process(never, Health("decider"), stop=stop, patience=PATIENCE)
        return loop.time()

    assert run(play()) == 3
