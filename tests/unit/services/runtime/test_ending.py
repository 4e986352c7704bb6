"""A service that is cancelled ends, whatever happens at the same moment."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from services.runtime.service import Notifier, Service
from tests.support.hanging import HANGS
from tests.unit.services.runtime.consumer_stand import NOW, FollowingStand

pytestmark = pytest.mark.anyio

NEVER = 3600.0
"""Seconds that no test waits for."""


@pytest.mark.parametrize("turns", range(6))
async def test_a_service_that_is_cancelled_as_a_bell_rings_ends(tmp_path: Path, turns: int) -> None:
    """How many turns of the event loop lie between the notification and the cancelling."""
    notifier, looks, loop = Notifier(), asyncio.Event(), asyncio.get_running_loop()

    def look() -> int:
        loop.call_soon_threadsafe(looks.set)
        return 0

    with closing(FollowingStand(tmp_path / "service.sqlite")) as stand:
        service = Service("ears", store=stand.store, clock=lambda: NOW, notifier=notifier, chores=[look], rest=NEVER)
        running = asyncio.create_task(service.run())
        await looks.wait()
        await service.call(lambda: None)
        notifier.notify()
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait({running}, timeout=HANGS)
        assert running.cancelled()
        service.close()
