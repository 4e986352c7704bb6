"""A log that comes in several streams: what all of them have is one batch."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from domain.store import Position, StoreConflict, Unit
from services.runtime.consumer import BATCH
from tests.support.stream_in_memory import StreamInMemory
from tests.unit.services.runtime.consumer_stand import FollowingStand, created, raising


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[FollowingStand]:
    with closing(FollowingStand(tmp_path / "follower.sqlite")) as stand:
        yield stand


@pytest.fixture
def other(stand: FollowingStand) -> StreamInMemory:
    """A second stream of the same log."""
    stream = StreamInMemory("1/upstream.v1/1", gap=5)
    stand.follower.follow(stream)
    return stream


def put(stream: StreamInMemory, *drivers: str) -> None:
    """Append a fact about each of these drivers."""
    stream.put([created(driver) for driver in drivers])


def heard(stand: FollowingStand) -> list[str]:
    """The drivers that were taken over from any stream."""
    return sorted(stand.heard)


def test_records_of_all_streams_are_one_batch(stand: FollowingStand, other: StreamInMemory) -> None:
    stand.put("a", "b")
    put(other, "x")
    assert stand.follower.step() == 3
    assert stand.handled == [["a", "b", "x"]]
    assert stand.store.committed == 1
    assert (stand.position, stand.store.position(other.name)) == (stand.stream.end(), other.end())


def test_a_long_stream_does_not_keep_another_waiting_for_more_than_a_batch(
    stand: FollowingStand, other: StreamInMemory
) -> None:
    stand.put(*(f"{number:04}" for number in range(3 * BATCH)))
    put(other, "x")
    stand.follower.step()
    stand.follower.step()
    assert "x" in stand.handled[1]


def test_what_another_process_took_over_of_one_stream_is_left_to_it(
    stand: FollowingStand, other: StreamInMemory
) -> None:
    stand.put("a")
    put(other, "x")
    rival = Unit(positions=[Position(name=other.name, at=other.end())])

    def overtake() -> None:
        assert stand.store.commit(rival) is True

    stand.store.before = [overtake]
    stand.follower.step()
    assert (stand.position, heard(stand)) == (0, [])
    stand.run()
    assert heard(stand) == ["a"]


def test_a_conflict_is_decided_again_for_every_stream(stand: FollowingStand, other: StreamInMemory) -> None:
    stand.store.before = [raising(StoreConflict("version 3 is taken"))]
    stand.put("a")
    put(other, "x")
    stand.run()
    assert stand.handled == [["a", "x"], ["a", "x"]]
    assert heard(stand) == ["a", "x"]


def test_a_record_that_cannot_be_handled_names_its_own_stream(stand: FollowingStand, other: StreamInMemory) -> None:
    stand.failing = {"bad": ValueError("no")}
    stand.put("a")
    put(other, "bad", "x")
    stand.run()
    assert [letter.stream for letter in stand.letters] == [other.name]
    assert heard(stand) == ["a", "x"]


def test_a_stream_that_is_left_is_not_read_any_more(stand: FollowingStand, other: StreamInMemory) -> None:
    stand.follower.leave(other.name)
    put(other, "x")
    assert stand.follower.step() == 0
    assert stand.follower.has_reached(other.name, 0) is False
