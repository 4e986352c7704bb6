"""The demo: a fleet goes from the Portal's export into both targets, and the Portal changes some of it.

The sandboxes run in a process of their own, and the product in this one; the demo uses it through the api.
"""

import asyncio
import json
import shutil
import socket
import ssl
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import httpx
from rich.progress import Progress

from domain.failures import ClearFailure
from services.api import V1
from services.api.app import to_app
from services.api.authentication import at_local_socket
from services.runtime.serving import stopping_on_signals, tcp_socket
from services.sandbox.comparison import (
    Comparison,
    Json,
    TargetsState,
    compare,
    in_sync,
    left_alone,
    to_shown,
    unmanaged,
    untouched,
)
from services.sandbox.sample import SAMPLE
from services.sandbox.state import wall_clock
from services.sandbox.story import Announcement, Fleet, Scene, desired_id, to_scenes
from services.sandbox.webhooks import standard_signature
from services.wiring.embedded import run, serving
from services.wiring.exports import ExportRow, read_export
from services.wiring.settings import EmbeddedSettings

NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of servers on this machine: httpx would load every certificate again for each client."""


class SandboxEnded(ClearFailure):
    """The sandboxes did not start; the message is their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSandboxes:
    """Where the sandboxes listen; the Portal's is not needed where drivers are stated by command."""

    driveri: str
    motive: str
    portal: str = ""

    async def shown(self) -> TargetsState:
        """Everything that both targets hold now."""
        async with httpx.AsyncClient(timeout=30.0, verify=NO_TLS) as client:
            driveri = await client.get(f"{self.driveri}/sandbox/state")
            motive = await client.get(f"{self.motive}/sandbox/state")
        return to_shown(driveri.json(), motive.json())


@asynccontextmanager
async def sandboxes() -> AsyncIterator[RunningSandboxes]:
    """The sandboxes with the sample fleet, on free loopback ports. Raises `SandboxEnded`."""
    ports = [word for name in ("driveri", "motive", "portal") for word in (f"--{name}-port", "0")]
    command = (sys.executable, "-m", "services.cli", "sandbox", *ports)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield RunningSandboxes(
            driveri=await _address(process), motive=await _address(process), portal=await _address(process)
        )
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def _address(process: asyncio.subprocess.Process) -> str:
    if process.stdout is None or process.stderr is None:
        raise SandboxEnded("the sandboxes cannot be heard")
    line = (await process.stdout.readline()).decode()
    if not line:
        raise SandboxEnded((await process.stderr.read()).decode().strip() or "the sandboxes ended at once")
    return line.split()[-1]


ACCOUNT = "sample-fleet"
MASTER_USER = "maria"
_CREDENTIALS = {
    "driveri": {"tenant": "sample-fleet", "client_id": "sample-client", "client_secret": "sample-secret"},
    "motive": {"api_key": "sample-motive-key"},
}
_UNHURRIED = {
    "driveri_calls_per_second": 10_000,
    "driveri_calls_at_once": 32,
    "motive_calls_per_second": 10_000,
    "motive_calls_at_once": 32,
}
"""Sandboxes have no limits that a projector would have to keep."""

_JUDGED = ("DeleteApproved", "DeleteRejected", "DeleteRecalled")
_LOOK = 0.25
"""Seconds between two looks at how far the services are."""


