"""What the failures of PostgreSQL mean to us, and what helps against them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import psycopg
from eventsourcing.persistence import IntegrityError, PersistenceError
from psycopg import errors
from psycopg_pool import PoolTimeout

from adapters.store.relational import AnswerLost
from domain.storing import Misconfigured, StoreConflict, StoreFailed

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
    "55P03": (StoreFailed, "somebody else keeps a lock for too long: see what else works on the database"),
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
"""Of a connection that could not be made there is only the text; where it tells several things, the first counts."""

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
        cause = failure.__cause__ or failure
        if isinstance(cause, IntegrityError | errors.UniqueViolation):
            raise
        raise _meaning(cause) from None


def _meaning(failure: BaseException) -> Exception:
    code: str | None = getattr(failure, "sqlstate", None)
    name = type(failure).__name__
    if code and code in _BY_CODE:
        kind, advice = _BY_CODE[code]
        return kind(advice)
    if isinstance(failure, errors.DeadlockDetected | errors.SerializationFailure):
        return StoreConflict("somebody else stored into the same rows at once")
    if isinstance(failure, _UNSTORABLE):
        return ValueError(f"a value cannot be stored, or sought: {name}")
    if code not in _BROKEN:
        return StoreFailed(f"the database does not work: {name}; look at its log")
    return _broken(failure)


def _broken(failure: BaseException) -> StoreFailed:
    text = str(failure)
    if isinstance(failure, PoolTimeout):
        return StoreFailed(_REACH)
    if text.startswith("connection failed"):
        return next((kind(advice) for word, kind, advice in _BY_WORD if word in text), StoreFailed(_REACH))
    return AnswerLost(_REACH)
