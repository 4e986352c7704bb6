"""What can go wrong at a target, as values with the facts in them.

    CallFailure
      Rejected      for good: the same call would be refused again
      Unavailable   for now: the same call may succeed later

A roster that cannot be read raises `TargetFailed`, which carries one of them.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from domain.profile import Profile


class Reason(StrEnum):
    """Why a call did not do what was asked."""

    CREDENTIALS = "credentials"
    NOT_CONFIGURED = "not_configured"
    INVALID = "invalid"
    TAKEN_ELSEWHERE = "taken_elsewhere"
    FOREIGN_ROLE = "foreign_role"
    NOT_EFFECTIVE = "not_effective"
    LIMITED = "limited"
    DOWN = "down"
    NO_ANSWER = "no_answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """Refused for good. `detail` is for people and holds no personal data."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """Not now. `retry_after` is in seconds, where the target said so.

    NO_ANSWER means that the call was sent and may have taken effect.
    """

    reason: Reason
    detail: str
    retry_after: float | None = None


CallFailure = Rejected | Unavailable


class TargetFailed(Exception):
    """A target's roster could not be read."""

    def __init__(self, failure: CallFailure) -> None:
        super().__init__(f"{failure.reason}: {failure.detail}")
        self.failure = failure


def redacted(text: str, profile: Profile) -> str:
    """A target's own words, cut at 300 characters, with the name of its field for each value of the profile.

    Letter case does not count, because targets write values in their own way.
    """
    named = sorted((item for item in profile.items() if len(item[1]) > 1), key=lambda item: -len(item[1]))
    pattern = "|".join(f"(?P<{field}>{re.escape(value)})" for field, value in named)
    hidden = re.sub(pattern, lambda found: f"<{found.lastgroup}>", text, flags=re.IGNORECASE) if named else text
    return hidden[:300]
