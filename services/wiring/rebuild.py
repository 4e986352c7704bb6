"""Read models made again from the logs, beside the old ones; then these are compared, or take their place.

Each log is read once, in its order, for all services that make something of it. Work in hand and dead letters are left
alone, because no log can say what they are. No service runs meanwhile.

That is also how an installation is upgraded: at start, read models of another version are made again.
"""

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from itertools import zip_longest
from operator import itemgetter
from time import monotonic
from typing import Any, Final

import structlog

from domain.store import DeadLetter, MendedRecord, Position, ReadModelVersion, Record, Row, Store, Stored, Stream, Unit
from services.runtime.consumer import Consumed, PartitionOf, to_resubmission
from services.runtime.context import log_of
from services.runtime.read_models import Events, Project, ReadModel, RebuildableStore, RowsBeside, stale
from services.wiring.registry import SERVICES

_PAGE = 10_000
"""Events that are read, and brought to every read model, at a time."""

Stores = Mapping[str, RebuildableStore]
"""The stores themselves, with nothing in front of them that keeps rows in memory, by service."""

_Models = Mapping[str, Sequence[ReadModel]]
"""Read models, by the service that keeps them."""

_PRIVATE = frozenset({"profile", "body", "term"})
"""Columns with personal data, which no message quotes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How far the reading of a service's log is, in records."""

    service: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first row in which the kept and the rebuilt read model differ; `column` is empty when one lacks the row."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """How many events of a log were replayed, and the position of the last one: the mark."""

    events: int
    mark: int


NOTHING_REPLAYED: Final = Replayed(events=0, mark=0)

Fences = Mapping[str, Mapping[str, int]]
"""By service and log the mark up to which it only replays; for services that have consumed nothing."""

NO_FENCES: Final[Fences] = {}

ALL: _Models = {name: spec.read_models for name, spec in SERVICES.items()}
"""Every read model there is."""


def rebuild(
    stores: Stores,
    models: _Models = ALL,
    *,
    partition_of: PartitionOf | None,
    on_step: Callable[[Step], None] = lambda _: None,
    fences: Fences = NO_FENCES,
    partitions: int = 1,
    logs: Mapping[str, Stream] | None = None,
) -> Mapping[str, Mapping[str, Replayed]]:
    """Make these read models again, and put those of each service in their place. Raises `StoreFailed`.

    A service with a fence counts as having consumed everything up to it, once its read models are in place. Returns, by
    service and log, what was replayed. `logs` are read in place of the stores' own.
    """
    replayed = _make(stores, models, on_step, partition_of, fences, logs)
    for name, own in models.items():
        versions = {row: model.version_of(row) for model in own for row in model.tables}
        positions = [
            Position(name=f"{log}/{number}", at=mark)
            for log, mark in fences.get(name, {}).items()
            for number in range(partitions if mark else 0)
        ]
        stores[name].end_beside(versions, positions)
    return replayed


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """What a service that starts from the logs got of its predecessor.

    `replayed` is, by log, what was replayed without any effect; `unfinished` counts what the predecessor had still to
    do, calls whose outcome is not known among it.
    """

    service: str
    replayed: Mapping[str, Replayed]
    unfinished: int


def hand_over(
    stores: Stores, name: str, *, partition_of: PartitionOf | None, on_step: Callable[[Step], None] = lambda _: None
) -> Handover:
    """Let a successor of this service, which starts from the logs, take its place. Raises `StoreFailed`.

    It replays beside its predecessor; then what it has made takes the place of the predecessor's tables, with the work
    in hand of these and the positions as they are, in one transaction. So there is always one of the two, and nothing
    that was done is done again.
    """
    spec, store = SERVICES[name], stores[name]
    replayed = rebuild(stores, {name: spec.read_models}, partition_of=partition_of, on_step=on_step)
    unfinished = sum(sum(store.count(row, where).values()) for row, where in spec.to_do)
    return Handover(service=name, replayed=replayed[name], unfinished=unfinished)


def differences(
    stores: Stores,
    *,
    partition_of: PartitionOf | None,
    on_step: Callable[[Step], None] = lambda _: None,
    logs: Mapping[str, Stream] | None = None,
) -> dict[str, Difference | None]:
    """By service the first difference between its read models and what the logs make of them. Raises `StoreFailed`.

    `logs` are read in place of the stores' own.
    """
    _make(stores, ALL, on_step, partition_of, NO_FENCES, logs)
    found: dict[str, Difference | None] = {}
    for name, own in ALL.items():
        store, rows = stores[name], [row for model in own for row in model.tables]
        different = (first_difference(name, row, store.scan(row), store.scan_beside(row)) for row in rows)
        found[name] = next(filter(None, different), None)
        store.drop_beside(rows)
    return found


def _make(
    stores: Stores,
    models: _Models,
    on_step: Callable[[Step], None],
    partition_of: PartitionOf | None,
    fences: Fences,
    logs: Mapping[str, Stream] | None,
) -> Mapping[str, Mapping[str, Replayed]]:
    """Make these read models beside the old ones."""
    with _without_collector():
        return _read_logs(stores, models, on_step, partition_of, fences, logs or {})


@contextmanager
def _without_collector() -> Iterator[None]:
    """Let Python look for no cycles meanwhile: there are none in rows, but it would look at each of them often."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _read_logs(
    stores: Stores,
    models: _Models,
    on_step: Callable[[Step], None],
    partition_of: PartitionOf | None,
    fences: Fences,
    logs: Mapping[str, Stream],
) -> Mapping[str, Mapping[str, Replayed]]:
    made = {name: _Beside(stores[name], own, fences.get(name)) for name, own in models.items() if own}
    for spec in SERVICES.values():
        log, done = logs.get(spec.name, stores[spec.name].log), 0
        readers = [
            _Reader(each, stores[spec.name], projects, partition_of)
            for each in made.values()
            if (projects := each.projects.get(spec.log))
        ]
        total = log.end() if readers else 0
        while readers and (page := log.read(done, _PAGE)):
            for reader in readers:
                reader.read(page)
            done = page[-1].position
            on_step(Step(service=spec.name, done=done, total=total))
        on_step(Step(service=spec.name, done=total, total=total))
    for each in made.values():
        each.rows.store_all()
    return {name: each.replayed for name, each in made.items()}


