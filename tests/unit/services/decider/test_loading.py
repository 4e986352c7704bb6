"""What is loaded for a batch."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.store.sqlite import SqliteStore
from domain.driver_link import Confirmed, UpdateDecided
from domain.identity import Target
from domain.store import Unit
from services.decider.batch import load_links
from tests.support.scenario import ACCOUNT, DRIVERI, JANE, why


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "decider.sqlite", log_name="decisions", rows=())


def test_a_link_with_a_long_past_takes_no_more_memory_to_load(store: SqliteStore) -> None:
    _add(store, 1, 1_500)
    few = _most_memory(store)
    _add(store, 1_501, 6_000)
    assert _most_memory(store) < 1.5 * few


def _add(store: SqliteStore, first: int, last: int) -> None:
    """More of the past of one link."""
    unit = Unit()
    for version in range(first, last + 1):
        decided = DRIVERI.said(UpdateDecided, why("OUTDATED"), desired_key="D-7", fields=["last_name"])
        confirmed = DRIVERI.fact(Confirmed, decision=version - 1, key="D-7", profile=dict(JANE))
        unit.events.append(replace(decided if version % 2 else confirmed, originator_version=version))
    store.commit(unit)


def _most_memory(store: SqliteStore) -> int:
    """Bytes of Python's objects at most while the link is loaded."""
    tracemalloc.start()
    try:
        links = load_links(store, [(ACCOUNT, Target.DRIVERI, DRIVERI.driver)])
        assert links[ACCOUNT, Target.DRIVERI][DRIVERI.driver].version > 1
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
