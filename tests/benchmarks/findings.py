"""What was measured, beside its budget."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Bound(StrEnum):
    """On which side of its budget a figure has to be."""

    AT_LEAST = "at least"
    UNDER = "under"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One figure with its budget, both in `unit`; `behind` are the figures that it was made of, by what they are."""

    what: str
    measured: float
    budget: float
    bound: Bound
    unit: str = ""
    behind: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_met(self) -> bool:
        """Whether the budget is met."""
        return self.measured >= self.budget if self.bound is Bound.AT_LEAST else self.measured < self.budget
