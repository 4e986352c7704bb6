"""The demonstration: a fleet goes from the Portal's export into both targets, and the Portal changes some of it."""

import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from rich.progress import Progress

from domain.identity import Target
from services.demo.comparing import Comparison, Shown, compare, left_alone, untouched
from services.demo.sandboxes import RunningSandboxes, sandboxes
from services.demo.stage import Json, Stage, stage
from services.demo.story import Fleet, Scene, to_scenes, wished_id
from services.demo.wiring import ExportRow, read_export
from services.sandbox.sample import SAMPLE

_BATCH = 100
_MARK = "made-by-demo"
_WAITING = ("parked", "held", "kept")


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What the demonstration found out."""

    drivers: int
    comparison: Comparison
    touched: list[tuple[str, str, str]]
    decided: list[Json]
    held: list[Json]
    standing: Counter[tuple[str, str]]
    seconds: float

    @property
    def is_agreed(self) -> bool:
        """Whether both targets agree with the Portal, and nothing of other people's was changed."""
        return self.comparison.is_agreed and not self.touched

    def to_json(self) -> Json:
        """The summary for scripts."""
        return {
            "agreed": self.is_agreed,
            "drivers": self.drivers,
            "agreeing": dict(self.comparison.agreeing),
            "waiting": [_named(each, ("target", "driver", "reason")) for each in self.comparison.waiting],
            "disagreements": [_named(each, ("target", "driver", "problem")) for each in self.comparison.disagreements],
            "touched": [_named(each, ("target", "driver", "problem")) for each in self.touched],
            "decided": self.decided,
            "held_and_approved": {each["target"]: len(each["drivers"]) for each in self.held},
            "standing": {f"{target} {state}": count for (target, state), count in sorted(self.standing.items())},
            "seconds": round(self.seconds, 1),
        }


class Demo:
    """Plays the story on a stage, and watches what both sandboxes show."""

    def __init__(self, on: Stage, targets: RunningSandboxes, progress: Progress) -> None:
        self._stage = on
        self._targets = targets
        self._progress = progress
        self._fleet = Fleet()

    async def play(self) -> Outcome:
        """The whole story, from the export to the comparison."""
        began = time.monotonic()
        seeded = await self._targets.shown()
        await self._stage.open_account()
        await self._import(SAMPLE / "portal-drivers.csv")
        drivers = len(self._fleet.there)
        await self._stage.turn_on()
        await self._watch("drivers appear in both targets")
        settled = await self._targets.shown()
        scenes = to_scenes(self._fleet, _settled(await self._stage.links()), _strays(self._fleet, settled))
        former = [
            wished_id(self._fleet.there[driver]) for scene in scenes if scene.is_relink for driver in scene.drivers
        ]
        scenes_began = datetime.now(UTC).isoformat()
        held = await self._play_scenes(scenes)
        now, links = await self._targets.shown(), await self._stage.links()
        return Outcome(
            drivers=drivers,
            comparison=compare(self._fleet, now, _waits(links)),
            touched=[*untouched(self._fleet, seeded, now), *left_alone(former, settled, now)],
            decided=await self._decided(scenes, scenes_began),
            held=held,
            standing=Counter((link["target"], link["state"]) for link in links),
            seconds=time.monotonic() - began,
        )

    async def _import(self, export: Path) -> None:
        rows = read_export(export)
        bar = self._progress.add_task(f"import {export.name}", total=rows.total_bytes, note="")
        for batch in _batches(row for row in rows if isinstance(row, ExportRow)):
            await self._stage.take(
                [{"line": row.line, "driver": row.driver, "profile": row.profile.fields} for row in batch]
            )
            self._fleet.there.update({str(row.driver): row.profile.onto({}) for row in batch})
            self._progress.update(bar, completed=batch[-1].bytes_read)
        self._progress.update(bar, completed=rows.total_bytes)

    async def _watch(self, title: str) -> None:
        """Show how the work in hand goes down, and how many drivers are in step meanwhile."""
        bar = self._progress.add_task(title, total=None, note="")
        most = 1

        def look(progress: Json) -> None:
            nonlocal most
            most = max(most, progress["left"])
            in_step = " ".join(f"{target} {count}" for target, count in sorted(progress["in_step"].items()))
            self._progress.update(bar, total=most, completed=most - progress["left"], note=in_step)

        await self._stage.until_quiet(look)

    async def _play_scenes(self, scenes: Sequence[Scene]) -> list[Json]:
        for scene in scenes:
            for change in scene.changes:
                await self._stage.announce(change)
                self._fleet.apply(change)
            await self._watch(scene.title)
        held = await self._stage.approve_all()
        await self._watch("the held deletes are approved")
        return held

    async def _decided(self, scenes: Iterable[Scene], since: str) -> list[Json]:
        """What was decided since, and why, for the drivers of each scene; of many alike the first and the last two."""
        titles: dict[str, list[str]] = {}
        for scene in scenes:
            for driver in dict.fromkeys((scene.drivers[0], *scene.drivers[-2:])):
                titles.setdefault(driver, []).append(scene.title)
        return [
            {"scene": ", then ".join(scene), **each}
            for driver, scene in titles.items()
            for each in await self._stage.decided(driver, since)
        ]


def _batches(rows: Iterable[ExportRow]) -> Iterator[list[ExportRow]]:
    waiting = iter(rows)
    while batch := list(islice(waiting, _BATCH)):
        yield batch


def _settled(links: Iterable[Json]) -> list[str]:
    count = Counter(link["driver"] for link in links if link["state"] == "in_step")
    return [driver for driver, targets in count.items() if targets == len(Target)]


def _strays(fleet: Fleet, shown: Shown) -> list[str]:
    wished = {wished_id(profile).casefold() for profile in fleet.there.values()}
    ids = (driver["driverId"] for driver in shown.drivers if driver["status"] == shown.active_status)
    return [each for each in ids if each.casefold() not in wished]


def _waits(links: Iterable[Json]) -> dict[tuple[str, str], str]:
    return {
        (link["target"], link["driver"]): link["detail"] or link["state"] for link in links if link["state"] in _WAITING
    }


def _named(values: tuple[str, str, str], names: tuple[str, str, str]) -> dict[str, str]:
    return dict(zip(names, values, strict=True))


async def play(data: Path, progress: Progress) -> Outcome:
    """The demonstration on a fresh data folder, with sandboxes of its own. Raises `NotADemo` or `SandboxEnded`."""
    make_fresh(data)
    async with sandboxes() as targets, stage(data, targets) as on:
        return await Demo(on, targets, progress).play()


class NotADemo(Exception):
    """The folder is there, and was not made by the demonstration."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} is not a folder of the demo, so it is left alone: name another one with --data")


def make_fresh(folder: Path) -> None:
    """Empty the folder of an earlier demonstration, and mark it as one. Raises `NotADemo`."""
    if folder.exists() and not (folder / _MARK).exists():
        raise NotADemo(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    (folder / _MARK).touch()
