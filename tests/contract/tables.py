"""The tables of a store: what goes in comes out, and is found by what it says."""

from collections.abc import Mapping
from dataclasses import replace
from uuid import uuid4

import pytest

from domain.store import FILLED, Position, ReadModelVersion, Row, Store, Unit, Value, Where
from services.runtime.read_models import RebuildableStore
from tests.contract.stands import Chore, Entry, RebuildableStand, StoreStand, Tick, entry, fact, unit

ODD_TEXTS = (
    "",
    " a ",
    "00417",
    "O'Neil",
    'the "second"',
    "'; DROP TABLE contract_entries; --",
    "100 %_?\\",
    "two\nlines\tand \x01",
    "Zoë, Łukasz, 李小龍, Ω, \u202e\u0301",
    "😀" * 50,
    "x" * 10_000,
)


def named(*names: str, **sizes: int) -> list[Entry]:
    """Rows with these names, some of a size."""
    return [*(entry(name) for name in names), *(entry(name, size=size) for name, size in sizes.items())]


class Tables:
    """Rows are compared by value; where no order is asked for, none is promised."""

    @pytest.fixture
    def store(self, stand: StoreStand) -> Store:
        return stand.store

    @pytest.mark.parametrize("text", ODD_TEXTS, ids=range(len(ODD_TEXTS)))
    def test_any_text_comes_back_and_is_found(self, store: Store, text: str) -> None:
        row = replace(entry(text, first_name=text, last_name="Doe"), note=text, tags=[text, "b"])
        store.commit(unit(rows=[row, entry("another")]))
        assert store.select(Entry, {"name": text}) == [row]
        assert store.select(Entry, {"note": [text, "?"]}) == [row]
        assert store.among(Entry, ("name", "account"), [(text, row.account)]) == [row]

    @pytest.mark.parametrize("is_seen", [None, False, True])
    @pytest.mark.parametrize("is_there", [False, True])
    def test_booleans_come_back_as_such(self, store: Store, *, is_there: bool, is_seen: bool | None) -> None:
        row = replace(entry("a"), is_there=is_there, is_seen=is_seen)
        store.commit(unit(rows=[row]))
        (found,) = store.select(Entry)
        assert found == row
        assert (found.is_there is is_there, found.is_seen is is_seen) == (True, True)

    @pytest.mark.parametrize("size", [0, -1, 2**53 + 1, 2**63 - 1, -(2**63)])
    def test_whole_numbers_come_back_exactly(self, store: Store, size: int) -> None:
        store.commit(unit(rows=[entry("a", size=size)]))
        assert store.select(Entry, {"size": size}) == [entry("a", size=size)]

    @pytest.mark.parametrize("weight", [0.0, 0.1, -1e-300, 1e300])
    def test_fractions_come_back_exactly(self, store: Store, weight: float) -> None:
        row = replace(entry("a"), weight=weight)
        store.commit(unit(rows=[row]))
        assert store.select(Entry) == [row]

    def test_json_comes_back_as_it_was(self, store: Store) -> None:
        row = replace(entry("a"), tags=[], profile={"_type_": "x", "": "Zoë", "null": "null"})
        store.commit(unit(rows=[row]))
        assert store.select(Entry) == [row]

    @pytest.mark.parametrize(
        ("where", "names"),
        [
            ({}, "abcd"),
            ({"account": "acme"}, "abc"),
            ({"account": "acme", "size": 2}, "bc"),
            ({"size": [1, 2], "account": ["acme", "nobody"]}, "abc"),
            ({"size": (1, 1)}, "a"),
            ({"size": {2}}, "bcd"),
            ({"size": []}, ""),
            ({"account": "acme", "name": ()}, ""),
            ({"is_there": False}, "c"),
            ({"is_there": [True, False]}, "abcd"),
            ({"weight": 0.5}, "abcd"),
            ({"name": "?"}, ""),
        ],
    )
    def test_conditions_hold_together(self, store: Store, where: Where, names: str) -> None:
        rows = [*named(a=1, b=2), replace(entry("c", size=2), is_there=False), entry("d", account="other", size=2)]
        store.commit(unit(rows=rows))
        assert [row.name for row in store.select(Entry, where, order_by="name")] == list(names)
        assert store.count(Entry, where) == {(): len(names)}
        gone = unit()
        gone.remove(Entry, where)
        store.commit(gone)
        assert {row.name for row in store.select(Entry)} == set("abcd") - set(names)

    @pytest.mark.parametrize(
        ("columns", "values", "where", "names"),
        [
            (("account", "name"), [("acme", "a"), ("other", "d"), ("other", "a")], None, "ad"),
            (("name", "size"), [("a", 1), ("b", 1), ("c", 2)], None, "ac"),
            (("account", "name"), [("acme", "a"), ("acme", "c")], {"is_there": True}, "a"),
            (("account", "name"), [("acme", "a"), ("acme", "a")], None, "a"),
            (("account", "name"), [], None, ""),
        ],
    )
    def test_combinations_hold_together(
        self, store: Store, columns: list[str], values: list[tuple[Value, ...]], where: Where | None, names: str
    ) -> None:
        rows = [*named(a=1, b=2), replace(entry("c", size=2), is_there=False), entry("d", account="other", size=2)]
        store.commit(unit(rows=rows))
        assert {row.name for row in store.among(Entry, columns, values, where)} == set(names)

    def test_rows_that_are_named_one_by_one_are_removed_and_no_others(self, store: Store) -> None:
        store.commit(unit(rows=[*named("a", "b", "c"), *(entry(name, account="other") for name in "abc")]))
        gone = unit()
        for account, name in (("acme", "a"), ("other", "b"), ("acme", "a"), ("acme", "x")):
            gone.remove(Entry, {"account": account, "name": name})
        gone.remove(Entry, {"account": "acme", "name": ["c"]})
        store.commit(gone)
        rows = store.select(Entry, order_by="name")
        assert [(row.account, row.name) for row in rows] == [("other", "a"), ("acme", "b"), ("other", "c")]

    def test_thousands_of_rows_are_removed_by_their_names(self, store: Store) -> None:
        store.commit(unit(rows=named("5", "7", "x")))
        gone = unit()
        for number in range(20_000):
            gone.remove(Entry, {"account": "acme", "name": str(number)})
        store.commit(gone)
        assert [row.name for row in store.select(Entry)] == ["x"]

    def test_combinations_may_be_thousands(self, store: Store) -> None:
        store.commit(unit(rows=named("5", "7", "x")))
        wanted = [("acme", str(number)) for number in range(20_000)]
        assert sorted(row.name for row in store.among(Entry, ("account", "name"), wanted)) == ["5", "7"]

    def test_a_condition_takes_thousands_of_values(self, store: Store) -> None:
        store.commit(unit(rows=named("5", "7", "x")))
        wanted = [str(number) for number in range(20_000)]
        assert [row.name for row in store.select(Entry, {"name": wanted}, order_by="name")] == ["5", "7"]

    def test_text_is_ordered_by_its_code_points(self, store: Store) -> None:
        names = ["a", "Z", "ä", "10", "9", "\uff5a", "😀", "É", "aa", ""]
        store.commit(unit(rows=named(*names)))
        assert [row.name for row in store.select(Entry, order_by="name")] == sorted(names)
        assert [row.name for row in store.select(Entry, order_by="name", after="a")] == sorted(names)[5:]

    def test_numbers_are_ordered_as_numbers(self, store: Store) -> None:
        store.commit(unit(rows=named(a=10, b=9, c=-1)))
        assert [row.size for row in store.select(Entry, order_by="size")] == [-1, 9, 10]
        assert [row.size for row in store.select(Entry, order_by="size", after=9)] == [10]

    def test_pages_show_everything_once(self, store: Store) -> None:
        store.commit(unit(rows=[*named(*"gfedcba"), entry("h", account="other")]))
        pages = [store.select(Entry, {"account": "acme"}, order_by="name", limit=3)]
        while pages[-1]:
            after = pages[-1][-1].name
            pages.append(store.select(Entry, {"account": "acme"}, order_by="name", after=after, limit=3))
        assert [[row.name for row in page] for page in pages] == [list("abc"), list("def"), ["g"], []]

    def test_pages_in_the_order_of_several_columns_show_everything_once(self, store: Store) -> None:
        store.commit(unit(rows=[*named(a=2, b=1, c=2), entry("a", account="other", size=2), entry("d", size=1)]))
        found, after = list[tuple[int, str, str]](), None
        while page := store.select(Entry, order_by=("size", "name", "account"), after=after, limit=2):
            found += ((row.size, row.name, row.account) for row in page)
            after = found[-1]
        assert found == [
            (1, "b", "acme"),
            (1, "d", "acme"),
            (2, "a", "acme"),
            (2, "a", "other"),
            (2, "c", "acme"),
        ]

    def test_a_limit_needs_no_order(self, store: Store) -> None:
        store.commit(unit(rows=named("a", "b", "c")))
        assert [len(store.select(Entry, limit=limit)) for limit in (0, 2, 5)] == [0, 2, 3]

    def test_a_table_without_rows_has_none(self, store: Store) -> None:
        assert (store.select(Tick), store.count(Tick)) == ([], {(): 0})

    @pytest.mark.parametrize(
        ("where", "by", "counts"),
        [
            ({}, ["account"], {("acme",): 3, ("other",): 1}),
            ({"account": "acme"}, ["size"], {(1,): 1, (2,): 2}),
            ({}, ["account", "is_there"], {("acme", True): 2, ("acme", False): 1, ("other", True): 1}),
            ({"size": []}, ["account"], {}),
            ({"account": "nobody"}, ["account"], {}),
        ],
    )
    def test_rows_are_counted_by_what_they_say(
        self, store: Store, where: Where, by: list[str], counts: Mapping[tuple[object, ...], int]
    ) -> None:
        rows = [*named(a=1, b=2), replace(entry("c", size=2), is_there=False), entry("d", account="other", size=2)]
        store.commit(unit(rows=rows))
        found = store.count(Entry, where, by=by)
        assert found == counts
        assert sorted(map(repr, found)) == sorted(map(repr, counts))

    def test_rows_are_counted_that_have_no_counterpart(self, store: Store) -> None:
        ticks = [Tick(account="acme", name=name) for name in "ac"]
        store.commit(unit(rows=[*named("a", "b", "c"), entry("a", account="other"), *ticks]))
        assert store.count(Entry, by=["account", "name"], without=Tick) == {("acme", "b"): 1, ("other", "a"): 1}
        assert store.count(Entry, {"account": "acme"}, without=Tick) == {(): 1}

    def test_the_first_rows_of_each_are_found_at_once(self, store: Store) -> None:
        rows = [*named(a=3, b=1, c=2), *(entry(name, account="other", size=1) for name in "de")]
        store.commit(unit(rows=rows))
        found = store.first(Entry, "account", {"acme": 2, "other": 5, "nobody": 9}, order_by="size")
        assert [row.name for row in found if row.account == "acme"] == ["b", "c"]
        assert {row.name for row in found if row.account == "other"} == {"d", "e"}
        assert store.first(Entry, "account", {}, order_by="size") == []

    def test_the_first_rows_of_hundreds_are_found_at_once(self, store: Store) -> None:
        store.commit(unit(rows=[entry("a", account=str(number)) for number in range(1_000)]))
        found = store.first(Entry, "account", {str(number): 1 for number in range(1_200)}, order_by="name")
        assert sorted(int(row.account) for row in found) == [*range(1_000)]

    @pytest.mark.parametrize(
        ("column", "where", "by", "least"),
        [
            ("name", {}, ["account"], {("acme",): "B", ("other",): "d"}),
            ("size", {}, ["account"], {("acme",): -1, ("other",): 2}),
            ("size", {"account": "acme"}, ["is_there"], {(True,): 1, (False,): -1}),
            (
                "name",
                {},
                ["account", "size"],
                {("acme", 1): "a", ("acme", 10): "B", ("acme", -1): "c", ("other", 2): "d"},
            ),
            ("name", {"size": []}, ["account"], {}),
        ],
    )
    def test_the_least_value_follows_from_the_rows(
        self, store: Store, column: str, where: Where, by: list[str], least: Mapping[tuple[object, ...], object]
    ) -> None:
        rows = [*named(a=1, B=10), replace(entry("c", size=-1), is_there=False), entry("d", account="other", size=2)]
        store.commit(unit(rows=rows))
        found = store.least(Entry, column, where, by=by)
        assert found == least
        assert sorted(map(repr, found)) == sorted(map(repr, least))

    @pytest.fixture
    def chores(self, store: Store) -> Store:
        """Two chores of acme and one of another account are due, and one has begun."""
        due = {"a": "3", "b": "1", "c": ""}
        rows = [Chore(account="acme", name=name, due=moment) for name, moment in due.items()]
        others = [Chore(account="other", name="d", due="2"), Chore(account="other", name="e", begun=7)]
        store.commit(unit(rows=[*rows, *others]))
        return store

    @pytest.mark.parametrize(
        ("where", "names"),
        [
            ({"due": FILLED}, "abd"),
            ({"account": "acme", "due": FILLED}, "ab"),
            ({"begun": FILLED}, "e"),
            ({"due": "1"}, "b"),
            ({"account": "acme", "due": ["1", "3", ""]}, "abc"),
            ({"begun": FILLED, "due": FILLED}, ""),
        ],
    )
    def test_rows_are_found_by_what_is_filled_in_them(self, chores: Store, where: Where, names: str) -> None:
        assert [row.name for row in chores.select(Chore, where, order_by="name")] == list(names)
        assert {row.name for row in chores.among(Chore, ("name",), [(each,) for each in "abcde"], where)} == set(names)
        assert chores.count(Chore, where) == {(): len(names)}
        gone = unit()
        gone.remove(Chore, where)
        chores.commit(gone)
        assert {row.name for row in chores.select(Chore)} == set("abcde") - set(names)

    def test_the_first_rows_by_a_sparse_column_are_those_in_which_it_is_filled(self, chores: Store) -> None:
        found = chores.first(Chore, "account", {"acme": 5, "other": 5}, order_by="due")
        assert [row.name for row in found if row.account == "acme"] == ["b", "a"]
        assert [row.name for row in found if row.account == "other"] == ["d"]

    def test_the_least_filled_value_follows_from_the_rows(self, chores: Store) -> None:
        least = chores.least(Chore, "due", {"due": FILLED}, by=["account"])
        assert least == {("acme",): "1", ("other",): "2"}
        assert [row.name for row in chores.select(Chore, {"due": FILLED}, order_by="due", after="1")] == ["d", "a"]


