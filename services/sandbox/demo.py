"""The demonstration: a fleet goes from the Portal's export into both targets, and the Portal changes some of it.

What happens in the demonstration: who is changed by the Portal, and how.

Whether both targets agree with the Portal, driver by driver, as their own data show it.

Reads the sandboxes' whole state in the vendors' words, so that no translation of the product vouches for itself.

The sandboxes in a process of their own, and their whole state as they tell it.

The product in this process, as the demonstration plays on it.
"""

import asyncio
import shutil
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
from rich.progress import Progress

from domain.identity import Target
from domain.profile import Profile
from services.api.app import to_app
from services.sandbox.sample import SAMPLE
from services.wiring.embedded import DataFolder, open_embedded, run
from services.wiring.exports import ExportRow, read_export
from services.wiring.settings import EmbeddedSettings

MASS_DELETE = 90
"""More deletes than the guard lets through in a fleet of 1,500."""


class NoCast(Exception):
    """The fleet lacks the drivers that the story needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change that the Portal announces: create, update (named fields only) or delete."""

    action: str
    driver: str
    profile: Profile = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Changes that the Portal announces together, and what they show."""

    title: str
    changes: tuple[Change, ...]
    is_relink: bool = False

    @property
    def drivers(self) -> tuple[str, ...]:
        """The drivers that the scene is about."""
        return tuple(change.driver for change in self.changes)


@dataclass(slots=True)
class Fleet:
    """The Portal's drivers, as the story moves them on.

    `gone` keeps the last profile of the deleted ones, `former` the Driveri ids that the Portal desired at some time.
    """

    there: dict[str, Profile] = field(default_factory=dict)
    gone: dict[str, Profile] = field(default_factory=dict)
    former: set[str] = field(default_factory=set)

    def apply(self, change: Change) -> None:
        """What the Portal shows after a change."""
        if before := self.there.get(change.driver):
            self.former.add(desired_id(before).casefold())
        if change.action == "delete":
            self.gone[change.driver] = self.there.pop(change.driver)
            return
        self.gone.pop(change.driver, None)
        self.there[change.driver] = {**(before or {}), **change.profile}


def desired_id(profile: Profile) -> str:
    """The id that the Portal desired states in Driveri: the Driveri DriverID, else the RefID."""
    return profile.get("driveri_driver_id") or profile.get("ref_id", "")


def to_scenes(fleet: Fleet, settled: Iterable[str], unmanaged: Sequence[str]) -> list[Scene]:
    """The story, played by drivers who are in sync on both targets and whose ids nobody shares.

    Raises `NoCast` when there are too few of them, or no unmanaged driver in Driveri.
    """
    cast = _cast(fleet.there, set(settled))
    if len(cast) < MASS_DELETE + 6 or not unmanaged:
        raise NoCast("the fleet has too few drivers in sync, or no unmanaged driver in Driveri, for the story")
    updated, renamed, relinked, one, other, leaver, *many = cast
    ids = {driver: fleet.there[driver]["driveri_driver_id"] for driver in (one, other)}
    masses = many[:MASS_DELETE]
    return [
        Scene(title="an update", changes=(_update(updated, phone="602-555-0188", last_name="Quintero-Vance"),)),
        Scene(title="a new DriverID", changes=(_update(renamed, driveri_driver_id="NEW-7001"),)),
        Scene(
            title="a DriverID that exists",
            changes=(_update(relinked, driveri_driver_id=unmanaged[0]),),
            is_relink=True,
        ),
        Scene(
            title="a swap of DriverIDs",
            changes=(_update(one, driveri_driver_id=ids[other]), _update(other, driveri_driver_id=ids[one])),
        ),
        Scene(title="a delete", changes=(Change(action="delete", driver=leaver),)),
        Scene(title="a rehire", changes=(_rehire(fleet, leaver),)),
        Scene(
            title="too many deletes",
            changes=tuple(Change(action="delete", driver=driver) for driver in masses),
        ),
        Scene(title="one of them comes back", changes=(_rehire(fleet, masses[-1]),)),
    ]


def _cast(there: Mapping[str, Profile], settled: set[str]) -> list[str]:
    shared = Counter(profile.get("driveri_driver_id", "").casefold() for profile in there.values())
    return [
        driver
        for driver, profile in there.items()
        if driver in settled and shared[profile.get("driveri_driver_id", "").casefold()] == 1
    ]


def _update(driver: str, **fields: str) -> Change:
    return Change(action="update", driver=driver, profile=fields)


def _rehire(fleet: Fleet, driver: str) -> Change:
    return Change(action="create", driver=driver, profile=fleet.there[driver])


Json = dict[str, Any]

_OURS = ("gps_portal", "driveri")
_DRIVERI = {
    "first_name": "firstName",
    "last_name": "lastName",
    "email": "email",
    "phone": "phone",
    "licence_number": "licenceNumber",
    "licence_state": "licenseState",
    "licence_country": "licenseCountry",
}
_MOTIVE = {
    "first_name": "first_name",
    "last_name": "last_name",
    "email": "email",
    "phone": "phone",
    "ref_id": "driver_company_id",
    "licence_number": "drivers_license_number",
    "licence_state": "drivers_license_state",
}
_LEFT = "deleted in the Portal, active there"
_LICENCE = {
    "driveri": ("licence_number", "licence_state", "licence_country"),
    "motive": ("licence_number", "licence_state"),
}


@dataclass(slots=True)
class Comparison:
    """How many drivers agree, who waits for a person and why, and what disagrees."""

    agreeing: Counter[str] = field(default_factory=Counter)
    waiting: list[tuple[str, str, str]] = field(default_factory=list)
    disagreements: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def is_agreed(self) -> bool:
        """Whether nothing disagrees."""
        return not self.disagreements

    def judge(self, target: str, driver: str, problem: str | None, waits: Mapping[tuple[str, str], str]) -> None:
        """Count one driver on one target; one that waits for a person is neither in agreement nor in the way."""
        if reason := waits.get((target, driver)):
            self.waiting.append((target, driver, reason))
        elif problem:
            self.disagreements.append((target, driver, problem))
        else:
            self.agreeing[target] += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Everything that both sandboxes hold: the drivers of one Driveri tenant, the users of one Motive company."""

    active_status: int
    drivers: tuple[Json, ...]
    users: tuple[Json, ...]


