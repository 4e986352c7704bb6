"""The rate limit of an account: how many calls a second and at once, and what a 429 makes of it."""

import asyncio
from collections.abc import Callable

import pytest

from adapters.http.client import LEAST_RATE, LONGEST_STOP, STEPS, RateLimiter, RateLimits
from domain.failures import Reason, TargetFailed, Unavailable
from tests.support import travelling_time

TEN = RateLimits(calls_per_second=10.0, calls_at_once=8)


class Caller:
    """Makes calls through a rate limiter, in the loop's own time from 0 on; each takes a given time."""

    def __init__(self, limits: RateLimits = TEN) -> None:
        self.rate_limiter = RateLimiter(limits, clock=self._now)
        self.began: list[float] = []
        self.at_once = self.most_at_once = 0

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def call(self, lasts: float = 0.0, refused_for: float | None = None) -> None:
        """One call; with `refused_for` it is answered 429, with that `Retry-After`."""
        async with self.rate_limiter.slot() as began:
            self.began.append(round(self._now(), 6))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            await asyncio.sleep(lasts)
            self.at_once -= 1
        if refused_for is None:
            self.rate_limiter.rise()
        else:
            self.rate_limiter.lower(refused_for, began)

    async def calls(self, number: int, lasts: float = 0.0) -> None:
        """Make `number` calls at the same time."""
        await asyncio.gather(*(self.call(lasts) for _ in range(number)))

    async def rest(self, seconds: float) -> None:
        """Make no call for a while."""
        await asyncio.sleep(seconds)


def test_calls_go_out_at_the_configured_rate_after_a_small_burst() -> None:
    async def story() -> Caller:
        caller = Caller()
        await caller.calls(25)
        return caller

    began = travelling_time.run(story()).began
    assert began[:5] == [0.0] * 5
    assert began[5:] == pytest.approx([0.1 * each for each in range(1, 21)])


def test_a_rest_gives_back_half_a_second_of_calls_and_no_more() -> None:
    async def story() -> Caller:
        caller = Caller()
        await caller.calls(5)
        await caller.rest(60.0)
        await caller.calls(6)
        return caller

    assert travelling_time.run(story()).began[5:] == pytest.approx([60.0] * 5 + [60.1])


def test_no_more_calls_are_under_way_than_are_configured() -> None:
    async def story() -> Caller:
        caller = Caller(RateLimits(calls_per_second=1000.0, calls_at_once=4))
        await caller.calls(12, lasts=1.0)
        return caller

    caller = travelling_time.run(story())
    assert caller.most_at_once == 4
    assert caller.began == [0.0] * 4 + [1.0] * 4 + [2.0] * 4


def test_a_429_stops_the_whole_account_until_its_time_is_over() -> None:
    async def story() -> Caller:
        caller = Caller()
        await caller.call(refused_for=1.5)
        assert caller.rate_limiter.slots() == 0
        await caller.calls(3)
        return caller

    assert travelling_time.run(story()).began[1] == 1.5


def test_a_429_halves_the_rate_and_takes_one_from_the_calls_at_once() -> None:
    async def story() -> Caller:
        caller = Caller(RateLimits(calls_per_second=10.0, calls_at_once=3))
        await caller.call(refused_for=0.0)
        await caller.calls(4, lasts=0.3)
        return caller

    caller = travelling_time.run(story())
    assert caller.began[1:3] == [0.0, 0.2]
    assert caller.most_at_once == 2


def test_calls_that_were_under_way_together_lower_the_pace_once() -> None:
    async def story() -> Caller:
        caller = Caller()
        await asyncio.gather(*(caller.call(lasts=0.1, refused_for=1.0) for _ in range(5)))
        await caller.calls(3)
        return caller

    assert travelling_time.run(story()).began[5:] == pytest.approx([1.1, 1.3, 1.5], abs=0.01)


def test_the_rate_never_falls_below_its_floor_and_one_call_is_always_left() -> None:
    async def story() -> Caller:
        caller = Caller()
        for _ in range(20):
            await caller.call(refused_for=0.0)
        await caller.calls(2)
        assert caller.rate_limiter.slots() <= 1
        return caller

    began = travelling_time.run(story()).began
    assert began[-1] - began[-2] == pytest.approx(1 / LEAST_RATE, rel=0.2)


def test_a_rate_that_is_configured_below_the_floor_stays() -> None:
    async def story() -> Caller:
        caller = Caller(RateLimits(calls_per_second=0.1, calls_at_once=1))
        await caller.call(refused_for=0.0)
        await caller.calls(2)
        return caller

    assert travelling_time.run(story()).began[1:] == pytest.approx([0.0, 10.0])


