"""The history of the sweeps of one account on one target: what each found, and what came of it."""

from dataclasses import dataclass
from enum import StrEnum

from domain.event import Event


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
class SweepEvent(Event):
    """A fact about the sweeps of an account on a target; the version is the number of the sweep.

    `request` is the version of the account at which a person requested the sweep; 0 for one that nobody did.
    """

    target: str
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
    """The sweep was to go by a plan, but what it would have done was another one: so it did nothing."""

    walk: int
    plan: str
    would_be: str