class _Beside:
    """The read models of one service while they are made, and by log what makes them."""

    def __init__(self, store: RebuildableStore, models: Sequence[ReadModel], fence: Mapping[str, int] | None) -> None:
        self.store = store
        self.fence = fence
        self.replayed: dict[str, Replayed] = {}
        self.rows = RowsBeside(store, [row for model in models for row in model.tables])
        self.projects: dict[str, list[Project]] = {}
        for model in models:
            for log, project in model.projections(store).items():
                self.projects.setdefault(log, []).append(project)


class _UpTo:
    """Everything up to a mark."""

    def __init__(self, mark: int) -> None:
        self._mark = mark

    def has(self, record: Record) -> bool:
        return record.log_position <= self._mark


class _Reader:
    """What one service makes of a log from its beginning, as far as it has consumed it; its own log it has whole."""

    def __init__(
        self, made: _Beside, log: Store, projects: Sequence[Project], partition_of: PartitionOf | None
    ) -> None:
        self._made = made
        self._projects = projects
        self._is_own = made.store is log
        name = log_of(log.log.name)
        fence = made.fence
        self._name = name
        self._consumed = Consumed(made.store, name, partition_of) if fence is None else _UpTo(fence.get(name, 0))
        self._dead = {each.log_position for each in made.store.select(DeadLetter) if log_of(each.stream) == name}
        self._mended = {
            each.log_position: log.log.again(to_resubmission(each))
            for each in made.store.select(MendedRecord, {"log": name})
        }

    def read(self, page: Sequence[Record]) -> None:
        """Bring the read models to what they are after these records."""
        if events := self._events(page):
            before = self._made.replayed.get(self._name, NOTHING_REPLAYED)
            self._made.replayed[self._name] = Replayed(events=before.events + len(events), mark=events[-1][0])
            for project in self._projects:
                project(events, self._made.rows)
            self._made.rows.store_some()

    def _events(self, page: Sequence[Record]) -> Events:
        if self._mended:
            page = [self._mended.get(each.position, each) for each in page]
        return [
            (each.log_position, each.event)
            for each in page
            if each.event is not None and (self._is_own or self._has_handled(each))
        ]

    def _has_handled(self, record: Record) -> bool:
        return record.log_position not in self._dead and self._consumed.has(record)


