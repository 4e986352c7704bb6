"""The histories of a log, read once, page by page, for all who follow it: each as far as it has taken the log over."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from domain.event import Event
from domain.storing import DeadLetter, Record, Store, Unit
from services.runtime.following import last_heard, version_of
from services.runtime.logs import log_of

_PAGE = 250
"""Histories that are held at a time."""

History = Sequence[tuple[int, Event]]
"""The events of one thing in order, each with its position in the log; never empty."""

Fold = Callable[[Store, Sequence[History]], Unit]
"""What to keep of a page of histories, given the store that is being made."""


Taking = Callable[[Sequence[Record]], Sequence[Record]]
"""Which of these records a service has taken over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """What one service makes of a log, as far as it has taken it over."""

    beside: Store
    folds: Sequence[Fold]
    taking: Taking

    def take(self, page: Sequence[Sequence[Record]]) -> None:
        """Fold a page of histories into the store that is being made."""
        histories = [history for records in page if (history := _history(self.taking(records)))]
        unit = Unit()
        for fold in self.folds if histories else ():
            unit.add(fold(self.beside, histories))
        self.beside.commit(unit)


def _history(records: Sequence[Record]) -> History:
    return [(record.position, record.event) for record in records if record.event is not None]


def reader(store: Store, beside: Store, log: Store, folds: Sequence[Fold], *, may_repeat: bool) -> Reader:
    """A service's part in the reading of a log, be it its own or one that it follows, `may_repeat` as in `Feed`."""
    if log is store:
        return Reader(beside=beside, folds=folds, taking=lambda records: records)
    dead = _dead(store, log.log.name)
    taking = _by_version(store, dead) if may_repeat else _by_position(store.position(log.log.name), dead)
    return Reader(beside=beside, folds=folds, taking=taking)


def _dead(store: Store, log: str) -> frozenset[int]:
    letters = store.select(DeadLetter)
    return frozenset(letter.log_position for letter in letters if log_of(letter.stream) == log_of(log))


def _by_position(end: int, dead: frozenset[int]) -> Taking:
    return lambda records: [each for each in records if each.position <= end and each.position not in dead]


def _by_version(store: Store, dead: frozenset[int]) -> Taking:
    def taking(records: Sequence[Record]) -> Sequence[Record]:
        heard = last_heard(store, records)
        return [
            record
            for record in records
            if version_of(record)[1] <= heard.get(version_of(record)[0], 0) and record.position not in dead
        ]

    return taking


def read(log: Store, readers: Sequence[Reader]) -> Iterator[int]:
    """Let everybody take every history; after each page how many records there were."""
    after = None
    while ids := log.ids(after, _PAGE):
        page = [*log.records(ids).values()]
        for each in readers:
            each.take(page)
        yield sum(map(len, page))
        after = ids[-1]
