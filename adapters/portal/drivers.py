import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import httpx

from adapters.http import Clock, Jitter, Pause, down
from adapters.in_all import MOST_OF_THE_PORTAL, Total
from adapters.lenient import OddLine, are_many
from adapters.pace import Pace
from adapters.portal.access import PortalAccess
from adapters.portal.client import PortalClient
from adapters.portal.translate import to_line, with_attributes
from domain.failures import TargetFailed
from domain.ports import NOBODY, PortalLine

PAGE: Final = 500
"""Lines that are made of an answer at a time."""

_NO_ATTRIBUTES: Final = "its attributes have a form that cannot be read"


class ListedDrivers:
    """An answer of the Portal that is read line by line: `PortalList`."""

    def __init__(self, rows: Sequence[object]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def pages(self) -> Iterator[Sequence[PortalLine]]:
        """See `PortalList.pages`."""
        if self._are_many_unreadable():
            raise TargetFailed(down("many lines of the list have no id that can be read"))
        for start in range(0, len(self._rows), PAGE):
            yield [to_line(row, number) for number, row in enumerate(self._rows[start : start + PAGE], start + 1)]

    def _are_many_unreadable(self) -> bool:
        """Whether so many lines name nobody that it is the list that cannot be believed."""
        return are_many(sum(to_line(row, 0).driver == NOBODY for row in self._rows), len(self._rows))


class PortalApiDrivers:
    """The drivers of the Portal whom one of its users may see: `PortalDrivers`."""

    def __init__(
        self,
        access: PortalAccess,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        pace: Pace | None = None,
        clock: Clock = time.time,
        pause: Pause = asyncio.sleep,
        jitter: Jitter = random.random,
    ) -> None:
        self._access = access
        self._total = _total()
        self._client = PortalClient(access, transport=transport, pace=pace, clock=clock, pause=pause, jitter=jitter)

    @property
    def login(self) -> str:
        """See `PortalAccess.login`."""
        return self._access.login

    @property
    def has_attributes(self) -> bool:
        """Whether any attribute holds a field."""
        return bool(self._access.attributes)

    async def list_all(self) -> ListedDrivers:
        """The whole list, which comes in one answer."""
        self._total = _total()
        return ListedDrivers(await self._total.of(self._client.drivers)())

    async def with_attributes(self, lines: Sequence[PortalLine]) -> Sequence[PortalLine]:
        """The same lines with what the attributes of their drivers state: one call for each, at the account's pace."""
        asked = [asyncio.create_task(self._with_attributes(line)) for line in lines]
        try:
            return _believed(await asyncio.gather(*asked))
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _with_attributes(self, line: PortalLine) -> PortalLine:
        try:
            rows = await self._total.of(self._client.attributes)(line.driver)
        except OddLine:
            return replace(line, flaw=_NO_ATTRIBUTES)
        if rows is None:
            return replace(line, flaw="the Portal lists it, and knows no attributes of it")
        legible = [row for row in rows if row is not None]
        if len(legible) < len(rows):
            return replace(line, flaw="one of its attributes has a form that cannot be read")
        return with_attributes(line, legible, self._access.attributes)


def _believed(lines: Sequence[PortalLine]) -> Sequence[PortalLine]:
    """The lines, unless so many attributes are unreadable that the answers cannot be believed: `TargetFailed`."""
    if are_many(sum(line.flaw == _NO_ATTRIBUTES for line in lines), len(lines)):
        raise TargetFailed(down("the attributes of many drivers have a form that cannot be read"))
    return lines


def _total() -> Total:
    return Total("the list with all attributes", MOST_OF_THE_PORTAL)
