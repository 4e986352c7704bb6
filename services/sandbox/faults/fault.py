"""What can go wrong with one call, as values; how each of them looks stands in docs/reference/sandbox.md."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """The call is served after so many seconds, as if it had come only then."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """429 in place of the call. `retry_after` is in seconds; None: it does not say."""

    retry_after: float | None
    as_date: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """An error in the vendor's form: in place of the call or, where that has an effect, in place of its answer."""

    status: int
    retry_after: float | None
    as_date: bool
    has_effect: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """The connection breaks before the call is served or, where it has an effect, before the answer goes out."""

    has_effect: bool


class Spoiling(StrEnum):
    """What becomes of an answer's body on its way."""

    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    SENSELESS = "senseless"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoilt:
    """The body of the answer is ruined; without an effect a 200 with nothing sensible takes the place of the call."""

    spoiling: Spoiling
    has_effect: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WebPage:
    """An HTML error page of something that stands before the API, in place of the call."""

    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiredToken:
    """The access token of the call is over before its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThirdToken:
    """Somebody else with the same API key has taken all the tokens that there may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reordered:
    """A list is in another order at each call, so that its pages overlap and leave some out."""


class Shift(StrEnum):
    """What happened to a list since its first page was read."""

    LEFT = "left"
    CAME = "came"
    TO_END = "to_end"
    TO_FRONT = "to_front"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shifted:
    """The pages of a list but for the first have moved on: its first driver left or is the last one now, and so on."""

    shift: Shift


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatesNothing:
    """A create is answered as if it had gone well, and nobody is there."""


TurningAway = Limited | WebPage | Failing | Spoilt
"""Faults by which a call does not reach the API; the last two only where they have no effect."""

Asking = ExpiredToken | ThirdToken | Reordered | Shifted | CreatesNothing
"""Faults that the API itself has a part in."""

Trouble = TurningAway | Reset | Asking
Fault = Slow | Trouble
