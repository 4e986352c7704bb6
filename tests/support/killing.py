"""Kills processes at random moments, and starts them again after a random while."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.support.distributed import Serving, check

_BETWEEN = (0.2, 2.4)
"""Seconds between two kills."""

_AWAY = (0.05, 3.0)
"""Seconds for which a killed process stays away."""

_AT_RELAYS = 3
"""One kill of this many is meant for a process that is relaying."""

Blow = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """Who was killed, and whether it was chosen because it relayed."""

    name: str
    relayed: bool


@dataclass(slots=True, kw_only=True)
class Killer:
    """Kills these processes; `besides` are further blows, each dealt right after the kill of its number."""

    servings: Sequence[Serving]
    chance: random.Random
    besides: Mapping[int, Blow] = field(default_factory=dict)
    kills: list[Kill] = field(default_factory=list)
    turns: list[Serving] = field(default_factory=list)

    async def run(self, times: int) -> None:
        """Kill this many times more; afterwards every process is started, and every blow is over."""
        wanted = len(self.kills) + times
        async with asyncio.TaskGroup() as recovering:
            while len(self.kills) < wanted:
                await asyncio.sleep(self.chance.uniform(*_BETWEEN))
                check(self.servings)
                if victim := await self._killed():
                    recovering.create_task(self._come_back(victim, self.chance.uniform(*_AWAY)))
                    recovering.create_task(_dealt(self.besides.get(len(self.kills), _nothing)))

    async def _killed(self) -> Serving | None:
        """The process that it has killed now; None if none runs."""
        relaying = await self._relaying() if len(self.kills) % _AT_RELAYS == 0 else []
        victim = self.chance.choice(relaying) if relaying else self._next()
        if victim is not None:
            victim.kill()
            self.kills.append(Kill(name=victim.name, relayed=bool(relaying)))
        return victim

    def _next(self) -> Serving | None:
        """Whose turn it is of those who run: everybody is due before anybody again, in an order that differs."""
        if not any(serving.is_running for serving in self.turns):
            self.turns = self.chance.sample(self.servings, len(self.servings))
        victim = next((serving for serving in self.turns if serving.is_running), None)
        if victim is not None:
            self.turns.remove(victim)
        return victim

    async def _relaying(self) -> list[Serving]:
        told = await asyncio.gather(*(serving.progress() for serving in self.servings))
        return [serving for serving, each in zip(self.servings, told, strict=True) if each and each["relaying"]]

    async def _come_back(self, victim: Serving, after: float) -> None:
        await asyncio.sleep(after)
        victim.start()


async def _nothing() -> None:
    """No further blow."""


async def _dealt(blow: Blow) -> None:
    await blow()
