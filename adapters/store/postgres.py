"""A store in one schema of a PostgreSQL database, by the recorders of the eventsourcing library.

Its schemas and tables are made by `migrate`, and checked before they are used.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import islice
from select import POLLIN, POLLOUT, poll
from time import monotonic
from types import MappingProxyType
from typing import Any, Final
from uuid import uuid4

import msgspec
import psycopg
from eventsourcing.persistence import IntegrityError, StoredEvent
from eventsourcing.postgres import PostgresProcessRecorder
from psycopg import Connection, Cursor, errors
from psycopg.pq.abc import PGconn
from psycopg.rows import DictRow, TupleRow, tuple_row
from psycopg.sql import SQL, Identifier

from adapters.store.locks import CREATE_OWNERS, LOST, PartitionAssignment
from adapters.store.postgres_connection import MIGRATE, Datastore, channel, connect, failures, lock_id
from adapters.store.questions import TableView
from adapters.store.relational import AnswerLost, RelationalStore, Values, named_in, write_rows
from adapters.store.tables import Dialect, Shape, SqlStatement, Table, beside, mending, shape, table_of
from domain.ports import ProfileKeys
from domain.store import OF_EVERY_STORE, Event, Misconfigured, Row, StoreConflict, Stored, StoreFailed, Unit

Schemas = Mapping[str, Sequence[type[Row]]]
"""The schemas with the rows that each keeps, besides those of every store."""

_NONE: Schemas = MappingProxyType({})

TRACKING = "tracking"
_BESIDES: Mapping[str, Shape] = {
    "stored_events": {"hash BYTEA NOT NULL", "account TEXT NOT NULL", "driver TEXT NOT NULL"},
    TRACKING: set(),
    "owners": set(),
}
"""The tables besides those of rows, each with the columns that the library does not make."""

_SHAPES = """
SELECT relname, concat(attname, ' ', upper(format_type(atttypid, atttypmod)), CASE WHEN attnotnull THEN ' NOT NULL' END)
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
WHERE relnamespace = to_regnamespace(%(schema)s) AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT relname, replace(pg_get_constraintdef(pg_constraint.oid), '"', '')
FROM pg_class JOIN pg_constraint ON conrelid = pg_class.oid
WHERE relnamespace = to_regnamespace(%(schema)s) AND contype = 'p'
"""

_COLUMNS = "SELECT array_agg(attname::text) FROM pg_attribute WHERE attrelid = 'stored_events'::regclass"


def migrate(
    url: str, password: str, schemas: Schemas, *, read_models: Schemas = _NONE, views: Collection[TableView] = ()
) -> None:
    """Make schemas, tables and indexes where they are missing; running it twice, or at once, does no harm.

    Of the `read_models` in a schema, which are among its rows, another version's table is left as it is: it is replaced
    before a service works on it. Where the table of one of the `views` is made again, that is hidden before. Raises
    `StoreFailed` when another table is another version's, and not empty, and when
    the database does not work.
    """
    with closing(connect(url, password)) as connection, failures():
        for (encoding,) in connection.execute("SHOW server_encoding"):
            if encoding != "UTF8":
                raise StoreFailed(f"the database is encoded in {encoding}: create it with ENCODING 'UTF8'")
        connection.execute("SET statement_timeout = 0")
        connection.execute("SELECT pg_advisory_lock(%s)", [lock_id("migrate")])
        for schema, rows in schemas.items():
            connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(schema)))
            with closing(Datastore(url, password, schema)) as datastore:
                PostgresProcessRecorder(datastore, tracking_table_name=TRACKING).create_table()
            with connection.transaction():
                _make_tables(connection, schema, rows, read_models.get(schema, ()), views)


def check(url: str, password: str, schemas: Schemas) -> list[str]:
    """What is missing, or another version's, in a line for each schema. Raises `StoreFailed`."""
    found: list[str] = []
    with closing(connect(url, password)) as connection, failures():
        for schema, rows in schemas.items():
            shapes = _shapes(connection, schema)
            wrong = [name for name, own in _BESIDES.items() if name not in shapes or not own <= shapes[name]]
            wrong += [table.row.TABLE for table in _tables(rows) if shapes.get(table.row.TABLE) != shape(table)]
            if wrong:
                found.append(
                    f"the schema {schema} lacks tables, or has another version's ({', '.join(wrong)}): {MIGRATE}"
                )
    return found


