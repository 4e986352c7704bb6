"""All or nothing: what one transaction of a store does."""

from dataclasses import replace

import pytest

from domain.store import LONGEST_EVENT, OF_EVERY_STORE, EventTooLong, Position, Store, StoreConflict, Unit
from tests.contract.stands import ROWS_OF_EVERY_STORE, SOURCE, Entry, StoreStand, Tick, entry, fact, renamed, unit

ODD = "\ud800"
"""Half a pair: Python has such texts, no store can hold them."""


def stored(store: Store) -> tuple[object, ...]:
    """Everything that a commit can change."""
    rows = (*store.select(Entry), *store.select(Tick))
    return [record.event for record in store.log.read(0, 100)], sorted(map(repr, rows)), store.position(SOURCE)


class Committing:
    """Positions may have gaps, in the streams that are followed as in the store's own log."""

    @pytest.fixture
    def store(self, stand: StoreStand) -> Store:
        return stand.store

    def test_a_unit_is_stored_whole(self, store: Store) -> None:
        assert store.commit(unit(fact(), rows=[entry("a"), Tick(account="acme", name="b")], at=7)) is True
        assert [record.event for record in store.log.read(0, 100)] == [fact()]
        assert store.select(Entry) == [entry("a")]
        assert store.select(Tick) == [Tick(account="acme", name="b")]
        assert store.position(SOURCE) == 7

    def test_a_unit_may_be_empty(self, store: Store) -> None:
        assert store.commit(Unit()) is True
        assert store.log.end() == 0

    def test_a_position_moves_without_anything_else(self, store: Store) -> None:
        assert store.commit(unit(at=7)) is True
        assert (store.position(SOURCE), store.log.end()) == (7, 0)

    def test_a_unit_without_a_position_moves_none(self, store: Store) -> None:
        store.commit(unit(fact(), at=7))
        assert store.commit(unit(fact(version=2))) is True
        assert store.position(SOURCE) == 7

    def test_more_than_any_buffer_holds_is_stored_at_once(self, store: Store) -> None:
        large = entry("a", first_name="x" * 20_000_000)
        assert store.commit(unit(fact(), rows=[large, entry("b")], at=7)) is True
        assert store.select(Entry, {"name": "a"}) == [large]

    def test_an_event_that_no_broker_takes_is_refused_with_its_unit(self, store: Store) -> None:
        too_long = replace(fact(version=2), profile={"first_name": "x" * LONGEST_EVENT})
        with pytest.raises(EventTooLong, match="is longer than the"):
            store.commit(unit(fact(), too_long, rows=[entry("a")], at=7))
        assert (store.log.end(), store.position(SOURCE), store.select(Entry)) == (0, 0, [])

    def test_rows_are_removed_before_any_are_kept(self, store: Store) -> None:
        store.commit(unit(rows=[entry("a", size=1), entry("b")]))
        change = unit(rows=[entry("a", size=2)])
        change.remove(Entry, {"account": "acme"})
        store.commit(change)
        assert store.select(Entry) == [entry("a", size=2)]

    def test_a_row_takes_the_place_of_the_one_with_its_key(self, store: Store) -> None:
        store.commit(unit(rows=[entry("a", size=1), entry("a", account="other", size=1)]))
        store.commit(unit(rows=[entry("a", size=2, first_name="Jane")]))
        rows = store.select(Entry, order_by="account")
        assert rows == [entry("a", size=2, first_name="Jane"), entry("a", account="other", size=1)]

    def test_of_two_rows_with_one_key_the_last_one_counts(self, store: Store) -> None:
        store.commit(unit(rows=[entry("a", size=1), entry("a", size=2)]))
        assert store.select(Entry) == [entry("a", size=2)]

    def test_a_row_that_is_only_a_key_can_be_kept_again(self, store: Store) -> None:
        for _ in range(2):
            store.commit(unit(rows=[Tick(account="acme", name="a")]))
        assert store.select(Tick) == [Tick(account="acme", name="a")]

    def test_every_store_has_the_tables_of_every_store(self, store: Store) -> None:
        store.commit(unit(rows=ROWS_OF_EVERY_STORE, at=7))
        assert [store.select(row) for row in OF_EVERY_STORE] == [[row] for row in ROWS_OF_EVERY_STORE]

    def test_an_unknown_stream_was_read_up_to_nothing(self, store: Store) -> None:
        assert store.position(SOURCE) == 0

    def test_each_stream_has_a_position_of_its_own(self, store: Store) -> None:
        store.commit(unit(at=7))
        other = Position(name="2/upstream.v1/0", at=3)
        assert store.commit(Unit(positions=[other])) is True
        assert (store.position(SOURCE), store.position(other.name)) == (7, 3)

    def test_positions_move_together(self, store: Store) -> None:
        places = [Position(name=f"1/upstream.v1/{number}", at=number + 3) for number in range(3)]
        assert store.commit(Unit(positions=places)) is True
        assert [store.position(place.name) for place in places] == [3, 4, 5]

    def test_one_position_that_was_stored_before_keeps_all_of_them(self, store: Store) -> None:
        store.commit(unit(at=7))
        before = stored(store)
        late = unit(fact(), rows=[entry("a")], at=7)
        late.positions.append(Position(name="1/upstream.v1/9", at=3))
        assert store.commit(late) is False
        assert (stored(store), store.position("1/upstream.v1/9")) == (before, 0)

    def test_a_position_may_leave_a_gap(self, store: Store) -> None:
        assert [store.commit(unit(at=at)) for at in (3, 4, 900)] == [True, True, True]
        assert store.position(SOURCE) == 900

    @pytest.mark.parametrize("at", [7, 6, 1])
    def test_a_position_that_was_stored_before_stores_nothing(self, store: Store, at: int) -> None:
        store.commit(unit(fact(), rows=[entry("a")], at=7))
        before = stored(store)
        late = unit(fact("418"), rows=[entry("a", size=9), entry("b")], at=at)
        late.remove(Entry, {"account": "acme"})
        assert store.commit(late) is False
        assert stored(store) == before

    def test_the_second_writer_of_the_same_unit_learns_that_it_is_done(self, store: Store) -> None:
        assert [store.commit(unit(fact(), rows=[entry("a")], at=7)) for _ in range(2)] == [True, False]

    @pytest.mark.parametrize("at", [None, 8])
    def test_a_taken_version_stores_nothing(self, store: Store, at: int | None) -> None:
        store.commit(unit(fact(), rows=[entry("a")], at=7))
        before = stored(store)
        late = unit(fact("418"), renamed(fact(), "Joan"), rows=[entry("b")], at=at)
        late.remove(Entry, {"account": "acme"})
        with pytest.raises(StoreConflict):
            store.commit(late)
        assert stored(store) == before

    def test_one_version_cannot_be_stored_twice_in_a_unit(self, store: Store) -> None:
        with pytest.raises(StoreConflict):
            store.commit(unit(fact(), renamed(fact(), "Joan"), at=7))
        assert stored(store) == ([], [], 0)

    @pytest.mark.parametrize(
        "wrong",
        [
            unit(fact(), rows=[entry("a"), entry(ODD)], at=7),
            unit(fact(), rows=[entry("a", first_name=ODD)], at=7),
            unit(fact(), renamed(fact("418"), ODD), rows=[entry("a")], at=7),
            unit(fact(), rows=[entry("a"), entry("b", size=2**70)], at=7),
            unit(fact(), rows=[entry("a"), Tick(account="acme", name=None)], at=7),  # type: ignore[arg-type]
            unit(fact(), rows=[entry("a"), entry("b", size={})], at=7),  # type: ignore[arg-type]
        ],
        ids=["key", "json", "event", "too large", "none", "another type"],
    )
    def test_a_value_that_cannot_be_stored_is_not_a_conflict_and_stores_nothing(
        self, store: Store, wrong: Unit
    ) -> None:
        with pytest.raises(ValueError, match=r".") as failure:
            store.commit(wrong)
        assert not isinstance(failure.value, StoreConflict)
        assert stored(store) == ([], [], 0)

    def test_what_has_begun_is_stored_at_its_end(self, store: Store) -> None:
        store.commit(unit(rows=[entry("b")]))
        commit = store.begin(unit(fact(), rows=[entry("a")], at=7))
        assert store.select(Entry, {"name": "b"}) == [entry("b")]
        assert commit() is True
        assert stored(store) == ([fact()], [repr(entry("a")), repr(entry("b"))], 7)

    def test_the_end_says_that_a_position_is_reached_already(self, store: Store) -> None:
        store.commit(unit(at=7))
        assert store.begin(unit(fact(), rows=[entry("a")], at=7))() is False
        assert stored(store) == ([], [], 7)

    def test_the_end_says_that_a_version_is_taken(self, store: Store) -> None:
        store.commit(unit(fact(), at=7))
        commit = store.begin(unit(renamed(fact(), "Joan"), rows=[entry("a")], at=8))
        with pytest.raises(StoreConflict):
            commit()
        assert stored(store) == ([fact()], [], 7)
        assert store.commit(unit(fact(version=2), at=8)) is True

    def test_a_store_goes_on_after_what_it_refused(self, store: Store) -> None:
        store.commit(unit(fact(), at=7))
        with pytest.raises(StoreConflict):
            store.commit(unit(fact(), at=8))
        assert store.commit(unit(fact(), at=7)) is False
        assert store.commit(unit(fact(version=2), at=8)) is True
        assert [record.event for record in store.log.read(0, 100)] == [fact(), fact(version=2)]

    def test_units_that_are_stored_together_are_all_stored(self, store: Store) -> None:
        with store.together():
            assert store.commit(unit(fact(), rows=[entry("a")], at=7)) is True
            assert (store.select(Entry), store.position(SOURCE)) == ([entry("a")], 7)
            assert store.commit(unit(fact(version=2), rows=[entry("a", size=2)], at=8)) is True
        assert stored(store) == ([fact(), fact(version=2)], [repr(entry("a", size=2))], 8)

    def test_a_unit_that_cannot_be_stored_leaves_those_beside_it(self, store: Store) -> None:
        with store.together():
            store.commit(unit(fact(), rows=[entry("a")], at=7))
            with pytest.raises(StoreConflict):
                store.commit(unit(fact(), rows=[entry("b")], at=8))
            with pytest.raises(ValueError, match=r"."):
                store.commit(unit(fact(version=2), rows=[entry(ODD)], at=8))
            assert store.commit(unit(rows=[entry("c")], at=7)) is False
            store.commit(unit(rows=[entry("d")]))
        assert stored(store) == ([fact()], [repr(entry("a")), repr(entry("d"))], 7)
