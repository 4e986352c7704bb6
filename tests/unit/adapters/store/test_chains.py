"""Whatever is done to what is stored, a check names the first event that is not as it was."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from random import Random
from typing import Any

import pytest

from adapters.store.chains import Chains
from adapters.store.sqlite import SQLITE, SqliteStore
from domain.hash_chain import BrokenChain
from domain.store import Unit
from tests.contract.stands import fact

DRIVERS = 12
VERSIONS = 5
TRIES = 1_000

Events = Sequence[tuple[int, str, int]]
"""Of each event its position, its history and its version."""

Tampering = Callable[[sqlite3.Connection, Events, Random], tuple[str, int | None]]
"""Does something to an event, and answers which one a check has to name, with its position."""


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A store with some histories, beneath the store."""
    path = tmp_path_factory.mktemp("chains") / "service.sqlite"
    with closing(SqliteStore(path, log_name="chains.v1", rows=())) as store:
        for version in range(1, VERSIONS + 1):
            store.commit(Unit(events=[fact(str(driver), version) for driver in range(DRIVERS)]))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def first_broken(connection: sqlite3.Connection, limit: int) -> BrokenChain | None:
    chains = Chains(lambda sql, parameters: connection.execute(sql, parameters).fetchall(), SQLITE)
    part = chains.check("", limit)
    while part.next is not None:
        part = chains.check(part.next, limit)
    return part.broken


def id_of(history: str, version: int) -> str:
    return f"{history[:8]}-{history[8:12]}-{history[12:16]}-{history[16:20]}-{history[20:]}/{version}"


def flip_a_byte(connection: sqlite3.Connection, events: Events, random: Random) -> tuple[str, int | None]:
    position, history, version = random.choice(events)
    column = random.choice(["state", "state", "topic", "hash", "account", "driver"])
    ((stored,),) = connection.execute(f"SELECT CAST({column} AS BLOB) FROM stored_events WHERE rowid = ?", [position])  # noqa: S608 - a test's own names
    altered = bytearray(stored)
    altered[random.randrange(len(altered))] ^= random.randrange(1, 256)
    kind = "BLOB" if column in ("state", "hash") else "TEXT"
    connection.execute(f"UPDATE stored_events SET {column} = CAST(? AS {kind}) WHERE rowid = ?", [altered, position])  # noqa: S608 - as above
    return id_of(history, version), position


def flip_a_byte_of_an_id(connection: sqlite3.Connection, events: Events, random: Random) -> tuple[str, int | None]:
    position, history, _ = random.choice(events)
    altered = bytearray(history.encode())
    altered[random.randrange(len(altered))] ^= random.randrange(1, 256)
    connection.execute(
        "UPDATE stored_events SET originator_id = CAST(? AS TEXT) WHERE rowid = ?", [bytes(altered), position]
    )
    return "", position


def flip_a_bit_of_a_version(connection: sqlite3.Connection, events: Events, random: Random) -> tuple[str, int | None]:
    position, _, version = random.choice(events)
    altered = version ^ 1 << random.randrange(3, 40)
    connection.execute("UPDATE stored_events SET originator_version = ? WHERE rowid = ?", [altered, position])
    return "", position


def remove(connection: sqlite3.Connection, events: Events, random: Random) -> tuple[str, int | None]:
    position, history, version = random.choice(events)
    connection.execute("DELETE FROM stored_events WHERE rowid = ?", [position])
    return id_of(history, version), None


def swap_contents(connection: sqlite3.Connection, events: Events, random: Random) -> tuple[str, int | None]:
    one, other = random.sample(events, 2)
    values = [
        connection.execute("SELECT topic, state, hash FROM stored_events WHERE rowid = ?", [each[0]]).fetchone()
        for each in (one, other)
    ]
    for each, stored in zip((one, other), reversed(values), strict=True):
        sql = "UPDATE stored_events SET topic = ?, state = ?, hash = ? WHERE rowid = ?"
        connection.execute(sql, [*stored, each[0]])
    position, history, version = min(one, other)
    return id_of(history, version), position