def _make_tables(
    connection: Connection[TupleRow],
    schema: str,
    rows: Sequence[type[Row]],
    read_models: Collection[type[Row]],
    views: Collection[TableView],
) -> None:
    connection.execute(SQL("SET LOCAL search_path TO {}").format(Identifier(schema)))
    connection.execute(CREATE_OWNERS)
    (found,) = connection.execute(_COLUMNS).fetchall()
    for name in POSTGRES.added.keys() - found[0]:
        connection.execute(POSTGRES.add_column(name).encode())
    for statement in POSTGRES.event_indexes:
        connection.execute(statement.encode())
    shapes, refused = _shapes(connection, schema), []
    for table in _tables(rows):
        for view in views:
            if view.table == f"{schema}.{table.row.TABLE}" and shapes.get(table.row.TABLE) != shape(table):
                connection.execute(view.hide().encode())
        is_made = _make(connection, table, shapes.get(table.row.TABLE, set()))
        if not is_made and table.row not in read_models:
            refused.append(f"{schema}.{table.row.TABLE}")
    if refused:
        raise StoreFailed(
            f"another version's, not empty, and migrated by no script here: {', '.join(refused)}; "
            "start the version that wrote them"
        )


def _make(connection: Connection[TupleRow], table: Table[Any], found: Shape) -> bool:
    """Whether the table is as its row says, now."""

    def has_rows() -> bool:
        (row,) = connection.execute(f"SELECT EXISTS (SELECT 1 FROM {table.row.TABLE})".encode())  # noqa: S608 - our own name
        return bool(row[0])

    statements = mending(table, found, has_rows)
    for statement in statements or ():
        connection.execute(statement.encode())
    return statements is not None


def _tables(rows: Sequence[type[Row]]) -> list[Table[Any]]:
    return [table_of(row, POSTGRES) for row in (*rows, *OF_EVERY_STORE)]


def _shapes(connection: Connection[TupleRow], schema: str) -> Mapping[str, Shape]:
    return _by_table(connection.execute(_SHAPES, {"schema": schema}))


def _by_table(declarations: Iterable[TupleRow]) -> dict[str, set[str]]:
    shapes: dict[str, set[str]] = {}
    for name, declaration in declarations:
        shapes.setdefault(name, set()).add(declaration)
    return shapes


_HISTORY = "replace(originator_id::text, '-', '')"

_INSERT_EVENTS = (
    "WITH stored AS (INSERT INTO stored_events "
    "(originator_id, originator_version, topic, state, hash, account, driver) "
    "SELECT * FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::bytea[], %b::bytea[], %s::text[], %s::text[]) "
    "RETURNING originator_id, originator_version, hash), "
    "heads AS (INSERT INTO history_heads (history, version, hash) "
    "SELECT DISTINCT ON (originator_id) replace(originator_id::text, '-', ''), originator_version, encode(hash, 'hex') "
    "FROM stored ORDER BY originator_id, originator_version DESC "
    "ON CONFLICT (history) DO UPDATE SET version = excluded.version, hash = excluded.hash) "
    "SELECT pg_notify(%b, '')"
)
"""Stores events, and with them which event of each history is the last one."""

_HOLD = (
    "WITH held AS (SELECT 1 FROM owners JOIN unnest(%b::bigint[], %b::bigint[]) AS own (part, since) "
    "ON partition = part AND generation = since ORDER BY partition FOR SHARE OF owners), "
    "moved AS (INSERT INTO tracking AS known (application_name, notification_id) "
    "SELECT * FROM unnest(%b::text[], %b::bigint[]) "
    "ON CONFLICT (application_name) DO UPDATE SET notification_id = excluded.notification_id "
    "WHERE known.notification_id < excluded.notification_id RETURNING 1) "
    "SELECT 1 / ((SELECT count(*) FROM held) = %b)::int, ln(((SELECT count(*) FROM moved) = %b)::int)"
)
"""Keeps what is owned as it is until the transaction ends, and moves positions.

It fails with a division by zero where not everything is owned any more, and with a logarithm of zero where a position
is stored already; so a commit needs no answer before its end.
"""

_FRESH: Final = 1.0
"""Seconds for which a connection that has answered counts as working."""

# A rebuild replaces whole tables by many rows, and it may take long until the next ones come.
_WITHOUT_TIMEOUTS = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"


