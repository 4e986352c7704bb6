"""Where sweeps are rehearsed."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from adapters.store.sqlite import SqliteStore
from domain.storing import Row, Store
from services.planning.steps import StepRow
from services.runtime.logs import DECISIONS


@contextmanager
def open_scratch(rows: Sequence[type[Row]]) -> Iterator[Store]:
    """An empty store with the decider's tables, in a temporary folder that only we can read; gone afterwards.

    Raises `StoreFailed`.
    """
    with TemporaryDirectory(prefix="driverlink-plan-") as folder:
        path = Path(folder) / "scratch.sqlite"
        with closing(SqliteStore(path, log_name=DECISIONS, rows=(*rows, StepRow))) as store:
            yield store
