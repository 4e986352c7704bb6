"""What the failures of PostgreSQL mean to us, and what helps against them."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from eventsourcing.persistence import IntegrityError, PersistenceError
from psycopg import errors
from psycopg_pool import PoolTimeout

from adapters.store.relational import AnswerLost
from domain.storing import StoreConflict, StoreFailed

MIGRATE = "run `driverlink database migrate`"

_REACH = "the database cannot be reached: see that it runs, and that DRIVERLINK_DATABASE_URL says where"
_FULL = "the database takes no more connections: raise its max_connections"

_BY_CODE = {
    "25006": "the database can only be read: connect to the primary",
    "3F000": f"the database lacks a schema: {MIGRATE}",
    "42501": "the database's user lacks a right: let it own the schemas, and create them",
    "42703": f"the database lacks a column: {MIGRATE}",
    "42P01": f"the database lacks a table: {MIGRATE}",
    "53100": "the database's disk is full: free some space and start again; nothing of the last step was stored",
    "53300": _FULL,
    "55P03": "somebody else keeps a lock for too long: see what else works on the database",
    "57014": "the database took too long: see what else works on it",
}
"""By the codes of PostgreSQL's appendix A."""

_BY_WORD = (
    ("too many", _FULL),
    ("remaining connection slots", _FULL),
    ("password", "the database refuses us: check its user and its password"),
    ("pg_hba.conf", "the database refuses us: let its pg_hba.conf allow this user, database and host"),
    ("does not exist", "the database refuses us: create the database and the user that DRIVERLINK_DATABASE_URL names"),
    ("certificate", "the database's certificate is not accepted: check sslmode and sslrootcert"),
    ("SSL", "the database and we differ about SSL: check sslmode"),
)
"""Of a connection that could not be made there is only the text."""

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
    code = getattr(failure, "sqlstate", None)
    name = type(failure).__name__
    if code in _BY_CODE:
        return StoreFailed(_BY_CODE[code])
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
        return StoreFailed(next((advice for word, advice in _BY_WORD if word in text), _REACH))
    return AnswerLost(_REACH)
