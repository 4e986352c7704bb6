"""A target is down for an hour under load: nothing piles up, and one call for each driver makes everything good."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from domain.account import Mode
from domain.failures import CallFailure, Reason, Unavailable
from domain.identity import Key, Target
from domain.outcomes import BreakerClosed, BreakerOpened
from domain.store import FILLED
from services.projector.deliveries import MOST_CALLS
from services.projector.read_models import DeliveryRow
from services.wiring import registry
from tests.support import travelling_time
from tests.support.stepped_services import ACME, SteppedServices, both_targets, logged, person
from tests.support.target_twin import TargetTwin

DRIVERI = Target.DRIVERI
DRIVERS, CHANGED = 30, 24
MINUTES, CHANGES = 60, 4
"""For how long the target is down, and how many drivers change in each minute of it."""

DOWN = Unavailable(reason=Reason.DOWN, detail="no connection")
SILENT = Unavailable(reason=Reason.NO_ANSWER, detail="sent, but no answer came")

RECOVERY = 400.0
"""Seconds in which the next probe must have come, and everything have been delivered."""

LOOPS = 8
"""Tasks of a projector's process that are not calls, and the test's own."""


class Timed(SteppedServices):
    """The services while a projector runs: their time is that of its event loop."""

    loop: asyncio.AbstractEventLoop | None = None

    def clock(self) -> datetime:
        """The present moment."""
        return self.now + timedelta(seconds=self.loop.time() if self.loop else 0.0)

    def take_over(self) -> None:
        """The decider consumes what there is."""
        while self.decider.step():
            continue

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """How much a projector keeps: the rows of its tables, what it has reported, and the tasks of its process."""

    rows: int
    reports: int
    tasks: int


class Outage:
    """What happens from the moment at which the target does not answer any more."""

    def __init__(self, services: Timed, failure: CallFailure) -> None:
        self.services = services
        self.twin: TargetTwin = services.twins[ACME, DRIVERI]
        self.measured: list[Measured] = []
        self.most_tasks = 0
        self.desired: dict[int, str] = {}
        self._store = services.projector_stores[DRIVERI]
        self._failure = failure
        self.twin.touched = self._count_tasks

    async def happen(self) -> list[str]:
        """An hour of it, and the time afterwards; the calls that were made then."""
        self.services.loop = asyncio.get_running_loop()
        running = asyncio.create_task(self.services.projectors[DRIVERI].run())
        self.twin.called.clear()
        self.twin.effects.clear()
        self.twin.down = "before", self._failure
        for minute in range(MINUTES):
            self._change(minute)
            await asyncio.sleep(60.0)
            self._measure()
        self.twin.down, during = None, len(self.twin.called)
        await asyncio.sleep(RECOVERY)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        return self.twin.called[during:]

    def _change(self, minute: int) -> None:
        for place in range(CHANGES):
            number = (minute * CHANGES + place) % CHANGED
            self.desired[number] = f"After {minute}"
            self.services.state(f"p{number}", person(number, last_name=self.desired[number]))
        self.services.take_over()
        self.services.projectors[DRIVERI].service.notify()

    def _measure(self) -> None:
        rows = sum(sum(self._store.count(row).values()) for row in registry.PROJECTOR_ROWS)
        measured = Measured(rows=rows, reports=self._store.log.end(), tasks=len(asyncio.all_tasks()))
        self.measured.append(measured)

    def _count_tasks(self, _call: str, _moment: str) -> None:
        self.most_tasks = max(self.most_tasks, len(asyncio.all_tasks()))


@pytest.fixture(params=[DOWN, SILENT], ids=["down", "silent"])
def outage(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Outage]:
    """A fleet that was in sync when the target went down."""
    services = Timed(tmp_path, both_targets())
    services.add()
    services.set_mode(Target.MOTIVE, Mode.OFF)
    for number in range(DRIVERS):
        services.state(f"p{number}", person(number))
    services.run()
    yield Outage(services, request.param)
    services.close()


def test_an_hour_of_outage_under_load_piles_nothing_up_and_costs_one_call_for_each_driver(outage: Outage) -> None:
    calls = travelling_time.run(outage.happen())
    twin, store = outage.twin, outage.services.projector_stores[DRIVERI]

    after_a_while, at_the_end = outage.measured[9], outage.measured[-1]
    assert at_the_end == after_a_while
    assert at_the_end.rows <= (len(registry.PROJECTOR_ROWS) - 2) * DRIVERS
    assert outage.most_tasks <= MOST_CALLS + LOOPS

    asked = len(twin.called) - len(calls)
    assert asked < 2 * MOST_CALLS
    reports = [type(event) for event in logged(store) if isinstance(event, BreakerOpened | BreakerClosed)]
    assert reports == [BreakerOpened, BreakerClosed]

    assert Counter(twin.effects) == Counter(f"update D{number}" for number in outage.desired)
    assert Counter(call for call in calls if call.startswith("update")) == Counter(twin.effects)
    shown = {number: twin.drivers.shown(Key(f"D{number}")) for number in outage.desired}
    assert {number: each and each.profile["last_name"] for number, each in shown.items()} == outage.desired
    assert store.count(DeliveryRow, {"due": FILLED}) == {(): 0}
