"""Reads one roster, page by page, and decides whom to believe gone."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol

from domain.absence import is_doubtful, sample
from domain.failures import Reason, TargetFailed, Unavailable
from domain.identity import Key
from domain.ports import TargetDrivers
from domain.roster import TargetDriver, UnreadableRecords
from services.projector.read_models import RosterRow
from services.projector.sighting import is_there_before
from services.projector.walking import PAGE, Walk
from services.runtime.clock import Clock
from services.runtime.service import Service

Page = Sequence[TargetDriver]

_TELL_AFTER: Final = timedelta(seconds=1)
"""How often the progress of a walk is stored at most."""


MOST_DRIVERS: Final = 150_000
"""Drivers that a roster may show, or ten times as many as we know in the Portal, where that is more."""

MOST_PAGES: Final = 30_000
"""Pages in which a roster may come: five readings of all those drivers, in pages of 25."""


class RosterWithoutEnd(TargetFailed):
    """A roster is longer than any can be, or its pages come to no end."""


class ListNotWhole(TargetFailed):
    """A target answered well, but its list lacks drivers who are there."""


@dataclass(slots=True, kw_only=True)
class _Lacking:
    """Whom the list does not show, each with whether the driver was active, and how many active ones were known."""

    known: int = 0
    drivers: dict[Key, bool] = field(default_factory=dict)

    def count(self, rows: Sequence[RosterRow], walk: Walk, seen: Collection[Key]) -> None:
        """Look at a page of those who were known before the walk."""
        for row in rows:
            if is_there_before(row, walk.newer):
                self.known += row.active
                if row.key not in seen:
                    self.drivers[Key(row.key)] = row.active


class Notes(Protocol):
    """Where a walk is noted down as it goes along, as in `Walks`."""

    def expected(self, walk: Walk) -> int:
        """How many drivers we know in the Portal."""
        ...

    def last_event(self) -> int:
        """How far everything is that was noted down before."""
        ...

    def take_page(self, walk: Walk, page: Sequence[TargetDriver]) -> int:
        """These are shown; how many of them as they were known."""
        ...

    def is_nobody_lacking(self, walk: Walk, as_known: int, last_event: int) -> bool:
        """Whether everybody who is known was shown, as far as that can be told at once."""
        ...

    def tell_progress(self, walk: Walk, drivers: int) -> None:
        """So many drivers have been read so far."""
        ...

    def known(self, walk: Walk, after: str | None) -> Sequence[RosterRow]:
        """A page of the drivers as they were last known, behind this key."""
        ...

    def take_gone(self, walk: Walk, keys: Sequence[Key]) -> None:
        """These are there no more."""
        ...

    def complete(self, walk: Walk, seen: Collection[Key], unreadable: UnreadableRecords) -> None:
        """The whole roster was read, but for these records."""
        ...


class Walker:
    """Does what one walk takes, and has it noted down as it goes along."""

    def __init__(self, service: Service, walks: Notes, clock: Clock) -> None:
        self._service = service
        self._walks = walks
        self._clock = clock

    async def walk(self, walk: Walk, drivers: TargetDrivers, tell: Callable[[int], None] = lambda _: None) -> None:
        """Read the whole roster, and report it; `tell` learns how many drivers were read so far.

        Raises `TargetFailed` when it cannot be read, `ListNotWhole` when it is not to be believed, and `StoreConflict`
        when the account has gone to another process.
        """
        last_event, unreadable = await self._service.call(self._walks.last_event), UnreadableRecords()
        seen, as_known = await self._read(walk, drivers, tell, unreadable)
        is_in_step = as_known == len(seen) and await self._service.call(
            self._walks.is_nobody_lacking, walk, as_known, last_event
        )
        gone = [] if is_in_step else await self._gone(walk, drivers, seen)
        for start in range(0, len(gone), PAGE):
            await self._service.call(self._walks.take_gone, walk, gone[start : start + PAGE])
        await self._service.call(self._walks.complete, walk, seen, unreadable)

    async def _read(
        self, walk: Walk, drivers: TargetDrivers, tell: Callable[[int], None], unreadable: UnreadableRecords
    ) -> tuple[Collection[Key], int]:
        """Report what every page shows; whom they showed, and how many of them as they were known."""
        seen: set[Key] = set()
        told, as_known, pages_read = self._clock(), 0, 0
        most = max(MOST_DRIVERS, 10 * await self._service.call(self._walks.expected, walk))
        async with aclosing(_read_ahead(drivers.walk(unreadable))) as pages:
            async for page in pages:
                seen.update(driver.key for driver in page)
                tell(len(seen))
                pages_read += 1
                _check(len(seen), pages_read, most)
                as_known += await self._service.call(self._walks.take_page, walk, page)
                if (now := self._clock()) - told >= _TELL_AFTER:
                    told = now
                    await self._service.call(self._walks.tell_progress, walk, len(seen))
        return seen, as_known

    async def _gone(self, walk: Walk, drivers: TargetDrivers, seen: Collection[Key]) -> Sequence[Key]:
        """Those who are really not there; where they are many, some are looked up before that is believed."""
        lacking = _Lacking()
        async for rows in self._known(walk):
            lacking.count(rows, walk, seen)
        gone = await drivers.gone([*lacking.drivers]) if lacking.drivers else []
        active = [key for key in gone if lacking.drivers[key]]
        if is_doubtful(shown=len(seen), known=lacking.known, lacking=len(active)):
            await _confirm(active, drivers, seen)
        return gone

    async def _known(self, walk: Walk) -> AsyncIterator[Sequence[RosterRow]]:
        after: str | None = None
        while rows := await self._service.call(self._walks.known, walk, after):
            yield rows
            after = rows[-1].key


def _check(drivers: int, pages: int, most: int) -> None:
    """Raise `RosterWithoutEnd` where there are more than can be."""
    advice = "check with the vendor what this account's list shows"
    if drivers > most:
        detail = f"the roster shows more than {most} drivers: {advice}"
    elif pages > MOST_PAGES:
        detail = f"the roster has more than {MOST_PAGES} pages, and shows {drivers} drivers: {advice}"
    else:
        return
    raise RosterWithoutEnd(Unavailable(reason=Reason.DOWN, detail=detail))


async def _read_ahead(pages: AsyncGenerator[Page, None]) -> AsyncGenerator[Page, None]:
    """The same pages; while one is looked at, the next is read."""
    async with aclosing(pages):
        coming = asyncio.create_task(_next(pages))
        try:
            while page := await coming:
                coming = asyncio.create_task(_next(pages))
                yield page[0]
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


async def _next(pages: AsyncGenerator[Page, None]) -> tuple[Page] | None:
    async for page in pages:
        return (page,)
    return None


async def _confirm(lacking: Sequence[Key], drivers: TargetDrivers, seen: Collection[Key]) -> None:
    """Look some of them up. Raises `ListNotWhole` when anybody is there."""
    looked_up = sample(lacking)
    found = [await drivers.find(key, {}) for key in looked_up]
    there = sum(driver is not None and driver.key not in seen for driver in found)
    if there:
        detail = f"the list is not whole: {there} of {len(looked_up)} whom it lacks, and who were looked up, are there"
        raise ListNotWhole(Unavailable(reason=Reason.DOWN, detail=detail))