class _PostgresRecorder(PostgresProcessRecorder):
    """Stores a unit in one transaction, as long as its store owns what it owns.

    Unlike the library it tries once: what failed may have been stored, and each attempt would wait for a dead server.
    Unlike the library's, arrays of events are binary, which takes a third of the time.
    """

    def __init__(self, datastore: Datastore, assignment: PartitionAssignment) -> None:
        super().__init__(datastore, tracking_table_name=TRACKING)
        self.channel_name = channel(datastore.schema)
        self._assignment = assignment

    @contextmanager
    def sent(self, stored: Sequence[StoredEvent], hashes: Sequence[bytes], unit: Unit) -> Iterator[None]:
        """Send a unit; its end is awaited at the end of this, and the server works meanwhile."""
        with self.datastore.get_connection() as connection:
            try:
                with connection.pipeline():
                    self._send_unit(connection, unit, stored, hashes)
                    yield
            except errors.DivisionByZero:
                connection.rollback()
                with connection.cursor(row_factory=tuple_row) as cursor:
                    self._assignment.look(cursor)
                    self._assignment.check(cursor)
                raise StoreConflict("another process owned the partitions meanwhile") from None
            except errors.InvalidArgumentForLogarithm:
                connection.rollback()
                raise IntegrityError("a position is stored already") from None
            except BaseException:
                with suppress(psycopg.Error):
                    connection.rollback()
                raise

    def _send_unit(
        self, connection: Connection[DictRow], unit: Unit, stored: Sequence[StoredEvent], hashes: Sequence[bytes]
    ) -> None:
        """Send a whole transaction at once."""
        cursor = connection.cursor()
        cursor.execute("BEGIN", prepare=False)
        partitions, generations = self._assignment.owned
        if partitions or unit.positions:
            names, ends = [each.name for each in unit.positions], [each.at for each in unit.positions]
            counts = [len(partitions), len(names)]
            cursor.execute(_HOLD, [partitions, generations, names, ends, *counts], prepare=True)
        write_rows(cursor, unit, POSTGRES)
        self._insert_stored_events(cursor, stored, hashes=hashes, events=unit.events)
        cursor.execute("COMMIT", prepare=False)
        _send(connection.pgconn)

    def _insert_stored_events(
        self,
        curs: Cursor[DictRow],
        stored_events: Sequence[StoredEvent],
        *,
        hashes: Sequence[bytes] = (),
        events: Sequence[Event] = (),
        **_: Any,  # noqa: ANN401 - the library's
    ) -> None:
        if not stored_events:
            return
        self._lock_table(curs)
        columns = zip(*((e.originator_id, e.originator_version, e.topic, e.state) for e in stored_events), strict=True)
        named = (_texts(names) for names in zip(*map(named_in, events), strict=True))
        parameters = [*map(list, columns), list(hashes), *named, self.channel_name]
        curs.execute(_INSERT_EVENTS, parameters, prepare=True)


class PostgresStore(RelationalStore):
    """What one service owns, in one schema; several processes may have it open, each for its own partitions.

    `keys` seal the profiles in its events; without them they stay plain.
    Raises `Misconfigured` when the tables are not there, or are another version's.
    """

    def __init__(
        self,
        url: str,
        password: str,
        *,
        schema: str,
        log_name: str,
        rows: Sequence[type[Row]],
        views: Collection[TableView] = (),
        keys: ProfileKeys | None = None,
    ) -> None:
        """The `views` are those that are made of its tables, and have to stay of these."""
        super().__init__(POSTGRES, log_name, keys)
        self._views = {view.table: view for view in views}
        self._schema = schema
        for trouble in check(url, password, {schema: rows}):
            raise Misconfigured(trouble)
        self._assignment = PartitionAssignment()
        self._answered_at = -_FRESH
        with failures():
            self._datastore = Datastore(url, password, schema)
            self._recorder = _PostgresRecorder(self._datastore, self._assignment)

    def own(self, partitions: Collection[int]) -> None:
        """Take these partitions over: from now on no other process that owned them can commit.

        Commits that were under way have ended, so whatever they stored can be read. Of the same thread as `commit`.
        Raises `StoreFailed`.
        """
        with self._begun() as cursor:
            taken = self._assignment.take_over(cursor, partitions)
        self._assignment.add(taken)

    def disown(self, partitions: Collection[int]) -> None:
        """Own these partitions no longer: `commit` does not ask after them any more."""
        self._assignment.remove(partitions)

    def lost(self) -> Collection[int]:
        """The owned partitions that another process has owned since. Raises `StoreFailed`."""
        return {partition for (partition,) in self._fetch(LOST, self._assignment.owned)}

    def begin_erasing(self) -> None:
        """There is nothing to set: see `end_erasing`."""

    def end_erasing(self) -> None:
        """A server overwrites what was erased in its own time."""

    def close(self) -> None:
        """Let go of the connections."""
        self._datastore.close()

    def _send(self, stored: Sequence[StoredEvent], hashes: Sequence[bytes], unit: Unit) -> Callable[[], None]:
        self._reach()
        with ExitStack() as sending:
            sending.enter_context(failures())
            sending.enter_context(self._recorder.sent(stored, hashes, unit))
            return sending.pop_all().close

    def _fetch(self, sql: str, parameters: Sequence[Any]) -> list[Values]:
        try:
            return self._fetched(sql, parameters)
        except AnswerLost:
            # Connections end while they are not used, and the pool does not see it.
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

    def _shapes(self, cursor: Cursor[TupleRow]) -> Mapping[str, Shape]:
        cursor.execute("SELECT current_schema()")
        ((schema,),) = cursor.fetchall()
        return _by_table(cursor.execute(_SHAPES, {"schema": schema}))

    def _taking_place(self, table: Table[Any], found: Shape) -> list[str]:
        """The index of the key gets the name that it has where the table was made as such."""
        name = table.row.TABLE
        view = self._views.get(f"{self._schema}.{name}")
        return [
            *([view.hide()] if view else []),
            *super()._taking_place(table, found),
            f"ALTER INDEX IF EXISTS {beside(table.row).TABLE}_pkey RENAME TO {name}_pkey",
            *([view.show()] if view else []),
        ]

    @contextmanager
    def _transaction(self) -> Iterator[Cursor[TupleRow]]:
        with self._begun() as cursor:
            cursor.execute(_WITHOUT_TIMEOUTS)
            self._assignment.look(cursor)
            self._assignment.check(cursor)
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


