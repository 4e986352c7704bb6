"""The histories that a store keeps: each in order, many by one call, all of them in pages."""

from dataclasses import replace
from uuid import UUID, uuid5

import pytest

from domain.store import Event, Store
from tests.contract.stands import StoreStand, fact, unit
from tests.golden.samples import SAMPLES

_UNKNOWN = UUID("0b1a4f52-6d0e-4d5c-9a5e-6f7f6f0f2c11")

Told = tuple[Event, ...]


def appended(told: Told, event: Event) -> Told:
    """A history folded into itself."""
    return (*told, event)


class Histories:
    """Histories are known by their ids; nothing is said of how many events one has."""

    @pytest.fixture
    def store(self, stand: StoreStand) -> Store:
        return stand.store

    def test_a_history_is_in_order_of_versions(self, store: Store) -> None:
        store.commit(unit(fact(), fact("418"), fact(version=2)))
        store.commit(unit(fact("418", 2), fact(version=3)))
        first, second = fact().originator_id, fact("418").originator_id
        assert store.histories([second, first]) == {
            first: [fact(), fact(version=2), fact(version=3)],
            second: [fact("418"), fact("418", 2)],
        }

    def test_histories_are_folded_each_from_its_own_start(self, store: Store) -> None:
        store.commit(unit(fact(), fact("418"), fact(version=2)))
        store.commit(unit(fact("418", 2), fact(version=3)))
        first, second = fact().originator_id, fact("418").originator_id
        start: dict[UUID, Told] = {second: (fact("419"),), _UNKNOWN: (fact("420"),), first: ()}
        for _ in range(2):
            assert store.folded(start, appended) == {
                first: (fact(), fact(version=2), fact(version=3)),
                second: (fact("419"), fact("418"), fact("418", 2)),
                _UNKNOWN: (fact("420"),),
            }
        assert store.folded({}, appended) == {}

    def test_a_history_is_folded_anew_with_what_was_stored_since(self, store: Store) -> None:
        store.commit(unit(fact()))
        start: dict[UUID, Told] = {fact().originator_id: ()}
        store.folded(start, appended)
        store.commit(unit(fact(version=2)))
        assert store.folded(start, appended) == {fact().originator_id: (fact(), fact(version=2))}

    @pytest.mark.parametrize("others", [0, 2])
    def test_a_history_longer_than_a_page_comes_whole(self, store: Store, others: int) -> None:
        long = [fact(version=version) for version in range(1, 2_101)]
        store.commit(unit(*long, *(fact(str(number)) for number in range(others))))
        ids = {event.originator_id for event in long} | {fact(str(number)).originator_id for number in range(others)}
        found = store.folded(dict.fromkeys(ids, 0), lambda count, _: count + 1)
        assert found == {**dict.fromkeys(ids, 1), fact().originator_id: len(long)}
        versions = store.folded({fact().originator_id: 0}, lambda last, event: last + (event == long[last]))
        assert versions == {fact().originator_id: len(long)}

    def test_versions_may_leave_gaps(self, store: Store) -> None:
        store.commit(unit(fact(), fact(version=2), fact(version=11)))
        events = store.histories([fact().originator_id])[fact().originator_id]
        assert [event.originator_version for event in events] == [1, 2, 11]

    def test_every_kind_of_fact_comes_back_as_it_was(self, store: Store) -> None:
        store.commit(unit(*SAMPLES.values()))
        for topic, sample in SAMPLES.items():
            assert sample in store.histories([sample.originator_id])[sample.originator_id], topic

    def test_an_unknown_history_has_no_events(self, store: Store) -> None:
        store.commit(unit(fact()))
        assert store.histories([_UNKNOWN, fact().originator_id]) == {_UNKNOWN: [], fact().originator_id: [fact()]}

    def test_no_ids_have_no_histories(self, store: Store) -> None:
        store.commit(unit(fact()))
        assert store.histories([]) == {}

    def test_an_id_that_is_asked_for_twice_has_one_history(self, store: Store) -> None:
        store.commit(unit(fact()))
        assert store.histories([fact().originator_id] * 2) == {fact().originator_id: [fact()]}

    def test_thousands_of_histories_come_by_one_call(self, store: Store) -> None:
        known = [fact(str(number)) for number in range(2_000)]
        store.commit(unit(*known))
        unknown = [uuid5(_UNKNOWN, str(number)) for number in range(20_000)]
        found = store.histories([*unknown, *(event.originator_id for event in known)])
        assert {each: events for each, events in found.items() if events} == {
            event.originator_id: [event] for event in known
        }
        assert len(found) == 22_000

    def test_ids_come_in_pages_and_in_order(self, store: Store) -> None:
        store.commit(unit(*(fact(str(number), version) for number in range(7) for version in (1, 2, 3))))
        expected = sorted(fact(str(number)).originator_id for number in range(7))
        pages = [list(store.ids(None, 3))]
        while pages[-1]:
            pages.append(list(store.ids(pages[-1][-1], 3)))
        assert pages == [expected[:3], expected[3:6], expected[6:], []]

    def test_ids_go_on_behind_an_id_that_is_not_there(self, store: Store) -> None:
        store.commit(unit(fact(), fact("418")))
        lower, higher = sorted([fact().originator_id, fact("418").originator_id])
        between = UUID(int=(lower.int + higher.int) // 2)
        assert list(store.ids(between, 10)) == [higher]

    def test_a_log_is_read_back_from_any_position(self, store: Store) -> None:
        for number in "123":
            store.commit(unit(fact(number)))
        whole = [*store.log.read(0, 10)]
        assert [*store.log.read_back(store.log.end() + 1, 10)] == whole[::-1]
        assert [*store.log.read_back(whole[2].position, 1)] == [whole[1]]
        assert [*store.log.read_back(whole[0].position, 10)] == []

    def test_a_log_can_be_read_as_if_it_had_only_the_records_of_an_account(self, store: Store) -> None:
        for number in "123456":
            account = "acme" if int(number) % 2 else "other"
            store.commit(unit(replace(fact(number), account=account)))
        whole = [*store.log.read(0, 10)]
        own, others = whole[::2], whole[1::2]
        assert [*store.log_of("acme").read(0, 10)] == own
        assert [*store.log_of("other").read(others[0].position, 1)] == [others[1]]
        assert [*store.log_of("acme").read_back(own[2].position, 10)] == [own[1], own[0]]
        assert [*store.log_of("nobody").read(0, 10)] == []
        assert store.log_of("acme").end() == store.log.end()
        assert store.log_of("acme").name == store.log.name

    def test_a_store_without_events_has_no_ids(self, store: Store) -> None:
        assert list(store.ids(None, 10)) == []
