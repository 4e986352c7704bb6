"""Whatever fails in a process, `/ready` answers in time, with 503 and the part of the installation that failed."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from adapters.kafka.connection import StreamsFailed
from adapters.store.sqlite import SqliteStore
from domain.store import StoreFailed
from services.runtime.outbox import Publisher, Relay
from services.runtime.process import Health, Process, Progress
from services.runtime.service import Notifier, Service
from tests.support.travelling_time import run
from tests.unit.services.runtime.test_health import Told, answer

NOW = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
DATABASE_AWAY = StoreFailed("the database cannot be reached")
KAFKA_AWAY = StreamsFailed("Kafka at kafka:9092 cannot be reached")


class Others:
    """The turn to relay, which is never ours, and the sign that the process runs."""

    def __init__(self) -> None:
        self.failure: Exception | None = None

    def take(self) -> bool:
        return False

    def wait(self, seconds: float) -> None:
        raise AssertionError(seconds)

    def check(self) -> None:
        if self.failure:
            raise self.failure

    def close(self) -> None:
        """Nothing to leave."""


def no_publisher() -> Publisher:
    raise AssertionError("it is never our turn")


class Stand:
    """A process with its health, which does as the test says, and is asked whether it is ready."""

    def __init__(self, path: Path) -> None:
        self.others = Others()
        self.health = Health("decider")
        self.fails = asyncio.Event()
        self.may_close = asyncio.Event()
        self.failure: Exception = DATABASE_AWAY
        store = SqliteStore(path / "x.sqlite", log_name="x.v1", rows=())
        relay = Relay(store, "x.v1", epoch="1", leader_lock=self.others, opening=no_publisher)
        service = Service("decider", store=store, clock=lambda: NOW, notifier=Notifier())
        self.process = Process(service, relay, self.others, work=self._work, close=self._close)

    async def _work(self) -> None:
        await self.fails.wait()
        raise self.failure

    async def ready(self) -> tuple[int, dict[str, Any]]:
        transport = httpx.ASGITransport(self.health.to_app())
        async with httpx.AsyncClient(transport=transport, base_url="http://decider") as client:
            response = await client.get("/ready")
            return response.status_code, response.json()

    async def _close(self) -> None:
        await self.may_close.wait()


def asked(path: Path, script: Callable[[Stand], Coroutine[Any, Any, None]]) -> None:
    """Run a process while the script asks it; then it is closed."""

    async def play() -> None:
        stand = Stand(path)
        stand.health.begins(stand.process)
        running = asyncio.create_task(stand.process.run(60.0))
        await asyncio.sleep(0.1)
        try:
            await script(stand)
        finally:
            stand.may_close.set()
            running.cancel()
            with suppress(asyncio.CancelledError, ExceptionGroup):
                await running

    run(play())


def test_while_the_database_is_stopped_the_answer_names_it(tmp_path: Path) -> None:
    async def script(stand: Stand) -> None:
        assert (await stand.ready())[0] == 200
        stand.others.failure = DATABASE_AWAY
        assert await stand.ready() == (
            503,
            {"service": "decider", "ready": False, "part": "database", "trouble": "the database cannot be reached"},
        )

    asked(tmp_path, script)


def test_a_process_that_fails_says_of_what_while_it_closes_and_afterwards(tmp_path: Path) -> None:
    async def script(stand: Stand) -> None:
        stand.fails.set()
        await asyncio.sleep(0.1)
        closing = await stand.ready()
        stand.may_close.set()
        await asyncio.sleep(0.1)
        assert closing == await stand.ready()
        assert (closing[0], closing[1]["part"], closing[1]["trouble"]) == (503, "database", str(DATABASE_AWAY))

    asked(tmp_path, script)


def test_a_process_that_fails_of_kafka_names_kafka(tmp_path: Path) -> None:
    async def script(stand: Stand) -> None:
        stand.failure = KAFKA_AWAY
        stand.fails.set()
        await asyncio.sleep(0.1)
        status, told = await stand.ready()
        assert (status, told["part"], told["trouble"]) == (503, "kafka", str(KAFKA_AWAY))

    asked(tmp_path, script)


def test_a_process_that_is_closed_is_not_ready(tmp_path: Path) -> None:
    async def script(stand: Stand) -> None:
        stand.may_close.set()
        await stand.process.close()
        status, told = await stand.ready()
        assert (status, told["part"]) == (503, "process")

    asked(tmp_path, script)


def test_an_unforeseen_failure_is_an_answer_too(tmp_path: Path) -> None:
    async def script(stand: Stand) -> None:
        stand.others.failure = ZeroDivisionError("jane@fleet.test")
        status, told = await stand.ready()
        assert (status, told["part"]) == (503, "process")
        assert told["trouble"] == "the progress cannot be measured: ZeroDivisionError"

    asked(tmp_path, script)


def test_a_database_that_does_not_answer_is_not_waited_for() -> None:
    class Mute:
        async def progress(self) -> Progress:
            await asyncio.sleep(3600)
            raise AssertionError

    async def ask() -> float:
        health = Health("decider")
        health.begins(Mute())
        transport = httpx.ASGITransport(health.to_app())
        async with httpx.AsyncClient(transport=transport, base_url="http://decider") as client:
            response = await client.get("/ready")
        assert (response.status_code, response.json()["part"]) == (503, "database")
        return asyncio.get_running_loop().time()

    assert run(ask()) == 2


def test_where_kafka_is_silent_it_is_named() -> None:
    health = Health("decider")
    silent = Progress(taken=7, behind=0, sent=0, unsent=0, relaying=False, partitions=1, silence=31)
    health.begins(Told(lambda _: silent))
    assert answer(health, "/ready")[1]["part"] == "kafka"
