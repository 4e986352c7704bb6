"""The histories of a log, read once, page by page, for all who follow it: each as far as it has taken the log over."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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


Taking = Callable[[Sequence[Record]], Callable[[Record], bool]]
"""Given the records of a page, which of them a service has taken over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """What one service makes of a log, as far as it has taken it over."""

    beside: Store
    folds: Sequence[Fold]
    taking: Taking

    def take(self, page: Sequence[Sequence[Record]]) -> None:
        """Fold a page of histories into the store that is being made."""
        is_taken = self.taking([record for records in page for record in records])
        histories = [history for records in page if (history := _history(filter(is_taken, records)))]
        unit = Unit()
        for fold in self.folds if histories else ():
            unit.add(fold(self.beside, histories))
        self.beside.commit(unit)


def _history(records: Iterable[Record]) -> History:
    return [(record.position, record.event) for record in records if record.event is not None]


def reader(store: Store, beside: Store, log: Store, folds: Sequence[Fold], *, may_repeat: bool) -> Reader:
    """A service's part in the reading of a log, be it its own or one that it follows, `may_repeat` as in `Feed`."""
    if log is store:
        return Reader(beside=beside, folds=folds, taking=lambda _: lambda _: True)
    dead = _dead(store, log.log.name)
    taking = _by_version(store, dead) if may_repeat else _by_position(store.position(log.log.name), dead)
    return Reader(beside=beside, folds=folds, taking=taking)


def _dead(store: Store, log: str) -> frozenset[int]:
    letters = store.select(DeadLetter)
    return frozenset(letter.log_position for letter in letters if log_of(letter.stream) == log_of(log))


def _by_position(end: int, dead: frozenset[int]) -> Taking:
    return lambda _: lambda record: record.position <= end and record.position not in dead


def _by_version(store: Store, dead: frozenset[int]) -> Taking:
    def taking(page: Sequence[Record]) -> Callable[[Record], bool]:
        heard = last_heard(store, page)
        return lambda record: record.position not in dead and _is_heard(record, heard)

    return taking


def _is_heard(record: Record, heard: Mapping[str, int]) -> bool:
    originator, version = version_of(record)
    return version <= heard.get(originator, 0)


def read(log: Store, readers: Sequence[Reader]) -> Iterator[int]:
    """Let everybody take every history; after each page how many records there were."""
    after = None
    while ids := log.ids(after, _PAGE):
        page = [*log.records(ids).values()]
        for each in readers:
            each.take(page)
        yield sum(map(len, page))
        after = ids[-1]
