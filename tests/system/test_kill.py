"""kill -9 at any moment loses nothing and repeats no effect."""

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
from rich.progress import Progress

from services.sandbox.demo import Demo, DemoResult, RunningSandboxes, Stage, sandboxes
from services.sandbox.story import MASS_DELETE
from tests.support.processes import Up, outliving_client

KILLS = 30

Json = dict[str, Any]


async def _play_while_killing(data: Path) -> tuple[DemoResult, int, list[Json], dict[str, list[Json]]]:
    async with sandboxes() as targets:
        up = Up(data, targets)
        await up.start()
        async with outliving_client(up.socket) as client:
            stage = Stage(client)
            story = asyncio.create_task(Demo(stage, targets, Progress(disable=True)).play())
            kills = await _kill_at_random(up, story)
            outcome = await story
            events = await stage.events({})
        assert await up.stop() == 0
        return outcome, kills, events, await _journals(targets)


async def _kill_at_random(up: Up, story: "asyncio.Task[DemoResult]") -> int:
    """Kill and start again, at moments that the seed and the machine's own pace make random."""
    moments = random.Random(20261122)  # noqa: S311 - moments, not secrets
    for kills in range(KILLS):
        await asyncio.wait({story}, timeout=moments.uniform(0.02, 1.2))
        if story.done():
            return kills
        await up.kill()
        await up.start()
    return KILLS


async def _journals(targets: RunningSandboxes) -> dict[str, list[Json]]:
    return {"driveri": await _journal(targets.driveri), "motive": await _journal(targets.motive)}


async def _journal(address: str) -> list[Json]:
    entries: list[Json] = []
    async with httpx.AsyncClient(timeout=30.0) as client:
        while True:
            after = entries[-1]["number"] if entries else 0
            answer = await client.get(f"{address}/sandbox/journal", params={"after": after, "limit": 1000})
            page = answer.raise_for_status().json()["entries"]
            if not page:
                return entries
            entries += page


def test_thirty_kills_lose_nothing_and_repeat_no_effect(tmp_path: Path) -> None:
    outcome, kills, events, journals = asyncio.run(_play_while_killing(tmp_path / "data"))

    assert kills == KILLS, "the story was over before the last kill"
    assert outcome.comparison.disagreements == []
    assert outcome.touched == []
    _every_change_was_accepted_once(events)
    _every_change_was_decided_once(events)
    for target, journal in journals.items():
        _every_effect_happened_once(journal)
        assert sum(entry["created"] for entry in journal) == _created(events, target)


def _every_change_was_accepted_once(events: list[Json]) -> None:
    count = Counter(event["type"] for event in events if event["log"] == "changes")
    rehired = 2
    assert count == {"DriverCreated": 1500 + rehired, "DriverUpdated": 5, "DriverDeleted": 1 + MASS_DELETE}


def _every_change_was_decided_once(events: list[Json]) -> None:
    decided = Counter(
        (event["target"], event["driver"], event["type"], str(event["data"]["rationale"]), event["data"]["sequence"])
        for event in events
        if event["log"] == "decisions" and "sequence" in event["data"]
    )
    assert [each for each, times in decided.items() if times > 1] == []


def _every_effect_happened_once(journal: list[Json]) -> None:
    named = ("driver", "method", "path", "created", "changed", "before", "after", "fingerprint")
    effects = Counter(
        tuple(str(entry[name]) for name in named) for entry in journal if entry["created"] or entry["changed"]
    )
    assert [each for each, times in effects.items() if times > 1] == []


def _created(events: list[Json], target: str) -> int:
    """The drivers for which a create was decided, and which are there now."""
    decisions = [event for event in events if event["log"] == "decisions" and event["target"] == target]
    wanted = {each["driver"] for each in decisions if each["type"] == "CreateDecided"}
    there = {each["driver"] for each in decisions if each["type"] == "Confirmed"}
    return len(wanted & there)
