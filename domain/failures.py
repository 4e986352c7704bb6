"""What can go wrong at a target, as values with the facts in them.

    CallFailure
      Rejected      the target has answered, and said no
      Unavailable   no such answer: the same call may succeed later

A roster that cannot be read raises `TargetFailed`, which carries one of them.

reason            class    said of                                      what follows
credentials       ACCESS   401, 403                                     the account's breaker opens
not_configured    ACCESS   no credentials; an unknown address or word   the account's breaker opens
invalid           FINAL    400, 409, 422 and the like                   the link is parked
taken_elsewhere   FINAL    an e-mail address of another company         the link is parked
foreign_role      FINAL    a user who is no driver                      the link is parked
not_restored      FINAL    another integration's external id is lost    the link is parked
limited           PACED    429                                          the pace is lowered, the call waits
down              PASSING  nothing was sent, or nothing can have come   the ladder; a run of them opens the breaker
                           of it: no connection, a read that failed
no_answer         UNKNOWN  a write that was sent, and has no answer     looked up at once, then the ladder; a run of
                           of any sense: silence, 5xx, another form     them opens the breaker
not_effective     UNKNOWN  answered well, but the target does not       looked up once, then the ladder; a run of
                           show it; a create in test mode               them opens the breaker
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from domain.cleaning import LONGEST_WORDS, clean
from domain.profile import Profile


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
    """Nobody's call can succeed: it speaks of the account, whoever the driver is."""

    FINAL = "final"
    """The same call would be refused again."""

    PACED = "paced"
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
        Reason.LIMITED: FailureClass.PACED,
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
    """A list is longer than any can be, so that reading it again soon would cost much, and help nobody."""


def redacted(text: str, profile: Profile) -> str:
    """A target's own words, cleaned and cut at 300 characters, with a field's name for each value of the profile.

    Letter case does not count, because targets write values in their own way.
    """
    named = sorted((item for item in profile.items() if len(item[1]) > 1), key=lambda item: -len(item[1]))
    pattern = "|".join(f"(?P<{field}>{re.escape(value)})" for field, value in named)
    words = clean(text, _LONGEST_READ)
    hidden = re.sub(pattern, lambda found: f"<{found.lastgroup}>", words, flags=re.IGNORECASE) if named else words
    return hidden[:LONGEST_WORDS]
