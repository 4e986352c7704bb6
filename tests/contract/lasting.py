"""What a store keeps through a restart, among threads, and on a full disk."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import pytest

from domain.store import Store, StoreConflict, StoreFailed, Unit
from tests.contract.stands import SOURCE, Entry, StoreStand, Tick, entry, fact, renamed, unit

T = TypeVar("T")


def at_once(first: Callable[[], T], second: Callable[[], T]) -> list[T]:
    """What two pieces of work give that begin at the same moment, in two threads."""
    barrier = Barrier(2)

    def begin(work: Callable[[], T]) -> T:
        barrier.wait()
        return work()

    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(begin, (first, second)))


def large(at: int) -> Unit:
    """More than fits into whatever space a store has set aside."""
    names = [f"{number:04}" for number in range(400)]
    rows = [entry(name, size=at, first_name="x" * 2_000) for name in names]
    made = unit(*(renamed(fact(name), "x" * 2_000) for name in names), rows=rows, at=at)
    made.remove(Tick, {"account": "acme"})
    return made


class Lasting:
    """A store is used by a few threads of one process; it is never promised that it works on a full disk."""

    def test_a_store_that_is_opened_again_knows_everything(self, stand: StoreStand) -> None:
        stand.store.commit(unit(fact(), fact(version=2), rows=[entry("a"), Tick(account="acme", name="b")], at=7))
        before = list(stand.store.log.read(0, 100))
        stand.reopen()
        assert list(stand.store.log.read(0, 100)) == before
        assert stand.store.log.end() == before[-1].position
        assert stand.store.histories([fact().originator_id]) == {fact().originator_id: [fact(), fact(version=2)]}
        assert stand.store.select(Entry) == [entry("a")]
        assert stand.store.select(Tick) == [Tick(account="acme", name="b")]
        assert stand.store.position(SOURCE) == 7

    def test_a_store_that_is_opened_again_still_refuses_what_is_taken(self, stand: StoreStand) -> None:
        stand.store.commit(unit(fact(), at=7))
        stand.reopen()
        assert stand.store.commit(unit(fact("418"), at=7)) is False
        with pytest.raises(StoreConflict):
            stand.store.commit(unit(fact(), at=8))
        last = stand.store.log.end()
        assert stand.store.commit(unit(fact("418"), at=8)) is True
        assert stand.store.log.end() > last

    def test_of_two_writers_of_one_position_one_wins(self, stand: StoreStand) -> None:
        store = stand.store
        for at in range(1, 11):
            drivers = (f"{at}-a", f"{at}-b")
            works = [lambda driver=driver, at=at: store.commit(unit(fact(driver), at=at)) for driver in drivers]
            assert sorted(at_once(*works)) == [False, True]
        assert len(store.log.read(0, 100)) == 10

    def test_of_two_writers_of_one_version_one_wins(self, stand: StoreStand) -> None:
        store = stand.store

        def commit(version: int, name: str) -> str:
            try:
                store.commit(unit(renamed(fact(version=version), name), rows=[entry(name)]))
            except StoreConflict:
                return ""
            return name

        for version in range(1, 11):
            names = (f"{version}-a", f"{version}-b")
            winner = max(at_once(*(lambda name=name, version=version: commit(version, name) for name in names)))
            assert [row.name for row in store.select(Entry, {"name": names})] == [winner]

    def test_a_reader_sees_whole_units_only(self, stand: StoreStand) -> None:
        store = stand.store

        def write() -> bool:
            for number in range(1, 31):
                names = (f"{number}-a", f"{number}-b")
                store.commit(unit(*map(fact, names), rows=[entry(name) for name in names], at=number))
            return True

        def read() -> bool:
            while store.position(SOURCE) < 30:
                counted, facts = store.count(Entry)[()], store.log.read(0, 100)
                if counted % 2 or len(facts) % 2:
                    return False
            return True

        assert at_once(write, read) == [True, True]

    def test_a_full_disk_is_reported_with_advice_and_nothing_is_stored(self, stand: StoreStand) -> None:
        store = stand.store
        store.commit(unit(fact(), rows=[Tick(account="acme", name="a")], at=7))
        with stand.full_disk():
            with pytest.raises(StoreFailed, match="disk is full: free some space"):
                store.commit(large(8))
            assert_untouched(store)
        assert_untouched(store)

    def test_a_store_works_on_when_there_is_space_again(self, stand: StoreStand) -> None:
        with stand.full_disk():
            for _ in range(2):
                with pytest.raises(StoreFailed):
                    stand.store.commit(large(8))
        assert stand.store.commit(large(8)) is True
        assert (stand.store.position(SOURCE), len(stand.store.log.read(0, 1000))) == (8, 400)
        stand.reopen()
        assert stand.store.count(Entry) == {(): 400}


def assert_untouched(store: Store) -> None:
    """Only what was there before the disk was full is there."""
    assert [record.event for record in store.log.read(0, 100)] == [fact()]
    assert (store.select(Entry), store.select(Tick)) == ([], [Tick(account="acme", name="a")])
    assert store.position(SOURCE) == 7