def swap_places(connection: sqlite3.Connection, events: Events, random: Random) -> tuple[str, int | None]:
    """Two events of one history change places in the log."""
    _, chosen, _ = random.choice(events)
    one, other = sorted(random.sample([each for each in events if each[1] == chosen], 2))
    for position, place in ((one[0], -1), (other[0], one[0]), (-1, other[0])):
        connection.execute("UPDATE stored_events SET rowid = ? WHERE rowid = ?", [place, position])
    return id_of(chosen, other[2]), one[0]


@pytest.mark.parametrize(
    ("tampering", "share"),
    [
        (flip_a_byte, 0.4),
        (flip_a_byte_of_an_id, 0.1),
        (flip_a_bit_of_a_version, 0.1),
        (remove, 0.2),
        (swap_contents, 0.1),
        (swap_places, 0.1),
    ],
)
def test_of_a_thousand_alterations_each_is_found_and_named(
    connection: sqlite3.Connection, tampering: Tampering, share: float
) -> None:
    random = Random(7)  # noqa: S311 - a test
    events: list[Any] = connection.execute(
        "SELECT rowid, originator_id, originator_version FROM stored_events ORDER BY rowid"
    ).fetchall()
    for _ in range(int(TRIES * share)):
        connection.execute("BEGIN")
        event, position = tampering(connection, events, random)
        broken = first_broken(connection, limit=random.choice([7, 60, 100]))
        connection.execute("ROLLBACK")
        assert broken
        assert broken.position == position
        assert not event or broken.event == event
    assert first_broken(connection, limit=7) is None


def test_the_last_event_of_a_history_is_missed(connection: sqlite3.Connection) -> None:
    ((history, last),) = connection.execute(
        "SELECT originator_id, MAX(originator_version) FROM stored_events GROUP BY 1 ORDER BY 1 LIMIT 1"
    )
    connection.execute("BEGIN")
    connection.execute("DELETE FROM stored_events WHERE originator_id = ? AND originator_version = ?", [history, last])
    broken = first_broken(connection, limit=7)
    connection.execute("DELETE FROM stored_events WHERE originator_id = ?", [history])
    all_broken = first_broken(connection, limit=7)
    connection.execute("ROLLBACK")
    assert broken
    assert (broken.event, broken.position) == (id_of(history, last), None)
    assert all_broken
    assert (all_broken.event, all_broken.position) == (id_of(history, 1), None)


@pytest.mark.parametrize(
    "alteration",
    [
        "UPDATE history_heads SET hash = 'z' || substr(hash, 2) WHERE history = ?",
        "UPDATE history_heads SET hash = 7 WHERE history = ?",
        "UPDATE history_heads SET hash = x'00' WHERE history = ?",
        "UPDATE history_heads SET version = 'a' WHERE history = ?",
        "UPDATE history_heads SET version = 9223372036854775807 WHERE history = ?",
        "UPDATE history_heads SET version = -1 WHERE history = ?",
        "UPDATE history_heads SET history = 'z' || substr(history, 2) WHERE history = ?",
        "DELETE FROM history_heads WHERE history = ?",
        "INSERT INTO history_heads (history, version, hash) VALUES ('z' || ?, 1, '00')",
        "INSERT INTO history_heads (history, version, hash) VALUES (upper(?), 1, '00')",
    ],
)
def test_an_altered_end_of_a_history_is_named_whatever_is_stored_there(
    connection: sqlite3.Connection, alteration: str
) -> None:
    ((history,),) = connection.execute("SELECT history FROM history_heads ORDER BY 1 DESC LIMIT 1")
    connection.execute("BEGIN")
    try:
        connection.execute(alteration, [history])
        broken = first_broken(connection, limit=7)
    finally:
        connection.execute("ROLLBACK")
    assert broken
    assert history[:8] in broken.event.casefold()
