"""kill -9 between the commit that a call starts and the call itself, and between the call and its outcome's commit."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest

from services.sandbox.comparison import Json
from tests.support import exactly_once
from tests.support.call_proxy import Call, Forward, passed_back, proxy
from tests.support.fleet_story import FleetStory
from tests.support.fleets import divided, seed
from tests.support.processes import Up, outliving_client, sandboxes

_PATIENCE = 300.0
"""Seconds in which everything has come to rest."""


class Door:
    """In front of Driveri: holds up the first create, before or behind the target, and then keeps what is called."""

    def __init__(self, *, is_behind: bool) -> None:
        self._is_behind = is_behind
        self.driver = ""
        self.is_held_up = asyncio.Event()
        self.calls: list[Call] = []

    async def treat(self, call: Call, forward: Forward) -> AsyncGenerator[bytes, None]:
        if self.driver:
            self.calls.append(call)
        elif call.method == "POST" and call.target.partition("?")[0].endswith("/drivers"):
            self.driver = json.loads(call.body)["driverId"]
            if self._is_behind:
                await forward()
            self.is_held_up.set()
            await asyncio.Event().wait()
        yield passed_back(await forward())

    def calls_about_the_driver(self) -> list[str]:
        """The methods of the calls that name the driver of the first create, in order."""
        return [each.method for each in self.calls if self.driver in f"{each.target} {each.body.decode()}"]


async def killed_at_a_create(data: Path, door: Door) -> list[Json]:
    """Kill the process while its first create is held up; what Driveri's journal has of that driver at the end."""
    (part,) = divided(["fleet-1"], 12)
    async with sandboxes() as targets:
        await seed([part], targets)
        async with proxy(targets.driveri, door.treat) as url:
            up = Up(data, replace(targets, driveri=url))
            await up.start()
            async with outliving_client(up.socket) as client:
                story = FleetStory(part, client, targets, random.Random(1))  # noqa: S311 - moments, not secrets
                beginning = asyncio.create_task(story.begin())
                await door.is_held_up.wait()
                await up.kill()
                door.calls.clear()
                await up.start()
                await beginning
                await story.stage.until_quiet()
            assert await up.stop() == 0
        return [entry for entry in await exactly_once.journal_of(targets.driveri) if entry["driver"] == door.driver]


@pytest.mark.parametrize("is_behind", [False, True], ids=["before the call", "before its outcome is stored"])
def test_a_create_whose_process_was_killed_is_read_back_before_it_is_repeated(
    tmp_path: Path, *, is_behind: bool
) -> None:
    async def scene() -> tuple[Door, list[Json]]:
        door = Door(is_behind=is_behind)
        async with asyncio.timeout(_PATIENCE):
            return door, await killed_at_a_create(tmp_path / "data", door)

    door, journal = asyncio.run(scene())
    calls = door.calls_about_the_driver()
    assert calls[0] == "GET"
    assert calls.count("POST") == (0 if is_behind else 1)
    assert [entry["created"] for entry in journal] == [True]
