"""What a service keeps in memory of its store: the same answers, by fewer queries."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.store.sqlite import SqliteStore
from domain.store import Event, Row, Store, StoreConflict, StoreFailed, Unit, Value, Where
from services.runtime.caching import MANY, WIDE, CachingStore, OwnedCachingStore
from tests.contract.stands import Entry, Tick, entry, fact, unit
from tests.support.examples import examples

R = TypeVar("R", bound=Row)
S = TypeVar("S")


class AskedStore(SqliteStore):
    """Counts the queries for rows, and fails as it is told."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, log_name="asked.v1", rows=[Entry, Tick])
        self.asked = 0
        self.owned: list[str] = []
        self.failing: Exception | None = None

    def select(
        self,
        row: type[R],
        where: Where | None = None,
        *,
        order_by: str | tuple[str, ...] = "",
        after: Value | tuple[Value, ...] | None = None,
        limit: int | None = None,
    ) -> list[R]:
        self.asked += 1
        return super().select(row, where, order_by=order_by, after=after, limit=limit)

    def among(
        self,
        row: type[R],
        columns: Sequence[str],
        values: Collection[tuple[Value, ...]],
        where: Where | None = None,
    ) -> list[R]:
        self.asked += 1
        return super().among(row, columns, values, where)

    def folded(self, start: Mapping[UUID, S], apply: Callable[[S, Event], S]) -> Mapping[UUID, S]:
        self.asked += 1
        return super().folded(start, apply)

    def commit(self, unit: Unit) -> bool:
        if self.failing:
            raise self.failing
        return super().commit(unit)

    def own(self, partitions: Collection[int]) -> None:
        """Another process may have stored before."""
        if 13 in partitions:
            raise StoreFailed("not these")
        self.owned.append(f"own {sorted(partitions)}")

    def disown(self, partitions: Collection[int]) -> None:
        """Another process may store from here on."""
        self.owned.append(f"disown {sorted(partitions)}")

    def lost(self) -> Collection[int]:
        """What another process owns."""
        return {7}


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[AskedStore]:
    with closing(AskedStore(tmp_path / "asked.sqlite")) as store:
        yield store


@pytest.fixture
def store(behind: AskedStore) -> CachingStore:
    return caching(behind)


def caching(behind: Store, most: int = 100, many: int = MANY) -> CachingStore:
    return CachingStore(behind, kinds=[Entry], groups=[Tick], most=most, many=many)


def by_key(name: str) -> dict[str, str]:
    return {"account": "acme", "name": name}


def tick(name: str, account: str = "acme") -> Tick:
    return Tick(account=account, name=name)


def names(rows: Sequence[Entry | Tick]) -> str:
    return "".join(sorted(row.name for row in rows))


def test_a_row_is_asked_for_once(behind: AskedStore, store: CachingStore) -> None:
    behind.commit(unit(rows=[entry("a"), entry("b")]))
    for _ in range(2):
        assert store.select(Entry, by_key("a")) == [entry("a")]
    assert behind.asked == 1


def test_that_there_is_no_row_is_asked_once(behind: AskedStore, store: CachingStore) -> None:
    for _ in range(2):
        assert store.select(Entry, by_key("a")) == []
        assert store.among(Entry, ("name", "account"), [("a", "acme")]) == []
    assert behind.asked == 1


def test_what_is_missing_of_several_is_asked_by_one_query(behind: AskedStore, store: CachingStore) -> None:
    behind.commit(unit(rows=[entry(each) for each in "abcd"]))
    store.select(Entry, by_key("a"))
    assert names(store.among(Entry, ("account", "name"), [("acme", each) for each in "abcx"])) == "abc"
    assert names(store.select(Entry, {"account": "acme", "name": list("abcx")})) == "abc"
    assert behind.asked == 2


