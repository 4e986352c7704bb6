"""Where read models are made anew."""

from pathlib import Path

from adapters.store.sqlite import SqliteStore
from domain.storing import Row, Store


def open_beside(path: Path, models: tuple[type[Row], ...]) -> Store:
    """A store of its own for read models that are made anew, in one file. Raises `StoreFailed`."""
    return SqliteStore(path, log_name="rebuild", rows=models)
