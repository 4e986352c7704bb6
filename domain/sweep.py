"""The history of the sweeps of one account on one target: what each found, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.driver_link import DeleteHeld, DriverLink, Explained, Parked
from domain.event import DeciderEvent
from domain.situations import Situation


class Finding(StrEnum):
    """What a sweep found of a driver that the Portal knows; `STRAY` of a target driver that no link claims."""

    IN_STEP = "in_step"
    ABSENT = "absent"
    FOUND = "found"
    DORMANT = "dormant"
    DRIFTED = "drifted"
    OUTDATED = "outdated"
    MISSING = "missing"
    RENAMED = "renamed"
    REDIRECTED = "redirected"
    ORPHANED = "orphaned"
    CONTESTED = "contested"
    UNKEYED = "unkeyed"
    PARKED = "parked"
    HELD = "held"
    KEPT = "kept"
    ENDED = "ended"
    STRAY = "stray"


@dataclass(frozen=True, kw_only=True)
class SweepEvent(DeciderEvent):
    """A fact about the sweeps of an account on a target; the version is the number of the sweep.

    `request` is the version of the account at which a person requested the sweep; 0 for one that nobody did.
    """

    request: int


@dataclass(frozen=True, kw_only=True)
class SweepCompleted(SweepEvent, topic="Sweep.SweepCompleted"):
    """Everybody was looked at after a walk of the whole roster.

    `drivers` counts the target drivers that the walk read, `found` the portal drivers by what was found of them and
    the strays, `drifted` by field the drivers in whom it had drifted, and `at_odds` those of them in whom it had
    drifted in the sweep before too: somebody else writes it there again and again.
    """

    walk: int
    drivers: int
    found: dict[str, int]
    drifted: dict[str, int]
    at_odds: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class SweepRefused(SweepEvent, topic="Sweep.SweepRefused"):
    """The sweep was to go by a plan, but what it would have done was another one: so it did nothing.

    `would_be` is empty where nobody could tell, because the account had other terms before, or there was no room to
    rehearse; `plan` too if there was none.
    """

    walk: int
    plan: str
    would_be: str


_BY_SITUATION: Mapping[str, Finding] = {
    Situation.CONTESTED: Finding.CONTESTED,
    Situation.ABSENT: Finding.ABSENT,
    Situation.FOUND: Finding.FOUND,
    Situation.DORMANT: Finding.DORMANT,
    Situation.MISSING: Finding.MISSING,
    Situation.OUTDATED: Finding.OUTDATED,
    Situation.DRIFTED: Finding.DRIFTED,
    Situation.RENAMED: Finding.RENAMED,
    Situation.REDIRECTED: Finding.REDIRECTED,
    Situation.ORPHANED: Finding.ORPHANED,
    Situation.GONE: Finding.ORPHANED,
}
_BY_REASON: Mapping[str, Finding] = {"contested": Finding.CONTESTED, "unkeyed": Finding.UNKEYED}


def finding_of(link: DriverLink, *, is_wanted: bool) -> Finding | None:
    """What a sweep found of a portal driver, by the link after deciding; None: unwanted, and nothing is there."""
    if undone := link.pending or link.parked or link.held:
        return found_by(undone)
    if link.is_live:
        return Finding.KEPT if link.let_stay else Finding.IN_STEP
    return Finding.ENDED if is_wanted else None


def found_by(fact: Explained) -> Finding:
    """What had been found when this was decided."""
    match fact:
        case Parked(reason=reason):
            return _BY_REASON.get(reason, Finding.PARKED)
        case DeleteHeld():
            return Finding.HELD
    return _BY_SITUATION[fact.because["situation"]]
