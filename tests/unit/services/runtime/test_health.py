"""Ready is who reaches all that it needs; stuck is who has work and gets none of it done."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from domain.store import StoreFailed
from services.runtime.process import Health, Progress, Stuck, watch
from tests.support.travelling_time import run
from tests.unit.services.runtime.test_process import progress


class Told:
    """A process whose progress is a function of time, in seconds."""

    def __init__(self, tell: Callable[[float], Progress]) -> None:
        self._tell = tell

    async def progress(self) -> Progress:
        return self._tell(asyncio.get_running_loop().time())


def stuck_after(tell: Callable[[float], Progress], patience: float = 60.0) -> float | None:
    """When it is taken to be stuck, in seconds; None: not within an hour."""

    async def look() -> float | None:
        try:
            await asyncio.wait_for(watch(Told(tell), patience), 3600)
        except Stuck:
            return asyncio.get_running_loop().time()
        except TimeoutError:
            return None
        return None

    return run(look())


def test_who_is_behind_and_does_nothing_is_stuck_after_patience() -> None:
    found = stuck_after(lambda _: progress(taken=7, behind=3))
    assert found is not None
    assert 60 < found <= 70


def test_a_process_whose_progress_cannot_be_measured_any_more_is_stuck() -> None:
    class Mute:
        async def progress(self) -> Progress:
            await asyncio.sleep(3600)
            raise AssertionError

    async def look() -> float:
        with pytest.raises(Stuck):
            await watch(Mute(), 60.0)
        return asyncio.get_running_loop().time()

    assert run(look()) == 60


def test_who_relays_and_sends_nothing_is_stuck() -> None:
    assert stuck_after(lambda _: progress(unsent=1, relaying=True)) is not None


@pytest.mark.parametrize(
    "tell",
    [
        lambda _: progress(taken=7),
        lambda _: progress(unsent=9),
        lambda now: progress(taken=int(now), behind=1_000),
        lambda now: progress(sent=int(now), unsent=1_000, relaying=True),
        lambda now: progress(taken=7, behind=int(now) % 50 // 40),
    ],
    ids=["nothing to do", "another relays", "taking over", "sending", "now and then behind"],
)
def test_who_gets_its_work_done_is_never_stuck(tell: Callable[[float], Progress]) -> None:
    assert stuck_after(tell) is None


def test_a_failure_to_measure_is_not_swallowed() -> None:
    def fail(_: float) -> Progress:
        raise StoreFailed("the database cannot be reached")

    with pytest.raises(StoreFailed, match="cannot be reached"):
        stuck_after(fail)


def answer(health: Health, path: str) -> tuple[int, dict[str, object]]:
    async def ask() -> tuple[int, dict[str, object]]:
        transport = httpx.ASGITransport(health.to_app())
        async with httpx.AsyncClient(transport=transport, base_url="http://decider") as client:
            response = await client.get(path)
            return response.status_code, response.json()

    return run(ask())


def test_who_only_starts_is_live_and_not_ready() -> None:
    health = Health("decider")
    assert answer(health, "/live") == (200, {"service": "decider", "live": True})
    assert answer(health, "/ready") == (
        503,
        {"service": "decider", "ready": False, "part": "process", "trouble": "is starting"},
    )


def test_a_running_process_is_ready_and_shows_its_progress() -> None:
    health = Health("decider")
    health.begins(Told(lambda _: progress(taken=7, behind=3)))
    assert answer(health, "/ready") == (
        200,
        {
            "service": "decider",
            "ready": True,
            "taken": 7,
            "behind": 3,
            "sent": 0,
            "unsent": 0,
            "relaying": False,
            "partitions": 0,
        },
    )


def test_a_process_whose_progress_cannot_be_measured_is_not_ready() -> None:
    def fail(_: float) -> Progress:
        raise StoreFailed("the database cannot be reached")

    health = Health("decider")
    health.begins(Told(fail))
    assert answer(health, "/ready") == (
        503,
        {"service": "decider", "ready": False, "part": "database", "trouble": "the database cannot be reached"},
    )


def test_where_kafka_is_silent_the_figures_are_shown_and_not_relied_upon() -> None:
    health = Health("decider")
    health.begins(Told(lambda _: replace(progress(taken=7), silence=29.9)))
    assert answer(health, "/ready")[0] == 200
    health.begins(Told(lambda _: replace(progress(taken=7), silence=30.2)))
    status, told = answer(health, "/ready")
    assert (status, told["taken"], told["silence"]) == (503, 7, 30)
    assert told["trouble"] == "Kafka has not said for 30 seconds where the streams end, so behind may be more"


def test_whose_log_does_not_get_out_is_not_ready() -> None:
    health = Health("decider")
    health.begins(Told(lambda _: replace(progress(unsent=3), stuck="x.v1 has not been relayed for 39 seconds")))
    status, told = answer(health, "/ready")
    assert (status, told["part"]) == (503, "kafka")
    assert str(told["trouble"]).startswith("x.v1 has not been relayed for 39 seconds")
