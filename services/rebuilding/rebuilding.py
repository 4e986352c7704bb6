"""Read models made anew from the logs, beside the old ones; compared with them, or put in their place.

Work in hand (tasks, started calls, looks, catch-ups, snapshots being read) and dead letters are no read models: they
are left alone. Nothing else is running.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from domain.storing import Row, Store, Stored, Unit
from services.rebuilding.comparing import Difference, first_difference
from services.rebuilding.histories import Fold, read, reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A table, and how its new rows come out of the store beside: as they are (None), or settled from other rows."""

    row: type[Row]
    settled: Callable[[Store, Store], Iterator[Stored]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One service's read models: what it makes of its own log and of those that it follows (by service).

    `tables` are the tables of the store beside; `finish` is what can be made of them only when everything was read.
    """

    service: str
    store: Store
    models: Sequence[Model]
    folds: Mapping[str, Sequence[Fold]]
    tables: tuple[type[Row], ...]
    finish: Callable[[Store], Iterator[Unit]] = lambda _: iter(())


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How far the reading of a service's log is, in records."""

    service: str
    done: int
    total: int


Besides = Mapping[str, Store]
"""An empty store for each service's new rows."""


def make(parts: Sequence[Part], besides: Besides, on_step: Callable[[Step], None], *, may_repeat: bool = False) -> None:
    """Read every log once, and make of it the read models of all who follow it. Raises `StoreFailed`."""
    for log in parts:
        followers = [part for part in parts if log.service in part.folds]
        readers = [
            reader(part.store, besides[part.service], log.store, part.folds[log.service], may_repeat=may_repeat)
            for part in followers
        ]
        done, total = 0, log.store.log.end()
        for records in read(log.store, readers):
            done += records
            on_step(Step(service=log.service, done=done, total=total))
        on_step(Step(service=log.service, done=total, total=total))
    for part in parts:
        for unit in part.finish(besides[part.service]):
            besides[part.service].commit(unit)


def compare(part: Part, beside: Store) -> Difference | None:
    """The first difference between the read models that were kept and those made anew."""
    differences = (
        first_difference(part.service, model.row, part.store.scan(model.row), _rebuilt(part, model, beside))
        for model in part.models
    )
    return next((difference for difference in differences if difference), None)


def swap(part: Part, beside: Store) -> None:
    """Put the read models made anew in the place of the old ones, in one transaction."""
    part.store.replace({model.row: _rebuilt(part, model, beside) for model in part.models})


def _rebuilt(part: Part, model: Model, beside: Store) -> Iterator[Stored]:
    return model.settled(beside, part.store) if model.settled else beside.scan(model.row)
