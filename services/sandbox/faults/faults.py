"""Which calls meet a fault: rules in order, each with what it is about and how often it strikes.

What can go wrong with one call, as values; how each of them looks stands in docs/reference/sandbox.md.

What a fault asks of the vendor's API itself: carried in the scope of the call, and asked for by its endpoints.

Rules as JSON: what `PUT /sandbox/faults` takes, with every field checked.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from services.sandbox.state import first_problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """The call is served after this number of seconds, as if it had come only then."""

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
    """A create is answered as if it had gone well, and nothing is created."""


TurningAway = Limited | WebPage | Failing | Spoilt
"""Faults by which a call does not reach the API; the last two only where they have no effect."""

Asking = ExpiredToken | ThirdToken | Reordered | Shifted | CreatesNothing
"""Faults that the API itself has a part in."""

Trouble = TurningAway | Reset | Asking
Fault = Slow | Trouble


class Trait(Enum):
    """What a vendor's API knows of a call, and some faults ask for."""

    CREATE = auto()
    PAGE = auto()
    LATER_PAGE = auto()
    TOKEN_USE = auto()
    TOKEN_REQUEST = auto()


_NEEDED: Final[Mapping[type[Fault], Trait]] = MappingProxyType(
    {
        CreatesNothing: Trait.CREATE,
        Reordered: Trait.PAGE,
        Shifted: Trait.LATER_PAGE,
        ExpiredToken: Trait.TOKEN_USE,
        ThirdToken: Trait.TOKEN_REQUEST,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One call, as rules look at it. `account` is the tenant or company, None where that is unknown."""

    method: str
    path: str
    account: str | None
    traits: frozenset[Trait]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A fault, and the calls that meet it.

    Of the calls that fit, every `every`-th is looked at, a `share` of those is drawn, and of these at most `times`
    meet the fault. No `methods` means every method. The same `seed` draws the same calls.
    `name` is the fault's name, as in the journal.
    """

    name: str
    fault: Fault
    methods: frozenset[str] = frozenset()
    path: str = "*"
    account: str | None = None
    every: int = 1
    share: float = 1.0
    seed: int = 0
    times: int | None = None

    def fits(self, call: Served) -> bool:
        """Whether the rule is about this call."""
        needed = _NEEDED.get(type(self.fault))
        return (
            (needed is None or needed in call.traits)
            and (not self.methods or call.method in self.methods)
            and self.account in (None, call.account)
            and fnmatchcase(call.path, self.path)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """A call meets a fault. `draws` is the rule's own generator, for what the fault leaves to chance."""

    name: str
    fault: Trouble
    draws: random.Random


class FaultRules:
    """The rules that are switched on, and how often each has struck."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._counted = [_Counted(rule) for rule in rules]

    @property
    def are_any(self) -> bool:
        """Whether there is a rule at all."""
        return bool(self._counted)

    @property
    def struck(self) -> Sequence[int]:
        """How many calls have met each of the rules, in their order."""
        return [counted.struck for counted in self._counted]

    def strikes(self, call: Served) -> tuple[Sequence[Slow], Strike | None]:
        """What this call meets: every delay up to the first fault of another kind, and that fault."""
        delays: list[Slow] = []
        for counted in self._counted:
            if not counted.strikes(call):
                continue
            fault = counted.rule.fault
            if not isinstance(fault, Slow):
                return delays, Strike(name=counted.rule.name, fault=fault, draws=counted.draws)
            delays.append(fault)
        return delays, None


class _Counted:
    """One rule, with what it has seen so far."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.struck = 0
        self.draws = random.Random(rule.seed)  # noqa: S311 - tests repeat what it draws
        self._fitted = 0

    def strikes(self, call: Served) -> bool:
        """Whether this call, which comes next, meets the fault."""
        if self.rule.times == self.struck or not self.rule.fits(call):
            return False
        self._fitted += 1
        is_struck = self._fitted % self.rule.every == 0 and self._is_drawn()
        self.struck += is_struck
        return is_struck

    def _is_drawn(self) -> bool:
        return self.rule.share >= 1 or self.draws.random() < self.rule.share


Scope = MutableMapping[str, Any]

Arrangement = Callable[[Sequence[int]], Sequence[int]]
"""The rows of a list, as one call shows them."""

_NAME: Final = "sandbox.fault"
_ARRANGEMENT: Final = "sandbox.arrangement"
_HOLLOW: Final = "sandbox.hollow"


def mark_fault(scope: Scope, name: str) -> None:
    """Let the journal name the fault that this call meets."""
    scope[_NAME] = name


def fault_of(scope: Scope) -> str | None:
    """The fault that this call meets."""
    name: str | None = scope.get(_NAME)
    return name


def mark_arrangement(scope: Scope, arrangement: Arrangement) -> None:
    """Let this call show a list otherwise than it is."""
    scope[_ARRANGEMENT] = arrangement


def arrangement_of(request: Request) -> Arrangement:
    """How this call shows a list: as it is, unless a fault says otherwise."""
    arrangement: Arrangement = request.scope.get(_ARRANGEMENT, as_it_is)
    return arrangement


def mark_hollow(scope: Scope) -> None:
    """Let this create answer well and leave everything as it is."""
    scope[_HOLLOW] = True


def is_hollow(request: Request) -> bool:
    """Whether this create only answers as if."""
    return _HOLLOW in request.scope


def as_it_is(rows: Sequence[int]) -> Sequence[int]:
    """A list that no fault has touched."""
    return rows


_LONGEST_WAIT = 3600.0


class FaultsRefused(ValueError):
    """Rules that cannot be switched on; the text says where and why."""


class _WrittenRule(BaseModel, ABC):
    """What every rule may say, besides the fault itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    methods: frozenset[Literal["GET", "POST", "PUT", "DELETE"]] = frozenset()
    path: str = Field(default="*", min_length=1)
    account: str | None = Field(default=None, min_length=1)
    every: int = Field(default=1, ge=1)
    share: float = Field(default=1.0, gt=0, le=1)
    seed: int = 0
    times: int | None = Field(default=None, ge=1)

    @abstractmethod
    def built(self) -> Fault:
        """The fault of this rule."""


class _Latency(_WrittenRule):
    fault: Literal["latency"]
    seconds: float = Field(gt=0, le=_LONGEST_WAIT)

    def built(self) -> Fault:
        return Slow(seconds=self.seconds)


class _Limited(_WrittenRule):
    fault: Literal["limited"]
    retry_after: float | None = Field(default=1, ge=0, le=_LONGEST_WAIT)
    as_date: bool = False

    def built(self) -> Fault:
        return Limited(retry_after=self.retry_after, as_date=self.as_date)


class _Failing(_WrittenRule):
    fault: Literal["failing"]
    status: int = Field(default=503, ge=400, le=599)
    retry_after: float | None = Field(default=None, ge=0, le=_LONGEST_WAIT)
    as_date: bool = False
    has_effect: bool = False

    def built(self) -> Fault:
        return Failing(
            status=self.status, retry_after=self.retry_after, as_date=self.as_date, has_effect=self.has_effect
        )


class _Reset(_WrittenRule):
    fault: Literal["reset_before", "reset_after"]

    def built(self) -> Fault:
        return Reset(has_effect=self.fault == "reset_after")


class _Spoilt(_WrittenRule):
    fault: Literal["truncated", "malformed", "senseless", "empty"]
    has_effect: bool = True

    def built(self) -> Fault:
        return Spoilt(spoiling=Spoiling(self.fault), has_effect=self.has_effect)


class _WebPage(_WrittenRule):
    fault: Literal["web_page"]
    status: int = Field(default=502, ge=200, le=599)

    def built(self) -> Fault:
        return WebPage(status=self.status)


class _Shifted(_WrittenRule):
    fault: Literal["shifted"]
    shift: Shift = Shift.LEFT

    def built(self) -> Fault:
        return Shifted(shift=self.shift)


class _Plain(_WrittenRule):
    fault: Literal["expired_token", "third_token", "reordered", "creates_nothing"]

    def built(self) -> Fault:
        match self.fault:
            case "expired_token":
                return ExpiredToken()
            case "third_token":
                return ThirdToken()
            case "reordered":
                return Reordered()
            case "creates_nothing":
                return CreatesNothing()


_Written = Annotated[
    _Latency | _Limited | _Failing | _Reset | _Spoilt | _WebPage | _Shifted | _Plain, Field(discriminator="fault")
]


class WrittenFaults(BaseModel):
    """The whole document. `struck` is passed over, so that what `GET` shows can be switched on again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: tuple[_Written, ...] = ()
    struck: tuple[int, ...] = Field(default=(), exclude=True)

    def built(self) -> Sequence[Rule]:
        """The rules, in order."""
        return [
            Rule(name=rule.fault, fault=rule.built(), **rule.model_dump(include=set(_ASPECTS), exclude_none=True))
            for rule in self.rules
        ]

    def shown(self) -> dict[str, object]:
        """The rules with everything that they leave out."""
        return self.model_dump(mode="json")


_ASPECTS = frozenset(_WrittenRule.model_fields)


def parsed_faults(document: object) -> WrittenFaults:
    """The rules in a JSON document; raises `FaultsRefused`."""
    try:
        return WrittenFaults.model_validate(document)
    except ValidationError as error:
        raise FaultsRefused(first_problem(error)) from None


class _All(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    driveri: WrittenFaults = WrittenFaults()
    motive: WrittenFaults = WrittenFaults()
    portal: WrittenFaults = WrittenFaults()


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultsOfAll:
    """The documents of every sandbox."""

    driveri: dict[str, object]
    motive: dict[str, object]
    portal: dict[str, object]


def faults_of_all(document: object) -> FaultsOfAll:
    """The documents of every sandbox in one that has them all; raises `FaultsRefused`."""
    try:
        found = _All.model_validate(document)
    except ValidationError as error:
        raise FaultsRefused(first_problem(error)) from None
    return FaultsOfAll(driveri=found.driveri.shown(), motive=found.motive.shown(), portal=found.portal.shown())