_TOGETHER = 1000
"""Rows that one statement stores."""


def _to_json(values: Collection[tuple[Any, ...]]) -> str:
    return msgspec.json.encode(values).decode()


def _combinations(types: Sequence[str], values: Collection[tuple[Any, ...]]) -> SqlStatement:
    """As one JSON text, because the driver takes long to write arrays."""
    columns = ", ".join(f"(each->>{place})::{kind}" for place, kind in enumerate(types))
    return SqlStatement(f"SELECT {columns} FROM jsonb_array_elements(%s::jsonb) AS each", (_to_json([*values]),))  # noqa: S608 - our own types


def _one_of(values: list[Any]) -> SqlStatement:
    if not values or not all(isinstance(value, str) for value in values):
        return SqlStatement("= ANY(%b)", (values,))
    return SqlStatement("= ANY(%s::text[])", (_texts(values),))


def _texts(values: Iterable[str]) -> str:
    """Some texts, at least one, as one text, because the driver takes long to write arrays."""
    quoted = '","'.join([value.replace("\\", "\\\\").replace('"', '\\"') for value in values])
    return f'{{"{quoted}"}}'


_LEAST = {"TEXT": "''", "BIGINT": str(-(2**63)), "BOOLEAN": "false"}


def _put(cursor: Cursor[Any], table: Table[Any], rows: Iterable[Stored]) -> None:
    """Send many rows as one JSON text, which takes half the time of a statement for each.

    The server takes it apart once; as `json` it would for each column of each row.
    """
    values = ", ".join(f"(each->>{place})::{kind}" for place, kind in enumerate(table.types))
    sql = table.upsert(f"SELECT {values} FROM jsonb_array_elements(%s::jsonb) AS each").encode()  # noqa: S608 - our own types
    remaining = iter(rows)
    while some := list(islice(remaining, _TOGETHER)):
        try:
            text = _to_json(some)
        except TypeError as failure:
            raise ValueError(f"a row of {table.row.TABLE} cannot be stored: {failure}") from failure
        cursor.execute(sql, [text], prepare=True)


def _load(cursor: Cursor[Any], table: Table[Any], rows: Iterable[Stored]) -> None:
    """Send rows in the text form of COPY, which the server takes fastest, and index their keys behind that."""
    name, key = table.row.TABLE, f"{table.row.TABLE}_pkey"
    remaining = iter(rows)
    cursor.execute(f"ALTER TABLE {name} DROP CONSTRAINT {key}".encode())
    with cursor.copy(f"COPY {name} ({', '.join(table.columns)}) FROM STDIN".encode()) as copy:
        while some := list(islice(remaining, _TOGETHER)):
            copy.write("".join(["\t".join(map(_copied, row)) + "\n" for row in some]))
    cursor.execute(f"ALTER TABLE {name} ADD CONSTRAINT {key} PRIMARY KEY ({', '.join(table.row.KEY)})".encode())


