"""What was measured, beside its budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.benchmarks.budgets import Budget


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One figure of ours in its unit, what stands beside it, if anything, and the budget for the one by the other.

    `behind` are the figures that explain it, by what they are. Where what stands beside is not a yardstick, because it
    did not work as it should, a finding `is_judged` by nothing, and no budget is met.
    """

    what: str
    ours: float
    unit: str
    budget: Budget
    beside: float | None = None
    behind: Mapping[str, float] = field(default_factory=dict)
    is_judged: bool = True

    @property
    def measured(self) -> float:
        """What the budget is about."""
        return self.ours if self.beside is None else self.ours / self.beside

    @property
    def is_met(self) -> bool:
        """Whether the budget is met."""
        return self.is_judged and self.budget.is_met(self.measured)

    def to_json(self) -> dict[str, Any]:
        """The finding for scripts."""
        return {
            "what": self.what,
            "ours": self.ours,
            "beside": self.beside,
            "unit": self.unit,
            "measured": self.measured,
            "budget": self.budget.limit,
            "bound": str(self.budget.bound),
            "judged": self.is_judged,
            "met": self.is_met,
            "behind": dict(self.behind),
        }


def to_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """All findings, and whether every budget is met."""
    return {"met": all(each.is_met for each in findings), "findings": [each.to_json() for each in findings]}
