"""Several accounts go their way while processes are killed, servers go away, and every change comes twice."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.identity import Target
from domain.portal import Change
from domain.store import DeadLetter, Event
from services.api.installation import Installation
from services.runtime.context import CHANGES
from services.sandbox.comparison import Comparison
from services.sandbox.demo import RunningSandboxes
from tests.support.backlog import Backlog
from tests.support.delivered import Delivered, delivered
from tests.support.distributed import Deployment, Serving, every_service, rolled, running, until_ready
from tests.support.exactly_once import Json, events_of, journal_of
from tests.support.fleet_story import FleetStory
from tests.support.fleets import divided, seed
from tests.support.killing import Blow, Kill, Killer
from tests.support.patience import commanded
from tests.support.processes import sandboxes
from tests.support.servers import OwnKafka, OwnPostgres
from tests.support.unruly_relay import UnrulyRelay

ACCOUNTS = ("fleet-1", "fleet-2", "fleet-3", "fleet-7")
"""Accounts of four different partitions out of four."""

_SECONDS = 500.0
"""Seconds after which something must be stuck."""

_SESSION = 3.0
_FROZEN = 5.0
"""Seconds until a service takes a process for gone, and for which one only seems so."""

_KAFKA_GOES, _POSTGRES_GOES = 1 / 7, 1 / 2
_DECIDERS_FREEZE = (1 / 4, 4 / 7, 4 / 5)
"""After which of all kills a server is killed too, or a decider stands still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """What is there when everything has come to rest. `later` are the changes since everybody was in sync."""

    kills: Sequence[Kill]
    delivered: Sequence[Delivered]
    changes: Sequence[Event]
    later: Sequence[Change]
    decisions: Sequence[Event]
    dead_letters: int
    journals: dict[Target, list[Json]]
    comparisons: dict[str, Comparison]
    touched: dict[str, list[tuple[str, str, str]]]


async def gone_through(
    kafka: OwnKafka, postgres: OwnPostgres, folder: Path, *, drivers: int, kills: int, number: int
) -> Aftermath:
    """Go through all of it, with this many drivers of each account, and kills; the number says at which moments."""
    chance = random.Random(number)  # noqa: S311 - moments, not secrets
    parts = divided(ACCOUNTS, drivers)
    async with asyncio.timeout(_SECONDS), sandboxes() as targets:
        await seed(parts, targets)
        deployment = Deployment(
            kafka=kafka.servers, database=postgres.database(), targets=targets, folder=folder, session=_SESSION
        )
        await asyncio.to_thread(deployment.prepare)
        services = every_service(deployment)
        deciders = [serving for serving in services if serving.service == ("decider",)]
        blows: dict[int, Blow] = {
            round(kills * _KAFKA_GOES): lambda: asyncio.to_thread(kafka.restart, hard=True),
            round(kills * _POSTGRES_GOES): lambda: asyncio.to_thread(postgres.restart, hard=True),
            **{round(kills * share): lambda: chance.choice(deciders).freeze(_FROZEN) for share in _DECIDERS_FREEZE},
        }
        killer = Killer(servings=services, chance=chance, besides=blows)
        async with commanded(deployment.settings) as (client, installation):
            stories = [FleetStory(part, client, targets, chance) for part in parts]
            ordeal = Ordeal(deployment, installation, stories, killer, UnrulyRelay(deployment.settings, chance))
            await ordeal.go(services, kills)
            return await ordeal.aftermath(targets)


class Ordeal:
    """The stories, what is done to the processes meanwhile, and what came of it."""

    def __init__(
        self,
        deployment: Deployment,
        installation: Installation,
        stories: Sequence[FleetStory],
        killer: Killer,
        unruly: UnrulyRelay,
    ) -> None:
        self._settings = deployment.settings
        self._installation = installation
        self._backlog = Backlog(installation, self._settings)
        self._stories = stories
        self._killer = killer
        self._unruly = unruly
        self._known_before = 0

    async def go(self, services: Sequence[Serving], kills: int) -> None:
        """All of it. The unruly relay sends what the Portal lists first; intake's own relay runs only then."""
        await self._each(FleetStory.begin)
        try:
            async with asyncio.TaskGroup() as group:
                relaying = group.create_task(self._unruly.run())
                await self._unruly.until_sent()
                async with running(services):
                    await self._play(services, kills)
                    await until_ready(services)
                relaying.cancel()
        finally:
            self._unruly.close()

    async def aftermath(self, targets: RunningSandboxes) -> Aftermath:
        """What is there now."""
        changes = events_of(self._installation.logs["changes"])
        judged = {story.account: await story.judged() for story in self._stories}
        return Aftermath(
            kills=self._killer.kills,
            delivered=await delivered(self._settings, CHANGES),
            changes=changes,
            later=[each for each in changes[self._known_before :] if isinstance(each, Change)],
            decisions=events_of(self._installation.logs["decisions"]),
            dead_letters=sum(service.store.count(DeadLetter)[()] for service in self._installation.services),
            journals={
                Target.DRIVERI: await journal_of(targets.driveri),
                Target.MOTIVE: await journal_of(targets.motive),
            },
            comparisons={account: comparison for account, (comparison, _) in judged.items()},
            touched={account: touched for account, (_, touched) in judged.items()},
        )

    async def _play(self, services: Sequence[Serving], kills: int) -> None:
        """Half of the kills hit the first load, half the scenes; what follows meets processes that end and return."""
        await _together(self._killer.run(kills // 2), self._backlog.until_quiet())
        await self._backlog.until_quiet()
        self._known_before = len(events_of(self._installation.logs["changes"]))
        await _together(self._killer.run(kills - kills // 2), self._each(FleetStory.play))
        await self._backlog.until_quiet()
        await until_ready(services)
        await _together(rolled(services), self._each(FleetStory.approve))
        await self._unruly.until_sent()
        await self._backlog.until_quiet()

    async def _each(self, deed: Callable[[FleetStory], Awaitable[object]]) -> None:
        await _together(*map(deed, self._stories))


async def _together(*deeds: Awaitable[object]) -> None:
    async def done(deed: Awaitable[object]) -> None:
        await deed

    async with asyncio.TaskGroup() as group:
        for deed in deeds:
            group.create_task(done(deed))
