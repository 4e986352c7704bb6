"""Read models made anew from the logs, beside the old ones; compared with them, or put in their place.

Work in hand (tasks, started calls, looks, catch-ups, snapshots being read) and dead letters are no read models: they
are left alone. Nothing else is running.

Read models row by row beside each other, in the order of keys.

Which read models there are, and where they are made anew: in a folder, whatever keeps them.

Where read models are made anew.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from itertools import zip_longest
from operator import itemgetter
from pathlib import Path
from typing import Any

from adapters.store.sqlite import SqliteStore
from domain.identity import Target
from domain.store import Row, Store, Stored, Unit, Value
from services.accounts.handlers import AccountRow
from services.api.installation import Installation
from services.decider import read_models as decider
from services.intake.read_models import KnownDriver
from services.projector import read_models as projector
from services.projector.service import ProjectorApp
from services.wiring import rebuilt_rows
from services.wiring.rebuilt_rows import Fold, read, reader

_PRIVATE = frozenset({"profile", "body"})
"""Columns with personal data, which no message quotes."""


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


def first_difference(
    service: str, model: type[Row], kept: Iterable[Stored], rebuilt: Iterable[Stored]
) -> Difference | None:
    """The first difference of a read model, as it was kept and as it was made anew."""
    columns = [each.name for each in fields(model)]
    key = itemgetter(*map(columns.index, model.KEY))
    mine, other = _first_mismatch(kept, rebuilt, key)
    row = mine or other
    if row is None:
        return None
    column = _first_column(columns, mine, other) if mine and other else ""
    return Difference(
        service=service,
        table=model.TABLE,
        key=_named(key(row)),
        column=column,
        kept=_shown(columns, mine, column),
        rebuilt=_shown(columns, other, column),
    )


def _first_mismatch(
    kept: Iterable[Stored], rebuilt: Iterable[Stored], key: Callable[[Stored], Any]
) -> tuple[Stored | None, Stored | None]:
    """Two rows of one key that differ, or the one that stands alone; nothing at all if there is no such row."""
    for mine, other in zip_longest(kept, rebuilt):
        if mine == other:
            continue
        if mine is None or other is None or key(mine) == key(other):
            return mine, other
        return (mine, None) if key(mine) < key(other) else (None, other)
    return None, None


def _first_column(columns: Sequence[str], mine: Stored, other: Stored) -> str:
    return next(name for name, kept, rebuilt in zip(columns, mine, other, strict=True) if kept != rebuilt)


def _named(key: Stored | Value) -> str:
    return "/".join(map(str, key)) if isinstance(key, tuple) else str(key)


def _shown(columns: Sequence[str], row: Stored | None, column: str) -> str:
    if row is None:
        return "nothing"
    if not column:
        return "a row"
    return "(personal data)" if column in _PRIVATE else repr(row[columns.index(column)])


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


_FILES = "rebuild-"

READ_MODELS: frozenset[type[Row]] = frozenset(
    {
        AccountRow,
        KnownDriver,
        decider.DesiredRow,
        decider.ObservedRow,
        decider.RosterIdentifier,
        decider.RosterScanRow,
        decider.ScanFailureRow,
        decider.UnreadableRow,
        decider.OutageRow,
        decider.LinkRow,
        decider.ClaimRow,
        decider.DeleteRow,
        decider.ReconciliationRow,
        projector.NewestDecision,
        projector.AnswerCount,
        projector.ScanRow,
        projector.BreakerRow,
        projector.RosterRow,
    }
)
"""The tables that are made anew, of all services."""


def rebuild(
    installation: Installation, folder: Path, *, is_check: bool, on_step: Callable[[Step], None]
) -> Iterator[tuple[str, Difference | None]]:
    """Each service's read models made anew in a folder: put in place or, in a check, compared. Raises `StoreFailed`."""
    made = parts(installation)
    with ExitStack() as stack:
        besides = {part.service: stack.enter_context(_beside(folder, part)) for part in made}
        make(made, besides, on_step, may_repeat=installation.may_repeat)
        for part in made:
            if not is_check:
                swap(part, besides[part.service])
            yield part.service, compare(part, besides[part.service]) if is_check else None


def parts(installation: Installation) -> list[Part]:
    """Every service's read models."""
    return [
        Part(
            service="accounts",
            store=installation.accounts_service.store,
            models=_as_made(AccountRow),
            folds={"accounts": [rebuilt_rows.accounts]},
            tables=(AccountRow,),
        ),
        Part(
            service="intake",
            store=installation.intake_service.store,
            models=_as_made(KnownDriver),
            folds={"intake": [rebuilt_rows.known_drivers]},
            tables=(KnownDriver,),
        ),
        _decider(installation),
        *(_projector(target, app) for target, app in installation.projectors.items()),
    ]


def _decider(installation: Installation) -> Part:
    made = (
        AccountRow,
        decider.DesiredRow,
        decider.RosterIdentifier,
        decider.RosterScanRow,
        decider.ScanFailureRow,
        decider.UnreadableRow,
        decider.OutageRow,
        decider.LinkRow,
        decider.DeleteRow,
        decider.ReconciliationRow,
    )
    followed = [rebuilt_rows.followed, rebuilt_rows.followed_scans, rebuilt_rows.followed_outages]
    reports = {app.service.name: followed for app in installation.projectors.values()}
    return Part(
        service="decider",
        store=installation.decider_service.store,
        models=[
            *_as_made(*made),
            Model(row=decider.ObservedRow, settled=rebuilt_rows.followed_rows),
            Model(row=decider.ClaimRow, settled=rebuilt_rows.claim_rows),
        ],
        folds={
            "accounts": [rebuilt_rows.accounts],
            "intake": [rebuilt_rows.desired_drivers],
            "decider": [rebuilt_rows.links, rebuilt_rows.reconciliations],
            **reports,
        },
        tables=(*made, rebuilt_rows.Followed, rebuilt_rows.Claimant),
        finish=rebuilt_rows.followed_identifiers,
    )


def _projector(target: Target, app: ProjectorApp) -> Part:
    made = (AccountRow, projector.NewestDecision, projector.AnswerCount, projector.ScanRow, projector.BreakerRow)
    return Part(
        service=app.service.name,
        store=app.service.store,
        models=[*_as_made(*made), Model(row=projector.RosterRow, settled=rebuilt_rows.shown_rows)],
        folds={
            "accounts": [rebuilt_rows.accounts],
            "decider": [rebuilt_rows.desired(target)],
            app.service.name: [rebuilt_rows.deliveries, rebuilt_rows.scans, rebuilt_rows.breakers, rebuilt_rows.shown],
        },
        tables=(*made, rebuilt_rows.Shown),
    )


def _as_made(*rows: type[Row]) -> list[Model]:
    return [Model(row=row) for row in rows]


@contextmanager
def _beside(folder: Path, part: Part) -> Iterator[Store]:
    """An empty store for a service's read models, gone afterwards; so are the leftovers of one that was killed."""
    path = folder / f"{_FILES}{part.service}.sqlite"
    _remove(path)
    beside = open_beside(path, part.tables)
    try:
        yield beside
    finally:
        beside.close()
        _remove(path)


def _remove(path: Path) -> None:
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()


def open_beside(path: Path, models: tuple[type[Row], ...]) -> Store:
    """A store of its own for read models that are made anew, in one file. Raises `StoreFailed`."""
    return SqliteStore(path, log_name="rebuild", rows=models)
