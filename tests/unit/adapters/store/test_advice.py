"""What PostgreSQL's refusals are said to mean: apart what a person has to set up otherwise, and what may pass."""

import psycopg
import pytest

from adapters.store.postgres_connection import failures
from domain.store import Misconfigured, StoreFailed

_URL = "DRIVERLINK_DATABASE_URL"


def meaning_of(text: str) -> Exception:
    """What is said of a connection that failed with this text."""
    with pytest.raises(StoreFailed) as failure, failures():
        raise psycopg.OperationalError(f'connection failed: connection to server at "10.0.0.7", port 5432 {text}')
    return failure.value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('failed: FATAL: password authentication failed for user "u"', "DRIVERLINK_DATABASE_PASSWORD or ..._FILE"),
        ("failed: fe_sendauth: no password supplied", "DRIVERLINK_DATABASE_PASSWORD or ..._FILE"),
        ('failed: FATAL: no pg_hba.conf entry for host "10.0.0.8"', f"let its pg_hba.conf allow the user, dat.*{_URL}"),
        ('failed: FATAL: database "d" does not exist', f"create the database and the user that {_URL} names"),
        ('failed: root certificate file "/x" does not exist', f"check sslmode and sslrootcert in {_URL}"),
        ("failed: SSL error: certificate verify failed", f"check sslmode and sslrootcert in {_URL}"),
        ("failed: server does not support SSL, but SSL was required", f"does not speak SSL.* sslmode in {_URL}"),
    ],
)
def test_what_a_person_has_to_set_up_is_reported_by_its_setting(text: str, says: str) -> None:
    failure = meaning_of(text)
    assert isinstance(failure, Misconfigured)
    with pytest.raises(Misconfigured, match=says):
        raise failure


@pytest.mark.parametrize(
    "text",
    [
        "failed: Connection refused",
        "failed: FATAL: the database system is starting up",
        "failed: FATAL: the database system is shutting down",
        "failed: server closed the connection unexpectedly",
        "failed: SSL SYSCALL error: EOF detected",
        "failed: FATAL: sorry, too many clients already",
        "failed: FATAL: remaining connection slots are reserved",
        "could not translate host name: Temporary failure in name resolution",
    ],
)
def test_what_may_pass_is_not_a_misconfiguration(text: str) -> None:
    assert type(meaning_of(text)) is StoreFailed
