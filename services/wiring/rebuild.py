"""`driverlink rebuild`: read models rebuilt from the logs beside the old ones, then compared or put in their place.

Work in hand and dead letters are left alone, because no log can rebuild them. No service runs meanwhile.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from itertools import zip_longest
from operator import itemgetter
from pathlib import Path
from typing import Any

from adapters.store.sqlite import SqliteStore
from domain.store import Row, Store, Stored
from services.api.installation import Installation
from services.runtime.consumer import HistoryReader, read_histories
from services.wiring.registry import SERVICES, ServiceSpec

_FILES = "rebuild-"

_PRIVATE = frozenset({"profile", "body"})
"""Columns with personal data, which no message quotes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How far the reading of a service's log is, in records."""

    service: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first row in which the kept and the rebuilt read model differ; `column` is empty when one has no such row."""

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


def rebuild(
    installation: Installation, folder: Path, *, is_check: bool, on_step: Callable[[Step], None]
) -> Iterator[tuple[str, Difference | None]]:
    """Rebuild each service's read models in a folder, then compare them in a check, else put them in place.

    Raises `StoreFailed`.
    """
    stores = {service.name: service.store for service in installation.services}
    with ExitStack() as stack:
        besides = {name: stack.enter_context(_beside(folder, spec)) for name, spec in SERVICES.items()}
        _make(stores, besides, on_step, may_repeat=installation.may_repeat)
        for name, spec in SERVICES.items():
            store, beside, models = stores[name], besides[name], spec.rebuilding.models
            if is_check:
                differences = (
                    first_difference(name, model.row, store.scan(model.row), model.rows(beside, store))
                    for model in models
                )
                yield name, next(filter(None, differences), None)
            else:
                store.replace({model.row: model.rows(beside, store) for model in models})
                yield name, None


def _make(
    stores: Mapping[str, Store], besides: Mapping[str, Store], on_step: Callable[[Step], None], *, may_repeat: bool
) -> None:
    """Read every log once, and make of it the read models of every service that consumes it."""
    for log in SERVICES.values():
        readers = [
            HistoryReader(stores[name], besides[name], stores[log.name], folds, may_repeat=may_repeat)
            for name, spec in SERVICES.items()
            if (folds := spec.rebuilding.folds.get(log.log, ()))
        ]
        done, total = 0, stores[log.name].log.end()
        for records in read_histories(stores[log.name], readers):
            done += records
            on_step(Step(service=log.name, done=done, total=total))
        on_step(Step(service=log.name, done=total, total=total))
    for name, spec in SERVICES.items():
        for unit in spec.rebuilding.finish(besides[name]):
            besides[name].commit(unit)


@contextmanager
def _beside(folder: Path, spec: ServiceSpec) -> Iterator[Store]:
    """An empty store for a service's read models, removed afterwards; so is what a killed rebuild left behind."""
    path = folder / f"{_FILES}{spec.name}.sqlite"
    _remove(path)
    tables: Sequence[type] = [model.table for model in spec.rebuilding.models]
    beside = SqliteStore(path, log_name="rebuild", rows=tables)
    try:
        yield beside
    finally:
        beside.close()
        _remove(path)


def _remove(path: Path) -> None:
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()


def first_difference(
    service: str, model: type[Row], kept: Iterable[Stored], rebuilt: Iterable[Stored]
) -> Difference | None:
    """The first difference of a read model, as it was kept and as it was rebuilt: both in the order of their keys."""
    columns = [each.name for each in fields(model)]
    key = itemgetter(*map(columns.index, model.KEY))
    mine, other = _first_mismatch(kept, rebuilt, key)
    row = mine or other
    if row is None:
        return None
    place = key(row)
    column = ""
    if mine and other:
        column = next(name for name, left, right in zip(columns, mine, other, strict=True) if left != right)
    return Difference(
        service=service,
        table=model.TABLE,
        key="/".join(map(str, place)) if isinstance(place, tuple) else str(place),
        column=column,
        kept=_shown(columns, mine, column),
        rebuilt=_shown(columns, other, column),
    )


def _first_mismatch(
    kept: Iterable[Stored], rebuilt: Iterable[Stored], key: Callable[[Stored], Any]
) -> tuple[Stored | None, Stored | None]:
    """Two rows of one key that differ, or the one that has no counterpart; two times None if all rows are alike."""
    for mine, other in zip_longest(kept, rebuilt):
        if mine == other:
            continue
        if mine is None or other is None or key(mine) == key(other):
            return mine, other
        return (mine, None) if key(mine) < key(other) else (None, other)
    return None, None


def _shown(columns: Sequence[str], row: Stored | None, column: str) -> str:
    if row is None:
        return "nothing"
    if not column:
        return "a row"
    return "(personal data)" if column in _PRIVATE else repr(row[columns.index(column)])
