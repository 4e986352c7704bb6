"""Whose turn it is to relay a store's log, or to do another duty, among all the processes of a service."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Identifier

from adapters.store.advice import failures
from adapters.store.connecting import channel, connect, lock_id
from domain.storing import StoreFailed


class RelayTurn:
    """An advisory lock of the store in this schema, on a connection of its own: both are lost together.

    Each duty has a turn of its own. Used from one thread.
    After a `StoreFailed` the turn is nobody's, and `take` tries again with a new connection.
    """

    def __init__(self, url: str, password: str, schema: str, duty: str = "relay") -> None:
        self._url = url
        self._password = password
        self._schema = schema
        self._duty = duty
        self._connection: Connection[TupleRow] | None = None
        self._is_mine = False

    def take(self) -> bool:
        """Whether it is our turn, now or still; without waiting. Raises `StoreFailed`."""
        if self._is_mine:
            return True
        with self._connected() as connection:
            ((self._is_mine,),) = connection.execute("SELECT pg_try_advisory_lock(%s)", [self._lock])
        return self._is_mine

    def wait(self, seconds: float) -> None:
        """Return when the store has committed events since the last time, or after so many seconds.

        Raises `StoreFailed` when the connection is lost, and the turn with it.
        """
        with self._connected() as connection:
            for _ in connection.notifies(timeout=seconds, stop_after=1):
                pass

    def close(self) -> None:
        """Give up the turn."""
        self._is_mine = False
        if self._connection:
            self._connection.close()
            self._connection = None

    @property
    def _lock(self) -> int:
        return lock_id(f"{self._duty}/{self._schema}")

    @contextmanager
    def _connected(self) -> Iterator[Connection[TupleRow]]:
        try:
            with failures():
                yield self._connection or self._listening()
        except StoreFailed:
            self.close()
            raise

    def _listening(self) -> Connection[TupleRow]:
        self._connection = connect(self._url, self._password)
        self._connection.execute(SQL("LISTEN {}").format(Identifier(channel(self._schema))))
        return self._connection