class Stage:
    """What the story asks of the services, through the same door as every command."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def open_account(self) -> None:
        """An account of the sample fleet, connected to both sandboxes, with synchronisation off."""
        await self.post("/accounts", {"account": ACCOUNT, "tier": "pro", "mode": "full", "master_user": MASTER_USER})
        for target, values in _CREDENTIALS.items():
            await self.post(f"/accounts/{ACCOUNT}/credentials", {"target": target, "values": values})

    async def take(self, lines: Sequence[Json]) -> None:
        """The Portal lists these drivers."""
        await self.post(f"/accounts/{ACCOUNT}/lists", {"lines": list(lines)})

    async def turn_on(self) -> None:
        """The Master User ticks Sync Drivers."""
        await self.post(f"/accounts/{ACCOUNT}/sync", {"by": MASTER_USER, "on": True})

    async def announce(self, change: Announcement) -> None:
        """The Portal announces one change."""
        body = {"action": change.action, "driver": change.driver, "profile": dict(change.profile)}
        await self.post(f"/accounts/{ACCOUNT}/drivers", body)

    async def approve_all(self) -> list[Json]:
        """The Master User approves exactly the sets that are held now."""
        held: list[Json] = await self.get(f"/accounts/{ACCOUNT}/approvals")
        for each in held:
            body = {"by": MASTER_USER, "target": each["target"], "digest": each["digest"], "approve": True}
            await self.post(f"/accounts/{ACCOUNT}/approvals", body)
        return held

    async def links(self) -> list[Json]:
        """How every link stands."""
        found: list[Json] = await self.get(f"/accounts/{ACCOUNT}/links")
        return found

    async def decided(self, driver: str, since: str) -> list[Json]:
        """What was decided for one driver since a moment, and why: target, type, situation, cause."""
        query = {"account": ACCOUNT, "driver": driver, "log": "decisions", "since": since}
        events = await self.events(query)
        return [_to_reason(event) for event in events if "rationale" in event["data"] or event["type"] in _JUDGED]

    async def events(self, query: Mapping[str, str]) -> list[Json]:
        """Every event of the log that matches."""
        query, found = dict(query), []
        while True:
            page: Json = await self.get("/events", **query)
            found += page["events"]
            if page["is_end"]:
                return found
            query["cursor"] = page["cursor"]

    async def until_quiet(self, on_look: Callable[[Json], None] = lambda _: None) -> None:
        """Wait until nothing is left to be done, and nothing was recorded between two looks."""
        recorded = -1
        while True:
            progress: Json = await self.get("/progress")
            on_look(progress)
            if progress["left"] == 0 and progress["recorded"] == recorded:
                return
            recorded = progress["recorded"]
            await asyncio.sleep(_LOOK)

    async def get(self, path: str, **query: str | int) -> Any:  # noqa: ANN401 - JSON
        """Ask for something."""
        return (await self._client.get(V1 + path, params=query)).raise_for_status().json()

    async def post(self, path: str, body: Json) -> Any:  # noqa: ANN401 - JSON
        """Have something done."""
        return (await self._client.post(V1 + path, json=body)).raise_for_status().json()

    async def send(self, path: str, body: bytes, headers: Mapping[str, str]) -> bool:
        """Push these bytes; False where they are held until a person approves."""
        answer = await self._client.post(V1 + path, content=body, headers=headers)
        return answer.status_code != httpx.codes.CONFLICT and answer.raise_for_status().is_success


def _to_reason(event: Json) -> Json:
    rationale = event["data"].get("rationale", {})
    trigger = f"{rationale.get('trigger', '')} {rationale.get('ref', '')}".strip()
    return {
        "driver": event["driver"],
        "target": event["target"],
        "decided": event["type"],
        "situation": rationale.get("situation", ""),
        "rationale": event["data"].get("by") or trigger,
    }


@asynccontextmanager
async def stage(
    data: Path,
    targets: RunningSandboxes,
    make: Callable[[httpx.AsyncClient], Stage] = Stage,
    *,
    console: socket.socket | None = None,
) -> AsyncIterator[Stage]:
    """Every service, running in this process on a data folder, against the sandboxes; `console` as in `serving`."""
    # Where there is no sandbox of the Portal, nothing reads it: drivers are stated by command.
    addresses = {
        "driveri_url": targets.driveri,
        "motive_url": targets.motive,
        "portal_url": targets.portal or targets.driveri,
    }
    settings = EmbeddedSettings.model_validate({"data": data, **addresses, **_UNHURRIED})
    stop = asyncio.Event()
    async with serving(settings, console=console) as installation:
        running = asyncio.create_task(run(installation, stop=stop))
        try:
            transport = httpx.ASGITransport(at_local_socket(to_app(installation)))
            async with httpx.AsyncClient(transport=transport, base_url="http://driverlink", timeout=60.0) as client:
                yield make(client)
        finally:
            stop.set()
            await running


class PushingStage(Stage):
    """The same, where the Portal pushes its changes, signed, in place of a person who states them."""

    _secret = ""

    async def open_account(self) -> None:
        """The account, and the secret by which the Portal signs."""
        await super().open_account()
        self._secret = (await self.post(f"/accounts/{ACCOUNT}/webhooks/portal", {}))["secret"]

    async def announce(self, change: Announcement) -> None:
        """The Portal pushes one change; one that is held is pushed again once the Master User has approved it."""
        kind = "driver.deleted" if change.action == "delete" else "driver.changed"
        document = {"type": kind, "data": {"driver": change.driver, "profile": dict(change.profile)}}
        body = json.dumps(document).encode()
        sign = standard_signature(self._secret, wall_clock)
        if not await self.send(f"/accounts/{ACCOUNT}/changes", body, sign(body)):
            held = await self.get(f"/accounts/{ACCOUNT}/rekeyings")
            await self.post(f"/accounts/{ACCOUNT}/rekeyings", {"by": MASTER_USER, "digest": held["digest"]})
            await self.send(f"/accounts/{ACCOUNT}/changes", body, sign(body))


_BATCH = 100
_MARK = "made-by-demo"
_WAITING = ("parked", "held", "kept")


@dataclass(slots=True, kw_only=True)
class DemoResult:
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

    async def play(self) -> DemoResult:
        """The whole story, from the export to the comparison."""
        began = time.monotonic()
        seeded = await self._targets.shown()
        await self._stage.open_account()
        await self._import(SAMPLE / "portal-drivers.csv")
        drivers = len(self._fleet.there)
        await self._stage.turn_on()
        await self._watch("drivers appear in both targets")
        settled = await self._targets.shown()
        scenes = to_scenes(self._fleet, in_sync(await self._stage.links()), unmanaged(self._fleet, settled))
        former = [
            desired_id(self._fleet.there[driver]) for scene in scenes if scene.is_relink for driver in scene.drivers
        ]
        scenes_began = datetime.now(UTC).isoformat()
        held = await self._play_scenes(scenes)
        now, links = await self._targets.shown(), await self._stage.links()
        return DemoResult(
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
        for batch in batches((row for row in rows if isinstance(row, ExportRow)), _BATCH):
            await self._stage.take(
                [{"line": row.line, "driver": row.driver, "profile": row.profile.fields} for row in batch]
            )
            self._fleet.there.update({str(row.driver): row.profile.onto({}) for row in batch})
            self._progress.update(bar, completed=rows.bytes_read)
        self._progress.update(bar, completed=rows.total_bytes)

    async def _watch(self, title: str) -> None:
        """Show how the work in hand goes down, and how many drivers are in sync meanwhile."""
        bar = self._progress.add_task(title, total=None, note="")
        most = 1

        def look(progress: Json) -> None:
            nonlocal most
            most = max(most, progress["left"])
            in_sync = " ".join(f"{target} {count}" for target, count in sorted(progress["in_sync"].items()))
            self._progress.update(bar, total=most, completed=most - progress["left"], note=in_sync)

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


def batches(rows: Iterable[ExportRow], size: int) -> Iterator[list[ExportRow]]:
    """The rows, `size` at a time."""
    waiting = iter(rows)
    while batch := list(islice(waiting, size)):
        yield batch


def _waits(links: Iterable[Json]) -> dict[tuple[str, str], str]:
    return {
        (link["target"], link["driver"]): link["detail"] or link["state"] for link in links if link["state"] in _WAITING
    }


def _named(values: tuple[str, str, str], names: tuple[str, str, str]) -> dict[str, str]:
    return dict(zip(names, values, strict=True))


async def play(data: Path, progress: Progress, *, is_pushed: bool = False) -> DemoResult:
    """The demonstration on a fresh data folder, with sandboxes of its own; the Portal's changes `is_pushed`, or stated.

    Raises `NotADemo` or `SandboxEnded`.
    """
    make_fresh(data)
    make = PushingStage if is_pushed else Stage
    async with sandboxes() as targets, stage(data, targets, make) as on:
        return await Demo(on, targets, progress).play()


async def play_and_stay(
    data: Path, progress: Progress, port: int, announce: Callable[[DemoResult, str], None]
) -> DemoResult:
    """The same, and then everything keeps running until a signal; `announce` is given a link to the console.

    Raises `PortUnusable` too.
    """
    make_fresh(data)
    with tcp_socket("127.0.0.1", port) as console:
        async with sandboxes() as targets, stage(data, targets, console=console) as on:
            result = await Demo(on, targets, progress).play()
            announce(result, (await on.post("/sign-in-links", {}))["url"])
            stop = asyncio.Event()
            with stopping_on_signals(stop):
                await stop.wait()
            return result


class NotADemo(ClearFailure):
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
