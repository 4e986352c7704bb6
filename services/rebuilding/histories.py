"""The histories of a log, read once, page by page, for all who follow it: each as far as it has taken the log over."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from domain.event import Event
from domain.storing import DeadLetter, Record, Store, Unit

_PAGE = 250
"""Histories that are held at a time."""

History = Sequence[tuple[int, Event]]
"""The events of one thing in order, each with its position in the log; never empty."""

Fold = Callable[[Store, Sequence[History]], Unit]
"""What to keep of a page of histories, given the store that is being made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """What one service makes of a log: it has taken it over up to `end`, but for its dead letters."""

    beside: Store
    folds: Sequence[Fold]
    end: int
    dead: frozenset[int] = field(default_factory=frozenset)

    def take(self, page: Sequence[Sequence[Record]]) -> None:
        """Fold a page of histories into the store that is being made."""
        histories = [history for records in page if (history := self._taken(records))]
        unit = Unit()
        for fold in self.folds if histories else ():
            unit.add(fold(self.beside, histories))
        self.beside.commit(unit)

    def _taken(self, records: Sequence[Record]) -> History:
        return [
            (record.position, record.event)
            for record in records
            if record.event is not None and record.log_position <= self.end and record.log_position not in self.dead
        ]


def reader(store: Store, beside: Store, log: Store, folds: Sequence[Fold]) -> Reader:
    """A service's part in the reading of a log, be it its own or one that it follows."""
    stream = log.log
    if log is store:
        return Reader(beside=beside, folds=folds, end=stream.end())
    dead = (letter.log_position for letter in store.select(DeadLetter, {"stream": stream.name}))
    return Reader(beside=beside, folds=folds, end=store.position(stream.name), dead=frozenset(dead))


def read(log: Store, readers: Sequence[Reader]) -> Iterator[int]:
    """Let everybody take every history; after each page how many records there were."""
    after = None
    while ids := log.ids(after, _PAGE):
        page = [*log.records(ids).values()]
        for each in readers:
            each.take(page)
        yield sum(map(len, page))
        after = ids[-1]
