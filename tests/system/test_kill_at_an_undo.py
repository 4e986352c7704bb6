"""kill -9 in the middle of an undo, at its first call: before the target has it, and before its outcome is stored."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.sandbox.comparison import Json
from tests.support import exactly_once
from tests.support.call_proxy import Call, Forward, passed_back, proxy
from tests.support.fleet_story import FleetStory
from tests.support.fleets import divided, seed
from tests.support.hanging import HANGS
from tests.support.processes import Up, outliving_client, sandboxes

_PATIENCE = 300.0
"""Seconds in which everything has come to rest."""


class UndoDoor:
    """In front of Driveri: once it is shut, it holds up the first write, before or behind the target."""

    def __init__(self, *, is_behind: bool) -> None:
        self._is_behind = is_behind
        self.is_shut = False
        self.is_held_up = asyncio.Event()

    async def treat(self, call: Call, forward: Forward) -> AsyncGenerator[bytes, None]:
        if self.is_shut and call.method in ("PUT", "POST") and "/drivers" in call.target:
            self.is_shut = False
            if self._is_behind:
                await forward()
            self.is_held_up.set()
            await asyncio.Event().wait()
        yield passed_back(await forward())


def lines_of(answer: httpx.Response) -> list[Json]:
    """The lines of a plan."""
    return [json.loads(line) for line in answer.raise_for_status().text.splitlines()]


async def drivers_of(part: Any, targets: Any) -> dict[str, Json]:  # noqa: ANN401 - of the stands
    """What Driveri holds, but for moments, by DriverID."""
    drivers = (await part.shown(targets)).drivers
    return {each["driverId"]: {name: each[name] for name in each if not name.endswith("Date")} for each in drivers}


async def undone_and_killed(data: Path, door: UndoDoor) -> tuple[list[Json], Sequence[dict[str, Json]], list[Json]]:
    """Undo the first reconciliation on Driveri, and kill the process at its first call.

    What the journal has of the undo; what Driveri had at first, before the undo and at the end; and the links.
    """
    (part,) = divided(["fleet-1"], 12)
    async with sandboxes() as targets:
        await seed([part], targets)
        seeded = await drivers_of(part, targets)
        async with proxy(targets.driveri, door.treat) as url:
            up = Up(data, replace(targets, driveri=url))
            await up.start()
            async with outliving_client(up.socket) as client:
                story = FleetStory(part, client, targets, random.Random(1))  # noqa: S311 - moments, not secrets
                await story.begin()
                await story.stage.until_quiet()
                synchronised, journal = await drivers_of(part, targets), await exactly_once.journal_of(targets.driveri)
                path, target, number = "/v1/accounts/fleet-1/plan/undo", "driveri", 1
                shown = await client.get(path, params={"target": target, "reconciliation": number})
                plan = lines_of(shown)[-1]["plan"]["digest"]
                door.is_shut = True
                body = {"target": target, "reconciliation": number, "plan": plan}
                requested = lines_of(await client.post(path, json=body))
                assert "requested" in requested[-1], requested
                async with asyncio.timeout(HANGS):
                    await door.is_held_up.wait()
                await up.kill()
                await up.start()
                await story.stage.until_quiet()
                links = await story.stage.links()
            assert await up.stop() == 0
        now = await drivers_of(part, targets)
        after = await exactly_once.journal_of(targets.driveri)
        return after[len(journal) :], (seeded, synchronised, now), links


@pytest.mark.parametrize("is_behind", [False, True], ids=["before the call", "before its outcome is stored"])
def test_an_undo_whose_process_was_killed_ends_with_each_effect_once(tmp_path: Path, *, is_behind: bool) -> None:
    async def scene() -> tuple[list[Json], Sequence[dict[str, Json]], list[Json]]:
        async with asyncio.timeout(_PATIENCE):
            return await undone_and_killed(tmp_path / "data", UndoDoor(is_behind=is_behind))

    journal, (seeded, synchronised, now), links = asyncio.run(scene())
    assert exactly_once.repeated_effects(journal) == []
    assert {each: now[each] for each in seeded} == seeded
    states = [(link["state"], link["reason"]) for link in links if link["target"] == "driveri"]
    changed = {each for each, driver in synchronised.items() if driver != now[each]}
    assert changed == {entry["driver"] for entry in journal if entry["changed"]} != set()
    assert set(states) == {("parked", "undone"), ("held", "")}
