"""The chains of hashes that a store makes of its histories."""

from contextlib import suppress
from dataclasses import replace

import pytest

from domain.hash_chain import ChainedStore
from domain.store import HistoryHead, StoreConflict, Unit
from tests.contract.stands import SOURCE, ChainedStand, RebuildableStand, broken_in, fact, unit


class Chaining:
    """Every event has a hash over the one before it, wherever a commit ends."""

    @pytest.fixture
    def chained(self, stand: ChainedStand) -> ChainedStore:
        return stand.store

    def test_what_is_stored_is_found_as_it_was_stored(self, chained: ChainedStore) -> None:
        assert broken_in(chained) == (0, None)
        chained.commit(unit(fact(), fact("418"), fact(version=2)))
        chained.commit(unit(fact("418", 2), fact(version=3), fact(version=4)))
        assert broken_in(chained) == (6, None)
        heads = {head.history: head.version for head in chained.select(HistoryHead)}
        assert heads == {fact().originator_id.hex: 4, fact("418").originator_id.hex: 2}

    def test_a_chain_goes_on_when_the_store_is_opened_again(self, stand: ChainedStand) -> None:
        stand.store.commit(unit(fact(), fact(version=2)))
        stand.reopen()
        stand.store.commit(unit(fact(version=3)))
        assert broken_in(stand.store) == (3, None)

    def test_what_was_not_stored_is_in_no_chain(self, chained: ChainedStore) -> None:
        chained.commit(unit(fact(), at=1))
        for refused in (unit(fact(version=2), fact("418"), at=1), unit(fact(), fact("419"))):
            with suppress(StoreConflict):
                assert not chained.commit(refused)
        assert chained.position(SOURCE) == 1
        chained.commit(unit(fact(version=2), fact("418")))
        assert broken_in(chained) == (3, None)

    def test_what_is_stored_together_is_in_one_chain_but_not_what_was_undone(self, chained: ChainedStore) -> None:
        with suppress(ZeroDivisionError), chained.together():
            chained.commit(unit(fact()))
            chained.commit(unit(fact(version=2)))
            raise ZeroDivisionError
        stored = len(chained.histories([fact().originator_id])[fact().originator_id])
        chained.commit(unit(fact(version=stored + 1)))
        assert broken_in(chained) == (stored + 1, None)

    def test_events_are_found_whole_with_the_hashes_that_they_follow(self, chained: ChainedStore) -> None:
        chained.commit(unit(fact(), fact("418"), fact(version=2)))
        chained.commit(unit(fact(version=3)))
        first, other, second, third = found = chained.chained_events(0, 99, 99)
        assert all(each.is_whole for each in found)
        assert [each.previous for each in found] == [b"", b"", first.hash, second.hash]
        assert [each.leaf for each in found] == list(chained.leaves(0, 99, 99))
        records = chained.log.read(0, 99)
        assert [(each.id, each.topic, each.state) for each in found] == [(r.id, r.topic, r.body) for r in records]
        assert chained.chained_events(first.position, second.position, 99) == [other, second]
        assert chained.chained_events(second.position, third.position, 1) == [third]
        altered = (replace(third, state=third.state + b" "), replace(third, version=4), replace(third, previous=b""))
        assert not any(each.is_whole for each in altered)

    def test_a_missing_event_is_named(self, chained: ChainedStore) -> None:
        chained.commit(unit(fact(), fact(version=3)))
        _, broken = broken_in(chained)
        assert broken
        assert (broken.event, broken.position) == (f"{fact().originator_id}/2", None)

    def test_a_check_begins_only_where_a_part_ended(self, chained: ChainedStore) -> None:
        for wrong in ("tails:", "events:x"):
            with pytest.raises(ValueError, match=r".+"):
                chained.check_chains(wrong, 3)

    def test_histories_begin_again_behind_what_was_erased(self, chained: ChainedStore, stand: RebuildableStand) -> None:
        chained.commit(unit(fact(), fact(version=2)))
        stand.store.erase("acme", (), ())
        assert broken_in(chained) == (0, None)
        chained.commit(Unit(events=[fact()]))
        assert broken_in(chained) == (1, None)
