"""kill -9 of `driverlink up` at any moment loses nothing and repeats no effect."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from domain.identity import Target
from domain.portal import Change
from domain.store import Event
from services.sandbox.comparison import Comparison, Json
from services.sandbox.story import Announcement
from tests.support import exactly_once
from tests.support.fleet_story import FleetStory
from tests.support.fleets import divided, seed
from tests.support.processes import Up, outliving_client, sandboxes
from tests.support.stored import log_beside

SEED = 20261122
BETWEEN = (0.02, 1.2)
"""Seconds between two kills."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """What is there when everything has come to rest."""

    drivers: int
    announced: Sequence[Announcement]
    changes: Sequence[Event]
    decisions: Sequence[Event]
    journals: dict[Target, list[Json]]
    comparison: Comparison
    touched: list[tuple[str, str, str]]


async def _gone_through(data: Path, drivers: int, kills: int) -> Aftermath:
    """One account's way; a third of the kills hit its first load, the scenes, and the approvals each."""
    chance = random.Random(SEED)  # noqa: S311 - moments, not secrets
    (part,) = divided(["fleet-1"], drivers)
    async with sandboxes() as targets:
        await seed([part], targets)
        up = Up(data, targets)
        await up.start()
        async with outliving_client(up.socket) as client:
            story = FleetStory(part, client, targets, chance)
            for deed in (story.begin, story.play, story.approve):
                await asyncio.gather(_kill(up, kills // 3, chance), _to_rest(story, deed()))
            comparison, touched = await story.judged()
        assert await up.stop() == 0
        return Aftermath(
            drivers=len(part.rows),
            announced=story.announced,
            changes=_logged(data, "intake"),
            decisions=_logged(data, "decider"),
            journals={
                Target.DRIVERI: await exactly_once.journal_of(targets.driveri),
                Target.MOTIVE: await exactly_once.journal_of(targets.motive),
            },
            comparison=comparison,
            touched=touched,
        )


async def _to_rest(story: FleetStory, deed: Awaitable[object]) -> None:
    await deed
    await story.stage.until_quiet()


async def _kill(up: Up, kills: int, chance: random.Random) -> None:
    """Kill and start again, at moments that the seed and the machine's own pace make random."""
    for _ in range(kills):
        await asyncio.sleep(chance.uniform(*BETWEEN))
        await up.kill()
        await up.start()


def _logged(data: Path, service: str) -> list[Event]:
    with log_beside(data, service) as log:
        return exactly_once.events_of(log)


@pytest.mark.parametrize(
    ("drivers", "kills"), [(50, 9), pytest.param(1_500, 60, marks=pytest.mark.long)], ids=["9 kills", "60 kills"]
)
def test_kills_lose_nothing_and_repeat_no_effect(tmp_path: Path, drivers: int, kills: int) -> None:
    aftermath = asyncio.run(_gone_through(tmp_path / "data", drivers, kills))

    announced = Counter(change.action for change in aftermath.announced)
    assert Counter(type(event).__name__ for event in aftermath.changes) == {
        "DriverCreated": aftermath.drivers + announced["create"],
        "DriverUpdated": announced["update"],
        "DriverDeleted": announced["delete"],
    }
    decided = exactly_once.answered(aftermath.decisions)
    assert decided.repeated() == []
    assert decided.missing(event for event in aftermath.changes[aftermath.drivers :] if isinstance(event, Change)) == []
    assert exactly_once.said_twice(aftermath.decisions) == []
    assert exactly_once.out_of_order(aftermath.decisions) == []
    for target, journal in aftermath.journals.items():
        assert exactly_once.repeated_effects(journal) == []
        assert sum(entry["created"] for entry in journal) == exactly_once.created(aftermath.decisions, target) > 0
    assert aftermath.comparison.disagreements == []
    assert aftermath.touched == []
