"""Whether the memory of `driverlink up` stays where it is while one change follows the other for a long time.

A fleet is stated again and again, everybody with another name each time, so that every history grows; both sandboxes
run in a process of their own. What the first quarter needs is not counted: it fills caches.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from services.sandbox.demo import Stage, sandboxes
from tests.benchmarks.findings import Bound, Finding
from tests.benchmarks.servers import Servers
from tests.benchmarks.telling import Done, Telling
from tests.support.processes import Up, outliving_client

CHANGES: Final = 20_000
DRIVERS: Final = 300
MOST: Final = 8.0
"""Megabytes between the first quarter and the end."""

_LIST: Final = 50
_AHEAD: Final = 100
"""How many calls may be left to be made before more is stated."""


def measure(_: Servers, telling: Telling) -> Sequence[Finding]:
    """By how much the process has grown since the first quarter."""
    with TemporaryDirectory(prefix="driverlink-") as folder:
        grown = asyncio.run(_soak(Path(folder) / "data", telling("soak: changes", CHANGES)))
    behind = {f"MB at most, {changes:,} changes": most for changes, most in grown.items()}
    measured = grown[CHANGES] - grown[CHANGES // 4]
    what = f"soak: memory grown from {CHANGES // 4:,} to {CHANGES:,} changes"
    return [Finding(what=what, measured=measured, budget=MOST, bound=Bound.UNDER, unit="MB", behind=behind)]


async def _soak(data: Path, done: Done) -> dict[int, float]:
    async with sandboxes() as targets:
        up = Up(data, targets)
        await up.start()
        async with outliving_client(up.socket) as client:
            stage = Stage(client)
            await stage.open_account()
            await stage.turn_on()
            grown: dict[int, float] = {}
            for stated in range(0, CHANGES, _LIST):
                await stage.take(_lines(stated))
                await _catch_up(stage)
                done(stated + _LIST)
                if (stated + _LIST) % (CHANGES // 4) == 0:
                    await stage.until_quiet()
                    grown[stated + _LIST] = up.most_megabytes()
        assert await up.stop() == 0
        return grown


async def _catch_up(stage: Stage) -> None:
    while (await stage.get("/progress"))["left"] > _AHEAD:  # noqa: ASYNC110 - another process has to catch up
        await asyncio.sleep(0.05)


def _lines(stated: int) -> list[dict[str, Any]]:
    numbers = [(stated + place) % DRIVERS for place in range(_LIST)]
    return [
        {"line": place, "driver": f"soak-{number}", "profile": _profile(number, stated // DRIVERS)}
        for place, number in enumerate(numbers)
    ]


def _profile(number: int, times: int) -> dict[str, str]:
    return {
        "first_name": "Soak",
        "last_name": f"Name {times}",
        "ref_id": f"S{number}",
        "driveri_driver_id": f"SOAK-{number}",
        "email": f"soak-{number}@fleet.example",
    }
