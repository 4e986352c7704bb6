"""The process of a projector: it starts where it was left, and lets the calls under way end."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from domain.account import Mode
from domain.driver_link import CreateDecided
from domain.identity import Key, Target
from domain.ports import Answer
from domain.profile import Profile
from domain.store import Unit
from services.projector.read_models import DeliveryRow, ScanRow
from services.projector.service import LONGEST_ATTEMPT
from services.runtime.serving import CALLS_END
from tests.support import travelling_time
from tests.support.stepped_services import ACME, SteppedServices
from tests.support.target_twin import TargetTwin
from tests.unit.services.projector.conftest import SECOND
from tests.unit.services.projector.rosters import due, request
from tests.unit.services.projector.sayings import answered, say, waiting

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class SlowTwin(TargetTwin):
    """Answers a create when it is let go."""

    def __init__(self) -> None:
        super().__init__(Target.DRIVERI)
        self.has_begun = asyncio.Event()
        self.may_end = asyncio.Event()

    async def create(self, key: Key | None, profile: Profile) -> Answer:
        self.has_begun.set()
        await self.may_end.wait()
        return await super().create(key, profile)


def put(fleet: SteppedServices, twin: TargetTwin) -> None:
    """Only this target of one account is left."""
    fleet.turn_off(SECOND)
    fleet.set_mode(Target.MOTIVE, Mode.OFF)
    assert isinstance(fleet.twins, dict)
    fleet.twins[ACME, Target.DRIVERI] = twin


async def ended(running: asyncio.Task[None]) -> None:
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_a_call_under_way_ends_and_is_stored_before_the_process_ends(fleet: SteppedServices) -> None:
    twin = SlowTwin()
    put(fleet, twin)
    say(fleet, CreateDecided)
    running = asyncio.create_task(fleet.projectors[Target.DRIVERI].run())
    await twin.has_begun.wait()
    running.cancel()
    twin.may_end.set()
    await ended(running)
    assert answered(fleet) == [("p1", 1, "confirmed")]
    assert waiting(fleet)["started"] == 0


def test_a_call_that_does_not_end_is_abandoned_and_counts_as_started(fleet: SteppedServices) -> None:
    async def scene() -> float:
        twin, loop = SlowTwin(), asyncio.get_running_loop()
        put(fleet, twin)
        say(fleet, CreateDecided)
        running = asyncio.create_task(fleet.projectors[Target.DRIVERI].run())
        await twin.has_begun.wait()
        told_at = loop.time()
        await ended(running)
        return loop.time() - told_at

    assert travelling_time.run(scene()) == pytest.approx(CALLS_END, abs=1)
    assert answered(fleet) == []
    assert waiting(fleet)["started"] == 1


def test_a_call_without_an_end_gives_its_place_back(fleet: SteppedServices) -> None:
    async def scene() -> None:
        twin = SlowTwin()
        put(fleet, twin)
        say(fleet, CreateDecided)
        running = asyncio.create_task(fleet.projectors[Target.DRIVERI].run())
        await twin.has_begun.wait()
        await asyncio.sleep(LONGEST_ATTEMPT + 60)
        await ended(running)

    travelling_time.run(scene())
    assert answered(fleet) == [("p1", 1, "deferred")]
    assert waiting(fleet)["started"] == 1


def test_a_call_of_an_account_that_goes_elsewhere_is_waited_for_in_bounded_time(fleet: SteppedServices) -> None:
    async def scene() -> float:
        twin, loop, app = SlowTwin(), asyncio.get_running_loop(), fleet.projectors[Target.DRIVERI]
        put(fleet, twin)
        say(fleet, CreateDecided)
        running = asyncio.create_task(app.run())
        await twin.has_begun.wait()
        told_at = loop.time()
        app._assignment.hold(())
        await app.drain()
        took = loop.time() - told_at
        await ended(running)
        return took

    assert travelling_time.run(scene()) == pytest.approx(CALLS_END, abs=1)
    assert waiting(fleet)["started"] == 1


async def test_a_call_that_was_started_before_a_kill_is_settled_at_start(fleet: SteppedServices) -> None:
    twin = SlowTwin()
    twin.may_end.set()
    put(fleet, twin)
    say(fleet, CreateDecided)
    fleet.start(Target.DRIVERI)
    again = fleet.reopened()
    running = asyncio.create_task(again.projectors[Target.DRIVERI].run())
    await twin.has_begun.wait()
    await ended(running)
    assert twin.called == ["find D1", "create D1"]
    assert answered(again) == [("p1", 1, "confirmed")]
    again.close()


async def test_a_decision_during_a_call_waits_for_its_answer(fleet: SteppedServices) -> None:
    twin = SlowTwin()
    put(fleet, twin)
    say(fleet, CreateDecided)
    running = asyncio.create_task(fleet.projectors[Target.DRIVERI].run())
    await twin.has_begun.wait()
    app = fleet.projectors[Target.DRIVERI]
    say(fleet, CreateDecided, desired_key="D2", is_followed=False)
    await app.service.call(app.service.step)
    assert [row.body["desired_key"] for row in fleet.projector_stores[Target.DRIVERI].select(DeliveryRow)] == ["D2"]
    twin.may_end.set()
    await ended(running)
    assert twin.called == ["create D1"]
    assert answered(fleet) == [("p1", 1, "confirmed")]


async def test_an_account_that_was_elsewhere_is_not_scanned_again_for_what_was_asked_before(
    scanned: SteppedServices,
) -> None:
    app = scanned.projectors[Target.DRIVERI]
    request(scanned)
    assert due(scanned) == [ACME]
    app._assignment.hold(())
    await app.drain()
    scanned_elsewhere(scanned)
    app._assignment.hold((0,))
    assert due(scanned) == []


def scanned_elsewhere(fleet: SteppedServices) -> None:
    """Another process has scanned the roster for the last request."""
    store, unit = fleet.projector_stores[Target.DRIVERI], Unit()
    (row,) = store.select(ScanRow, {"account": ACME})
    unit.keep([replace(row, request=fleet.accounts.show(ACME).reconciliations[Target.DRIVERI])])
    store.commit(unit)