def test_what_was_stored_is_known(behind: AskedStore, store: CachingStore) -> None:
    store.commit(unit(rows=[entry("a")]))
    store.commit(unit(rows=[entry("a", size=2)]))
    assert store.select(Entry, by_key("a")) == [entry("a", size=2)]
    assert behind.asked == 0


@pytest.mark.parametrize(
    "where",
    [
        by_key("a"),
        {"name": ["a", "x"], "account": "acme"},
        {"size": 1},
        {"account": "acme", "size": [1, 7]},
        {**by_key("a"), "size": 1},
    ],
)
def test_what_was_removed_is_known_to_be_gone(behind: AskedStore, store: CachingStore, where: Where) -> None:
    store.commit(unit(rows=[entry("a", size=1), entry("b", size=2)]))
    removing = Unit()
    removing.remove(Entry, where)
    store.commit(removing)
    assert [store.select(Entry, by_key(each)) for each in "ab"] == [[], [entry("b", size=2)]]
    assert behind.asked == 0


def test_what_does_not_match_stays(store: CachingStore) -> None:
    store.commit(unit(rows=[entry("a", size=1)]))
    removing = Unit()
    removing.remove(Entry, {**by_key("a"), "size": 2})
    store.commit(removing)
    assert store.select(Entry, by_key("a")) == [entry("a", size=1)]


def test_rows_are_removed_before_any_are_kept(store: CachingStore) -> None:
    store.commit(unit(rows=[entry("a", size=1), tick("a")]))
    assert store.select(Tick, {"account": "acme"}) == [tick("a")]
    change = unit(rows=[entry("a", size=2), tick("b")])
    change.remove(Entry, by_key("a"))
    change.remove(Tick, {"account": "acme"})
    store.commit(change)
    assert store.select(Entry, by_key("a")) == [entry("a", size=2)]
    assert store.select(Tick, {"account": "acme"}) == [tick("b")]


def test_a_further_condition_is_looked_at_behind_the_key(behind: AskedStore, store: CachingStore) -> None:
    behind.commit(unit(rows=[entry("a", size=1), entry("b", size=2)]))
    keys = [("acme", each) for each in "ab"]
    assert names(store.among(Entry, ("account", "name"), keys, {"size": 2})) == "b"
    assert names(store.among(Entry, ("account", "name"), keys, {"size": [1, 2]})) == "ab"
    assert names(store.select(Entry, {**by_key("a"), "size": 2})) == ""
    assert names(store.select(Entry, by_key("a"))) == "a"
    assert behind.asked == 1


def test_a_group_is_known_by_its_part_of_the_key(behind: AskedStore, store: CachingStore) -> None:
    behind.commit(unit(rows=[tick("a"), tick("b"), tick("a", "other")]))
    assert names(store.among(Tick, ["account"], [("acme",), ("none",)])) == "ab"
    store.commit(unit(rows=[tick("c"), tick("a"), tick("x", "none"), tick("y", "other")]))
    removing = Unit()
    removing.remove(Tick, {"account": "acme", "name": "b"})
    store.commit(removing)
    assert names(store.select(Tick, {"account": ["acme", "none"]})) == "acx"
    assert behind.asked == 1
    assert names(store.select(Tick, {"account": "other"})) == "ay"
    assert behind.asked == 2


@pytest.mark.parametrize("asked", [{"account": "acme"}, {"size": 0}, {"name": "a"}, {}])
def test_what_does_not_name_the_key_is_asked_of_the_store(
    behind: AskedStore, store: CachingStore, asked: Where
) -> None:
    store.commit(unit(rows=[entry("a")]))
    for _ in range(2):
        assert store.select(Entry, asked) == [entry("a")]
    assert store.select(Entry, by_key("a"), order_by="name", limit=1) == [entry("a")]
    assert store.among(Entry, ["size"], [(0,)]) == [entry("a")]
    assert behind.asked == 4


