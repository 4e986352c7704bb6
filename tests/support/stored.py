"""What services have stored, read beside the process that has the data folder open."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from adapters.store.sqlite import SqliteStore
from domain.store import Log
from services.wiring.data_folder import DataFolder
from services.wiring.embedded import open_keys
from services.wiring.registry import SERVICES


@contextmanager
def log_beside(data: Path, service: str) -> Iterator[Log]:
    """The log of a service in this data folder."""
    file, log = DataFolder(data).file(service), SERVICES[service].log
    with (
        closing(open_keys(data)) as keys,
        closing(SqliteStore(file, log_name=log, rows=(), is_reader=True, keys=keys)) as store,
    ):
        yield store.log
