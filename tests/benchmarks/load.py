"""Changes at a steady rate, and when each of them becomes a request: the same for every pipeline that is measured.

One client commits the changes, one in a transaction; each changes the last name of another driver of another account,
and is a request to each target. All requests count, from the commit at intake to the moment at which they begin to
arrive. A change of a driver who is changed again before that has arrived with the later one.
"""

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count
from statistics import mean, median, quantiles
from time import perf_counter, sleep
from typing import Final, Protocol

from domain.identity import Target
from tests.benchmarks.fleet import Fleet
from tests.benchmarks.stand_in import Targets

ACCOUNTS: Final = 10
DRIVERS: Final = 200
"""Of each account."""

WARMING: Final = 2.0
"""Seconds of each run that do not count yet."""

_HELD: Final = 0.97
"""The share of the rate at which the client has to commit."""

_GROWTH: Final = 0.05
"""The share of the changes by which the backlog may grow, as it does by chance."""

_ALWAYS: Final = 5.0
"""Changes by which it may grow at any rate."""

_PATIENCE: Final = 60.0
"""Seconds after the last commit in which everything has to arrive."""

_PAUSE: Final = 0.2
_REST: Final = 1.0
"""Seconds behind the last request in which what follows it still counts as used."""


class Pipeline(Protocol):
    """What the load generator has to know of what it measures."""

    def commit(self, fleet: Fleet, number: int, edition: int) -> None:
        """Commit one change at intake."""
        ...

    def seconds(self) -> Mapping[str, float]:
        """The processor time that each process has used."""
        ...


@dataclass(slots=True, kw_only=True)
class Run:
    """What some changes at one rate came to: milliseconds by target, and the processor seconds of each process.

    `backlog` says for each counted second how many changes were committed and not at both targets yet, on average.
    """

    asked: float
    rate: float
    changes: int
    latencies: Mapping[Target, list[float]]
    used: Mapping[str, float]
    backlog: Sequence[float] = field(default_factory=list)

    @property
    def all_latencies(self) -> list[float]:
        """Of all requests that count."""
        return [*chain.from_iterable(self.latencies.values())]

    @property
    def median(self) -> float:
        """Milliseconds in which half of the requests arrive."""
        return median(self.all_latencies)

    @property
    def tail(self) -> float:
        """Milliseconds in which 99 of 100 requests arrive."""
        return quantiles(self.all_latencies, n=100)[98]

    @property
    def processor_time(self) -> float:
        """Milliseconds of all processes for one change."""
        return 1000 * sum(self.used.values()) / self.changes

    @property
    def is_steady(self) -> bool:
        """Whether the client has held the rate, and the backlog has not grown from the run's first half to its end."""
        half = len(self.backlog) // 2
        growth = mean(self.backlog[half:]) - mean(self.backlog[:half])
        return self.rate >= _HELD * self.asked and growth <= max(_ALWAYS, _GROWTH * self.asked * half)

    def figures(self, name: str) -> dict[str, float]:
        """What explains it, by what it is."""
        medians = {f"{name}: ms, median of {target}": median(each) for target, each in self.latencies.items()}
        used = {
            f"{name}: ms of processor time a change, {process}": 1000 * seconds / self.changes
            for process, seconds in self.used.items()
        }
        return {f"{name}: changes a second": self.rate, **medians, **used}

    def with_another(self, other: "Run") -> "Run":
        """Two runs at one rate as one."""
        return Run(
            asked=self.asked,
            rate=(self.rate + other.rate) / 2,
            changes=self.changes + other.changes,
            latencies={target: each + other.latencies[target] for target, each in self.latencies.items()},
            used={process: seconds + other.used[process] for process, seconds in self.used.items()},
        )


Commits = Callable[[], Mapping[tuple[int, int], float]]
"""When the changes since the last look were committed, by number and edition, as `perf_counter` counts."""