def test_only_so_many_lookups_are_remembered_and_fewer_of_rows_with_a_profile(behind: AskedStore) -> None:
    store = caching(behind, most=2 * WIDE)
    store.commit(unit(rows=[entry("a"), entry("b")]))
    store.select(Entry, by_key("a"))
    store.commit(unit(rows=[entry("c")]))
    assert names(store.among(Entry, ("account", "name"), [("acme", each) for each in "ac"])) == "ac"
    assert behind.asked == 0
    assert names(store.among(Entry, ("account", "name"), [("acme", each) for each in "abcd"])) == "abc"
    assert behind.asked == 1


def test_of_an_account_that_had_no_rows_nothing_is_asked_any_more(behind: AskedStore) -> None:
    behind.commit(unit(rows=[entry("a", account="other"), tick("a", "other")]))
    store = caching(behind, many=2)
    for account, found, asked in (("acme", "", 1), ("other", "a", 3)):
        assert names(store.among(Entry, ("account", "name"), [(account, each) for each in "aab"])) == found
        assert behind.asked == asked
    store.commit(unit(rows=[entry("c")]))
    assert names(store.among(Entry, ("account", "name"), [("acme", each) for each in "abcd"])) == "c"
    assert names(store.among(Entry, ("account", "name"), [("other", each) for each in "abcd"])) == "a"
    assert behind.asked == 4


def test_a_group_of_such_an_account_is_known_with_its_first_row(behind: AskedStore) -> None:
    store = caching(behind, many=1)
    assert names(store.select(Tick, {"account": "acme"})) == ""
    store.commit(unit(rows=[tick("a")]))
    assert names(store.select(Tick, {"account": "acme"})) == "a"
    assert behind.asked == 1


def test_an_account_is_asked_about_again_when_one_of_its_rows_is_forgotten(behind: AskedStore) -> None:
    store = caching(behind, most=2 * WIDE, many=2)
    assert names(store.among(Entry, ("account", "name"), [("acme", each) for each in "ab"])) == ""
    store.commit(unit(rows=[entry("a"), entry("b"), entry("c")]))
    assert names(store.among(Entry, ("account", "name"), [("acme", each) for each in "ad"])) == "a"
    assert behind.asked == 2


def test_everything_is_forgotten_when_another_process_stored_first(behind: AskedStore, store: CachingStore) -> None:
    store.commit(unit(fact(), rows=[entry("a")]))
    behind.commit(unit(rows=[entry("a", size=2)]))
    with pytest.raises(StoreConflict):
        store.commit(unit(fact(), rows=[entry("a", size=3)]))
    assert (store.select(Entry, by_key("a")), store.generation) == ([entry("a", size=2)], 1)


def test_everything_is_forgotten_when_a_position_is_reached_already(behind: AskedStore, store: CachingStore) -> None:
    store.commit(unit(rows=[entry("a")], at=7))
    behind.commit(unit(rows=[entry("a", size=2)]))
    assert store.commit(unit(rows=[entry("a", size=3)], at=7)) is False
    assert (store.select(Entry, by_key("a")), store.generation) == ([entry("a", size=2)], 1)


@pytest.mark.parametrize("failure", [StoreFailed("gone"), ValueError("odd")])
def test_everything_is_forgotten_when_the_store_fails(
    behind: AskedStore, store: CachingStore, failure: Exception
) -> None:
    store.commit(unit(rows=[entry("a")]))
    behind.failing = failure
    with pytest.raises(type(failure)):
        store.commit(unit(rows=[entry("a", size=3)]))
    assert (store.select(Entry, by_key("a")), behind.asked, store.generation) == ([entry("a")], 1, 1)


def test_everything_is_forgotten_when_partitions_come_and_go(behind: AskedStore) -> None:
    store = OwnedCachingStore(behind, kinds=[Entry])
    steps: list[Callable[[], None]] = [lambda: store.own([1, 2]), lambda: store.disown([2])]
    for generation, step in enumerate(steps, 1):
        store.commit(unit(rows=[entry("a")]))
        behind.commit(unit(rows=[entry("a", size=generation)]))
        step()
        assert store.select(Entry, by_key("a")) == [entry("a", size=generation)]
        assert store.generation == generation
    assert behind.owned == ["own [1, 2]", "disown [2]"]
    assert store.lost() == {7}


