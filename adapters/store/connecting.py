"""Connections to PostgreSQL: patient with a lock, not with a silent peer."""

import os
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import psycopg
from eventsourcing.postgres import PostgresDatastore
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow, dict_row

from adapters.store.advice import failures
from domain.storing import Misconfigured

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
    "jit": "off",
}
"""What the server is told; the first three so that it frees what a vanished process had locked."""


def connect(url: str, password: str, schema: str = "") -> psycopg.Connection[TupleRow]:
    """A connection of its own, in which each statement is its own transaction. Raises `StoreFailed`."""
    with failures():
        return psycopg.connect(autocommit=True, **_parameters(url, password, schema))


def channel(schema: str) -> str:
    """On which channel a store in this schema tells that it has stored events."""
    return f"driverlink_{schema}"


def lock_id(name: str) -> int:
    """The number of the advisory lock of this name."""
    return int.from_bytes(sha256(f"driverlink/{name}".encode()).digest()[:8], "big", signed=True)


class Datastore(PostgresDatastore):
    """The library's pool of connections, for one schema; it finds a server again that was away."""

    def __init__(self, url: str, password: str, schema: str) -> None:
        if os.environ.get("POSTGRES_ENABLE_DB_FUNCTIONS"):
            raise Misconfigured("unset POSTGRES_ENABLE_DB_FUNCTIONS: whoever heeds it loses positions and events")
        with_what = _parameters(url, password, schema)
        patience = float(with_what["connect_timeout"])
        super().__init__(
            dbname="",
            host="",
            port="",
            user="",
            password="",
            schema=schema,
            connect_timeout=patience,
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
        self.pool.reconnect_timeout = patience


def _parameters(url: str, password: str, schema: str) -> dict[str, Any]:
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise Misconfigured("DRIVERLINK_DATABASE_URL is not like postgresql://user@host:5432/database") from None
    session = {**_SESSION, "search_path": schema} if schema else _SESSION
    options = [*(f"-c {name}={value}" for name, value in session.items()), str(given.get("options", ""))]
    secret = {"password": password} if password else {}
    return {**_PARAMETERS, **given, **secret, "options": " ".join(options)}
