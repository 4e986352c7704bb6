"""A stream in which records may come twice, or late: every version of a history is handled once, and in order."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.store import StoreConflict, StoreFailed
from tests.contract.stands import fact
from tests.support.examples import examples
from tests.unit.services.runtime.consumer_stand import FollowingStand, raising

Told = list[tuple[str, int]]


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[FollowingStand]:
    with closing(FollowingStand(tmp_path / "follower.sqlite", may_repeat=True)) as stand:
        yield stand


def history(driver: str) -> str:
    """What a driver's history is called in the store."""
    return str(fact(driver).originator_id)


def test_what_comes_twice_in_a_batch_is_handled_once(stand: FollowingStand) -> None:
    stand.tell(("a", 1), ("a", 1), ("b", 1), ("a", 2), ("b", 1), ("a", 2))
    stand.run()
    assert stand.told == [("a", 1), ("b", 1), ("a", 2)]


def test_what_comes_twice_in_two_batches_is_handled_once(stand: FollowingStand) -> None:
    for _ in range(2):
        stand.tell(("a", 1), ("a", 2), ("b", 1))
        stand.run()
    assert stand.told == [("a", 1), ("a", 2), ("b", 1)]


def test_what_was_consumed_is_remembered_by_the_next_consumer(stand: FollowingStand) -> None:
    stand.tell(("a", 1))
    stand.run()
    stand.tell(("a", 1), ("a", 2))
    assert stand.new_follower().step() == 2
    assert stand.told == [("a", 1), ("a", 2)]


def test_a_version_that_comes_late_is_left_out(stand: FollowingStand) -> None:
    stand.tell(("a", 3), ("a", 1), ("b", 2))
    stand.run()
    stand.tell(("a", 2), ("b", 1), ("b", 3))
    stand.run()
    assert stand.told == [("a", 3), ("b", 2), ("b", 3)]


def test_histories_do_not_wait_for_each_other(stand: FollowingStand) -> None:
    stand.tell(("b", 7), ("a", 1), ("c", 2), ("a", 2), ("b", 8))
    stand.run()
    assert stand.told == [("b", 7), ("a", 1), ("c", 2), ("a", 2), ("b", 8)]
    assert stand.watermarks == {history("a"): 2, history("b"): 8, history("c"): 2}


def test_a_batch_of_repeats_only_still_moves_the_position(stand: FollowingStand) -> None:
    stand.tell(("a", 1), ("b", 1))
    stand.run()
    stand.tell(("a", 1), ("b", 1))
    assert [stand.follower.step() for _ in range(2)] == [2, 0]
    assert stand.position == stand.stream.end()
    assert stand.handled == [["a", "b"], []]


def test_a_watermark_moves_in_the_transaction_of_what_follows_from_it(stand: FollowingStand) -> None:
    stand.tell(("a", 1))
    stand.store.before = [raising(StoreFailed("the disk is full"))]
    with pytest.raises(StoreFailed):
        stand.follower.step()
    assert (stand.told, stand.watermarks) == ([], {})
    stand.run()
    assert (stand.told, stand.watermarks) == ([("a", 1)], {history("a"): 1})
    assert stand.store.committed == 1


def test_after_a_conflict_nothing_counts_as_consumed(stand: FollowingStand) -> None:
    stand.tell(("a", 1), ("a", 2))
    stand.store.before = [raising(StoreConflict("version 3 is taken"))]
    stand.run()
    assert stand.told == [("a", 1), ("a", 2)]


def test_a_version_that_cannot_be_handled_does_not_count_as_consumed(stand: FollowingStand) -> None:
    stand.failing = {("a", 2): ValueError("no")}
    stand.tell(("a", 1), ("a", 2), ("b", 1))
    stand.run()
    assert (len(stand.letters), stand.watermarks) == (1, {history("a"): 1, history("b"): 1})
    stand.failing = {}
    stand.tell(("a", 2))
    stand.run()
    assert sorted(stand.told) == [("a", 1), ("a", 2), ("b", 1)]


def test_a_version_that_cannot_be_read_does_not_count_as_consumed(stand: FollowingStand) -> None:
    stand.tell_broken("a", 1)
    stand.run()
    stand.tell(("a", 1))
    stand.run()
    assert (stand.told, len(stand.letters)) == ([("a", 1)], 1)


def test_a_stream_that_never_repeats_pays_nothing_for_those_that_do(tmp_path: Path) -> None:
    with closing(FollowingStand(tmp_path / "plain.sqlite")) as plain:
        plain.tell(("a", 1), ("a", 2))
        plain.run()
        assert (plain.told, plain.watermarks) == ([("a", 1), ("a", 2)], {})


@st.composite
def sendings(draw: st.DrawFn) -> list[Told]:
    """Three histories, interleaved, in batches; where a relay goes back, it sends versions again that it had sent."""
    sent: dict[str, int] = defaultdict(int)
    told: Told = []
    for driver, back in draw(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=25)):
        version = max(1, sent[driver] + 1 - back)
        sent[driver] = max(sent[driver], version)
        told.append((driver, version))
    cuts = sorted(draw(st.lists(st.integers(0, len(told)), max_size=4)))
    return [told[start:end] for start, end in zip_longest([0, *cuts], cuts)]


@examples(15, many=300)
@given(sendings())
@example([[("a", 1), ("b", 1), ("a", 2)], [("a", 1), ("b", 1), ("a", 2), ("a", 3)], [("a", 3)]])
def test_however_records_repeat_each_version_is_handled_once_and_in_order(sent: list[Told]) -> None:
    with (
        TemporaryDirectory() as folder,
        closing(FollowingStand(Path(folder) / "follower.sqlite", may_repeat=True)) as stand,
    ):
        for batch in sent:
            stand.tell(*batch)
            stand.run()
        everything = [each for batch in sent for each in batch]
        assert stand.told == list(dict.fromkeys(everything))
        assert stand.watermarks == {history(driver): version for driver, version in sorted(everything)}
        assert stand.letters == []