def test_everything_is_forgotten_when_partitions_cannot_be_owned(behind: AskedStore) -> None:
    store = OwnedCachingStore(behind, kinds=[Entry])
    with pytest.raises(StoreFailed):
        store.own([13])
    assert store.generation == 1


def versions(store: Store, *drivers: str) -> dict[str, int]:
    """The last version of the history of each of these drivers."""
    ids = {fact(each).originator_id: each for each in drivers}
    states = store.folded(dict.fromkeys(ids, 0), lambda _, event: event.originator_version)
    return {ids[each]: version for each, version in states.items()}


def test_a_history_is_folded_once(behind: AskedStore, store: CachingStore) -> None:
    behind.commit(unit(fact("a"), fact("b"), fact("b", 2)))
    assert versions(store, "a") == {"a": 1}
    assert versions(store, "b", "a", "c") == {"a": 1, "b": 2, "c": 0}
    assert versions(store, "b", "c") == {"b": 2, "c": 0}
    assert behind.asked == 2


def test_what_a_unit_says_of_a_history_is_known(behind: AskedStore, store: CachingStore) -> None:
    versions(store, "a")
    made = unit(fact("a"), fact("b"))
    made.states = {fact("a").originator_id: 1, fact("b").originator_id: 1}
    store.commit(made)
    assert (versions(store, "a", "b"), behind.asked) == ({"a": 1, "b": 1}, 1)


def test_a_history_with_another_event_is_folded_again(behind: AskedStore, store: CachingStore) -> None:
    versions(store, "a")
    store.commit(unit(fact("a")))
    assert (versions(store, "a"), behind.asked) == ({"a": 1}, 2)


def test_histories_are_forgotten_with_everything_else(behind: AskedStore, store: CachingStore) -> None:
    versions(store, "a")
    made = unit(fact("b"), at=7)
    made.states = {fact("b").originator_id: 1}
    behind.commit(unit(fact("a"), at=7))
    assert store.commit(made) is False
    assert versions(store, "a", "b") == {"a": 1, "b": 0}


def test_only_so_many_histories_are_remembered(behind: AskedStore) -> None:
    store = CachingStore(behind, kinds=[], most_states=2)
    versions(store, "a", "b")
    versions(store, "c", "a")
    assert behind.asked == 2
    versions(store, "a", "c")
    assert behind.asked == 2
    versions(store, "b")
    assert behind.asked == 3


NAMES = st.sampled_from("abc")
SIZES = st.integers(0, 2)
ACCOUNTS = st.sampled_from(["acme", "other"])
ROWS = st.one_of(
    st.builds(lambda name, account, size: entry(name, account=account, size=size), NAMES, ACCOUNTS, SIZES),
    st.builds(tick, NAMES, ACCOUNTS),
)


def one_or_several(values: st.SearchStrategy[Value]) -> st.SearchStrategy[Value | Collection[Value]]:
    return st.one_of(values, st.lists(values, max_size=3))


WHERE = st.fixed_dictionaries(
    {}, optional={"account": one_or_several(ACCOUNTS), "name": one_or_several(NAMES), "size": one_or_several(SIZES)}
)
KINDS = st.sampled_from([Entry, Tick])
REMOVED = st.tuples(KINDS, WHERE)
COMMITS = st.tuples(st.just("commit"), st.lists(REMOVED, max_size=2), st.lists(ROWS, max_size=4), st.booleans())
LOOKUPS = st.tuples(st.just("select"), KINDS, WHERE)
COLUMNS = st.sampled_from([("account", "name"), ("name", "account"), ("account",)])
AMONG = st.tuples(st.just("among"), KINDS, COLUMNS, st.lists(st.tuples(NAMES, ACCOUNTS), max_size=4), WHERE)