def _copied(value: Any) -> str:  # noqa: ANN401 - of any column
    if value is None:
        return "\\N"
    if not isinstance(value, str):
        return str(value)
    if "\\" in value or not value.isprintable():
        return value.translate(_ESCAPED)
    return value


_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


POSTGRES = Dialect(
    placeholder="%s",
    text='TEXT COLLATE "C"',
    position="notification_id",
    one_of=_one_of,
    combinations=_combinations,
    guard=lambda column, kind: f"{column} >= {_LEAST[kind]}" if kind in _LEAST else "",
    put=_put,
    load=_load,
    from_uuid=lambda id: id,  # noqa: A006 - the event's word
    id="UUID",
    added={
        "hash": "BYTEA NOT NULL DEFAULT ''",
        "account": "TEXT COLLATE \"C\" NOT NULL DEFAULT ''",
        "driver": "TEXT COLLATE \"C\" NOT NULL DEFAULT ''",
    },
    event_indexes=(
        "CREATE INDEX IF NOT EXISTS stored_events_of_account ON stored_events (account, notification_id)",
        "CREATE INDEX IF NOT EXISTS stored_events_of_driver ON stored_events (driver, account, notification_id)",
    ),
    hash_text="encode(hash, 'hex')",
    history=_HISTORY,
    raw=f"convert_to({_HISTORY}, 'UTF8'), originator_version, convert_to(topic, 'UTF8'), state, hash, "
    "convert_to(account, 'UTF8'), convert_to(driver, 'UTF8')",
    to_uuid=lambda id: id,  # noqa: A006 - the event's word
)


_MAKE = (
    "CREATE TABLE IF NOT EXISTS identity (only_one BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (only_one), "
    "id TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS epochs (epoch TEXT, topic TEXT, partition BIGINT, begins_at BIGINT NOT NULL, "
    "PRIMARY KEY (epoch, topic, partition))",
)

_BEGIN = (
    "INSERT INTO epochs (epoch, topic, partition, begins_at) "
    "SELECT %b, %b, * FROM unnest(%b::bigint[], %b::bigint[]) ON CONFLICT DO NOTHING"
)


class InstallationTables:
    """The tables in one schema; each call has a connection of its own, because there are few."""

    def __init__(self, url: str, password: str, schema: str) -> None:
        self._url = url
        self._password = password
        self._schema = schema

    def make(self, name: str = "") -> None:
        """Make what is not there: the id is the name that was chosen, else a random one, and stays for ever.

        Raises `Misconfigured` when the database is of an installation of another name, and `StoreFailed`.
        """
        with self._connected() as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", [lock_id("migrate")])
            connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(self._schema)))
            for statement in _MAKE:
                connection.execute(statement.encode())
            connection.execute("INSERT INTO identity (id) VALUES (%s) ON CONFLICT DO NOTHING", [name or uuid4().hex])
        self.check(name)

    def check(self, name: str = "") -> str:
        """The id of the installation.

        Raises `Misconfigured` when the name is another one, or the tables are not there, and `StoreFailed`.
        """
        with self._connected() as connection:
            ids = [str(found) for (found,) in connection.execute("SELECT id FROM identity")]
        if not ids:
            raise Misconfigured("the database has no installation's id: run `driverlink database migrate`")
        if name not in {"", ids[0]}:
            raise Misconfigured(
                f"the database is of the installation {ids[0]}, and DRIVERLINK_INSTALLATION is {name}: set "
                "DRIVERLINK_DATABASE_URL to that one's database, or give it its own DRIVERLINK_DATABASE_PREFIX"
            )
        return ids[0]

    def beginnings(self, topic: str) -> Mapping[str, Mapping[int, int]]:
        """By epoch and partition: the offset at which the epoch began in this topic. Raises `StoreFailed`."""
        found: dict[str, dict[int, int]] = {}
        with self._connected() as connection:
            sql = "SELECT epoch, partition, begins_at FROM epochs WHERE topic = %s"
            for epoch, partition, begins_at in connection.execute(sql, [topic]):
                found.setdefault(epoch, {})[partition] = begins_at
        return found

    def begin(self, epoch: str, topic: str, offsets: Mapping[int, int]) -> None:
        """The epoch begins here, unless it has begun before. Raises `StoreFailed`."""
        with self._connected() as connection:
            connection.execute(_BEGIN, [epoch, topic, [*offsets], [*offsets.values()]])

    @contextmanager
    def _connected(self) -> Iterator[Connection[TupleRow]]:
        with closing(connect(self._url, self._password, self._schema)) as connection, failures():
            yield connection
