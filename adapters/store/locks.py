"""What keeps the processes of a service apart: their partitions, the instance lock and the leader lock.

Only the process to which a partition was assigned last may write for it: the table `owners` holds the generation of
each partition, which is how often it was assigned. The instance lock is shared by processes and commands at work, and
exclusive for a rebuild; another lock beside it shows that a process of a service runs. The leader lock decides which
process relays a store's log, or does another duty.
"""

from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from typing import Any

from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Identifier

from adapters.store.postgres_connection import channel, connect, failures, lock_id
from domain.store import StoreConflict, StoreFailed

CREATE_OWNERS = "CREATE TABLE IF NOT EXISTS owners (partition BIGINT PRIMARY KEY, generation BIGINT NOT NULL)"

_TAKE_OVER = (
    "INSERT INTO owners (partition, generation) SELECT taken, 1 FROM unnest(%b::bigint[]) AS taken "
    "ON CONFLICT (partition) DO UPDATE SET generation = owners.generation + 1 RETURNING partition, generation"
)
_LOOK = "SELECT partition, generation FROM owners WHERE partition = ANY(%b) ORDER BY partition FOR SHARE"


LOST = (
    "SELECT partition FROM owners JOIN unnest(%b::bigint[], %b::bigint[]) AS own (part, since) ON partition = part "
    "WHERE generation <> since"
)


class PartitionAssignment:
    """The partitions of one store, with the generations in which they were assigned. Cursors give rows as tuples."""

    def __init__(self) -> None:
        self._generations: dict[int, int] = {}

    def take_over(self, cursor: Any, partitions: Collection[int]) -> dict[int, int]:  # noqa: ANN401 - of any row type
        """The new generations, not owned yet; waits until the former owners have ended their commits."""
        cursor.execute(_TAKE_OVER, [sorted(set(partitions))])
        return dict(cursor.fetchall())

    def add(self, generations: dict[int, int]) -> None:
        """Own these partitions too, in these generations."""
        self._generations.update(generations)

    def remove(self, partitions: Collection[int]) -> None:
        """Own these partitions no longer."""
        for partition in partitions:
            self._generations.pop(partition, None)

    @property
    def owned(self) -> tuple[list[int], list[int]]:
        """The partitions that are owned, and their generations."""
        ordered = sorted(self._generations.items())
        return [partition for partition, _ in ordered], [generation for _, generation in ordered]

    def look(self, cursor: Any) -> None:  # noqa: ANN401 - of any row type
        """Ask for the generations of all that is owned, and keep them as they are until the transaction ends."""
        cursor.execute(_LOOK, [sorted(self._generations)], prepare=True)

    def check(self, cursor: Any) -> None:  # noqa: ANN401 - of any row type
        """Raise `StoreConflict` unless `look` found what is owned."""
        found = dict(cursor.fetchall())
        lost = sorted(each for each, generation in self._generations.items() if found.get(each) != generation)
        if lost:
            raise StoreConflict(f"another process owns the partitions {', '.join(map(str, lost))}")


