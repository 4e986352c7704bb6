"""The Portal's drivers, and the changes that it announces."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from typing import TypedDict
from uuid import UUID

from domain.identity import AccountId, PortalDriverId, portal_driver_stream
from domain.profile import Profile, StatedProfile
from domain.store import Event


@dataclass(frozen=True, kw_only=True)
class PortalDriverEvent(Event):
    """A fact about one portal driver; `source` says by which way the Portal stated it."""

    driver: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Change(PortalDriverEvent):
    """What the Portal announces: always with the full profile."""

    profile: dict[str, str]

    @property
    def sequence(self) -> int:
        """Rises with every change of this driver; it may have gaps."""
        return self.originator_version


class DriverCreated(Change, topic="PortalDriver.DriverCreated"):
    """The Portal has a driver that it did not have before, or has a deleted one again."""


class DriverUpdated(Change, topic="PortalDriver.DriverUpdated"):
    """The Portal states another profile."""


class DriverDeleted(Change, topic="PortalDriver.DriverDeleted"):
    """The Portal has the driver no more; the profile is the last one."""


class DriverMissed(PortalDriverEvent, topic="PortalDriver.DriverMissed"):
    """A complete snapshot lacked the driver. One such snapshot does not prove a deletion."""


class DriverSeenAgain(PortalDriverEvent, topic="PortalDriver.DriverSeenAgain"):
    """The driver is in a list again, so the next snapshot that lacks it counts as the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalDriver:
    """A driver profile as the Portal states it, as far as intake knows."""

    account: AccountId
    driver: PortalDriverId
    version: int = 0
    profile: Profile | None = None
    missed: bool = False

    @property
    def id(self) -> UUID:
        """The id of this driver's history."""
        return portal_driver_stream(self.account, self.driver)

    @property
    def is_there(self) -> bool:
        """Whether the Portal has the driver now."""
        return self.profile is not None


def apply(known: PortalDriver, event: Event) -> PortalDriver:
    """The driver after this fact."""
    known = replace(known, version=event.originator_version, missed=isinstance(event, DriverMissed))
    match event:
        case DriverDeleted():
            return replace(known, profile=None)
        case Change():
            return replace(known, profile=event.profile)
    return known


def replay(start: PortalDriver, events: Iterable[Event]) -> PortalDriver:
    """The driver after all these facts."""
    return reduce(apply, events, start)


class PortalDriverOrigin(TypedDict):
    """The fields that every fact about a portal driver starts with."""

    originator_id: UUID
    originator_version: int
    at: datetime
    account: str
    driver: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement of the Portal about one driver: when it was made, and by which way it came."""

    at: datetime
    source: str

    def present(self, known: PortalDriver, stated: StatedProfile) -> tuple[PortalDriverEvent, ...]:
        """The Portal shows the driver and says this of it; nothing if that is known already.

        What it does not say stays as it is known; of a driver that it did not have before, nothing is known.
        """
        profile = stated.onto(known.profile or {})
        if known.profile != profile:
            return (self._change(DriverUpdated if known.is_there else DriverCreated, known, profile),)
        return (self._note(DriverSeenAgain, known),) if known.missed else ()

    def deleted(self, known: PortalDriver) -> tuple[PortalDriverEvent, ...]:
        """The Portal has deleted the driver; nothing if it has none."""
        return (self._change(DriverDeleted, known, known.profile),) if known.profile is not None else ()

    def absent(self, known: PortalDriver) -> tuple[PortalDriverEvent, ...]:
        """A complete snapshot lacks the driver: noted the first time, taken as deleted the second time in a row."""
        if known.missed:
            return self.deleted(known)
        return (self._note(DriverMissed, known),) if known.is_there else ()

    def _change(self, fact: type[Change], known: PortalDriver, profile: Profile) -> Change:
        return fact(**self._origin(known), profile=dict(profile))

    def _note(self, fact: type[PortalDriverEvent], known: PortalDriver) -> PortalDriverEvent:
        return fact(**self._origin(known))

    def _origin(self, known: PortalDriver) -> PortalDriverOrigin:
        return {
            "originator_id": known.id,
            "originator_version": known.version + 1,
            "at": self.at,
            "account": known.account,
            "driver": known.driver,
            "source": self.source,
        }
