"""A PostgreSQL store on its stand."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from adapters.store.postgres import PostgresStore, migrate
from adapters.store.postgres_connection import connect
from domain.store import Event, Stream, Unit
from tests.contract.stands import ROWS

_GAP = 10
_NUMBERS = count()
_TABLES = ("stored_events", *(row.TABLE for row in ROWS))

_HOLD = """
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM pg_advisory_xact_lock(1);
    RETURN NULL;
END $$
"""
_REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF pg_total_relation_size(TG_RELID) > TG_ARGV[1]::bigint THEN
        RAISE 'Jane Doe' USING ERRCODE = TG_ARGV[0];
    END IF;
    RETURN NULL;
END $$
"""


class PostgresStand:
    """A store in a new schema of a database, and its log."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.schema = f"contract_{next(_NUMBERS)}"
        migrate(url, "", {self.schema: ROWS})
        self.store = self.another()

    @property
    def stream(self) -> Stream:
        """The store's own log."""
        return self.store.log

    def another(self, query: str = "") -> PostgresStore:
        """One more store in the same schema, as another process has it, perhaps with settings in its URL."""
        return PostgresStore(f"{self._url}{query}", "", schema=self.schema, log_name="contract.v1", rows=ROWS)

    def put(self, events: Sequence[Event]) -> None:
        """Store these facts."""
        self.store.commit(Unit(events=list(events)))

    def put_record(self, topic: str, body: bytes) -> None:
        """Write a row beneath the store, with the gap before it that a transaction leaves which was rolled back."""
        self.execute("SELECT nextval('stored_events_notification_id_seq') FROM generate_series(1, %s)", [_GAP])
        self.execute(
            "INSERT INTO stored_events (originator_id, originator_version, topic, state) VALUES (%s, 1, %s, %s)",
            [uuid4(), topic, body],
        )

    def reopen(self) -> None:
        """Close the store, and open it again."""
        self.store.close()
        self.store = self.another()

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """Let no table have more pages than it has.

        The disk itself is the server's, which may be elsewhere and has other users. So the server says what it says of
        a full disk, and when it says it: after some of a transaction, all of which it then has to undo.
        """
        sizes = {table: self.execute("SELECT pg_total_relation_size(%s)", [table])[0][0] for table in _TABLES}
        with self._refusing("disk_full", sizes):
            yield

    @contextmanager
    def refusing(self, condition: str) -> Iterator[None]:
        """Let the server refuse every event and every row for this reason, by the names of PostgreSQL's appendix A."""
        with self._refusing(condition, dict.fromkeys(_TABLES, -1)):
            yield

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Let no other session read or write this table."""
        with closing(connect(self._url, "", self.schema)) as connection, connection.transaction():
            connection.execute(f"LOCK TABLE {table}".encode())
            yield

    @contextmanager
    def held(self, history: UUID) -> Iterator[None]:
        """Hold every transaction with an event of this history, after it is stored and before it is committed."""
        self.execute(_HOLD)
        self.execute(
            "CREATE TRIGGER hold AFTER INSERT ON stored_events FOR EACH ROW "
            f"WHEN (NEW.originator_id = '{history}') EXECUTE FUNCTION hold()"
        )
        with closing(connect(self._url, "")) as connection:
            connection.execute("SELECT pg_advisory_lock(1)")
            yield

    def until_waiting(self, number: int, work: Future[Any]) -> None:
        """Go on when this many wait for locks; or when the work has ended, as it should not."""
        while not work.done() and len(self.waiting()) < number:
            pass

    def waiting(self) -> list[int]:
        """The processes of the server that wait for a lock in this database."""
        return self._processes("wait_event_type = 'Lock'")

    def end(self, processes: Sequence[int]) -> None:
        """End the connections of these processes, and return when they have ended."""
        self.execute("SELECT pg_terminate_backend(process, 10000) FROM unnest(%b::int[]) AS process", [[*processes]])

    def connections(self) -> list[int]:
        """The processes of the server behind every connection to this database but this one."""
        return self._processes("pid <> pg_backend_pid()")

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What a statement gives that runs beneath the store."""
        with closing(connect(self._url, "", self.schema)) as connection:
            cursor = connection.execute(sql.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        """Let go of the connections."""
        self.store.close()

    def _processes(self, condition: str) -> list[int]:
        query = f"SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND {condition}"  # noqa: S608 - our own words
        return [process for (process,) in self.execute(query)]

    @contextmanager
    def _refusing(self, condition: str, sizes: Mapping[str, int]) -> Iterator[None]:
        self.execute(_REFUSE)
        for table, size in sizes.items():
            self.execute(
                f"CREATE TRIGGER refuse AFTER INSERT OR UPDATE ON {table} "
                f"FOR EACH STATEMENT EXECUTE FUNCTION refuse('{condition}', '{size}')"
            )
        try:
            yield
        finally:
            self.execute("DROP FUNCTION refuse CASCADE")