def to_shown(driveri: Json, motive: Json) -> Shown:
    """What the sandboxes' state, or their seeds, show."""
    tenant, company = driveri["tenants"][0], motive["companies"][0]
    codes = {each["description"]: each["status"] for each in tenant["statuses"]}
    return Shown(active_status=codes["Active"], drivers=tuple(tenant["drivers"]), users=tuple(company["users"]))


def compare(fleet: Fleet, now: Shown, waits: Mapping[tuple[str, str], str]) -> Comparison:
    """Every portal driver on both targets; `waits` has the reason for each parked one, by target and driver."""
    found = Comparison()
    by_id = {driver["driverId"].casefold(): driver for driver in now.drivers}
    by_external = {_external(user, "gps_portal"): user for user in now.users}
    shared = _shared_ids(fleet)
    for driver, profile in fleet.there.items():
        found.judge("driveri", driver, _driveri_problem(profile, by_id, now.active_status), waits)
        found.judge("motive", driver, _motive_problem(profile, by_external.get(driver), shared), waits)
    wanted = {desired_id(profile).casefold() for profile in fleet.there.values()}
    for driver, profile in fleet.gone.items():
        left = by_id.get(desired_id(profile).casefold())
        is_left = (
            left is not None and left["status"] == now.active_status and desired_id(profile).casefold() not in wanted
        )
        found.judge("driveri", driver, "deleted in the Portal, active there" if is_left else None, waits)
        user = by_external.get(driver)
        is_user_left = user is not None and user["status"] == "active"
        found.judge("motive", driver, "deleted in the Portal, active there" if is_user_left else None, waits)
    return found


def untouched(fleet: Fleet, before: Shown, now: Shown) -> list[tuple[str, str, str]]:
    """What of other people's the product changed.

    Unmanaged drivers, users of other roles, other integrations' external ids.
    """
    desired = {desired_id(profile).casefold() for profile in (*fleet.there.values(), *fleet.gone.values())}
    unmanaged = [driver for driver in before.drivers if driver["driverId"].casefold() not in desired | fleet.former]
    driveri = _changed("driveri", "driverId", unmanaged, now.drivers)
    claimed = {user["id"] for user in now.users if _external(user, "gps_portal")}
    others = [user for user in before.users if user["id"] not in claimed or user["role"] != "driver"]
    return [*driveri, *_changed("motive", "id", others, now.users), *_lost_external_ids(before, now)]


def left_alone(keys: Iterable[str], before: Shown, now: Shown) -> list[tuple[str, str, str]]:
    """Which of these Driveri drivers, left behind by a relink, were changed since."""
    wanted = {key.casefold() for key in keys}
    former = [driver for driver in before.drivers if driver["driverId"].casefold() in wanted]
    return _changed("driveri", "driverId", former, now.drivers)


def _changed(target: str, key: str, before: Iterable[Json], now: Iterable[Json]) -> list[tuple[str, str, str]]:
    shown = {each[key]: each for each in now}
    return [
        (target, str(each[key]), "is not ours, and was changed")
        for each in before
        if any(shown.get(each[key], {}).get(name) != value for name, value in each.items())
    ]


def _lost_external_ids(before: Shown, now: Shown) -> list[tuple[str, str, str]]:
    shown = {user["id"]: _foreign(user) for user in now.users}
    return [
        ("motive", str(user["id"]), "lost another integration's external id")
        for user in before.users
        if _foreign(user) - shown[user["id"]]
    ]


def _foreign(user: Json) -> set[tuple[str, str]]:
    entries = user["external_ids"] or []
    return {
        (each["external_id"], each["integration_name"]) for each in entries if each["integration_name"] not in _OURS
    }


def _external(user: Json, integration: str) -> str | None:
    entries = user["external_ids"] or []
    return next((each["external_id"] for each in entries if each["integration_name"] == integration), None)


