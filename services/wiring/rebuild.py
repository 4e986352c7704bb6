"""`driverlink rebuild`: read models rebuilt from the logs beside the old ones, then compared or put in their place.

Work in hand and dead letters are left alone, because no log can rebuild them. No service runs meanwhile.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from adapters.store.sqlite import SqliteStore
from domain.store import Store
from services.api.installation import Installation
from services.runtime.histories import read_histories, reader_of
from services.wiring.comparison import Difference, first_difference
from services.wiring.registry import SERVICES, ServiceSpec

_FILES = "rebuild-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How far the reading of a service's log is, in records."""

    service: str
    done: int
    total: int


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
            if is_check:
                yield name, _compare(spec, stores[name], besides[name])
            else:
                models = spec.rebuilding.models
                stores[name].replace({model.row: model.rows(besides[name], stores[name]) for model in models})
                yield name, None


def _make(
    stores: Mapping[str, Store], besides: Mapping[str, Store], on_step: Callable[[Step], None], *, may_repeat: bool
) -> None:
    """Read every log once, and make of it the read models of every service that consumes it."""
    for log in SERVICES.values():
        readers = [
            reader_of(stores[name], besides[name], stores[log.name], folds, may_repeat=may_repeat)
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


def _compare(spec: ServiceSpec, store: Store, beside: Store) -> Difference | None:
    differences = (
        first_difference(spec.name, model.row, store.scan(model.row), model.rows(beside, store))
        for model in spec.rebuilding.models
    )
    return next((difference for difference in differences if difference), None)


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
