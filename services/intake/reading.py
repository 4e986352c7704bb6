"""Reads one account's whole list by the Portal's API, and lets intake take it over, some lines at a time."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from zlib import crc32

from domain.failures import Reason, TargetFailed, Unavailable
from domain.identity import PortalDriverId
from domain.ports import NOBODY, PortalDrivers, PortalLine
from domain.rekeying import IDENTIFYING
from services.intake.lists import StatedDriver
from services.intake.readings import Reading, Readings
from services.runtime.service import Service

MOST_LINES: Final = 150_000
"""Lines that a list may have, or twice as many as there are drivers known, where that is more."""


@dataclass(slots=True, kw_only=True)
class _Seen:
    """The ids that a list has shown so far, whom it is about, and the lines that could not be taken over.

    It has said something of the identifiers of those who are `said`; `aside` is what waits for its end.
    """

    ids: set[PortalDriverId] = field(default_factory=set)
    drivers: set[PortalDriverId] = field(default_factory=set)
    refused: list[PortalLine] = field(default_factory=list)
    said: set[PortalDriverId] = field(default_factory=set)
    aside: list[StatedDriver] = field(default_factory=list)


class Reader:
    """Reads lists. Attributes cost a call for each driver, so of a large fleet only a share is asked for each time.

    `most_asked` is about how many drivers are asked for at one reading; those who are new always are.
    """

    def __init__(self, service: Service, readings: Readings, *, most_asked: int) -> None:
        self._service = service
        self._readings = readings
        self._most_asked = most_asked

    async def read(self, reading: Reading, portal: PortalDrivers) -> None:
        """Read the list and take it over. Raises `TargetFailed` and `SnapshotRefused`: then nobody is missed."""
        listed, seen = await portal.list_all(), _Seen()
        most = max(MOST_LINES, 2 * await self._service.call(self._readings.known, reading))
        if len(listed) > most:
            detail = (
                f"the list has {len(listed)} lines, and no more than {most} are believed: check what the login sees"
            )
            raise TargetFailed(Unavailable(reason=Reason.DOWN, detail=detail))
        turns = max(1, -(-len(listed) // self._most_asked))
        for page in listed.pages():
            fresh = [line for line in page if line.driver == NOBODY or line.driver not in seen.ids]
            new = await self._service.call(self._readings.unknown, reading, {line.driver for line in fresh})
            lines = await self._with_attributes(reading, portal, fresh, new, turns) if portal.has_attributes else fresh
            await self._take(reading, [_named(line) if line.driver in new else line for line in lines], seen)
        await self._service.call_again(self._readings.settle, reading, seen.aside, seen.drivers, seen.said)
        await self._service.call_again(self._readings.finish, reading, seen.drivers, seen.refused, lines=len(listed))
        self._service.ring()

    async def _with_attributes(
        self,
        reading: Reading,
        portal: PortalDrivers,
        lines: Sequence[PortalLine],
        new: Collection[PortalDriverId],
        turns: int,
    ) -> Sequence[PortalLine]:
        """The lines, with their attributes where the driver is new, or it is the driver's turn."""
        named = [line for line in lines if line.driver != NOBODY]
        asked = [line for line in named if line.driver in new or _turn_of(line.driver, turns) == reading.number % turns]
        told = {line.driver: line for line in await portal.with_attributes(asked)}
        return [told.get(line.driver, line) for line in lines]

    async def _take(self, reading: Reading, lines: Sequence[PortalLine], seen: _Seen) -> None:
        good = [line for line in lines if not line.flaw]
        seen.refused += [line for line in lines if line.flaw]
        seen.ids |= {line.driver for line in lines}
        taken = await self._service.call_again(self._readings.take, reading, good)
        seen.drivers |= taken.shown
        seen.aside += taken.set_aside
        seen.said |= {line.driver for line in good if not IDENTIFYING.isdisjoint(line.profile.fields)}
        self._service.ring()


def _named(line: PortalLine) -> PortalLine:
    """The line of a driver of whom nothing is known yet: without a name it cannot be taken over."""
    lacking = next((field for field in ("first_name", "last_name") if not line.profile.text(field)), "")
    return replace(line, flaw=f"its {lacking} is not stated") if lacking and not line.flaw else line


def _turn_of(driver: PortalDriverId, turns: int) -> int:
    return crc32(driver.encode()) % turns
