"""A process that cannot go on ends, and when it is started again it goes on from what is stored."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from domain.store import Event, StoreFailed, Unit
from services.runtime.outbox import Relay
from services.runtime.process import Health, Process, run_process
from services.runtime.service import Notifier, Service
from tests.contract.stands import fact
from tests.support.stream_in_memory import StreamInMemory
from tests.support.travelling_time import run
from tests.unit.services.runtime.consumer_stand import NOW, Heard, UnsteadyStore
from tests.unit.services.runtime.test_ready import Others, no_publisher


def fail() -> None:
    raise StoreFailed("the disk is full: free some space")


class Restartable:
    """A process that consumes a stream into a file, and can be started any number of times."""

    def __init__(self, path: Path) -> None:
        self.stream = StreamInMemory()
        self.heard: list[int] = []
        self._path = path

    def start(self, *, seconds: float = 5, fails: bool = False) -> None:
        """Run it for so long; with `fails`, its store fails when it first commits."""

        async def play() -> None:
            stop = asyncio.Event()
            asyncio.get_running_loop().call_later(seconds, stop.set)
            await run_process(lambda: self._open(fails=fails), Health("decider"), stop=stop, patience=60.0)

        run(play())

    async def _open(self, *, fails: bool) -> Process:
        store = UnsteadyStore(self._path)
        store.before += [fail] if fails else []
        handlers = {"upstream.v1": self._hear}
        service = Service("decider", store=store, clock=lambda: NOW, notifier=Notifier(), handlers=handlers)
        service.follow([self.stream])
        relay = Relay(UnsteadyStore(self._path), "heard.v1", epoch="1", leader_lock=Others(), opening=no_publisher)
        return Process(service, relay, Others(), work=service.run)

    def _hear(self, events: Sequence[tuple[int, Event]]) -> Unit:
        unit = Unit()
        unit.keep(Heard(position=position, driver="1", version=1) for position, _ in events)
        self.heard += [position for position, _ in events]
        return unit

    def stored(self) -> list[int]:
        store = UnsteadyStore(self._path)
        rows = [row.position for row in store.select(Heard, order_by="position")]
        store.close()
        return rows


def test_a_process_that_failed_goes_on_where_it_was_when_it_is_started_again(tmp_path: Path) -> None:
    process = Restartable(tmp_path / "heard.sqlite")
    process.stream.put([fact()])
    process.start()
    assert process.stored() == process.heard
    process.stream.put([fact(version=2)])
    with pytest.raises(StoreFailed, match="the disk is full"):
        process.start(fails=True)
    assert process.stored() == process.heard[:1]
    process.start()
    assert process.stored() == sorted(set(process.heard))
    assert len(process.stored()) == 2
