"""Connections to PostgreSQL, and what its failures mean to us.

A connection waits for a lock as long as another process may rightly keep it, but not for a peer that has fallen silent.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import psycopg
from eventsourcing.persistence import IntegrityError, PersistenceError
from eventsourcing.postgres import PostgresDatastore
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow, dict_row
from psycopg_pool import PoolTimeout

from adapters.store.relational import AnswerLost
from domain.store import Misconfigured, StoreConflict, StoreFailed

_IDLE_TIMEOUT = 10
_LOCK_TIMEOUT = 20
"""Seconds; a lock is waited for longer than a process that died in a transaction, or was stopped in it, keeps it."""

_PARAMETERS: Mapping[str, Any] = {
    "application_name": "driverlink",
    "client_encoding": "UTF8",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""What a URL may set otherwise: seconds, the last one milliseconds, for which we wait, or take silence for life."""

_SESSION: Mapping[str, str | int] = {
    "tcp_keepalives_idle": 10,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 3,
    "lock_timeout": f"{_LOCK_TIMEOUT}s",
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": f"{_IDLE_TIMEOUT}s",
    # A plan kept from when a table was empty would go on reading the whole of it.
    "plan_cache_mode": "force_custom_plan",
    # Each query that matters has an index; without statistics a planner may prefer to read everything.
    "enable_seqscan": "off",
    # A page in the order of an index would be found by reading all pages behind it, and sorting them.
    "enable_bitmapscan": "off",
    # A look for some keys would read the whole of a table that is small, or that seems to be.
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
"""Settings of the session on the server; the first three so that it frees what a vanished process had locked."""


def connect(url: str, password: str, schema: str = "") -> psycopg.Connection[TupleRow]:
    """A connection of its own, in which each statement is its own transaction. Raises `StoreFailed`."""
    with failures():
        return psycopg.connect(autocommit=True, **_parameters(url, password, schema))


def channel(schema: str) -> str:
    """The channel on which a store in this schema announces that it has stored events."""
    return f"driverlink_{schema}"


def lock_id(name: str) -> int:
    """The number of the advisory lock of this name."""
    return int.from_bytes(sha256(f"driverlink/{name}".encode()).digest()[:8], "big", signed=True)


class Datastore(PostgresDatastore):
    """The library's pool of connections, for one schema; it finds a server again that was away."""

    def __init__(self, url: str, password: str, schema: str) -> None:
        if os.environ.get("POSTGRES_ENABLE_DB_FUNCTIONS"):
            raise Misconfigured(
                "unset POSTGRES_ENABLE_DB_FUNCTIONS: a library that reads it loses positions and events"
            )
        with_what = _parameters(url, password, schema)
        timeout = float(with_what["connect_timeout"])
        super().__init__(
            dbname="",
            host="",
            port="",
            user="",
            password="",
            schema=schema,
            connect_timeout=timeout,
            idle_in_transaction_session_timeout=_IDLE_TIMEOUT,
            lock_timeout=_LOCK_TIMEOUT,
            # After a restart the pool finds out one by one that its connections are gone, with growing pauses.
            pool_size=1,
            max_overflow=1,
            # Each query would be two: who reads tries again, and who writes asks first.
            pre_ping=False,
        )
        self.pool.kwargs = {**with_what, "row_factory": dict_row}
        # The longer a server is away, the longer become the pauses between the pool's attempts, up to this.
        self.pool.reconnect_timeout = timeout


def _parameters(url: str, password: str, schema: str) -> dict[str, Any]:
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise Misconfigured("DRIVERLINK_DATABASE_URL is not like postgresql://user@host:5432/database") from None
    session = {**_SESSION, "search_path": schema} if schema else _SESSION
    options = [*(f"-c {name}={value}" for name, value in session.items()), str(given.get("options", ""))]
    secret = {"password": password} if password else {}
    return {**_PARAMETERS, **given, **secret, "options": " ".join(options)}


MIGRATE = "run `driverlink database migrate`"

_URL = "DRIVERLINK_DATABASE_URL"
_PASSWORD = "DRIVERLINK_DATABASE_PASSWORD or ..._FILE"  # noqa: S105 - the names of settings
_REACH = f"the database cannot be reached: see that it runs, and that {_URL} says where"
_FULL = "the database takes no more connections: raise its max_connections"

_BY_CODE: Mapping[str, tuple[type[StoreFailed], str]] = {
    "25006": (StoreFailed, "the database can only be read: connect to the primary"),
    "3F000": (Misconfigured, f"the database lacks a schema: {MIGRATE}"),
    "42501": (Misconfigured, "the database's user lacks a right: let it own the schemas, and create them"),
    "42703": (Misconfigured, f"the database lacks a column: {MIGRATE}"),
    "42P01": (Misconfigured, f"the database lacks a table: {MIGRATE}"),
    "53100": (
        StoreFailed,
        "the database's disk is full: free some space and start again; nothing of the last step was stored",
    ),
    "53300": (StoreFailed, _FULL),
    "55P03": (StoreFailed, "another session keeps a lock for too long: see what else works on the database"),
    "57014": (StoreFailed, "the database took too long: see what else works on it"),
}
"""By the codes of PostgreSQL's appendix A: what a person has to set up otherwise, and what may pass."""

_BY_WORD: Sequence[tuple[str, type[StoreFailed], str]] = (
    ("too many", StoreFailed, _FULL),
    ("remaining connection slots", StoreFailed, _FULL),
    ("password", Misconfigured, f"the database refuses us: check its user in {_URL}, and {_PASSWORD}"),
    (
        "pg_hba.conf",
        Misconfigured,
        f"the database refuses us: let its pg_hba.conf allow the user, database and host of {_URL}",
    ),
    (
        "certificate",
        Misconfigured,
        f"the database's certificate is not accepted: check sslmode and sslrootcert in {_URL}",
    ),
    (
        "does not exist",
        Misconfigured,
        f"the database refuses us: create the database and the user that {_URL} names",
    ),
    ("not support SSL", Misconfigured, f"the database does not speak SSL: let it, or check sslmode in {_URL}"),
    ("SSL", StoreFailed, f"the database and we differ about SSL: check sslmode in {_URL}"),
)
"""Of a connection that could not be made there is only the text; where it says several things, the first counts."""

_BROKEN = ("57P01", "57P02", None)
"""How a server ends a connection; without a code, it did not even say so."""

_UNSTORABLE = (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError)
"""What says that a value does not fit its column."""


@contextmanager
def failures() -> Iterator[None]:
    """Turn the driver's and the library's failures into ours; that a version or position is taken stays theirs.

    Ours quote no values and do not lead to those that do, for a traceback shows them all.
    """
    try:
        yield
    except (PersistenceError, psycopg.Error) as failure:
        trigger = failure.__cause__ or failure
        if isinstance(trigger, IntegrityError | errors.UniqueViolation):
            raise
        raise _meaning(trigger) from None


def _meaning(failure: BaseException) -> Exception:
    code: str | None = getattr(failure, "sqlstate", None)
    name = type(failure).__name__
    if code and code in _BY_CODE:
        kind, advice = _BY_CODE[code]
        return kind(advice)
    if isinstance(failure, errors.DeadlockDetected | errors.SerializationFailure):
        return StoreConflict("another process stored into the same rows at once")
    if isinstance(failure, _UNSTORABLE):
        return ValueError(f"a value cannot be stored, or sought: {name}")
    if code not in _BROKEN:
        return StoreFailed(f"the database does not work: {name}; look at its log")
    if isinstance(failure, PoolTimeout):
        return StoreFailed(_REACH)
    text = str(failure)
    if text.startswith("connection failed"):
        return next((kind(advice) for word, kind, advice in _BY_WORD if word in text), StoreFailed(_REACH))
    return AnswerLost(_REACH)
