"""The Portal's drivers, the changes that it announces, and the drivers that the lines of its lists are about."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Self, TypedDict
from uuid import UUID

from domain.guard import Identifiers, identifiers, is_rekeyed
from domain.identity import AccountId, PortalDriverId, portal_driver_stream
from domain.ports import PortalLine
from domain.profile import FIELDS, NOTHING_STATED, Profile, StatedProfile
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


@dataclass(frozen=True, kw_only=True)
class DriverErased(PortalDriverEvent, topic="PortalDriver.DriverErased"):
    """What is known of a driver that the Portal has no more is erased: no profile of before can be read from here on.

    `by`, `role`, `authenticated` and `note` are as in the events of accounts.
    """

    by: str
    role: str
    authenticated: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalDriver:
    """A driver profile as the Portal states it, as far as intake knows.

    `erased_at` is when it was erased, unless the Portal has stated it since.
    """

    account: AccountId
    driver: PortalDriverId
    version: int = 0
    profile: Profile | None = None
    missed: bool = False
    erased_at: datetime | None = None

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
    profile, erased_at = known.profile, known.erased_at
    if isinstance(event, Change):
        profile, erased_at = None if isinstance(event, DriverDeleted) else event.profile, None
    elif isinstance(event, DriverErased):
        profile, erased_at = None, event.at
    return PortalDriver(
        account=known.account,
        driver=known.driver,
        version=event.originator_version,
        profile=profile,
        missed=isinstance(event, DriverMissed),
        erased_at=erased_at,
    )


def replay(start: PortalDriver, events: Iterable[Event]) -> PortalDriver:
    """The driver after all these facts."""
    return reduce(apply, events, start)


class NotErasable(Exception):
    """A driver cannot be erased now; the message says why, and what to do first."""


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
        return fact(**self.origin(known), profile=dict(profile))

    def _note(self, fact: type[PortalDriverEvent], known: PortalDriver) -> PortalDriverEvent:
        return fact(**self.origin(known))

    def origin(self, known: PortalDriver) -> PortalDriverOrigin:
        """The first fields of the next fact about this driver."""
        return {
            "originator_id": known.id,
            "originator_version": known.version + 1,
            "at": self.at,
            "account": known.account,
            "driver": known.driver,
            "source": self.source,
        }


def check_erasable(known: PortalDriver) -> None:
    """Raise `NotErasable` for a driver that the Portal has, or never had."""
    if not known.version:
        raise NotErasable(f"there is no driver {known.driver} in account {known.account}")
    if known.is_there:
        raise NotErasable(f"the Portal still has driver {known.driver}: delete it there first, then erase it here")


def erased(
    known: PortalDriver, at: datetime, *, by: str, role: str, authenticated: str = "", note: str = ""
) -> tuple[DriverErased, ...]:
    """The fact that a driver is erased; none where that is so already. Raises `NotErasable`."""
    check_erasable(known)
    if known.erased_at:
        return ()
    origin = Statement(at=at, source="erasure").origin(known)
    return (DriverErased(**origin, by=by, role=role, authenticated=authenticated, note=note),)


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedChange:
    """What the Portal pushes of one driver: that it says this of it, or that it has deleted it.

    The profile of one that `is_deleted` only says by which RefID the driver may be known.
    """

    driver: PortalDriverId
    profile: StatedProfile
    is_deleted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ListChange:
    """What a list changes of one driver: the name of the change, its fields, and the identifiers before and after."""

    driver: PortalDriverId
    change: str
    fields: tuple[str, ...]
    before: Identifiers
    after: Identifiers
    is_new: bool

    @classmethod
    def between(cls, known: PortalDriver, after: PortalDriver, change: str) -> Self:
        """How a driver who was known so differs afterwards."""
        old, new = known.profile or {}, after.profile or {}
        return cls(
            driver=known.driver,
            change=change,
            fields=tuple(field for field in FIELDS if old.get(field) != new.get(field)),
            before=identifiers(old),
            after=identifiers(new),
            is_new=not known.version,
        )

    @property
    def is_rekeying(self) -> bool:
        """Whether targets would know the driver by other identifiers."""
        return is_rekeyed(self.before, self.after)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedLine:
    """A line whose driver cannot be stored."""

    line: int
    column: str
    reason: str


Meant = tuple[PortalLine, list[PortalDriverId]]
"""A line, and the drivers that it can be about: one as a rule; several who share a RefID, or none."""


def candidates(
    stated: PortalLine, by_ref: Mapping[str, list[PortalDriverId]], new: Collection[PortalDriverId]
) -> list[PortalDriverId]:
    """The drivers that a line can be about: the one with its id; one known by the RefID alone keeps that identity."""
    ref = stated.profile.text("ref_id")
    by_ref_alone = PortalDriverId(f"ref:{ref}")
    found = by_ref.get(ref, [])
    if stated.driver:
        return [by_ref_alone if stated.driver in new and by_ref_alone in found else stated.driver]
    return found or ([by_ref_alone] if ref else [])


def identified(meant: Iterable[Meant]) -> tuple[dict[PortalDriverId, StatedProfile], list[RefusedLine]]:
    """What is stated of each driver that a line is about, where the last one counts, and the lines that are refused."""
    found: dict[PortalDriverId, StatedProfile] = {}
    refused: list[RefusedLine] = []
    for stated, drivers in meant:
        if len(drivers) == 1:
            found[drivers[0]] = found.get(drivers[0], NOTHING_STATED).and_also(stated.profile.fields)
            continue
        reason = f"{len(drivers)} drivers have this Reference ID; add a Driver ID column to tell them apart"
        if not drivers:
            reason = "there is neither a Driver ID nor a Reference ID"
        refused.append(RefusedLine(line=stated.line, column="Reference ID", reason=reason))
    return found, refused


def shown_by(meant: Iterable[Meant]) -> set[PortalDriverId]:
    """All drivers that the lines can be about: a refused line still shows that its driver is there."""
    return {driver for _, drivers in meant for driver in drivers}
