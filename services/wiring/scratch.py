"""The temporary store of a dry run."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory, gettempdir
from time import time
from typing import Final

from adapters.store.sqlite import SqliteStore
from domain.reconciliation import PlanStep
from domain.store import Row, Store, StoreFailed
from services.runtime.context import DECISIONS

_PREFIX: Final = "driverlink-plan-"
_LEFT: Final = 86_400.0
"""Seconds after which a dry run's store that is still there was left by a process that was killed."""


@contextmanager
def open_scratch(rows: Sequence[type[Row]]) -> Iterator[Store]:
    """An empty store with the decider's tables, in a temporary folder that only we can read; removed afterwards.

    One that a killed process left is removed by the first that is opened a day later. Raises `StoreFailed`.
    """
    with suppress(OSError):
        for left in Path(gettempdir()).glob(f"{_PREFIX}*"):
            if left.lstat().st_mtime < time() - _LEFT:
                rmtree(left, ignore_errors=True)
    with _folder() as folder:
        path = Path(folder) / "scratch.sqlite"
        with closing(SqliteStore(path, log_name=DECISIONS, rows=(*rows, PlanStep))) as store:
            yield store


def _folder() -> TemporaryDirectory[str]:
    try:
        # A piece of work that was given up may still be writing; it must not keep the rest from being removed.
        return TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)
    except OSError as failure:
        raise StoreFailed(
            f"no folder for a dry run can be made ({failure.strerror}): "
            "let TMPDIR name one that exists, can be written, and has room"
        ) from failure
