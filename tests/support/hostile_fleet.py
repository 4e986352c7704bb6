"""Three accounts, one of which has exports and targets that are odd in every way; the others must not notice."""

import asyncio
import csv
import random
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from domain.profile import Profile
from services.sandbox.comparison import compare
from services.sandbox.demo import RunningSandboxes
from services.sandbox.story import Fleet
from tests.support.call_proxy import proxy
from tests.support.fleet_story import FleetStage
from tests.support.fleets import PartOfFleet, divided, seed
from tests.support.hostile_target import HostileTarget
from tests.support.processes import Up, outliving_client, sandboxes
from tests.support.storm import calm_down

VICTIM, *OTHERS = ACCOUNTS = ("fleet-1", "fleet-2", "fleet-3")

_DRIVERS: Final = 15
_IMPORTS: Final = 4
_LOOK: Final = 0.2
_SECONDS: Final = 240.0
"""After so long something must be stuck."""

_MOST_BYTES: Final = 2_000_000_000
"""Of address space: a process that takes more ends before the machine suffers."""

_COLUMNS: Final[Mapping[str, str]] = {
    "ref_id": "Reference ID",
    "first_name": "First Name",
    "last_name": "Last Name",
    "phone": "Phone",
    "email": "Email",
    "driveri_driver_id": "Driveri DriverID",
    "licence_number": "Licence Number",
}
_DRIVER_ID: Final = "Driver ID"
_IDS: Final = ("ref_id", "driveri_driver_id")

_INVISIBLE: Final[Sequence[Callable[[str], str]]] = (
    lambda text: text,
    lambda text: f"\u00a0{text} ",
    lambda text: f"{text}\u200b",
    lambda text: f"\ufeff{text}\u2060",
    lambda text: unicodedata.normalize("NFD", text),
    lambda text: f"\u202a{text}\u202c",
)

Profiles = dict[str, Profile]
Settled = dict[tuple[str, str, str], str]
"""The state of each link at rest: by account, target and driver."""


@dataclass(slots=True, kw_only=True)
class Findings:
    """What came of it all."""

    unsaid: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    settled: Settled = field(default_factory=dict)
    disagreements: list[tuple[str, str, str]] = field(default_factory=list)
    megabytes: float = 0.0


async def play(data: Path, seed_of_chance: int, *, alone: Findings | None) -> Findings:
    """The other accounts' way from their lists to agreement, alone or beside the victim.

    Alone, they are at rest when all is quiet; otherwise when they stand as they did then.
    """
    chance = random.Random(seed_of_chance)  # noqa: S311 - oddities, not secrets
    findings, parts = Findings(), divided(ACCOUNTS, _DRIVERS)
    async with AsyncExitStack() as stack:
        targets = await stack.enter_async_context(sandboxes())
        await seed(parts, targets)
        treated = [_treatment(parts, chance) for _ in range(2)]
        driveri = await stack.enter_async_context(proxy(targets.driveri, treated[0].treat))
        motive = await stack.enter_async_context(proxy(targets.motive, treated[1].treat))
        up = Up(data, replace(targets, driveri=driveri, motive=motive))
        up.ahead, up.most_bytes = timedelta(), _MOST_BYTES
        await up.start()
        client = await stack.enter_async_context(outliving_client(up.socket))
        stages = {part.account: FleetStage(client, part) for part in parts}
        if alone:
            victim = Victim(part=parts[0], stage=stages[VICTIM], data=data, chance=chance, findings=findings)
            await victim.begin()
            making = asyncio.create_task(victim.import_odd_exports())
        await _live(parts[1:], stages)
        await _settle(stages, alone)
        findings.settled = await _stand(stages)
        for each in treated:
            findings.calls.update({account: each.calls[account] for account in OTHERS})
        if alone:
            await making
            for each in treated:
                each.is_fair = True
            await calm_down(up, stages[VICTIM])
            findings.disagreements = await victim.disagreements(targets)
        findings.megabytes = up.most_megabytes()
        assert await up.stop() == 0
    return findings