class InstanceLock:
    """An advisory lock of each of these schemas, on one connection: shared by all at work, or held by one alone."""

    def __init__(self, url: str, password: str, schemas: Collection[str]) -> None:
        self._schemas = schemas
        self._connection: Connection[TupleRow] = connect(url, password)

    def acquire_shared(self) -> None:
        """Share the lock with all at work. Raises `StoreFailed` while another process holds a schema alone."""
        for schema in self._schemas:
            if not self._locked("pg_try_advisory_lock_shared", schema):
                raise StoreFailed(f"a rebuild of {schema} is under way: try again when it has ended")

    def show_running(self) -> None:
        """Show `running_schemas` that a process of these schemas runs, until the connection ends."""
        with failures():
            for schema in self._schemas:
                self._connection.execute("SELECT pg_try_advisory_lock_shared(%s)", [_running_id(schema)])

    def acquire_name(self, name: str) -> None:
        """Be the only one of this name. Raises `StoreFailed` while another process is."""
        for schema in self._schemas:
            if not self._locked("pg_try_advisory_lock", f"{schema}/{name}"):
                raise StoreFailed(f"another process of {schema} is named {name}: give each its own DRIVERLINK_MEMBER")

    def acquire_exclusive(self) -> None:
        """Hold the schemas alone. Raises `StoreFailed` while any process or command is at work."""
        for schema in self._schemas:
            if not self._locked("pg_try_advisory_lock", schema):
                raise StoreFailed(f"processes or commands work on {schema}: end them first")

    def check(self) -> None:
        """Raise `StoreFailed` when the connection is lost, and the locks with it."""
        with failures():
            self._connection.execute("SELECT 1")

    def close(self) -> None:
        """Leave."""
        self._connection.close()

    def _locked(self, function: str, what: str) -> bool:
        with failures():
            rows = self._connection.execute(f"SELECT {function}(%s)", [lock_id(f"instance/{what}")])
            return any(locked for (locked,) in rows)


class UpgradeLock:
    """An advisory lock of an installation, which one process at a time has while it brings tables to its version."""

    def __init__(self, url: str, password: str, prefix: str) -> None:
        self._prefix = prefix
        self._connection: Connection[TupleRow] = connect(url, password)

    def acquire(self) -> None:
        """Wait until no other process has it, however long that takes. Raises `StoreFailed`."""
        with failures():
            self._connection.execute("SET statement_timeout = 0; SET lock_timeout = 0")
            self._connection.execute("SELECT pg_advisory_lock(%s)", [lock_id(f"upgrade/{self._prefix}")])

    def close(self) -> None:
        """Let the next one have it."""
        self._connection.close()


_HELD = (
    "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 "
    "AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def running_schemas(url: str, password: str, schemas: Collection[str]) -> frozenset[str]:
    """Those of these schemas of which a process runs. Raises `StoreFailed`."""
    with closing(connect(url, password)) as connection, failures():
        held = {number for (number,) in connection.execute(_HELD)}
    return frozenset(schema for schema in schemas if _running_id(schema) in held)


def _running_id(schema: str) -> int:
    return lock_id(f"running/{schema}")


class PostgresLeaderLock:
    """An advisory lock of the store in this schema, on a connection of its own: both are lost together.

    Each duty has a lock of its own. Used from one thread.
    After a `StoreFailed` it is released, and `take` tries again with a new connection.
    """

    def __init__(self, url: str, password: str, schema: str, duty: str = "relay") -> None:
        self._url = url
        self._password = password
        self._schema = schema
        self._duty = duty
        self._connection: Connection[TupleRow] | None = None
        self._is_held = False

    def take(self) -> bool:
        """Acquire the lock without waiting; whether it is held, now or still. Raises `StoreFailed`."""
        if self._is_held:
            return True
        with self._connected() as connection:
            ((self._is_held,),) = connection.execute(
                "SELECT pg_try_advisory_lock(%s)", [lock_id(f"{self._duty}/{self._schema}")]
            )
        return self._is_held

    def wait(self, seconds: float) -> None:
        """Return when the store has committed events since the last time, or after this many seconds.

        Raises `StoreFailed` when the connection is lost, and the lock with it.
        """
        with self._connected() as connection:
            for _ in connection.notifies(timeout=seconds, stop_after=1):
                pass

    def close(self) -> None:
        """Release the lock."""
        self._is_held = False
        if self._connection:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _connected(self) -> Iterator[Connection[TupleRow]]:
        try:
            with failures():
                if self._connection is None:
                    self._connection = connect(self._url, self._password)
                    self._connection.execute(SQL("LISTEN {}").format(Identifier(channel(self._schema))))
                yield self._connection
        except StoreFailed:
            self.close()
            raise
