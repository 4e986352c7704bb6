"""What follows from a call that failed: when it is tried again, in seconds from now, or that it is given up."""

from dataclasses import dataclass
from typing import Final, assert_never
from uuid import UUID, uuid5

from domain.failures import CLASSES, CallFailure, FailureClass, Unavailable

LADDER: Final = (300.0, 1800.0, 7200.0, 21_600.0, 86_400.0)
"""How long a call waits that failed once, twice, and so on: about 5 minutes, 30 minutes, 2, 6 and 24 hours."""

MOST_TRIES: Final = len(LADDER) + 1

LOOK_AFTER: Final = (0.5, 2.0)
"""How long is waited before it is looked up whether a call took effect, and it is tried again if not."""

LOOK_FOR: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
"""The same where the target has answered well, and does not show it: 15 seconds in all, and no second try."""

FIRST_WAIT, LONGEST_WAIT = 5.0, 300.0
"""Seconds until something that is read for a whole account is tried again, doubling."""

_MOST_DOUBLINGS: Final = 6
_LEAST_PAUSE: Final = 1.0
LONGEST_PATIENCE: Final = 86_400.0
"""How long a target that asks for patience is left alone at most: a day."""

_SPREAD: Final = 0.1
"""By what part of itself a wait is longer at most, so that what failed together does not come back together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Try again after so many seconds; `tries` have failed by then, as far as they count."""

    after: float
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """Do not try again; `detail` says why, for people."""

    detail: str


def after_failure(failure: CallFailure, tries: int, link: UUID, *, is_alone: bool = False) -> Retry | Park:
    """What follows when a link's call fails that has failed so many times before.

    Where the whole account cannot get through, its breaker says when to go on; `is_alone` says that it does get
    through, and access is refused to this link's call only.
    """
    failure_class = CLASSES[failure.reason]
    match failure_class:
        case FailureClass.FINAL:
            return Park(detail=failure.detail)
        case FailureClass.ACCESS if not is_alone:
            return Retry(after=0.0, tries=max(tries, 1))
        case FailureClass.PACED:
            return Retry(after=max(_LEAST_PAUSE, patience(failure)), tries=tries)
        case FailureClass.ACCESS | FailureClass.PASSING | FailureClass.UNKNOWN:
            return _climbed(failure, tries, link)
    assert_never(failure_class)


def _climbed(failure: CallFailure, tries: int, link: UUID) -> Retry | Park:
    if tries >= len(LADDER):
        return Park(detail=f"given up after {MOST_TRIES} tries: {failure.detail}")
    return Retry(after=max(spread(LADDER[tries], link, tries), patience(failure)), tries=tries + 1)


def patience(failure: CallFailure) -> float:
    """For how long the target asks to be left alone, in seconds: from 0 to a day, whatever it asks for."""
    asked_for = failure.retry_after if isinstance(failure, Unavailable) else None
    # Written so that what is no number counts as nothing.
    return min(asked_for, LONGEST_PATIENCE) if asked_for and asked_for > 0 else 0.0


def doubled(tries: int) -> float:
    """How long to wait after so many tries have failed before this one, in seconds: twice as long each time."""
    return min(FIRST_WAIT * 2.0 ** min(tries, _MOST_DOUBLINGS), LONGEST_WAIT)


def seldom(tries: int) -> float:
    """The same where an answer proves little: as on the ladder, whose last step is the longest."""
    return LADDER[min(tries, len(LADDER) - 1)]


def spread(seconds: float, whose: UUID, step: int) -> float:
    """A wait made longer by up to a tenth: how much, the id and the step say, so that it is the same each time."""
    return seconds * (1 + _SPREAD * uuid5(whose, str(step)).int / 2**128)
