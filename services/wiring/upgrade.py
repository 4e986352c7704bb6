"""How an installation is upgraded: read models of another version are made again before any service consumes."""

from collections.abc import Sequence
from time import monotonic
from typing import Final

import structlog

from domain.store import ReadModelVersion, Store, Unit
from services.runtime.consumer import PartitionOf
from services.runtime.read_models import ReadModel, stale
from services.wiring.rebuild import Models, Step, Stores, rebuild
from services.wiring.registry import SERVICES

_BETWEEN: Final = 2.0
"""Seconds between two lines that say how far a rebuild is."""

_log = structlog.get_logger()


def stale_models(stores: Stores) -> Models:
    """By service the read models that are to be made again. Raises `StoreFailed`."""
    found = {name: stale(stores[name], spec.read_models) for name, spec in SERVICES.items()}
    return {name: models for name, models in found.items() if models}


def upgrade(stores: Stores, partition_of: PartitionOf | None) -> Models:
    """Bring every read model to this version; which were made again. Raises `StoreFailed`.

    No process works on these stores meanwhile. After a kill it begins again: until the new tables take their place,
    the old ones are there, with their old version.
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
    rebuild(stores, models, partition_of=partition_of, on_step=_Progress().on_step)
    _log.warning("read models were made again", services=", ".join(models))
    return models


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
