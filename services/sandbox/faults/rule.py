"""Which calls meet a fault: rules in order, each with what it is about and how often it strikes."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final

from services.sandbox.faults.fault import (
    CreatesNothing,
    ExpiredToken,
    Fault,
    Reordered,
    Shifted,
    Slow,
    ThirdToken,
    Trouble,
)


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
    """One call, as rules look at it. `account` is the tenant or company, None where nobody can tell."""

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


class Rules:
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
