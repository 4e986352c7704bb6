"""Whether processes of a service run, or something that needs their tables for itself."""

from psycopg import Connection
from psycopg.rows import TupleRow

from adapters.store.advice import failures
from adapters.store.connecting import connect, lock_id
from domain.storing import StoreFailed


class Presence:
    """An advisory lock of a schema, on a connection of its own: shared by all who run, or had by one alone."""

    def __init__(self, url: str, password: str, schema: str) -> None:
        self._schema = schema
        self._connection: Connection[TupleRow] = connect(url, password)

    def share(self) -> None:
        """Be one of those who run. Raises `StoreFailed` while somebody has the schema alone."""
        if not self._locked("pg_try_advisory_lock_shared"):
            raise StoreFailed(f"a rebuild of {self._schema} is under way: this goes on when it has ended")

    def have_alone(self) -> None:
        """Have the schema alone. Raises `StoreFailed` while any process runs."""
        if not self._locked("pg_try_advisory_lock"):
            raise StoreFailed(f"processes of {self._schema} are running: stop them first")

    def check(self) -> None:
        """Raise `StoreFailed` when the connection is lost, and the lock with it."""
        with failures():
            self._connection.execute("SELECT 1")

    def close(self) -> None:
        """Leave."""
        self._connection.close()

    def _locked(self, function: str) -> bool:
        with failures():
            rows = self._connection.execute(f"SELECT {function}(%s)", [lock_id(f"presence/{self._schema}")])
            return any(locked for (locked,) in rows)
