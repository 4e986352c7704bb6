"""A topic in which records come twice, as relays send them: each is handled once, none is lost, the order stays.

Each relay sends contiguously, in order, from a place up to which everything was acknowledged. So a record never comes
for the first time before the one in front of it, whatever relays do at once.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.store import StoreConflict, StoreFailed
from tests.contract.stands import fact
from tests.support.examples import examples
from tests.unit.services.runtime.consumer_stand import FollowingStand, raising

LOG = [("a", 1), ("b", 1), ("a", 2), ("c", 1), ("b", 2), ("a", 3)]
"""The log of a service: the fact at place n is the nth of these."""


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[FollowingStand]:
    with closing(FollowingStand(tmp_path / "follower.sqlite")) as stand:
        yield stand


def send(stand: FollowingStand, *places: int) -> None:
    """Let a relay send the facts at these places of the log."""
    for place in places:
        stand.stream.send(place, fact(*LOG[place - 1]))


def told(stand: FollowingStand) -> list[tuple[str, int]]:
    """What was handled, in order."""
    return stand.taken


def test_what_comes_twice_in_a_batch_is_handled_once(stand: FollowingStand) -> None:
    send(stand, 1, 2, 1, 2, 3)
    stand.run()
    assert told(stand) == LOG[:3]


def test_what_comes_twice_in_two_batches_is_handled_once(stand: FollowingStand) -> None:
    for _ in range(2):
        send(stand, 1, 2, 3)
        stand.run()
    assert told(stand) == LOG[:3]


def test_what_was_consumed_is_remembered_by_the_next_consumer(stand: FollowingStand) -> None:
    send(stand, 1)
    stand.run()
    send(stand, 1, 2)
    assert stand.new_follower().step() == 2
    assert told(stand) == LOG[:2]


def test_another_epoch_brings_nothing_again(stand: FollowingStand) -> None:
    send(stand, 1, 2)
    stand.run()
    stand.stream.name = "2/upstream.v1/0"
    stand.follower = stand.new_follower()
    send(stand, 1, 2, 3)
    stand.run()
    assert told(stand) == LOG[:3]


def test_what_a_relay_of_another_epoch_sends_counts_for_nothing(stand: FollowingStand) -> None:
    """A relay that outlived a restore has another log: its place 9 says nothing of ours."""
    send(stand, 1)
    stand.stream.send(2, fact("z", 1), is_stale=True)
    stand.stream.send(9, fact("z", 2), is_stale=True)
    stand.run()
    assert (told(stand), stand.watermark, stand.follower.lag()) == (LOG[:1], 1, 0)
    send(stand, 2, 3)
    stand.run()
    assert told(stand) == LOG[:3]


def test_what_comes_again_is_not_even_read(stand: FollowingStand) -> None:
    send(stand, 1, 2)
    stand.run()
    send(stand, 1, 2)
    repeated = stand.stream.read(stand.position, 9)
    stand.run()
    assert ["_decoded" in vars(record) for record in repeated] == [False, False]


def test_a_batch_of_repeats_only_moves_the_place_without_a_commit_of_its_own(stand: FollowingStand) -> None:
    send(stand, 1, 2)
    stand.run()
    send(stand, 1, 2)
    assert [stand.follower.step() for _ in range(2)] == [2, 0]
    assert (stand.store.committed, stand.follower.lag()) == (1, 0)
    stand.follower.settle()
    assert (stand.position, stand.store.committed) == (stand.stream.end(), 2)
    assert stand.handled == [["a", "b"]]


def test_a_place_that_waits_goes_with_what_is_stored_next(stand: FollowingStand) -> None:
    send(stand, 1)
    stand.run()
    send(stand, 1)
    stand.follower.step()
    send(stand, 2)
    stand.follower.step()
    stand.follower.settle()
    assert (stand.position, stand.watermark, stand.store.committed) == (stand.stream.end(), 2, 2)


def test_the_watermark_moves_in_the_transaction_of_what_follows_from_it(stand: FollowingStand) -> None:
    send(stand, 1)
    stand.store.before = [raising(StoreFailed("the disk is full"))]
    with pytest.raises(StoreFailed):
        stand.follower.step()
    assert (told(stand), stand.watermark) == ([("a", 1)], 0)
    stand.run()
    assert (stand.heard, stand.watermark) == (["a"], 1)
    assert stand.store.committed == 1


def test_after_a_conflict_nothing_counts_as_consumed(stand: FollowingStand) -> None:
    send(stand, 1, 2)
    stand.store.before = [raising(StoreConflict("version 3 is taken"))]
    stand.run()
    assert stand.heard == ["a", "b"]


def test_what_cannot_be_handled_moves_no_watermark(stand: FollowingStand) -> None:
    stand.failing = {("a", 2): ValueError("no")}
    send(stand, 1, 2, 3)
    stand.run()
    assert (len(stand.letters), stand.watermark) == (1, 2)
    stand.failing = {}
    send(stand, 3)
    stand.run()
    assert told(stand) == LOG[:3]


def test_a_bad_record_that_names_a_place_far_ahead_hides_no_record(stand: FollowingStand) -> None:
    stand.failing = {("c", 1): ValueError("no")}
    send(stand, 1)
    stand.stream.send(10_000, fact("c"))
    send(stand, 2)
    stand.run()
    assert (told(stand), len(stand.letters)) == (LOG[:2], 1)


def test_a_stream_that_is_read_in_place_has_one_position(tmp_path: Path) -> None:
    with closing(FollowingStand(tmp_path / "plain.sqlite", is_in_place=True)) as plain:
        plain.tell(("a", 1), ("a", 2))
        plain.run()
        assert plain.watermark == plain.position == plain.stream.end()


def test_what_is_for_another_target_moves_the_positions_and_is_never_read(tmp_path: Path) -> None:
    with closing(FollowingStand(tmp_path / "one.sqlite", target="motive")) as stand:
        for place, target in enumerate(["motive", "driveri", "", "driveri"], 1):
            send(stand, place)
            stand.stream.name_target(target)
        others = [record for record in stand.stream.read(0, 9) if record.target == "driveri"]
        stand.run()
        assert told(stand) == [LOG[0], LOG[2]]
        assert (stand.watermark, stand.position) == (4, stand.stream.end())
        assert ["_decoded" in vars(record) for record in others] == [False, False]


class Relays:
    """Relays of one log, each behind what was acknowledged when it began; any of them may be ended at any time."""

    def __init__(self) -> None:
        self.topic: list[int] = []
        self._acknowledged = 0
        self._at: dict[int, int] = {}

    def send(self, relay: int, count: int, *, is_ended: bool) -> None:
        """Let a relay send some of what is behind its place; one that is ended begins where the kept position is."""
        at = self._at.get(relay, self._acknowledged)
        sent = [*range(at + 1, min(at + count, len(LOG)) + 1)]
        self.topic += sent
        if is_ended:
            self._at.pop(relay, None)
        elif sent:
            self._at[relay] = sent[-1]

    def keep(self, relay: int) -> None:
        """A relay stores how far everything was acknowledged; the position never goes back."""
        self._acknowledged = max(self._acknowledged, self._at.get(relay, 0))


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 4), st.booleans(), st.booleans(), st.booleans()), max_size=25
)


@examples(30, many=1000)
@given(STEPS)
@example([(0, 4, False, False, False), (1, 2, False, False, True), (0, 2, False, False, False)])
def test_whatever_relays_send_at_once_each_record_is_handled_once_and_in_order(
    steps: Sequence[tuple[int, int, bool, bool, bool]],
) -> None:
    with (
        TemporaryDirectory() as folder,
        closing(FollowingStand(Path(folder) / "follower.sqlite")) as stand,
    ):
        relays, sent = Relays(), 0
        for relay, count, is_ended, is_kept, is_read in steps:
            relays.send(relay, count, is_ended=is_ended)
            if is_kept:
                relays.keep(relay)
            if is_read:
                send(stand, *relays.topic[sent:])
                sent = len(relays.topic)
                stand.run()
        send(stand, *relays.topic[sent:])
        stand.run()
        assert told(stand) == LOG[: max(relays.topic, default=0)]
        assert stand.letters == []
