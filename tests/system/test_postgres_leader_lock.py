"""One process of a service at a time relays its store's log."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from time import monotonic

import pytest

from adapters.store.locks import InstanceLock, PostgresLeaderLock, running_schemas
from adapters.store.postgres_connection import connect
from domain.store import StoreFailed
from tests.contract.postgres import PostgresStand
from tests.contract.stands import entry, fact, unit
from tests.support.hanging import HANGS
from tests.support.servers import OwnPostgres

LONG = HANGS
"""Seconds that no test ever waits."""

_HOLDER = """
import sys
from adapters.store.locks import PostgresLeaderLock

turn = PostgresLeaderLock(sys.argv[1], "", "decider")
print(turn.take(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def turn(database: str) -> Iterator[Callable[..., PostgresLeaderLock]]:
    with ExitStack() as stack:
        yield lambda schema="decider": stack.enter_context(closing(PostgresLeaderLock(database, "", schema)))


def until_taken(turn: PostgresLeaderLock) -> None:
    """Go on when the lock is ours, which is as soon as the server has released it."""
    deadline = monotonic() + LONG
    while not turn.take():
        assert monotonic() < deadline
        turn.wait(0.01)


def test_one_has_the_turn_until_it_gives_it_up(turn: Callable[..., PostgresLeaderLock]) -> None:
    first, second = turn(), turn()
    assert [first.take(), second.take(), first.take()] == [True, False, True]
    first.close()
    until_taken(second)
    assert first.take() is False


def test_each_schema_has_a_turn_of_its_own(turn: Callable[..., PostgresLeaderLock]) -> None:
    assert [turn("decider").take(), turn("intake").take()] == [True, True]


def test_each_duty_has_a_turn_of_its_own(turn: Callable[..., PostgresLeaderLock], database: str) -> None:
    with closing(PostgresLeaderLock(database, "", "decider", duty="reading")) as reading:
        assert [turn("decider").take(), reading.take()] == [True, True]
        with closing(PostgresLeaderLock(database, "", "decider", duty="reading")) as second:
            assert second.take() is False


def test_looking_whether_the_turn_is_lost_takes_no_time(turn: Callable[..., PostgresLeaderLock]) -> None:
    looking = turn()
    assert looking.take() is True
    looking.wait(0)
    assert looking.take() is True


def test_the_leader_lock_of_a_killed_process_goes_to_another_one(
    turn: Callable[..., PostgresLeaderLock], database: str
) -> None:
    command = [sys.executable, "-c", _HOLDER, database]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        second = turn()
        assert second.take() is False
        os.kill(holder.pid, signal.SIGKILL)
        until_taken(second)


def test_waiting_ends_when_facts_are_committed(database: str) -> None:
    with closing(PostgresStand(database)) as stand, closing(PostgresLeaderLock(database, "", stand.schema)) as turn:
        turn.take()
        stand.store.commit(unit(fact()))
        begun = monotonic()
        turn.wait(LONG)
        assert monotonic() - begun < LONG


def test_waiting_ends_after_the_time_given(turn: Callable[..., PostgresLeaderLock]) -> None:
    waiting = turn()
    waiting.wait(0.01)
    assert waiting.take() is True


def test_a_commit_without_events_wakes_no_process(database: str) -> None:
    with closing(PostgresStand(database)) as stand, closing(PostgresLeaderLock(database, "", stand.schema)) as turn:
        turn.take()
        stand.store.commit(unit(rows=[entry("a")], at=7))
        begun = monotonic()
        turn.wait(0.05)
        assert monotonic() - begun >= 0.05


def test_a_lost_connection_is_a_lost_turn(turn: Callable[..., PostgresLeaderLock], database: str) -> None:
    first, second = turn(), turn()
    first.take()
    with closing(connect(database, "")) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE locktype = 'advisory' "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
    with pytest.raises(StoreFailed, match="cannot be reached"):
        first.wait(LONG)
    assert [second.take(), first.take()] == [True, False]


def test_the_turn_can_be_taken_again_after_the_server_was_away(own_postgres: OwnPostgres) -> None:
    with closing(PostgresLeaderLock(own_postgres.url, "", "decider")) as turn:
        turn.take()
        own_postgres.stop()
        with pytest.raises(StoreFailed):
            turn.wait(LONG)
        with pytest.raises(StoreFailed, match="cannot be reached"):
            turn.take()
        own_postgres.start()
        assert turn.take() is True


def test_a_process_of_a_service_is_seen_until_its_connection_ends(database: str) -> None:
    with closing(InstanceLock(database, "", ["decider"])) as first, closing(InstanceLock(database, "", ["decider"])):
        assert running_schemas(database, "", ["decider", "intake"]) == frozenset()
        first.acquire_shared()
        assert running_schemas(database, "", ["decider", "intake"]) == frozenset()
        first.show_running()
        assert running_schemas(database, "", ["decider", "intake"]) == {"decider"}
    deadline = monotonic() + LONG
    while running_schemas(database, "", ["decider"]):
        assert monotonic() < deadline
