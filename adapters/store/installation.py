"""Which installation a database is of, and where its epochs begin in Kafka's topics: for all of its services."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from uuid import uuid4

from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Identifier

from adapters.store.connecting import connect, failures, lock_id
from domain.store import Misconfigured

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
