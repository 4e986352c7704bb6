"""What can go wrong at a target, as values with the facts in them.

    CallFailure
      Rejected      the target has answered, and said no
      Unavailable   no such answer: the same call may succeed later

A roster that cannot be read raises `TargetFailed`, which carries one of them.

reason            class        said of                                      what follows
credentials       ACCESS       401, 403                                     the account's breaker opens
not_configured    ACCESS       no credentials; an unknown address or word   the account's breaker opens
invalid           FINAL        400, 409, 422 and the like                   the link is parked
taken_elsewhere   FINAL        an e-mail address of another company         the link is parked
foreign_role      FINAL        a user who is not a driver                   the link is parked
not_restored      FINAL        another integration's external id is lost    the link is parked
limited           RATE_LIMITED 429                                          the rate is lowered, the call waits
down              PASSING      nothing was sent, or nothing can have come   backoff; after several the breaker opens
                               of it: no connection, a read that failed
no_answer         UNKNOWN      a write that was sent, and has no answer     read back at once, then backoff;
                               of any sense: silence, 5xx, another form     after several the breaker opens
not_effective     UNKNOWN      answered well, but the target does not       read back once, then backoff;
                               show it; a create in test mode               after several the breaker opens
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, assert_never
from uuid import UUID, uuid5

from domain.cleaning import LONGEST_WORDS, clean
from domain.profile import Profile


class ClearFailure(Exception):
    """A failure whose message is one line for people: what happened, and what to do about it."""


class Reason(StrEnum):
    """Why a call did not do what was asked."""

    CREDENTIALS = "credentials"
    NOT_CONFIGURED = "not_configured"
    INVALID = "invalid"
    TAKEN_ELSEWHERE = "taken_elsewhere"
    FOREIGN_ROLE = "foreign_role"
    NOT_RESTORED = "not_restored"
    NOT_EFFECTIVE = "not_effective"
    LIMITED = "limited"
    DOWN = "down"
    NO_ANSWER = "no_answer"


class FailureClass(StrEnum):
    """What a reason says of the next try."""

    ACCESS = "access"
    """No call for the account can succeed, for any driver."""

    FINAL = "final"
    """The same call would be refused again."""

    RATE_LIMITED = "rate_limited"
    """Nothing was done, because there were too many calls."""

    PASSING = "passing"
    """Nothing was done, and it may be otherwise later."""

    UNKNOWN = "unknown"
    """The call may have taken effect: no second try before that was looked up."""


CLASSES: Final[Mapping[Reason, FailureClass]] = MappingProxyType(
    {
        Reason.CREDENTIALS: FailureClass.ACCESS,
        Reason.NOT_CONFIGURED: FailureClass.ACCESS,
        Reason.INVALID: FailureClass.FINAL,
        Reason.TAKEN_ELSEWHERE: FailureClass.FINAL,
        Reason.FOREIGN_ROLE: FailureClass.FINAL,
        Reason.NOT_RESTORED: FailureClass.FINAL,
        Reason.LIMITED: FailureClass.RATE_LIMITED,
        Reason.DOWN: FailureClass.PASSING,
        Reason.NO_ANSWER: FailureClass.UNKNOWN,
        Reason.NOT_EFFECTIVE: FailureClass.UNKNOWN,
    }
)
"""The table above, as far as code needs it."""

_FINAL: Final = frozenset(reason for reason, failure_class in CLASSES.items() if failure_class is FailureClass.FINAL)


def is_final(reason: str) -> bool:
    """Whether a target that gave this reason would refuse the same again; else it was only given up."""
    return reason in _FINAL


FRUITLESS: Final = frozenset({Reason.DOWN, Reason.NO_ANSWER, Reason.NOT_EFFECTIVE})
"""Reasons that leave open whether the target works for anybody: a run of them opens the breaker."""

LONGEST_DETAIL: Final = 1000
"""Characters of what is said of a failure."""

_LONGEST_READ: Final = 3000
"""Characters of a target's own words that are looked at."""

