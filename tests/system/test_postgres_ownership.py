"""Only the process that took a partition over last may write."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from adapters.store.postgres import PostgresStore
from domain.store import StoreConflict, Unit
from tests.contract.lasting import at_once
from tests.contract.postgres import PostgresStand
from tests.contract.stands import SOURCE, Entry, Tick, entry, fact, unit


@pytest.fixture
def stand(database: str) -> Iterator[PostgresStand]:
    with closing(PostgresStand(database)) as stand:
        yield stand


@pytest.fixture
def first(stand: PostgresStand) -> PostgresStore:
    return stand.store


@pytest.fixture
def second(stand: PostgresStand) -> Iterator[PostgresStore]:
    with closing(stand.another()) as store:
        yield store


@pytest.mark.parametrize(
    "late",
    [unit(fact("418")), unit(rows=[entry("b")]), unit(at=8), unit(fact("418"), rows=[entry("b")], at=8), Unit()],
    ids=["facts", "rows", "position", "everything", "nothing"],
)
def test_who_lost_a_partition_stores_nothing(first: PostgresStore, second: PostgresStore, late: Unit) -> None:
    first.own([3, 5])
    first.commit(unit(fact(), rows=[entry("a")], at=7))
    second.own([5])
    with pytest.raises(StoreConflict, match=r"partitions 5$"):
        first.commit(late)
    assert [record.event for record in second.log.read(0, 100)] == [fact()]
    assert (second.select(Entry), second.position(SOURCE)) == ([entry("a")], 7)


def test_who_lost_a_partition_replaces_nothing(first: PostgresStore, second: PostgresStore) -> None:
    first.own([3])
    first.commit(unit(rows=[entry("a")]))
    second.own([3])
    with pytest.raises(StoreConflict, match=r"partitions 3$"):
        first.begin_beside([Entry])
    assert second.select(Entry) == [entry("a")]


def test_who_took_a_partition_over_stores(first: PostgresStore, second: PostgresStore) -> None:
    first.own([3, 5])
    second.own([5, 5, 3])
    assert second.commit(unit(fact(), rows=[entry("a")], at=7)) is True
    second.begin_beside([Entry])
    second.end_beside({Entry: "2"})
    assert second.select(Entry) == []


def test_a_partition_that_was_given_up_is_not_asked_after(first: PostgresStore, second: PostgresStore) -> None:
    first.own([3, 5])
    first.disown([5, 9])
    second.own([5])
    assert first.commit(unit(fact())) is True


def test_a_store_knows_what_it_has_lost(first: PostgresStore, second: PostgresStore) -> None:
    first.own([3, 5])
    assert first.lost() == set()
    second.own([5, 7])
    assert (first.lost(), second.lost()) == ({5}, set())
    first.own([5])
    assert (first.lost(), second.lost()) == (set(), {5})
    second.disown([5])
    assert second.lost() == set()


def test_a_lost_partition_can_be_taken_back(first: PostgresStore, second: PostgresStore) -> None:
    first.own([3])
    second.own([3])
    first.own([3])
    assert first.commit(unit(fact())) is True
    with pytest.raises(StoreConflict):
        second.commit(unit(fact("418")))


def test_a_store_that_owns_nothing_is_not_asked_for_anything(first: PostgresStore, second: PostgresStore) -> None:
    first.own([3])
    assert second.commit(unit(fact())) is True
    assert first.commit(unit(fact("418"))) is True


def test_of_two_who_take_over_at_once_one_remains(first: PostgresStore, second: PostgresStore) -> None:
    def takes_over(store: PostgresStore, partitions: list[int]) -> Callable[[], None]:
        return lambda: store.own(partitions)

    def can_commit(store: PostgresStore) -> bool:
        try:
            return store.commit(Unit())
        except StoreConflict:
            return False

    for _ in range(10):
        at_once(takes_over(first, [*range(30)]), takes_over(second, [*reversed(range(30))]))
        assert sorted(map(can_commit, (first, second))) == [False, True]


def test_taking_over_waits_for_the_commit_under_way(
    stand: PostgresStand, first: PostgresStore, second: PostgresStore
) -> None:
    first.own([3])
    with ThreadPoolExecutor(2) as threads:
        with stand.locked(Tick.TABLE):
            committing = threads.submit(first.commit, unit(fact(), rows=[Tick(account="acme", name="a")], at=7))
            stand.until_waiting(1, committing)
            owning = threads.submit(second.own, [3])
            stand.until_waiting(2, owning)
            assert not owning.done()
        assert committing.result() is True
        owning.result()
    assert second.position(SOURCE) == 7
    with pytest.raises(StoreConflict):
        first.commit(unit(fact(version=2), at=8))
