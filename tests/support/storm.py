"""A fleet goes its way while the network between the product and both sandboxes fails, and the process is killed."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from services.api.issues import IssueKind
from services.sandbox.comparison import Comparison, TargetsState, compare, untouched
from services.sandbox.demo import ACCOUNT, RunningSandboxes, Stage
from services.sandbox.story import Announcement, Fleet
from tests.support.bad_weather import Mishap, Weather
from tests.support.call_proxy import Call, proxy
from tests.support.processes import Up, outliving_client, sandboxes

_DRIVERS: Final = 30
_MOST_DELETES: Final = 3
"""As many as the guard lets through in a day."""

_STEP: Final = timedelta(minutes=11)
"""How much later it is after each kill."""

_CALM_STEP: Final = timedelta(hours=7)
_CALM_ROUNDS: Final = 8
"""After the storm: this many times it is this much later, until all is quiet; longer than the longest wait in all."""

_ENDED_BY_TIME: Final = (IssueKind.BREAKER, IssueKind.ROSTER, IssueKind.RECORD)
"""The problems that end at the next probe or scan, once a target answers well again."""

_SECONDS_A_ROUND: Final = 30.0
_BETWEEN: Final = (0.05, 1.0)
"""Seconds between two kills."""

_TEMPORARY: Final = "tmp-"
_VERSION: Final = re.compile(rb"(V\d{4}) (storm-\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """What is left of a storm."""

    kills: int
    met: Counter[Mishap]
    changes: int
    comparison: Comparison
    touched: list[tuple[str, str, str]]
    doubled: list[str]
    temporary: list[str]
    out_of_order: list[str]


@dataclass(slots=True)
class _Tale:
    """Changes by chance. Every update counts a driver's last name up, so that the order of effects can be seen."""

    chance: random.Random
    fleet: Fleet = field(default_factory=Fleet)
    ids: int = 0
    versions: Counter[str] = field(default_factory=Counter)
    deletes: int = 0

    def hired(self) -> Announcement:
        """A new driver."""
        self.ids += 1
        number = self.ids
        profile = {
            "first_name": "Storm",
            "last_name": self._version(f"storm-{number}"),
            "ref_id": f"S{number:05d}",
            "driveri_driver_id": f"STORM-{number}",
            "email": f"storm-{number}@fleet.example",
            "phone": f"+1 303 555 {number:04d}",
        }
        return Announcement(action="create", driver=f"storm-{number}", profile=profile)

    def next(self) -> Sequence[Announcement]:
        """What happens next: one change, or the parts of a swap."""
        told = (self._update, self._update, self._rename, self._swap, self._chain, self._delete, self._rehire)
        return self.chance.choice(told)() or [self.hired()]

    def _version(self, driver: str) -> str:
        self.versions[driver] += 1
        return f"V{self.versions[driver]:04d} {driver}"

    def _some(self, number: int) -> list[str]:
        return self.chance.sample(sorted(self.fleet.there), number)

    def _changed(self, driver: str, **fields: str) -> Announcement:
        return Announcement(action="update", driver=driver, profile={"last_name": self._version(driver), **fields})

    def _update(self) -> list[Announcement]:
        return [self._changed(driver) for driver in self._some(1)]

    def _rename(self) -> list[Announcement]:
        self.ids += 1
        return [self._changed(driver, driveri_driver_id=f"STORM-{self.ids}") for driver in self._some(1)]

    def _swap(self) -> list[Announcement]:
        name = self.chance.choice(("driveri_driver_id", "email", "ref_id"))
        one, other = self._some(2)
        values = {driver: self.fleet.there[driver][name] for driver in (one, other)}
        return [self._changed(one, **{name: values[other]}), self._changed(other, **{name: values[one]})]

    def _chain(self) -> list[Announcement]:
        """The first takes the second's id, the second the third's, and so on; the last gets a new one."""
        self.ids += 1
        drivers = self._some(3)
        wanted = [*(self.fleet.there[driver]["driveri_driver_id"] for driver in drivers[1:]), f"STORM-{self.ids}"]
        return [self._changed(driver, driveri_driver_id=key) for driver, key in zip(drivers, wanted, strict=True)]

    def _delete(self) -> list[Announcement]:
        if self.deletes == _MOST_DELETES:
            return []
        self.deletes += 1
        return [Announcement(action="delete", driver=driver) for driver in self._some(1)]

    def _rehire(self) -> list[Announcement]:
        """Somebody comes back; whose ids others have by now does not."""
        taken = {text for profile in self.fleet.there.values() for text in profile.values()}
        free = [
            (driver, profile)
            for driver, profile in sorted(self.fleet.gone.items())
            if not {profile["driveri_driver_id"], profile["email"], profile["ref_id"]} & taken
        ]
        return [
            Announcement(action="create", driver=driver, profile={**profile, "last_name": self._version(driver)})
            for driver, profile in free[:1]
        ]


