"""What happens to one account of several: the demo's scenes, without a rest between them, and more beside them."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

from domain.profile import Profile
from services.sandbox.comparison import (
    Comparison,
    Json,
    TargetsState,
    compare,
    in_sync,
    left_alone,
    unmanaged,
    untouched,
)
from services.sandbox.demo import ACCOUNT, MASTER_USER, RunningSandboxes, Stage, batches
from services.sandbox.story import MASS_DELETE, Announcement, Fleet, desired_id, to_scenes
from tests.support.fleets import PartOfFleet

_BATCH = 30
_LONGEST_REST = 0.2
"""Seconds between two changes of the same kind, at most."""

_WAITING = ("parked", "held", "kept")
_BESIDE_SCENES = {"last_name": "Okonkwo-Vance"}
_BESIDE_APPROVALS = {"first_name": "Marisol", "phone": "602-555-0177"}
"""What is changed of others meanwhile: each field of a driver once, so that no two changes look alike."""

Touched = list[tuple[str, str, str]]


class FleetStage(Stage):
    """The demo's stage for an account of another name."""

    def __init__(self, client: httpx.AsyncClient, part: PartOfFleet) -> None:
        super().__init__(client)
        self._part = part

    async def open_account(self) -> None:
        """The account, connected to its tenant and its company, with synchronisation off."""
        await self.post(
            "/accounts", {"account": self._part.account, "tier": "pro", "mode": "full", "master_user": MASTER_USER}
        )
        for target, values in self._part.credentials.items():
            await self.post(f"/accounts/{ACCOUNT}/credentials", {"target": target, "values": values})

    async def get(self, path: str, **query: str | int) -> Any:  # noqa: ANN401 - JSON
        """Ask for something of this account."""
        return await super().get(self._of_this_account(path), **query)

    async def post(self, path: str, body: Json) -> Any:  # noqa: ANN401 - JSON
        """Have something done for this account."""
        return await super().post(self._of_this_account(path), body)

    def _of_this_account(self, path: str) -> str:
        return path.replace(f"/accounts/{ACCOUNT}", f"/accounts/{self._part.account}", 1)


class FleetStory:
    """One account's way from its first list to the end; `announced` are the changes that followed the list."""

    def __init__(
        self, part: PartOfFleet, client: httpx.AsyncClient, targets: RunningSandboxes, chance: random.Random
    ) -> None:
        self.account = part.account
        self._part = part
        self.stage = FleetStage(client, part)
        self._targets = targets
        self._chance = chance
        self.announced: list[Announcement] = []
        self._fleet = Fleet()
        self._former: list[str] = []
        self._others: list[str] = []
        self._seeded: TargetsState | None = None
        self._settled: TargetsState | None = None

    async def begin(self) -> None:
        """The Portal lists everybody, and sync is turned on."""
        self._seeded = await self._part.shown(self._targets)
        await self.stage.open_account()
        for batch in batches(self._part.rows, _BATCH):
            lines = [{"line": row.line, "driver": row.driver, "profile": row.profile.fields} for row in batch]
            await self.stage.take(lines)
            self._fleet.there.update({str(row.driver): row.profile.onto({}) for row in batch})
        await self.stage.turn_on()

    async def play(self) -> None:
        """All scenes, and beside them updates of others. At its begin everybody is in sync, or waits for a person."""
        self._settled = await self._part.shown(self._targets)
        links = await self.stage.links()
        settled = in_sync(links)
        deletes = min(MASS_DELETE, len(self._fleet.there) // 4)
        states = Counter(f"{link['target']} {link['state']} {link['detail'] or ''}" for link in links)
        with _noted(f"{self.account} has {len(self._fleet.there)} drivers; its links: {dict(states)}"):
            scenes = to_scenes(self._fleet, settled, unmanaged(self._fleet, self._settled), deletes=deletes)
        relinked = [driver for scene in scenes if scene.is_relink for driver in scene.drivers]
        self._former = [desired_id(self._fleet.there[driver]) for driver in relinked]
        cast = {driver for scene in scenes for driver in scene.drivers}
        self._others = [driver for driver in settled if driver in self._part.newcomers - cast]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._announce(change for scene in scenes for change in scene.changes))
            group.create_task(self._announce(_updates(self._others, _BESIDE_SCENES)))

    async def approve(self) -> None:
        """The Master User approves all deletes that are held now; the others are changed again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._announce(_updates(self._others, _BESIDE_APPROVALS)))
            group.create_task(_done(self.stage.approve_all()))

    async def judged(self) -> tuple[Comparison, Touched]:
        """How the account stands on both targets now, and what of other people's was changed there."""
        assert self._seeded is not None
        assert self._settled is not None
        now, links = await self._part.shown(self._targets), await self.stage.links()
        waiting = [link for link in links if link["state"] in _WAITING]
        waits = {(link["target"], link["driver"]): link["detail"] or link["state"] for link in waiting}
        touched = untouched(self._fleet, self._seeded, now) + left_alone(self._former, self._settled, now)
        return compare(self._fleet, now, waits), touched

    async def _announce(self, changes: Iterable[Announcement]) -> None:
        for change in changes:
            await self.stage.announce(change)
            self._fleet.apply(change)
            self.announced.append(change)
            await asyncio.sleep(self._chance.uniform(0, _LONGEST_REST))


def _updates(drivers: Sequence[str], fields: Profile) -> Iterator[Announcement]:
    """An update for each of these fields: everybody's first one, then everybody's next."""
    for name, text in fields.items():
        for driver in drivers:
            yield Announcement(action="update", driver=driver, profile={name: text})


@contextmanager
def _noted(state: str) -> Iterator[None]:
    """What is raised inside says how things stood."""
    try:
        yield
    except Exception as failure:
        failure.add_note(state)
        raise


async def _done(deed: Awaitable[object]) -> None:
    await deed
