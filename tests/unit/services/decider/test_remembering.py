"""What a decider asks its database while it decides: nothing for drivers who are remembered."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest

from adapters.store.sqlite import SqliteStore
from domain.driver_link import Decision
from domain.identity import AccountId
from domain.store import Event, Unit
from services.decider.handlers import Decider
from services.decider.read_models import DesiredRow
from services.runtime.consumer import Handler
from services.runtime.context import Assignment
from services.wiring import registry
from tests.benchmarks.fleet import AT, Fleet, confirmed

DRIVERS = 60
"""More than what one question has to miss before an account is asked about as a whole."""


class QueriedStore(SqliteStore):
    """Keeps the queries."""

    queries: ClassVar[list[str]] = []

    def _fetch(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        self.queries.append(sql)
        return super()._fetch(sql, parameters)


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[QueriedStore]:
    QueriedStore.queries.clear()
    with closing(QueriedStore(tmp_path / "decider.sqlite", log_name="decisions", rows=registry.DECIDER_ROWS)) as store:
        yield store


class Remembering:
    """A decider that remembers, of a fleet whose rosters were scanned."""

    def __init__(self, behind: SqliteStore) -> None:
        self.store = registry.SERVICES["decider"].caching(behind)
        self.decider = Decider(self.store, lambda: AT, Assignment())
        self.fleet = Fleet(account=AccountId("fleet-1"), drivers=DRIVERS)
        self._numbers = count(1)
        self.stored(self.decider.on_accounts, self.fleet.account_events)
        self.stored(self.decider.on_reports, self.fleet.scans)

    def stored(self, handler: Handler, events: Sequence[Event]) -> list[Event]:
        """What was decided on these."""
        unit = handler([(next(self._numbers), event) for event in events])
        self.store.commit(unit)
        return unit.events


def test_updates_of_drivers_who_are_remembered_ask_the_database_nothing(behind: QueriedStore) -> None:
    of = Remembering(behind)
    created = of.stored(of.decider.on_changes, [*of.fleet.changes(1)])
    of.stored(of.decider.on_reports, [*confirmed(event for event in created if isinstance(event, Decision))])
    behind.queries.clear()
    updated = of.stored(of.decider.on_changes, [*of.fleet.changes(2)])
    assert (len(created), len(updated)) == (2 * DRIVERS, 2 * DRIVERS)
    assert behind.queries == []


def test_a_first_import_asks_for_no_histories(behind: QueriedStore) -> None:
    of = Remembering(behind)
    behind.queries.clear()
    of.stored(of.decider.on_changes, [*of.fleet.changes(1)])
    assert [query for query in behind.queries if "originator_id IN" in query or "stored_events WHERE" in query] == []


def test_a_driver_stated_for_the_first_time_once_more_keeps_its_link(behind: QueriedStore) -> None:
    of = Remembering(behind)
    created = of.stored(of.decider.on_changes, [*of.fleet.changes(1)])
    unit = Unit()
    unit.remove(DesiredRow, {"account": of.fleet.account})
    behind.commit(unit)
    of.store.forget()
    assert (len(created), of.stored(of.decider.on_changes, [*of.fleet.changes(1)])) == (2 * DRIVERS, [])
