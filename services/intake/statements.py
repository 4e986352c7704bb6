"""The lines of a list, and the drivers that they are about."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from domain.guard import Identifiers, identifiers, is_rekeyed
from domain.identity import PortalDriverId
from domain.portal import PortalDriver
from domain.ports import PortalLine
from domain.profile import FIELDS, NOTHING_STATED, StatedProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedLine:
    """A line whose driver cannot be stored."""

    line: int
    column: str
    reason: str


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


@dataclass(slots=True, kw_only=True)
class Absences:
    """How many drivers a list should have shown, and how many of those it lacks."""

    known: int = 0
    lacking: int = 0

    def count(self, *, is_shown: bool) -> None:
        """One more driver who is known."""
        self.known += 1
        self.lacking += not is_shown


@dataclass(slots=True, kw_only=True)
class Taken:
    """What follows from a list: how many of each change, the lines that were refused, the drivers that it shows.

    `differences` has the drivers that change; `set_aside` is what the list states of those that were left out.
    """

    changes: Counter[str] = field(default_factory=Counter)
    refused: list[RefusedLine] = field(default_factory=list)
    shown: set[PortalDriverId] = field(default_factory=set)
    differences: list[ListChange] = field(default_factory=list)
    set_aside: list[PortalLine] = field(default_factory=list)


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


def identified(meant: Iterable[Meant], taken: Taken) -> dict[PortalDriverId, StatedProfile]:
    """What is stated of each driver that a line is about; other lines are refused, and of two the last one counts."""
    found: dict[PortalDriverId, StatedProfile] = {}
    for stated, drivers in meant:
        if len(drivers) == 1:
            found[drivers[0]] = found.get(drivers[0], NOTHING_STATED).and_also(stated.profile.fields)
            continue
        reason = f"{len(drivers)} drivers have this Reference ID; add a Driver ID column to tell them apart"
        if not drivers:
            reason = "there is neither a Driver ID nor a Reference ID"
        taken.refused.append(RefusedLine(line=stated.line, column="Reference ID", reason=reason))
    return found


def shown_by(meant: Iterable[Meant]) -> set[PortalDriverId]:
    """All drivers that the lines can be about: a refused line still shows that its driver is there."""
    return {driver for _, drivers in meant for driver in drivers}