@dataclass(slots=True, kw_only=True)
class Storm:
    """One account over `driverlink up`, a proxy before each sandbox, this many kills and changes."""

    seed: int
    kills: int
    changes: int

    async def play(self, data: Path) -> Aftermath:
        """All of it, until all is quiet again."""
        chance = random.Random(self.seed)  # noqa: S311 - moments and mishaps, not secrets
        async with AsyncExitStack() as stack:
            targets = await stack.enter_async_context(sandboxes())
            seeded = await targets.shown()
            weathers = [Weather(chance=chance), Weather(chance=chance)]
            driveri = await stack.enter_async_context(proxy(targets.driveri, weathers[0].treat))
            motive = await stack.enter_async_context(proxy(targets.motive, weathers[1].treat))
            up = Up(data, replace(targets, driveri=driveri, motive=motive))
            up.ahead = timedelta()
            await up.start()
            client = await stack.enter_async_context(outliving_client(up.socket))
            stage, tale = Stage(client), _Tale(chance)
            told = asyncio.create_task(self._tell(stage, tale))
            kills = await self._kill(up, told, chance)
            changes = await told
            for weather in weathers:
                weather.is_fair = True
            await calm_down(up, stage)
            left = await _left_by_relinks(stage)
            assert await up.stop() == 0
            return await _aftermath(targets, seeded, tale, weathers, kills=kills, changes=changes, left=left)

    async def _tell(self, stage: Stage, tale: _Tale) -> int:
        """The fleet is hired, sync is turned on, and then one change follows the other; how many there were."""
        await stage.open_account()
        hired = [tale.hired() for _ in range(_DRIVERS)]
        for change in hired[: _DRIVERS // 2]:
            await _announce(stage, tale, change)
        await stage.turn_on()
        for change in hired[_DRIVERS // 2 :]:
            await _announce(stage, tale, change)
        number = 0
        while number < self.changes:
            for change in tale.next():
                await _announce(stage, tale, change)
                number += 1
            await asyncio.sleep(tale.chance.uniform(0, 0.1))
        return number

    async def _kill(self, up: Up, told: "asyncio.Task[int]", chance: random.Random) -> int:
        """Kill and start again, later each time; the deaths go on after the last change as long as it takes."""
        for _ in range(self.kills):
            await asyncio.sleep(chance.uniform(*_BETWEEN))
            if told.done():
                told.result()
            await up.kill()
            up.ahead = (up.ahead or timedelta()) + _STEP
            await up.start()
        return self.kills


async def _announce(stage: Stage, tale: _Tale, change: Announcement) -> None:
    await stage.announce(change)
    tale.fleet.apply(change)


async def calm_down(up: Up, stage: Stage) -> None:
    """It gets later and later, until nothing is left to be done, and no account waits for a probe or another scan."""
    for _ in range(_CALM_ROUNDS):
        with suppress(TimeoutError):
            async with asyncio.timeout(_SECONDS_A_ROUND):
                await stage.until_quiet()
                issues = await stage.get("/issues")
                if not any(issue["problem"] in _ENDED_BY_TIME for issue in issues["issues"]):
                    return
        await up.stop()
        up.ahead = (up.ahead or timedelta()) + _CALM_STEP
        await up.start()
    await stage.until_quiet()


async def _aftermath(
    targets: RunningSandboxes,
    seeded: TargetsState,
    tale: _Tale,
    weathers: Sequence[Weather],
    *,
    kills: int,
    changes: int,
    left: int,
) -> Aftermath:
    now = await targets.shown()
    met: Counter[Mishap] = Counter()
    for weather in weathers:
        met.update(weather.met)
    return Aftermath(
        kills=kills,
        met=met,
        changes=changes,
        comparison=compare(tale.fleet, now, {}),
        touched=untouched(tale.fleet, seeded, now),
        doubled=[*_doubled(tale.fleet, now, left)],
        temporary=[each["driverId"] for each in now.drivers if each["driverId"].startswith(_TEMPORARY)],
        out_of_order=[each for weather in weathers for each in _out_of_order(weather.written)],
    )


async def _left_by_relinks(stage: Stage) -> int:
    """How many Driveri drivers were left alone because their portal driver was linked to one who was there already."""
    decided = await stage.events({"account": ACCOUNT, "log": "decisions", "target": "driveri"})
    return sum(event["data"].get("rationale", {}).get("situation") == "REDIRECTED" for event in decided)


def _doubled(fleet: Fleet, now: TargetsState, left: int) -> Iterator[str]:
    """The drivers that a target has more often than the Portal: each of our drivers has a unique name."""
    ours = [each for each in now.drivers if each["firstName"] == "Storm" and each["status"] == now.active_status]
    users = [each for each in now.users if each["first_name"] == "Storm"]
    if not len(fleet.there) <= len(ours) <= len(fleet.there) + left:
        yield f"driveri: {len(ours)} active drivers, {len(fleet.there)} in the Portal"
    if len(users) > len(fleet.there) + len(fleet.gone):
        yield f"motive: {len(users)} users, {len(fleet.there)} in the Portal and {len(fleet.gone)} deleted"


def _out_of_order(written: Iterable[Call]) -> Iterator[str]:
    """The drivers of which an older version was written after a newer one."""
    newest: dict[bytes, bytes] = {}
    for call in written:
        for version, driver in _VERSION.findall(call.body):
            if version < newest.get(driver, b""):
                yield f"{call.method} {call.target}: {driver!r} is {version!r} after {newest[driver]!r}"
            newest[driver] = version