OF_CREDENTIALS: Final = frozenset({Reason.CREDENTIALS, Reason.NOT_CONFIGURED, Reason.NOT_EFFECTIVE})
"""Reasons that other credentials can put an end to; those of a test company take no effect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The target said no. `detail` is for people and holds no personal data; it is cleaned and cut."""

    reason: Reason
    detail: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", clean(self.detail, LONGEST_DETAIL))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """Not now. `retry_after` is in seconds, where the target said so.

    NO_ANSWER means that the call was sent and may have taken effect.
    """

    reason: Reason
    detail: str
    retry_after: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", clean(self.detail, LONGEST_DETAIL))


CallFailure = Rejected | Unavailable


class TargetFailed(Exception):
    """A target's roster could not be read."""

    def __init__(self, failure: CallFailure) -> None:
        super().__init__(f"{failure.reason}: {failure.detail}")
        self.failure = failure


class ListWithoutEnd(TargetFailed):
    """A list is longer than any can be, so that reading it again soon would cost much and not help."""


def redacted(text: str, profile: Profile) -> str:
    """A target's own words, cleaned and cut at 300 characters, with a field's name for each value of the profile.

    Letter case does not count, because targets write values in their own way.
    """
    named = sorted((item for item in profile.items() if len(item[1]) > 1), key=lambda item: -len(item[1]))
    pattern = "|".join(f"(?P<{field}>{re.escape(value)})" for field, value in named)
    words = clean(text, _LONGEST_READ)
    hidden = re.sub(pattern, lambda found: f"<{found.lastgroup}>", words, flags=re.IGNORECASE) if named else words
    return hidden[:LONGEST_WORDS]


BACKOFF_SCHEDULE: Final = (300.0, 1800.0, 7200.0, 21_600.0, 86_400.0)
"""How long a call waits that failed once, twice, and so on: about 5 minutes, 30 minutes, 2, 6 and 24 hours."""

MOST_TRIES: Final = len(BACKOFF_SCHEDULE) + 1

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
    """Try again after `after` seconds; `tries` have failed by then, as far as they count."""

    after: float
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """Do not try again; `detail` says why, for people."""

    detail: str


def after_failure(failure: CallFailure, tries: int, link: UUID, *, is_alone: bool = False) -> Retry | Park:
    """What follows when a link's call fails that has failed `tries` times before.

    Where the whole account cannot get through, its breaker says when to go on; `is_alone` says that it does get
    through, and access is refused to this link's call only.
    """
    failure_class = CLASSES[failure.reason]
    match failure_class:
        case FailureClass.FINAL:
            return Park(detail=failure.detail)
        case FailureClass.ACCESS if not is_alone:
            return Retry(after=0.0, tries=max(tries, 1))
        case FailureClass.RATE_LIMITED:
            return Retry(after=max(_LEAST_PAUSE, patience(failure)), tries=tries)
        case FailureClass.ACCESS | FailureClass.PASSING | FailureClass.UNKNOWN:
            if tries >= len(BACKOFF_SCHEDULE):
                return Park(detail=f"given up after {MOST_TRIES} tries: {failure.detail}")
            return Retry(after=max(spread(BACKOFF_SCHEDULE[tries], link, tries), patience(failure)), tries=tries + 1)
    assert_never(failure_class)


def patience(failure: CallFailure) -> float:
    """For how long the target asks to be left alone, in seconds: from 0 to a day, whatever it asks for."""
    asked_for = failure.retry_after if isinstance(failure, Unavailable) else None
    # Written so that NaN counts as nothing.
    return min(asked_for, LONGEST_PATIENCE) if asked_for and asked_for > 0 else 0.0


def doubled(tries: int) -> float:
    """How long to wait in seconds, given how many tries failed before this one: twice as long each time."""
    return min(FIRST_WAIT * 2.0 ** min(tries, _MOST_DOUBLINGS), LONGEST_WAIT)


def seldom(tries: int) -> float:
    """The same where an answer proves little: as on the backoff schedule, whose last step is the longest."""
    return BACKOFF_SCHEDULE[min(tries, len(BACKOFF_SCHEDULE) - 1)]


def spread(seconds: float, whose: UUID, step: int) -> float:
    """A wait made longer by up to a tenth: how much, the id and the step say, so that it is the same each time."""
    return seconds * (1 + _SPREAD * uuid5(whose, str(step)).int / 2**128)
