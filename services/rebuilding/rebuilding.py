"""Read models made anew from the logs, beside the old ones; compared with them, or put in their place.

Work in hand (tasks, started calls, looks, catch-ups, snapshots being read) and dead letters are no read models:
they are left alone. The caller owns the data folder, and nothing else is running.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from itertools import zip_longest

from domain.storing import Row, Store, Stream, Unit
from services.rebuilding.folds import HistoryFold, LogFold

_PAGE = 500
_PRIVATE = frozenset({"profile", "body"})
"""Columns with personal data, which no message quotes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FromLog:
    """Some read models, folded from a log up to where the service has taken it over (None: to its end)."""

    stream: Stream
    fold: LogFold
    is_own: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FromHistories:
    """Some read models, folded from the service's own histories, each of them whole."""

    fold: HistoryFold


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One service's read models, and what they are folded from."""

    service: str
    store: Store
    models: tuple[type[Row], ...]
    sources: tuple[FromLog | FromHistories, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How far the rebuilding of a service is, in records and histories."""

    service: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first row in which the read models kept and made anew differ; `column` is empty when one has no such row."""

    service: str
    table: str
    key: str
    column: str
    kept: str
    rebuilt: str

    def __str__(self) -> str:
        """One line for a person."""
        what = f"column {self.column}" if self.column else "the whole row"
        return f"{self.service}, {self.table} {self.key}, {what}: kept {self.kept}, rebuilt {self.rebuilt}"


def make(part: Part, beside: Store, on_step: Callable[[Step], None]) -> None:
    """Fold a service's read models into an empty store beside its own. Raises `StoreFailed`."""
    total = sum(_size(part, source) for source in part.sources)
    done = 0
    for source in part.sources:
        for unit, taken in _units(part, source, beside):
            beside.commit(unit)
            done += taken
            on_step(Step(service=part.service, done=min(done, total), total=total))
    on_step(Step(service=part.service, done=total, total=total))


def compare(part: Part, beside: Store) -> Difference | None:
    """The first difference between the read models that were kept and those made anew."""
    for model in part.models:
        for kept, rebuilt in _matched(part.store.scan(model), beside.scan(model)):
            if kept != rebuilt:
                return _difference(part, model, kept, rebuilt)
    return None


def swap(part: Part, beside: Store) -> None:
    """Put the read models made anew in the place of the old ones, in one transaction."""
    part.store.replace({model: beside.scan(model) for model in part.models})


def _size(part: Part, source: FromLog | FromHistories) -> int:
    return _end(part, source) if isinstance(source, FromLog) else part.store.log.end()


def _end(part: Part, source: FromLog) -> int:
    return source.stream.end() if source.is_own else part.store.position(source.stream.name)


def _units(part: Part, source: FromLog | FromHistories, beside: Store) -> Iterator[tuple[Unit, int]]:
    if isinstance(source, FromLog):
        return _from_log(source, _end(part, source), beside)
    return _from_histories(source, part.store, beside)


def _from_log(source: FromLog, end: int, beside: Store) -> Iterator[tuple[Unit, int]]:
    after = 0
    while after < end and (records := source.stream.read(after, _PAGE)):
        events = [(each.position, each.event) for each in records if each.event and each.position <= end]
        yield source.fold(beside, events), records[-1].position - after
        after = records[-1].position


def _from_histories(source: FromHistories, store: Store, beside: Store) -> Iterator[tuple[Unit, int]]:
    after = None
    while ids := store.ids(after, _PAGE):
        histories = store.histories(ids)
        yield source.fold(beside, histories), sum(len(events) for events in histories.values())
        after = ids[-1]


def _matched(kept: Iterator[Row], rebuilt: Iterator[Row]) -> Iterator[tuple[Row | None, Row | None]]:
    """Rows side by side; where the keys part, the smaller one stands alone."""
    for mine, other in zip_longest(kept, rebuilt):
        if mine is not None and other is not None and _key(mine) != _key(other):
            yield (mine, None) if _key(mine) < _key(other) else (None, other)
        yield mine, other


def _key(row: Row) -> tuple[str, ...]:
    return tuple(str(getattr(row, column)) for column in row.KEY)


def _difference(part: Part, model: type[Row], kept: Row | None, rebuilt: Row | None) -> Difference:
    shown = kept or rebuilt
    key = "/".join(_key(shown)) if shown else ""
    column = _first_column(kept, rebuilt) if kept and rebuilt else ""
    return Difference(
        service=part.service,
        table=model.TABLE,
        key=key,
        column=column,
        kept=_shown(kept, column),
        rebuilt=_shown(rebuilt, column),
    )


def _first_column(kept: Row, rebuilt: Row) -> str:
    return next(each.name for each in fields(kept) if getattr(kept, each.name) != getattr(rebuilt, each.name))


def _shown(row: Row | None, column: str) -> str:
    if row is None:
        return "nothing"
    if not column:
        return "a row"
    return "(personal data)" if column in _PRIVATE else repr(getattr(row, column))
