"""Where sweeps are rehearsed."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from adapters.store.sqlite import SqliteStore
from domain.storing import Row, Store, StoreFailed
from services.planning.steps import StepRow
from services.runtime.logs import DECISIONS


@contextmanager
def open_scratch(rows: Sequence[type[Row]]) -> Iterator[Store]:
    """An empty store with the decider's tables, in a temporary folder that only we can read; gone afterwards.

    Raises `StoreFailed`.
    """
    with _folder() as folder:
        path = Path(folder) / "scratch.sqlite"
        with closing(SqliteStore(path, log_name=DECISIONS, rows=(*rows, StepRow))) as store:
            yield store


def _folder() -> TemporaryDirectory[str]:
    try:
        # What a piece of work that nobody waits for any more still writes must not keep the rest from going.
        return TemporaryDirectory(prefix="driverlink-plan-", ignore_cleanup_errors=True)
    except OSError as failure:
        raise StoreFailed(
            f"no folder for a rehearsal can be made ({failure.strerror}): "
            "let TMPDIR name one that exists, can be written, and has room"
        ) from failure