class TablesBeside:
    """The tables that are made beside others, and take their place."""

    @pytest.fixture
    def rebuildable(self, stand: RebuildableStand) -> RebuildableStore:
        return stand.store

    def test_a_table_beside_takes_the_place_of_another_with_its_version(self, rebuildable: RebuildableStore) -> None:
        rebuildable.commit(unit(rows=[*named(a=1, b=2)]))
        made = [
            replace(entry("é\\t\t\n", first_name="Zoë\\n\n"), is_seen=True, weight=1e300, note="\\N"),
            replace(entry("A", size=-(2**63)), is_there=False),
            entry("gone"),
        ]
        rows: dict[tuple[Value, ...], Row | None] = {(each.account, each.name): each for each in made}
        rebuildable.begin_beside([Entry])
        rebuildable.put_beside(Entry, rows, is_first=True)
        later = replace(made[1], size=7)
        rebuildable.put_beside(Entry, {("acme", "A"): later, ("acme", "gone"): None}, is_first=False)
        assert rebuildable.among_beside(Entry, [("acme", "A"), ("acme", "gone")]) == [later]
        assert [row.name for row in rebuildable.select(Entry, order_by="name")] == ["a", "b"]
        beside = [*rebuildable.scan_beside(Entry)]
        rebuildable.end_beside({Entry: "2"})
        assert rebuildable.select(Entry, order_by="name") == [later, made[0]]
        assert [*rebuildable.scan(Entry)] == beside
        assert rebuildable.select(Entry, {"account": "acme", "size": 7}) == [later]
        assert rebuildable.select(ReadModelVersion) == [ReadModelVersion(name=Entry.TABLE, version="2")]

    def test_new_positions_are_stored_with_what_takes_the_place(self, rebuildable: RebuildableStore) -> None:
        rebuildable.begin_beside([Entry])
        rebuildable.end_beside({Entry: "2"}, [Position(name="x.v1/0", at=7)])
        assert rebuildable.position("x.v1/0") == 7
        assert not rebuildable.commit(Unit(positions=[Position(name="x.v1/0", at=7)]))
        assert rebuildable.commit(Unit(positions=[Position(name="x.v1/0", at=8)]))

    def test_an_account_is_erased_from_the_log_and_the_tables_and_others_stay(
        self, rebuildable: RebuildableStore
    ) -> None:
        mine, other = fact(), replace(fact(version=1), account="other", originator_id=uuid4())
        rebuildable.commit(Unit(events=[mine, other]))
        rebuildable.commit(unit(rows=[*named(a=1), replace(entry("b"), account="other")]))
        last = rebuildable.last_of("acme")
        assert (last, rebuildable.last_of("nobody")) == (rebuildable.log.read(0, 1)[0].position, 0)
        assert rebuildable.erase("acme", [Entry], []) == (1, 1)
        assert [each.event for each in rebuildable.log.read(0, 9)] == [other]
        assert [row.account for row in rebuildable.select(Entry)] == ["other"]
        assert rebuildable.erase("other", [Entry], [other.TOPIC]) == (0, 1)
        assert rebuildable.erase("acme", [Entry], []) == (0, 0)

    def test_what_was_made_beside_begins_from_nothing_and_can_be_dropped(self, rebuildable: RebuildableStore) -> None:
        rebuildable.commit(unit(rows=[*named(a=1)]))
        for _ in range(2):
            rebuildable.begin_beside([Entry])
            rebuildable.put_beside(Entry, {("acme", "b"): entry("b")}, is_first=True)
        rebuildable.drop_beside([Entry])
        assert [row.name for row in rebuildable.select(Entry)] == ["a"]

    def test_columns_that_hold_work_are_taken_from_the_old_table(self, rebuildable: RebuildableStore) -> None:
        chore = Chore(account="acme", name="a", due="7", begun=0)
        rebuildable.commit(unit(rows=[chore]))
        made: dict[tuple[Value, ...], Row | None] = {
            (each.account, each.name): each for each in (replace(chore, due="", begun=3), replace(chore, name="b"))
        }
        rebuildable.begin_beside([Chore])
        rebuildable.put_beside(Chore, made, is_first=True)
        rebuildable.end_beside({Chore: "2"})
        assert rebuildable.select(Chore, order_by="name") == [replace(chore, begun=3), replace(chore, name="b")]
