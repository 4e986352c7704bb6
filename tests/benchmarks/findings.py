"""What was measured, beside its budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Bound(StrEnum):
    """On which side of its budget a figure has to be."""

    AT_LEAST = "at least"
    UNDER = "under"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One figure with its budget, both in `unit`; `behind` are the figures that explain it, by what they are."""

    what: str
    measured: float
    budget: float
    bound: Bound
    unit: str
    behind: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_met(self) -> bool:
        """Whether the budget is met."""
        return self.measured >= self.budget if self.bound is Bound.AT_LEAST else self.measured < self.budget

    def to_json(self) -> dict[str, Any]:
        """The finding for scripts."""
        return {
            "what": self.what,
            "measured": self.measured,
            "budget": self.budget,
            "bound": str(self.bound),
            "unit": self.unit,
            "met": self.is_met,
            "behind": dict(self.behind),
        }


def to_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """All findings, and whether every budget is met."""
    return {"met": all(each.is_met for each in findings), "findings": [each.to_json() for each in findings]}