class Load:
    """The load generator in front of one pipeline, whose requests reach targets of their own.

    A change is committed when `commit` has returned, unless `commits` says when it was.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        targets: Targets,
        fleets: Sequence[Fleet],
        *,
        commits: Commits | None = None,
        first_edition: int = 2,
    ) -> None:
        self._pipeline = pipeline
        self._targets = targets
        self._commits = commits
        self._changes = _turns(fleets, first_edition)

    def run(self, rate: float, seconds: float) -> Run:
        """Commit at this rate for so long, after some warming, and wait for all requests. Raises `AssertionError`."""
        self._targets.noted()
        before = self._pipeline.seconds()
        committed = self._committed(rate, round(rate * (WARMING + seconds)))
        arrived = self._arrived(committed)
        sleep(_REST)
        if self._commits:
            moments = self._commits()
            committed = [replace(each, at=moments[each.number, each.edition]) for each in committed]
        used = {process: spent - before[process] for process, spent in self._pipeline.seconds().items()}
        counted = committed[round(rate * WARMING) :]
        last = len(committed) - 1
        return Run(
            asked=rate,
            rate=last / (committed[-1].at - committed[0].at),
            changes=len(committed),
            latencies={
                target: [1000 * (moments[each.number, each.edition] - each.at) for each in counted]
                for target, moments in arrived.items()
            },
            used=used,
            backlog=_backlog(counted, arrived),
        )

    def _committed(self, rate: float, changes: int) -> "list[_Committed]":
        committed: list[_Committed] = []
        gc.collect()
        gc.freeze()
        began = perf_counter()
        for place in range(changes):
            sleep(max(0.0, began + place / rate - perf_counter()))
            fleet, number, edition = next(self._changes)
            self._pipeline.commit(fleet, number, edition)
            committed.append(_Committed(number=number, edition=edition, at=perf_counter()))
        gc.unfreeze()
        return committed

    def _arrived(self, committed: "Sequence[_Committed]") -> "Mapping[Target, _Arrivals]":
        """When each change had arrived at each target."""
        arrivals = {target: _Arrivals(committed) for target in Target}
        deadline = perf_counter() + _PATIENCE
        while True:
            for target, moments in self._targets.noted().moments.items():
                for number, edition, at in moments:
                    arrivals[target].note(number, edition, at)
            left = {target: each.left for target, each in arrivals.items()}
            if not any(left.values()):
                return arrivals
            if perf_counter() > deadline:
                raise AssertionError(f"after {_PATIENCE:.0f} seconds some requests have not come: {left}")
            sleep(_PAUSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Committed:
    number: int
    edition: int
    at: float


class _Arrivals:
    """When the changes arrived at one target: each with the first request that states its edition, or a later one."""

    def __init__(self, committed: Sequence[_Committed]) -> None:
        self._missing: dict[int, list[int]] = {}
        self._moments: dict[tuple[int, int], float] = {}
        for each in committed:
            self._missing.setdefault(each.number, []).append(each.edition)

    @property
    def left(self) -> int:
        """How many have not arrived."""
        return sum(map(len, self._missing.values()))

    def note(self, number: int, edition: int, at: float) -> None:
        """A request came."""
        waiting = self._missing.get(number, [])
        self._moments |= {(number, each): at for each in waiting if each <= edition}
        self._missing[number] = [each for each in waiting if each > edition]

    def __getitem__(self, change: tuple[int, int]) -> float:
        return self._moments[change]


def _backlog(committed: Sequence[_Committed], arrived: Mapping[Target, _Arrivals]) -> list[float]:
    """How many changes were under way, on average, in each second of the run."""
    spans = [(each.at, max(moments[each.number, each.edition] for moments in arrived.values())) for each in committed]
    began, ended = spans[0][0], spans[-1][0]
    seconds = range(int(ended - began))
    return [
        sum(max(0.0, min(end, began + second + 1) - max(start, began + second)) for start, end in spans)
        for second in seconds
    ]


def _turns(fleets: Sequence[Fleet], first_edition: int) -> Iterator[tuple[Fleet, int, int]]:
    """Every driver in turn, account after account, and then everybody again with the next edition."""
    for edition in count(first_edition):
        for numbers in zip(*(fleet.numbers for fleet in fleets), strict=True):
            yield from ((fleet, number, edition) for fleet, number in zip(fleets, numbers, strict=True))