def test_good_answers_raise_the_pace_slowly_to_what_is_configured_and_no_further() -> None:
    async def story() -> list[int]:
        rate_limiter = RateLimiter(TEN, clock=lambda: 0.0)
        for _ in range(4):
            rate_limiter.lower(0.0, began=0.0)
        rooms = []
        for _ in range(STEPS):
            rate_limiter.rise()
            rooms.append(int(rate_limiter._at_once))
        return rooms

    rooms = travelling_time.run(story())
    assert rooms == sorted(rooms)
    assert (rooms[0], rooms[STEPS // 4], rooms[-1]) == (4, 6, 8)


def test_the_longer_of_two_stops_counts() -> None:
    async def story() -> Caller:
        caller = Caller()
        caller.rate_limiter.lower(1.5, began=0.0)
        caller.rate_limiter.lower(0.5, began=0.0)
        await caller.call()
        return caller

    assert travelling_time.run(story()).began == [1.5]


def test_a_stop_that_comes_while_a_call_waits_counts_for_it_too() -> None:
    async def story() -> Caller:
        caller = Caller(RateLimits(calls_per_second=1.0, calls_at_once=2))
        slow = asyncio.create_task(caller.call(lasts=0.5, refused_for=1.5))
        await asyncio.sleep(0)
        await caller.call()
        await slow
        return caller

    assert travelling_time.run(story()).began == [0.0, 2.0]


@pytest.mark.parametrize("waits", [0, 3])
def test_no_call_waits_through_a_long_stop(waits: int) -> None:
    async def story() -> list[object]:
        caller = Caller(RateLimits(calls_per_second=1.0, calls_at_once=2))
        slow = asyncio.create_task(caller.call(lasts=0.1, refused_for=90.0))
        behind = [asyncio.create_task(caller.call()) for _ in range(waits)]
        await slow
        found = await asyncio.gather(*behind, caller.call(), return_exceptions=True)
        assert len(caller.began) == 1
        return [each.failure for each in found if isinstance(each, TargetFailed)]

    failures = travelling_time.run(story())
    assert len(failures) == waits + 1
    for failure in failures:
        assert isinstance(failure, Unavailable)
        assert failure.reason is Reason.LIMITED
        assert failure.retry_after == pytest.approx(90.0, abs=1.0)


def test_a_stop_without_end_ends_after_a_day() -> None:
    async def story() -> Callable[[], int]:
        now = [0.0]
        rate_limiter = RateLimiter(TEN, clock=lambda: now[0])
        rate_limiter.lower(float("inf"), began=0.0)
        now[0] = LONGEST_STOP - 1
        assert rate_limiter.slots() == 0
        now[0] = LONGEST_STOP
        return rate_limiter.slots

    assert travelling_time.run(story())() == 1


def test_the_room_counts_what_is_under_way() -> None:
    async def story() -> list[int]:
        caller = Caller()
        rooms = [caller.rate_limiter.slots()]
        async with caller.rate_limiter.slot():
            rooms.append(caller.rate_limiter.slots())
            await caller.rest(1.0)
            rooms.append(caller.rate_limiter.slots())
        return [*rooms, caller.rate_limiter.slots()]

    assert travelling_time.run(story()) == [5, 5, 6, 5]


def test_more_room_comes_when_it_is_said_to_come() -> None:
    async def story() -> list[tuple[float, int]]:
        caller, found = Caller(), list[tuple[float, int]]()
        async with caller.rate_limiter.slot():
            for calls in (5, 6):
                found.append((caller.rate_limiter.free_in(calls), calls))
                await caller.rest(found[-1][0])
                assert caller.rate_limiter.slots() == calls
            caller.rate_limiter.lower(30.0, began=0.0)
            found.append((caller.rate_limiter.free_in(2), 2))
            await caller.rest(found[-1][0])
            assert caller.rate_limiter.slots() == 2
            assert caller.rate_limiter.free_in(9) == float("inf")
        return found

    assert travelling_time.run(story()) == [(0.0, 5), (0.1, 6), (30.0, 2)]


def test_a_caller_who_gives_up_takes_no_other_callers_turn() -> None:
    async def story() -> Caller:
        caller = Caller(RateLimits(calls_per_second=1.0, calls_at_once=1))
        await caller.call()
        impatient = asyncio.create_task(caller.call())
        await asyncio.sleep(0.5)
        impatient.cancel()
        await caller.call()
        return caller

    assert travelling_time.run(story()).began == [0.0, 1.0]
