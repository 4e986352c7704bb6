"""The highest steady rate from end to end, of ours and of the bare pipeline, and our latency at 80 % of ours.

A rate is steady when the client can commit at it and the backlog does not grow. It is doubled until it is not, and then
found by halving the interval; both pipelines take steps in turns.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.benchmarks.budgets import HIGHEST_RATE, TAIL
from tests.benchmarks.findings import Finding
from tests.benchmarks.latency import Both
from tests.benchmarks.load import Load, Run
from tests.benchmarks.telling import Telling

FIRST: Final = 80.0
"""Changes a second of the first trial."""

CLOSE_ENOUGH: Final = 1.1
"""How much the lowest rate that is too high may be above the highest that is steady."""

SECONDS: Final = 6.0
"""How long a trial counts."""

OF_HIGHEST: Final = 0.8
_TAIL_SECONDS: Final = 10.0

_MOST_TRIALS: Final = 9


@dataclass(slots=True)
class Search:
    """What is known of one pipeline's highest steady rate."""

    load: Load
    steady: float = 0.0
    too_high: float = float("inf")
    trials: int = 0

    @property
    def is_over(self) -> bool:
        """Whether it is known closely enough."""
        return self.too_high <= self.steady * CLOSE_ENOUGH or self.trials >= _MOST_TRIALS

    def step(self) -> None:
        """Try the next rate."""
        rate = self._next()
        if self.load.run(rate, SECONDS).is_steady:
            self.steady = rate
        else:
            self.too_high = rate
        self.trials += 1

    def _next(self) -> float:
        if self.too_high == float("inf"):
            return 2 * self.steady or FIRST
        return float((self.steady * self.too_high) ** 0.5 if self.steady else self.too_high / 2)


def measure(both: Both, telling: Telling) -> Sequence[Finding]:
    """Both highest rates, and the tail at 80 % of ours."""
    searches = {name: Search(load) for name, load in both.loads.items()}
    done = telling("highest steady rate", 2 * _MOST_TRIALS + 1)
    while not all(each.is_over for each in searches.values()):
        for search in searches.values():
            if not search.is_over:
                search.step()
            done(sum(each.trials for each in searches.values()))
    own, bare = (searches[name].steady for name in ("ours", "bare"))
    if not own or not bare:
        raise AssertionError(f"no steady rate was found: ours {own:.0f}, bare {bare:.0f} changes a second")
    run = both.ours.run(OF_HIGHEST * own, _TAIL_SECONDS)
    done(2 * _MOST_TRIALS + 1)
    return [*_to_findings(own, bare, run, both.idle)]


def _to_findings(own: float, bare: float, run: Run, idle: Mapping[str, float]) -> Iterator[Finding]:
    yield Finding(
        what="steady: highest rate", ours=own, unit="changes a second", budget=HIGHEST_RATE, beside=bare, behind=idle
    )
    yield Finding(
        what=f"steady: 99th percentile to the median at {run.asked:.0f}/s, 80 % of it",
        ours=run.tail,
        unit="ms",
        budget=TAIL,
        beside=run.median,
        behind={**idle, **run.figures("ours")},
    )