def first_difference(
    service: str, model: type[Row], kept: Iterable[Stored], rebuilt: Iterable[Stored]
) -> Difference | None:
    """The first difference of a read model, as it was kept and as it was made again: both in the order of their keys.

    Columns that hold work in hand are not compared: no log says what is in them.
    """
    every = [each.name for each in fields(model)]
    columns = [name for name in every if name not in model.WORK]
    if model.WORK:
        known = itemgetter(*map(every.index, columns))
        kept, rebuilt = map(known, kept), map(known, rebuilt)
    key = itemgetter(*map(columns.index, model.KEY))
    mine, other = _first_mismatch(kept, rebuilt, key)
    row = mine or other
    if row is None:
        return None
    column = ""
    if mine and other:
        column = next(name for name, left, right in zip(columns, mine, other, strict=True) if left != right)
    return Difference(
        service=service,
        table=model.TABLE,
        key="/".join(str(row[columns.index(name)]) for name in model.KEY if name not in _PRIVATE),
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


_BETWEEN: Final = 2.0
"""Seconds between two lines that say how far a rebuild is."""

_log = structlog.get_logger()


def stale_models(stores: Stores) -> _Models:
    """By service the read models that are to be made again. Raises `StoreFailed`."""
    found = {name: stale(stores[name], spec.read_models) for name, spec in SERVICES.items()}
    return {name: models for name, models in found.items() if models}


def upgrade(stores: Stores, partition_of: PartitionOf | None, partitions: int = 1) -> _Models:
    """Bring every read model to this version; which were made again. Raises `StoreFailed`.

    No process works on these stores meanwhile. After a kill it begins again: until the new tables take their place,
    the old ones are there, with their old version. A service that is new begins behind a fence, where its spec says so.
    """
    models = stale_models(stores)
    if not models:
        return models
    if not any(store.log.end() for store in stores.values()):
        for name, own in models.items():
            _mark(stores[name], own)
        return {}
    tables = {name: ", ".join(row.TABLE for model in own for row in model.tables) for name, own in models.items()}
    _log.warning("read models of another version are made again", **tables)
    rebuild(
        stores,
        models,
        partition_of=partition_of,
        on_step=_Progress().on_step,
        fences=_fences(stores, models),
        partitions=partitions,
    )
    _log.warning("read models were made again", services=", ".join(models))
    return models


def _fences(stores: Stores, models: _Models) -> Fences:
    """The present ends of what is consumed by those of these services that are new, and begin behind a fence."""
    ends = {log_of(store.log.name): store.log.end() for store in stores.values()}
    new = [SERVICES[name] for name in models if SERVICES[name].begins_behind_fence and _is_new(stores[name])]
    for spec in new:
        _log.warning("a new service begins behind what there is", service=spec.name)
    return {spec.name: {log: ends[log] for log in spec.consumes} for spec in new}


def _is_new(store: Store) -> bool:
    """Whether no version of a service has ever worked on its store."""
    return not store.log.end() and not store.select(ReadModelVersion, limit=1)


def _mark(store: Store, models: Sequence[ReadModel]) -> None:
    """The tables of a new installation are of this version: nothing has to be made."""
    unit = Unit()
    unit.keep(
        ReadModelVersion(name=row.TABLE, version=model.version_of(row)) for model in models for row in model.tables
    )
    store.commit(unit)


class _Progress:
    """Says now and then how far a rebuild is."""

    def __init__(self) -> None:
        self._said_at = monotonic()

    def on_step(self, step: Step) -> None:
        """A page of a log was read."""
        if monotonic() - self._said_at >= _BETWEEN:
            self._said_at = monotonic()
            _log.warning("read models are made again", log=step.service, done=step.done, total=step.total)
