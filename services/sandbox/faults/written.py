"""Rules as JSON: what `PUT /sandbox/faults` takes, with every field checked."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.sandbox.faults.fault import (
    CreatesNothing,
    ExpiredToken,
    Failing,
    Fault,
    Limited,
    Reordered,
    Reset,
    Shift,
    Shifted,
    Slow,
    Spoiling,
    Spoilt,
    ThirdToken,
    WebPage,
)
from services.sandbox.faults.rule import Rule
from services.sandbox.validation import first_problem

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
