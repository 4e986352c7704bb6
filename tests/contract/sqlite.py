"""A SQLite store on its stand."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from adapters.store.sqlite import SqliteStore
from domain.store import Event, Stream, Unit
from tests.contract.stands import ROWS

_MOST_PAGES = 1_073_741_823
_GAP = 10


class SqliteStand:
    """A store in one file, and its log."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.store = self._open()

    @property
    def stream(self) -> Stream:
        """The store's own log."""
        return self.store.log

    def put(self, events: Sequence[Event]) -> None:
        """Store these facts."""
        self.store.commit(Unit(events=list(events)))

    def put_record(self, topic: str, body: bytes) -> None:
        """Write a row beneath the store, with a gap before it."""
        with self.store._datastore.transaction(commit=True) as cursor:
            cursor.execute(
                "INSERT INTO stored_events (rowid, originator_id, originator_version, topic, state) "
                "VALUES (? + (SELECT COALESCE(MAX(rowid), 0) FROM stored_events), ?, 1, ?, ?)",
                (_GAP, uuid4().hex, topic, body),
            )

    def reopen(self) -> None:
        """Close the file, and open it again."""
        self.store.close()
        self.store = self._open()

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """Let the file have no more pages than it has."""
        self._limit("(SELECT page_count FROM pragma_page_count)")
        try:
            yield
        finally:
            self._limit(str(_MOST_PAGES))

    def close(self) -> None:
        """Let go of the file."""
        self.store.close()

    def _limit(self, pages: str) -> None:
        with self.store._datastore.transaction(commit=False) as cursor:
            cursor.execute(f"SELECT {pages}")
            (most,) = cursor.fetchone()
            cursor.execute(f"PRAGMA max_page_count = {most}")

    def _open(self) -> SqliteStore:
        return SqliteStore(self._path, log_name="contract.v1", rows=ROWS)
