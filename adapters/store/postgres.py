"""A store in one schema of a PostgreSQL database, by the recorders of the eventsourcing library."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from select import POLLIN, POLLOUT, poll
from time import monotonic
from typing import Any, Final

from eventsourcing.persistence import IntegrityError, StoredEvent
from eventsourcing.postgres import PostgresProcessRecorder
from psycopg import Cursor
from psycopg.pq.abc import PGconn
from psycopg.rows import DictRow, TupleRow, tuple_row

from adapters.store.advice import failures
from adapters.store.connecting import Datastore, channel
from adapters.store.migrating import TRACKING, check
from adapters.store.ownership import Ownership
from adapters.store.postgres_dialect import POSTGRES
from adapters.store.relational import AnswerLost, RelationalStore, Values, write_rows
from domain.storing import Misconfigured, Position, Row, Unit

_INSERT_EVENTS = (
    "INSERT INTO stored_events (originator_id, originator_version, topic, state) "
    "SELECT * FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::bytea[])"
)

_MOVE_POSITIONS = (
    f"INSERT INTO {TRACKING} AS known (application_name, notification_id) "  # noqa: S608 - our own name
    "SELECT * FROM unnest(%b::text[], %b::bigint[]) "
    "ON CONFLICT (application_name) DO UPDATE SET notification_id = excluded.notification_id "
    "WHERE known.notification_id < excluded.notification_id"
)

_FRESH: Final = 1.0
"""Seconds for which a connection that has answered counts as working."""

# Whoever replaces whole tables brings many rows, which may take their time to come.
_UNHURRIED = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"


class _Recorder(PostgresProcessRecorder):
    """Stores a unit in one transaction, as long as its store owns what it owns.

    Unlike the library it tries once: what failed may have been stored, and each attempt would wait for a dead server.
    Unlike the library's, arrays of events are binary, which takes a third of the time.
    """

    def __init__(self, datastore: Datastore, ownership: Ownership) -> None:
        super().__init__(datastore, tracking_table_name=TRACKING)
        self.channel_name = channel(datastore.schema)
        self._ownership = ownership

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:  # noqa: ANN401 - the library's
        with (
            self.datastore.get_connection() as connection,
            connection.pipeline() as pipeline,
            connection.transaction(),
            connection.cursor(row_factory=tuple_row) as owners,
            connection.cursor() as mover,
            connection.cursor() as cursor,
        ):
            unit: Unit = kwargs["unit"]
            self._ownership.look(owners)
            _move(mover, unit.positions)
            write_rows(cursor, unit, POSTGRES)
            self._insert_stored_events(cursor, stored_events)
            _send(connection.pgconn)
            pipeline.sync()
            self._ownership.check(owners)
            _check_moved(mover, unit.positions)

    def _insert_stored_events(self, curs: Cursor[DictRow], stored_events: Sequence[StoredEvent], **_: Any) -> None:  # noqa: ANN401 - the library's
        if not stored_events:
            return
        self._lock_table(curs)
        self._notify_channel(curs)
        columns = zip(*((e.originator_id, e.originator_version, e.topic, e.state) for e in stored_events), strict=True)
        curs.execute(_INSERT_EVENTS, [list(column) for column in columns], prepare=True)


class PostgresStore(RelationalStore):
    """What one service owns, in one schema; several processes may have it open, each for its own partitions.

    Raises `Misconfigured` when the tables are not there, or are another version's.
    """

    def __init__(self, url: str, password: str, *, schema: str, log_name: str, rows: Sequence[type[Row]]) -> None:
        super().__init__(POSTGRES, log_name)
        for trouble in check(url, password, {schema: rows}):
            raise Misconfigured(trouble)
        self._ownership = Ownership()
        self._answered_at = -_FRESH
        with failures():
            self._datastore = Datastore(url, password, schema)
            self._recorder = _Recorder(self._datastore, self._ownership)

    def own(self, partitions: Collection[int]) -> None:
        """Take these partitions over: from now on nobody else who owned them can commit.

        Commits that were under way have ended, so whatever they stored can be read. Of the same thread as `commit`.
        Raises `StoreFailed`.
        """
        with self._begun() as cursor:
            taken = self._ownership.take_over(cursor, partitions)
        self._ownership.add(taken)

    def disown(self, partitions: Collection[int]) -> None:
        """Own these partitions no longer: `commit` does not ask after them any more."""
        self._ownership.remove(partitions)

    def close(self) -> None:
        """Let go of the connections."""
        self._datastore.close()

    def _insert(self, stored: Sequence[StoredEvent], unit: Unit) -> None:
        self._reach()
        with failures():
            self._recorder.insert_events(stored, unit=unit)

    def _fetch(self, sql: str, parameters: Sequence[Any]) -> list[Values]:
        try:
            return self._fetched(sql, parameters)
        except AnswerLost:
            # Connections end while nobody uses them, and the pool does not see it.
            self._datastore.pool.check()
            return self._fetched(sql, parameters)

    def _reach(self) -> None:
        """See to it that the connection which is used next works: a commit is not tried twice."""
        if monotonic() - self._answered_at > _FRESH:
            self._fetch("SELECT 1", [])

    def _fetched(self, sql: str, parameters: Sequence[Any]) -> list[Values]:
        with failures(), self._datastore.get_connection() as connection:
            cursor = connection.cursor(row_factory=tuple_row, binary=True)
            found = cursor.execute(sql.encode(), parameters, prepare=True).fetchall()
        self._answered_at = monotonic()
        return found

    @contextmanager
    def _transaction(self) -> Iterator[Cursor[TupleRow]]:
        with self._begun() as cursor:
            cursor.execute(_UNHURRIED)
            self._ownership.look(cursor)
            self._ownership.check(cursor)
            yield cursor

    @contextmanager
    def _begun(self) -> Iterator[Cursor[TupleRow]]:
        self._reach()
        with failures(), self._datastore.get_connection() as connection, connection.transaction():
            yield connection.cursor(row_factory=tuple_row)


def _send(pgconn: PGconn) -> None:
    """Send all that is in a pipeline.

    What a socket does not take at once psycopg would leave unsent, and then wait for the answer to it for ever.
    """
    waiting = poll()
    waiting.register(pgconn.socket, POLLIN | POLLOUT)
    while pgconn.flush():
        ((_, ready),) = waiting.poll()
        if ready & ~POLLOUT:
            pgconn.consume_input()


def _move(cursor: Cursor[DictRow], positions: Sequence[Position]) -> None:
    """Move positions forward; how many could be moved tells `_check_moved`."""
    if positions:
        names, ends = [each.name for each in positions], [each.at for each in positions]
        cursor.execute(_MOVE_POSITIONS, [names, ends], prepare=True)


def _check_moved(cursor: Cursor[DictRow], positions: Sequence[Position]) -> None:
    """Raise the library's `IntegrityError` if `_move` found one of them taken over."""
    if positions and cursor.rowcount != len(positions):
        raise IntegrityError("a position is taken over already")
