"""A decider that has lost its partitions decides by what it remembers of them, and stores none of it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing

import pytest

from adapters.store.postgres import PostgresStore, migrate
from domain.identity import AccountId, Target, link_stream
from domain.store import Event, Position, StoreConflict, Unit
from services.decider.handlers import Decider
from services.runtime.caching import OwnedCachingStore
from services.runtime.context import DECISIONS, Assignment
from services.wiring import registry
from tests.benchmarks.fleet import AT, Fleet

_FLEET = Fleet(account=AccountId("acme"), drivers=1)
_STREAM = "1/portal.driver-changes.v1/3"

Opening = Callable[[], OwnedCachingStore]


@pytest.fixture
def opening(database: str) -> Iterator[Opening]:
    """Open the decider's store as one more process has it."""
    migrate(database, "", {"decider": registry.DECIDER_ROWS})
    with ExitStack() as opened:

        def another() -> OwnedCachingStore:
            store = PostgresStore(database, "", schema="decider", log_name=DECISIONS, rows=registry.DECIDER_ROWS)
            return registry.SERVICES["decider"].caching_owned(opened.enter_context(closing(store)))

        yield another


def decider(store: OwnedCachingStore) -> Decider:
    return Decider(store, lambda: AT, Assignment())


def stated(edition: int) -> list[tuple[int, Event]]:
    """What the Portal states of the driver, at a position of its own."""
    return [(edition, event) for event in _FLEET.changes(edition)]


def decided(store: OwnedCachingStore) -> Sequence[Event]:
    links = [link_stream(_FLEET.account, target, _FLEET.driver(1)) for target in Target]
    return [event for events in store.histories(links).values() for event in events]


def at(unit: Unit, position: int) -> Unit:
    unit.positions = [Position(name=_STREAM, at=position)]
    return unit


def test_what_a_stale_decider_decides_is_not_stored(opening: Opening) -> None:
    stale, owner = opening(), opening()
    stale.own([3])
    first, second = decider(stale), decider(owner)
    stale.commit(first.on_accounts([(1, event) for event in _FLEET.account_events]))
    stale.commit(first.on_reports([(1, event) for event in _FLEET.scans]))
    stale.commit(at(first.on_changes(stated(1)), 1))
    owner.own([3])
    assert owner.commit(at(second.on_changes(stated(2)), 2))
    before = decided(owner)
    late = first.on_changes(stated(3))
    # It remembers the driver as it was before, and would take the versions that are taken by now.
    assert {event.originator_version for event in late.events} <= {event.originator_version for event in before}
    for unit in (at(late, 3), at(Unit(rows=late.rows), 3), Unit(rows=late.rows), Unit()):
        with pytest.raises(StoreConflict):
            stale.commit(unit)
    assert decided(owner) == before
    assert (owner.position(_STREAM), stale.generation) == (2, 5)


def test_a_decider_that_has_its_partitions_back_knows_what_others_decided(opening: Opening) -> None:
    back, other = opening(), opening()
    back.own([3])
    first, second = decider(back), decider(other)
    back.commit(first.on_accounts([(1, event) for event in _FLEET.account_events]))
    back.commit(first.on_reports([(1, event) for event in _FLEET.scans]))
    back.commit(first.on_changes(stated(1)))
    other.own([3])
    assert other.commit(second.on_changes(stated(2)))
    back.own([3])
    assert back.commit(first.on_changes(stated(3)))
    assert [event.originator_version for event in decided(back)] == [1, 2, 3] * len(Target)