MOST, FEW = st.sampled_from([1, 3, 100]), st.sampled_from([1, 2, MANY])


def fitting(kind: type[Row], where: dict[str, object]) -> Where:
    return {column: wanted for column, wanted in where.items() if kind is Entry or column != "size"}  # type: ignore[misc]


def answer(store: Store, step: tuple[object, ...]) -> object:
    """What a store says to a step."""
    match step:
        case ("commit", removed, rows, is_refused):
            made = unit(rows=rows, at=1 if is_refused else None)  # type: ignore[arg-type]
            for kind, where in removed:  # type: ignore[attr-defined]
                made.remove(kind, fitting(kind, where))
            return store.commit(made)
        case ("select", kind, where):
            return sorted(map(repr, store.select(kind, fitting(kind, where))))  # type: ignore[arg-type]
        case ("among", kind, columns, pairs, where):
            named = [{"name": name, "account": account} for name, account in pairs]  # type: ignore[attr-defined]
            values = [tuple(each[column] for column in columns) for each in named]  # type: ignore[attr-defined]
            return sorted(map(repr, store.among(kind, columns, values, fitting(kind, where))))  # type: ignore[arg-type]
    raise AssertionError(step)


@examples(30, many=600)
@given(steps=st.lists(st.one_of(COMMITS, LOOKUPS, AMONG), max_size=25), most=MOST, many=FEW)
def test_it_answers_as_the_store_behind_it(steps: list[tuple[object, ...]], most: int, many: int) -> None:
    with (
        TemporaryDirectory() as folder,
        closing(AskedStore(Path(folder) / "behind.sqlite")) as behind,
        closing(AskedStore(Path(folder) / "plain.sqlite")) as plain,
    ):
        store = caching(behind, most, many)
        for step in steps:
            assert answer(store, step) == answer(plain, step)


@examples(30, many=600)
@given(steps=st.lists(st.one_of(COMMITS, LOOKUPS, AMONG), max_size=25), most=MOST, many=FEW)
def test_it_answers_as_if_what_has_begun_were_stored(steps: list[tuple[object, ...]], most: int, many: int) -> None:
    class Beginning(CachingStore):
        """Begins what it is to commit; the store behind it stores that as late as it may."""

        def commit(self, unit: Unit) -> bool:
            self.begin(unit)
            return True

    with (
        TemporaryDirectory() as folder,
        closing(AskedStore(Path(folder) / "behind.sqlite")) as behind,
        closing(AskedStore(Path(folder) / "plain.sqlite")) as plain,
    ):
        store = Beginning(behind, kinds=[Entry], groups=[Tick], most=most, many=many)
        for step in steps:
            stored = (*step[:3], False) if step[0] == "commit" else step
            assert answer(store, stored) == answer(plain, stored)


def test_a_history_that_has_begun_is_folded_with_its_new_event(store: CachingStore) -> None:
    store.begin(unit(fact("a")))
    assert versions(store, "a") == {"a": 1}
    known = unit(fact("a", version=2))
    known.states[fact("a").originator_id] = 2
    store.begin(known)
    assert versions(store, "a") == {"a": 2}


def test_what_has_begun_is_forgotten_when_it_is_not_stored(store: CachingStore) -> None:
    store.commit(unit(fact("a"), at=7))
    commit = store.begin(unit(rows=[entry("a")], at=7))
    key: Where = {"account": "acme", "name": "a"}
    assert store.select(Entry, key) == [entry("a")]
    assert [commit(), commit()] == [False, False]
    assert store.select(Entry, key) == []


def test_what_follows_from_what_was_not_stored_is_a_conflict(store: CachingStore) -> None:
    store.commit(unit(fact("a"), at=7))
    commit = store.begin(unit(rows=[entry("a")], at=7))
    with pytest.raises(StoreConflict):
        store.select(Entry)
    assert commit() is False
    assert store.select(Entry) == []