def _shared_ids(fleet: Fleet) -> set[str]:
    counted = Counter(profile.get("driveri_driver_id", "").casefold() for profile in fleet.there.values())
    return {text for text, count in counted.items() if count > 1}


def _driveri_problem(profile: Profile, by_id: Mapping[str, Json], active_status: int) -> str | None:
    shown = by_id.get(desired_id(profile).casefold())
    if shown is None:
        return "is not there"
    if shown["status"] != active_status:
        return "is not active"
    if shown["driverId"] != desired_id(profile):
        return "has its id in other letters"
    group = (shown.get("group") or {}).get("groupName", "")
    if profile.get("driveri_group", group) != group:
        return "driveri_group differs"
    return _field_problem("driveri", profile, shown, _DRIVERI)


def _motive_problem(profile: Profile, shown: Json | None, shared: set[str]) -> str | None:
    if shown is None:
        return "no user has its external id"
    if shown["status"] != "active":
        return "is not active"
    desired = profile.get("driveri_driver_id", "")
    if desired.casefold() not in shared and (_external(shown, "driveri") or "") != desired:
        return "its DriverID as an external id differs"
    return _field_problem("motive", profile, shown, _MOTIVE)


def _field_problem(target: str, profile: Profile, shown: Json, names: Mapping[str, str]) -> str | None:
    has_licence = all(part in profile for part in _LICENCE[target])
    for ours, theirs in names.items():
        is_stated = ours in profile and (has_licence or ours not in _LICENCE[target])
        if is_stated and _plain(ours, profile[ours]) != _plain(ours, shown.get(theirs) or ""):
            return f"{ours} differs"
    return None


def _plain(name: str, text: str) -> str:
    if name == "phone":
        return "".join(each for each in text if each.isdigit())[-10:]
    return text.casefold() if name == "email" else text


class SandboxEnded(Exception):
    """The sandboxes did not start; the message is their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSandboxes:
    """Where the sandboxes listen; nobody needs the Portal's who states drivers by command."""

    driveri: str
    motive: str
    portal: str = ""

    async def shown(self) -> Shown:
        """Everything that both targets hold now."""
        async with httpx.AsyncClient(timeout=30.0) as client:
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
        await self.post("/accounts", {"account": ACCOUNT, "tier": "pro", "master_user": MASTER_USER})
        for target, values in _CREDENTIALS.items():
            await self.post(f"/accounts/{ACCOUNT}/credentials", {"target": target, "values": values})

    async def take(self, lines: Sequence[Json]) -> None:
        """The Portal lists these drivers."""
        await self.post(f"/accounts/{ACCOUNT}/lists", {"lines": list(lines)})

    async def turn_on(self) -> None:
        """The Master User ticks Sync Drivers."""
        await self.post(f"/accounts/{ACCOUNT}/sync", {"by": MASTER_USER, "on": True})

    async def announce(self, change: Change) -> None:
        """The Portal announces one change."""
        body = {"action": change.action, "driver": change.driver, "profile": dict(change.profile)}
        await self.post(f"/accounts/{ACCOUNT}/changes", body)

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
        return (await self._client.get(path, params=query)).raise_for_status().json()

    async def post(self, path: str, body: Json) -> Any:  # noqa: ANN401 - JSON
        """Have something done."""
        return (await self._client.post(path, json=body)).raise_for_status().json()


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
async def stage(data: Path, targets: RunningSandboxes) -> AsyncIterator[Stage]:
    """Every service, running in this process on a data folder, against the sandboxes."""
    addresses = {"driveri_url": targets.driveri, "motive_url": targets.motive}
    if targets.portal:
        addresses["portal_url"] = targets.portal
    settings = EmbeddedSettings.model_validate({"data": data, **addresses, **_UNHURRIED})
    stop = asyncio.Event()
    with DataFolder(data) as folder:
        services = open_embedded(settings)
        control = to_app(services)
        running = asyncio.create_task(run(services, control, folder, stop=stop))
        try:
            transport = httpx.ASGITransport(control)
            async with httpx.AsyncClient(transport=transport, base_url="http://driverlink", timeout=60.0) as client:
                yield Stage(client)
        finally:
            stop.set()
            await running
            services.close()


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
        scenes = to_scenes(self._fleet, _settled(await self._stage.links()), _unmanaged(self._fleet, settled))
        former = [
            desired_id(self._fleet.there[driver]) for scene in scenes if scene.is_relink for driver in scene.drivers
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


def _batches(rows: Iterable[ExportRow]) -> Iterator[list[ExportRow]]:
    waiting = iter(rows)
    while batch := list(islice(waiting, _BATCH)):
        yield batch


def _settled(links: Iterable[Json]) -> list[str]:
    count = Counter(link["driver"] for link in links if link["state"] == "in_sync")
    return [driver for driver, targets in count.items() if targets == len(Target)]


def _unmanaged(fleet: Fleet, shown: Shown) -> list[str]:
    desired = {desired_id(profile).casefold() for profile in fleet.there.values()}
    ids = (driver["driverId"] for driver in shown.drivers if driver["status"] == shown.active_status)
    return [each for each in ids if each.casefold() not in desired]


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
