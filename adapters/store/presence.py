"""Whether processes and commands work on services, or something that needs their tables for itself."""

from collections.abc import Collection

from psycopg import Connection
from psycopg.rows import TupleRow

from adapters.store.advice import failures
from adapters.store.connecting import connect, lock_id
from domain.storing import StoreFailed


class Presence:
    """An advisory lock of each of these schemas, on one connection: shared by all who work, or had by one alone."""

    def __init__(self, url: str, password: str, schemas: Collection[str]) -> None:
        self._schemas = schemas
        self._connection: Connection[TupleRow] = connect(url, password)

    def share(self) -> None:
        """Be one of those who work. Raises `StoreFailed` while somebody has a schema alone."""
        for schema in self._schemas:
            if not self._locked("pg_try_advisory_lock_shared", schema):
                raise StoreFailed(f"a rebuild of {schema} is under way: try again when it has ended")

    def be(self, name: str) -> None:
        """Be the only one of this name. Raises `StoreFailed` while another process is."""
        for schema in self._schemas:
            if not self._locked("pg_try_advisory_lock", f"{schema}/{name}"):
                raise StoreFailed(f"another process of {schema} is named {name}: give each its own DRIVERLINK_MEMBER")

    def have_alone(self) -> None:
        """Have the schemas alone. Raises `StoreFailed` while anybody works."""
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
            rows = self._connection.execute(f"SELECT {function}(%s)", [lock_id(f"presence/{what}")])
            return any(locked for (locked,) in rows)
