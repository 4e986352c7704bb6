"""The histories of a log, page by page, for all services that consume it: each as far as it has consumed the log."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from domain.event import Event
from domain.store import DeadLetter, Record, Store, Unit
from services.runtime.consumer import version_of, watermarks
from services.runtime.context import log_of

_PAGE = 250
"""Histories that are held at a time."""

History = Sequence[tuple[int, Event]]
"""The events of one thing in order, each with its position in the log; never empty."""

Fold = Callable[[Store, Sequence[History]], Unit]
"""What to store of a page of histories, given the store that is being made."""

Consumed = Callable[[Sequence[Record]], Callable[[Record], bool]]
"""Given the records of a page, which of them a service has consumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryReader:
    """What one service makes of a log, as far as it has consumed it."""

    beside: Store
    folds: Sequence[Fold]
    consumed: Consumed

    def read(self, page: Sequence[Sequence[Record]]) -> None:
        """Fold a page of histories into the store that is being made."""
        is_consumed = self.consumed([record for records in page for record in records])
        histories = [history for records in page if (history := _history(filter(is_consumed, records)))]
        unit = Unit()
        for fold in self.folds if histories else ():
            unit.add(fold(self.beside, histories))
        self.beside.commit(unit)


def _history(records: Iterable[Record]) -> History:
    return [(record.position, record.event) for record in records if record.event is not None]


def reader_of(store: Store, beside: Store, log: Store, folds: Sequence[Fold], *, may_repeat: bool) -> HistoryReader:
    """How a service reads a log again, by what its store says of it. Its own log it has whole. Raises `StoreFailed`.

    Where records `may_repeat` the stored position counts offsets, and each history's watermark says what was consumed.
    """
    if store is log:
        return HistoryReader(beside=beside, folds=folds, consumed=lambda _: lambda _: True)
    letters = store.select(DeadLetter)
    dead = frozenset(each.log_position for each in letters if log_of(each.stream) == log_of(log.log.name))
    consumed = _by_version(store, dead) if may_repeat else _by_position(store.position(log.log.name), dead)
    return HistoryReader(beside=beside, folds=folds, consumed=consumed)


def _by_position(end: int, dead: frozenset[int]) -> Consumed:
    return lambda _: lambda record: record.position <= end and record.position not in dead


def _by_version(store: Store, dead: frozenset[int]) -> Consumed:
    def consumed(page: Sequence[Record]) -> Callable[[Record], bool]:
        known = watermarks(store, page)
        return lambda record: record.position not in dead and _is_known(record, known)

    return consumed


def _is_known(record: Record, known: Mapping[str, int]) -> bool:
    originator, version = version_of(record)
    return version <= known.get(originator, 0)


def read_histories(log: Store, readers: Sequence[HistoryReader]) -> Iterator[int]:
    """Let all readers read every history; after each page how many records there were. Raises `StoreFailed`."""
    after = None
    while ids := log.ids(after, _PAGE):
        page = [*log.records(ids).values()]
        for each in readers:
            each.read(page)
        yield sum(map(len, page))
        after = ids[-1]
