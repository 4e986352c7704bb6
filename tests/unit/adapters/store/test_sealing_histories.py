"""What was stored plain is sealed by a script, and what was wrong with it before is found afterwards too."""

import sqlite3
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from adapters.events import new_mapper
from adapters.profile_keys import ProfileKeyRow, ProfileKeysTable, StatedMasterKeys
from adapters.store.migrating import in_sqlite, seal_histories
from adapters.store.sqlite import SqliteStore
from domain.hash_chain import SEALED_UP_TO, BrokenChain
from domain.store import DeadLetter, Event, MendedRecord, Resubmission, Row, Unit
from tests.contract.profile_keys import FIRST, NOW
from tests.golden.samples import SAMPLES

CREATED: Any = SAMPLES["PortalDriver.DriverCreated"]
OTHERS: list[Any] = [SAMPLES[topic] for topic in ("Account.AccountAdded", "Report.ObservedDriverSeen")]
NAME = b"Zebulon"


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[ProfileKeysTable]:
    (tmp_path / "keys").mkdir()
    table = SqliteStore(tmp_path / "keys" / "keys.sqlite", log_name="keys", rows=(ProfileKeyRow,))
    with closing(ProfileKeysTable(table, StatedMasterKeys(FIRST), lambda: NOW)) as keys:
        yield keys


def _events() -> list[Event]:
    """Histories of several events, and others between them."""
    profile = {**CREATED.profile, "first_name": NAME.decode()}
    histories = [
        replace(
            CREATED, originator_id=UUID(int=number), originator_version=version, driver=f"p-{number}", profile=profile
        )
        for version in range(1, 5)
        for number in range(1, 4)
    ]
    return [*histories, *OTHERS]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store as a version before left it, with records that could not be handled."""
    path = tmp_path / "log.sqlite"
    with closing(SqliteStore(path, log_name="log.v1", rows=())) as store:
        unit = Unit(events=_events())
        stored = new_mapper().to_stored_event(_events()[0])
        record: dict[str, Any] = {
            "id": f"{stored.originator_id}/1",
            "topic": stored.topic,
            "body": b64encode(stored.state).decode(),
            "log_position": 1,
        }
        at: dict[str, Any] = {"stream": "1/log.v1/0", "position": 1}
        unit.keep([DeadLetter(**record, **at, headers=[], reason="", at=""), Resubmission(**record, **at)])
        unit.keep([MendedRecord(**record, log="log.v1")])
        unit.keep(
            [
                DeadLetter(
                    **{**record, "id": "?", "body": "", "position": 2, "stream": at["stream"]},
                    headers=[],
                    reason="",
                    at="",
                )
            ]
        )
        store.commit(unit)
    return path


def _broken(store: SqliteStore) -> BrokenChain | None:
    """The first event that is not as it was stored."""
    part = store.check_chains("", 100)
    while part.next is not None:
        part = store.check_chains(part.next, 100)
    return part.broken


def _first(store: SqliteStore, kind: type[Row]) -> Any:  # noqa: ANN401 - of each of these kinds
    return store.select(kind)[0]


def _seal(path: Path, keys: ProfileKeysTable) -> list[int]:
    steps: list[int] = []
    with in_sqlite(path) as tables:
        seal_histories(tables, keys, steps.append)
    return steps


def test_every_event_is_read_as_before_and_no_name_is_left(path: Path, keys: ProfileKeysTable) -> None:
    def has_name() -> bool:
        encoded = [b64encode(b" " * shift + NAME)[4:-4] for shift in range(3)]
        files = b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*"))
        return any(text in files for text in (NAME, *encoded))

    assert has_name()
    assert _seal(path, keys) == [len(_events())]
    assert not has_name()
    with closing(SqliteStore(path, log_name="log.v1", rows=(), keys=keys)) as store:
        assert [record.event for record in store.log.read(0, 100)] == _events()
        assert store.position(SEALED_UP_TO) == len(_events())
        letter, resubmission, mended = (_first(store, kind) for kind in (DeadLetter, Resubmission, MendedRecord))
        assert letter.body == resubmission.body == mended.body
        assert store.log.again(resubmission).event == _events()[0]
        assert _broken(store) is None
        store.commit(Unit(events=[replace(CREATED, originator_id=UUID(int=1), originator_version=5)]))
        assert _broken(store) is None


def test_a_store_without_profiles_stays_as_it_is(tmp_path: Path, keys: ProfileKeysTable) -> None:
    path = tmp_path / "accounts.sqlite"
    with closing(SqliteStore(path, log_name="log.v1", rows=())) as store:
        store.commit(Unit(events=OTHERS[:1]))
        before = store._fetch("SELECT * FROM stored_events", [])
    _seal(path, keys)
    with closing(SqliteStore(path, log_name="log.v1", rows=())) as store:
        assert store._fetch("SELECT * FROM stored_events", []) == before
        assert store.position(SEALED_UP_TO) == 0


def test_what_is_sealed_is_not_sealed_again(path: Path, keys: ProfileKeysTable) -> None:
    _seal(path, keys)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM tracking")
        connection.commit()
    _seal(path, keys)
    with closing(SqliteStore(path, log_name="log.v1", rows=(), keys=keys)) as store:
        assert store.position(SEALED_UP_TO) == 0
        assert [record.event for record in store.log.read(0, 100)] == _events()


def _altered(connection: sqlite3.Connection) -> None:
    connection.execute(
        "UPDATE stored_events SET state = replace(state, ?, 'Zacharia') WHERE rowid = 5", [NAME.decode()]
    )
    connection.execute("UPDATE stored_events SET state = CAST(state AS BLOB)")


def _without(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM stored_events WHERE rowid = 5")


def _without_the_last(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM stored_events WHERE rowid = 10")


def _with_another_head(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE history_heads SET hash = ? WHERE history = ?", ["00" * 32, UUID(int=1).hex])


@pytest.mark.parametrize("alter", [_altered, _without, _without_the_last, _with_another_head])
def test_what_was_altered_before_is_found_afterwards(
    path: Path, keys: ProfileKeysTable, alter: Callable[[sqlite3.Connection], None]
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        alter(connection)
        connection.commit()
    with closing(SqliteStore(path, log_name="log.v1", rows=())) as store:
        before = _broken(store)
    assert before
    _seal(path, keys)
    with closing(SqliteStore(path, log_name="log.v1", rows=(), keys=keys)) as store:
        assert _broken(store) == before
