"""The budgets, all of them: what is measured, beside what, and how it has to come out."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Bound(StrEnum):
    """On which side of its limit a figure has to be."""

    AT_LEAST = "at least"
    AT_MOST = "at most"
    UNDER = "under"


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a figure may be: a ratio to what stands beside it, or a figure in this unit where nothing does."""

    bound: Bound
    limit: float
    unit: str = "times"

    def is_met(self, measured: float) -> bool:
        """Whether a figure is within the budget."""
        match self.bound:
            case Bound.AT_LEAST:
                return measured >= self.limit
            case Bound.AT_MOST:
                return measured <= self.limit
            case Bound.UNDER:
                return measured < self.limit


LATENCY: Final = Budget(Bound.AT_MOST, 3.0)
"""Median and 99th percentile, from the commit at intake to the request at a target: to the bare pipeline's."""

PROCESSOR_TIME: Final = {
    10: Budget(Bound.AT_MOST, 2.0),
    50: Budget(Bound.AT_MOST, 1.5),
    100: Budget(Bound.AT_MOST, 1.5),
}
"""Of all processes for one change, by changes a second: to the bare pipeline's."""

EMBEDDED: Final = Budget(Bound.AT_MOST, 0.5)
"""Median latency: to the distributed deployment's."""

REACHED: Final = Budget(Bound.AT_LEAST, 0.95)
"""Changes a second that were taken: to those that were sent, without which a latency at that rate says nothing."""

HIGHEST_RATE: Final = Budget(Bound.AT_LEAST, 0.7)
"""Changes a second, end to end, at which the backlog does not grow: to the bare pipeline's."""

TAIL: Final = Budget(Bound.UNDER, 5.0)
"""99th percentile at 80 % of the highest rate: to the median there."""

DECIDER: Final = Budget(Bound.AT_LEAST, 0.5)
"""Decisions a second: to those that the library alone inserts."""

SEALING: Final = Budget(Bound.AT_LEAST, 0.9)
"""Changes that the decider handles with sealed profiles: to those with plain ones."""

PROJECTOR: Final = Budget(Bound.AT_LEAST, 0.8)
"""Answers a second: to those that httpx alone gets."""

REBUILD: Final = Budget(Bound.AT_LEAST, 0.5)
"""Events a second: to those that are only read and decoded."""

SCAN: Final = Budget(Bound.AT_LEAST, 0.6)
"""Drivers a second of a roster in sync: to those that httpx alone reads."""

SCAN_REQUESTS: Final = Budget(Bound.AT_MOST, 1.0)
"""Requests of a scan: to the pages of the roster."""

FIRST_LOAD: Final = Budget(Bound.AT_LEAST, 0.75)
"""Drivers a second of the fleet that loads slowest, be it a small or a large one: to those of the quickest."""

MEMORY: Final = Budget(Bound.UNDER, 300.0, "MB")
"""Of any process, 100,000 drivers in one account."""

HELP: Final = Budget(Bound.UNDER, 0.25, "s")
COMMAND: Final = Budget(Bound.UNDER, 0.5, "s")
"""Of the overview of commands, and of any command on a running installation."""
