"""Rehearses for people what sweeps would do; nothing is written to any log or store but a scratch one."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from domain.account import Account, Mode, replay
from domain.failures import TargetFailed
from domain.identity import Target
from domain.plan import Part, Step
from domain.requests import Request
from domain.storing import Store
from services.asking.answers import Answer
from services.planning.news import Portal
from services.planning.rehearsal import Rehearsal, Scratch
from services.planning.walking import RehearsedWalk
from services.projector.app import ProjectorApp
from services.projector.walker import Walker
from services.projector.walking import Walk
from services.runtime.clock import Clock
from services.runtime.service import Service

_TICK = 0.2
"""Seconds between two words of how far a walk is."""


class NothingToPlan(Exception):
    """Nothing is synchronised there; the message says why, and what would help."""


class RosterUnreadable(Exception):
    """A target's drivers cannot be read, so nobody knows what a sweep would do; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Answer):
    """How far a rehearsal is with what it does now; a total of 0 is not known."""

    target: str
    doing: str
    done: int
    total: int


Told = Progress | Sequence[Step] | Part
"""What a rehearsal tells as it goes along: how far it is, then the steps in pages, then what they come to."""


def outlook(account: Account, now: datetime) -> Account:
    """The account as it is while it is swept: with sync on, by its Master User where it is off now.

    Raises `NotPermitted` where it cannot be turned on.
    """
    return replay(account, Request(by=account.master_user, at=now).turn_on(account))


def planned_targets(account: Account, target: Target | None) -> list[Target]:
    """The targets that a sweep would be of. Raises `NothingToPlan` if there are none, or not the one that is named."""
    wanted = [target] if target else list(Target)
    found = [each for each in wanted if account.modes.get(each, Mode.OFF) is not Mode.OFF]
    if not found:
        named = " and ".join(wanted)
        raise NothingToPlan(
            f"the mode of {account.account} for {named} is off, so there is nothing to plan; "
            f"see `driverlink accounts mode --help`"
        )
    return found


class Planner:
    """Rehearses one target of one account after the other, a bounded piece at a time in the threads of the services."""

    def __init__(
        self,
        *,
        decider: Service,
        intake: Service,
        projectors: Mapping[Target, ProjectorApp],
        scratch: Scratch,
        clock: Clock,
    ) -> None:
        self._decider = decider
        self._portal = Portal(intake)
        self._projectors = projectors
        self._scratch = scratch
        self._clock = clock

    async def rehearse(self, account: Account, target: Target, driver: str = "") -> AsyncGenerator[Told, None]:
        """What a sweep of this account, as it is in the outlook, would do on this target, or for one driver there.

        Raises `RosterUnreadable` and `StoreFailed`.
        """
        now = self._clock()
        async with self._opened() as scratch:
            rehearsal = Rehearsal(scratch, account, target, now)
            async for done in self._pieces(rehearsal.copy(self._decider.store)):
                yield Progress(target=target, doing="copying", done=done, total=0)
            await self._portal.tell(account.account, rehearsal, self._decider)
            async with aclosing(self._walk(account, target, rehearsal, now)) as walk:
                async for done in walk:
                    yield Progress(target=target, doing="reading", done=done, total=0)
            wishes = await self._decider.call(rehearsal.wishes)
            async for done in self._pieces(rehearsal.decide()):
                yield Progress(target=target, doing="deciding", done=min(done, wishes), total=wishes)
            pages = rehearsal.steps(driver)
            while page := await self._decider.call(next, pages, None):
                yield page
            yield rehearsal.part()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Store]:
        """An empty store for one rehearsal.

        A piece that was begun goes on when nobody waits for it any more, so the store is closed in the same thread
        behind it: SQLite's module breaks the whole process off where another thread closes what is being used.
        """
        with_scratch = ExitStack()
        try:
            yield await self._decider.call(with_scratch.enter_context, self._scratch())
        finally:
            await self._decider.call(with_scratch.close)

    async def _pieces(self, pieces: Iterator[int]) -> AsyncIterator[int]:
        """How much was done altogether after each piece."""
        done = 0
        while (more := await self._decider.call(next, pieces, None)) is not None:
            done += more
            yield done

    async def _walk(
        self, account: Account, target: Target, rehearsal: Rehearsal, now: datetime
    ) -> AsyncGenerator[int, None]:
        """How many drivers were read, every now and then until the roster is whole."""
        walk = Walk(account=account.account, terms=account.terms[target], request=0, began=now)
        notes = RehearsedWalk(rehearsal)
        reading = asyncio.create_task(self._read(walk, target, notes))
        try:
            while not reading.done():
                await asyncio.wait([reading], timeout=_TICK)
                yield notes.drivers
            await reading
        except TargetFailed as failed:
            detail = failed.failure.detail
            raise RosterUnreadable(f"the roster of {walk.account} on {target} cannot be read: {detail}") from None
        finally:
            reading.cancel()

    async def _read(self, walk: Walk, target: Target, notes: RehearsedWalk) -> None:
        drivers = await self._projectors[target].reach(walk.account)
        await Walker(self._decider, notes, self._clock).walk(walk, drivers)
