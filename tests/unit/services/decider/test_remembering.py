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
from domain.store import Event
from services.decider.handlers import Decider
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


def test_updates_of_drivers_who_are_remembered_ask_the_database_nothing(behind: QueriedStore) -> None:
    store, numbers = registry.SERVICES["decider"].caching(behind), count(1)
    decider = Decider(store, lambda: AT, Assignment())

    def stored(handler: Handler, events: Sequence[Event]) -> list[Event]:
        unit = handler([(next(numbers), event) for event in events])
        store.commit(unit)
        return unit.events

    fleet = Fleet(account=AccountId("fleet-1"), drivers=DRIVERS)
    stored(decider.on_accounts, fleet.account_events)
    stored(decider.on_reports, fleet.scans)
    created = stored(decider.on_changes, [*fleet.changes(1)])
    stored(decider.on_reports, [*confirmed(event for event in created if isinstance(event, Decision))])
    behind.queries.clear()
    updated = stored(decider.on_changes, [*fleet.changes(2)])
    assert (len(created), len(updated)) == (2 * DRIVERS, 2 * DRIVERS)
    assert behind.queries == []