@dataclass(slots=True, kw_only=True)
class Victim:
    """The account of which everything is odd."""

    part: PartOfFleet
    stage: FleetStage
    data: Path
    chance: random.Random
    findings: Findings
    known: Profiles = field(default_factory=dict)

    async def begin(self) -> None:
        """Its first list is sound, and sync is on."""
        await _begin(self.part, self.stage)
        self.known = await _stated(self.stage, self.part.account)

    async def import_odd_exports(self) -> None:
        """Exports as people make them; whatever each does not say has to stay as it was."""
        for number in range(_IMPORTS):
            path = self.data.parent / f"odd-{number}.csv"
            said = self._write(path)
            printed = await _imported(path, self.part.account, self.data)
            self.findings.tracebacks += [printed] if "Traceback" in printed else []
            now = await _stated(self.stage, self.part.account)
            self.findings.unsaid += _unsaid(self.known, said, now)
            self.known = now

    async def disagreements(self, targets: RunningSandboxes) -> list[tuple[str, str, str]]:
        """Where the targets do not show what the Portal has said, and no link says why."""
        links = await self.stage.links()
        waits = {
            (link["target"], link["driver"]): link["detail"] or link["state"]
            for link in links
            if link["state"] in ("parked", "held", "kept")
        }
        fleet = Fleet(there=dict(self.known))
        return compare(fleet, await self.part.shown(targets), waits).disagreements

    def _write(self, path: Path) -> Profiles:
        """Some columns for everybody, in any order and dressed up; what they say."""
        chosen = [name for name in _COLUMNS if self.chance.random() < 0.6]
        said: Profiles = {driver: self._said(profile, chosen) for driver, profile in self.known.items()}
        columns = [_DRIVER_ID, *chosen, *self.chance.choices(("Notes", "Vehicle"), k=2)]
        if self.chance.random() < 0.2 and chosen:
            columns.append(self.chance.choice(chosen))
        self.chance.shuffle(columns)
        with path.open("w", newline="", encoding=self.chance.choice(("utf-8", "utf-8-sig"))) as file:
            writer = csv.writer(file, delimiter=self.chance.choice((",", ";")))
            writer.writerow([self._dressed_header(name) for name in columns])
            for driver, profile in said.items():
                writer.writerow([self._cell(name, driver, profile) for name in columns])
        return said

    def _said(self, profile: Profile, chosen: Sequence[str]) -> Profile:
        said = {name: profile.get(name, "") for name in chosen}
        if "last_name" in said and self.chance.random() < 0.5:
            said["last_name"] = self.chance.choice(("Müller", "O'Neil", "Đặng", "Łukasz"))
        if "phone" in said and self.chance.random() < 0.3:
            said["phone"] = self.chance.choice(("+1 303 555 0199", "+52 55 1234 5678", ""))
        return said

    def _dressed_header(self, name: str) -> str:
        spelled = _COLUMNS.get(name, name)
        return self.chance.choice((spelled, spelled.upper(), f" {spelled}\u00a0", f"\u200b{spelled}"))

    def _cell(self, name: str, driver: str, profile: Profile) -> str:
        text = driver if name == _DRIVER_ID else profile.get(name, "")
        if text and name in _IDS and self.chance.random() < 0.2:
            return f'="{text}"'
        return self.chance.choice(_INVISIBLE)(text) if text else text


def _treatment(parts: Sequence[PartOfFleet], chance: random.Random) -> HostileTarget:
    keys = {str(part.company["api_key"]): part.account for part in parts}
    return HostileTarget(victim=VICTIM, accounts=keys, chance=chance)


async def _begin(part: PartOfFleet, stage: FleetStage) -> None:
    await stage.open_account()
    await stage.take([{"line": row.line, "driver": row.driver, "profile": row.profile.fields} for row in part.rows])
    await stage.turn_on()


async def _live(parts: Sequence[PartOfFleet], stages: Mapping[str, FleetStage]) -> None:
    """What the other accounts do."""
    for part in parts:
        await _begin(part, stages[part.account])


async def _settle(stages: Mapping[str, FleetStage], alone: Findings | None) -> None:
    if alone is None:
        await stages[OTHERS[0]].until_quiet()
        return
    looks = int(_SECONDS / _LOOK)
    for _ in range(looks):
        if await _stand(stages) == alone.settled:
            return
        await asyncio.sleep(_LOOK)
    raise AssertionError("the other accounts are not where they are alone")


async def _stand(stages: Mapping[str, FleetStage]) -> Settled:
    return {
        (account, link["target"], link["driver"]): link["state"]
        for account in OTHERS
        for link in await stages[account].links()
    }


async def _stated(stage: FleetStage, account: str) -> Profiles:
    """What intake knows of each driver, as its log tells."""
    events = await stage.events({"account": account, "log": "changes"})
    return {event["driver"]: event["data"]["profile"] for event in events if "profile" in event["data"]}


async def _imported(path: Path, account: str, data: Path) -> str:
    words = ("drivers", "import", str(path), "--account", account, "--data", str(data))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    printed, _ = await process.communicate()
    return printed.decode(errors="replace")


def _unsaid(before: Profiles, said: Profiles, now: Profiles) -> Iterator[str]:
    """The fields that have another value now than before though no export said so; and drivers that none named."""
    for driver, profile in now.items():
        if driver not in before:
            yield f"{driver} is new"
            continue
        for name in {*profile, *before[driver]}:
            value = profile.get(name, "")
            if value not in (before[driver].get(name, ""), said[driver].get(name, before[driver].get(name, ""))):
                yield f"{driver}: {name} is {value!r}, was {before[driver].get(name)!r}"
