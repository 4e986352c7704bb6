from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from domain.store import DeadLetter, Position, Record, StoreConflict, StoreFailed, Unit
from services.runtime.consumer import BATCH, to_dead_letter
from tests.unit.services.runtime.consumer_stand import NOW, FollowingStand, created, raising


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[FollowingStand]:
    with closing(FollowingStand(tmp_path / "follower.sqlite")) as stand:
        yield stand


def test_a_batch_is_handled_and_stored_at_once_with_the_position_behind_it(stand: FollowingStand) -> None:
    stand.put("a", "b", "c")
    assert stand.follower.step() == 3
    assert stand.handled == [["a", "b", "c"]]
    assert (stand.heard, stand.position, stand.store.committed) == (["a", "b", "c"], stand.stream.end(), 1)


def test_nothing_new_makes_no_work(stand: FollowingStand) -> None:
    stand.put("a")
    assert [stand.follower.step() for _ in range(3)] == [1, 0, 0]
    assert (stand.handled, stand.store.committed) == ([["a"]], 1)


def test_a_long_stream_comes_in_batches(stand: FollowingStand) -> None:
    stand.put(*(f"{number:03}" for number in range(BATCH + 3)))
    assert [stand.follower.step() for _ in range(3)] == [BATCH, 3, 0]
    assert len(stand.heard) == BATCH + 3


def test_a_follower_goes_on_where_the_one_before_it_ended(stand: FollowingStand) -> None:
    stand.put("a")
    stand.run()
    stand.put("b")
    assert stand.new_follower().step() == 1
    assert stand.handled == [["a"], ["b"]]


def test_lag_is_over_when_everything_is_consumed(stand: FollowingStand) -> None:
    assert stand.follower.lag() == 0
    stand.put("a", "b")
    assert stand.follower.lag() > 0
    stand.run()
    assert stand.follower.lag() == 0


def test_an_unreadable_record_becomes_a_dead_letter_and_the_others_are_handled(stand: FollowingStand) -> None:
    stand.put("a")
    stand.stream.put_record("Portal.Rumour", b'{"driver":"\xff"}')
    stand.put("b")
    assert stand.follower.step() == 3
    position = stand.stream.read(0, 10)[1].position
    expected = DeadLetter(
        stream=stand.stream.name,
        position=position,
        log_position=position,
        id=f"{UUID(int=0)}/1",
        topic="Portal.Rumour",
        headers=[],
        body=b64encode(b'{"driver":"\xff"}').decode(),
        reason="unknown type 'Portal.Rumour'",
        at=NOW.isoformat(),
    )
    assert stand.letters == [expected]
    assert (stand.heard, stand.store.committed) == (["a", "b"], 1)


@pytest.mark.parametrize(("key", "kept"), [(b"\xff", "/w=="), (b"", ""), (None, None)])
def test_a_dead_letter_keeps_the_key_byte_for_byte(key: bytes | None, kept: str | None) -> None:
    record = Record(position=7, log_position=0, id="", topic="", body=b"", decode=lambda: (None, "no"), key=key)
    assert to_dead_letter("1/x.v1/0", record, record.reason, NOW).key == kept


def test_a_batch_that_cannot_be_read_is_passed(stand: FollowingStand) -> None:
    for _ in range(2):
        stand.stream.put_record("Portal.Rumour", b"{}")
    stand.run()
    assert (len(stand.letters), stand.position) == (2, stand.stream.end())


def test_a_record_that_cannot_be_handled_becomes_a_dead_letter_and_the_others_are_stored(
    stand: FollowingStand,
) -> None:
    stand.failing = {"bad": LookupError("no such thing")}
    position = stand.put("a", "bad", "b", "c")[1]
    stand.run()
    (letter,) = stand.letters
    assert (letter.position, letter.topic, letter.reason) == (
        position,
        created("bad").TOPIC,
        "LookupError: no such thing",
    )
    assert b'"driver":"bad"' in b64decode(letter.body)
    assert (stand.heard, stand.position) == (["a", "b", "c"], stand.stream.end())


@pytest.mark.parametrize("drivers", [["bad"], ["bad", "a"], ["a", "bad"], ["bad", "worse"]])
def test_a_record_that_cannot_be_handled_is_passed_wherever_it_is(stand: FollowingStand, drivers: list[str]) -> None:
    stand.failing = {"bad": ValueError("no"), "worse": KeyError("no")}
    stand.put(*drivers)
    stand.run()
    assert stand.heard == [driver for driver in drivers if driver == "a"]
    assert len(stand.letters) + len(stand.heard) == len(drivers)


def test_an_unreadable_record_beside_one_that_cannot_be_handled_is_a_dead_letter_too(stand: FollowingStand) -> None:
    stand.failing = {"bad": ValueError("no")}
    stand.put("a", "bad")
    stand.stream.put_record("Portal.Rumour", b"{}")
    stand.put("b")
    stand.run()
    assert [letter.reason for letter in stand.letters] == ["ValueError: no", "unknown type 'Portal.Rumour'"]
    assert stand.heard == ["a", "b"]


def test_what_no_store_can_hold_becomes_a_dead_letter(stand: FollowingStand) -> None:
    stand.odd = {"odd"}
    stand.put("a", "odd", "b")
    stand.run()
    assert [letter.position for letter in stand.letters] == [stand.stream.read(0, 10)[1].position]
    assert (stand.heard, stand.position) == (["a", "b"], stand.stream.end())


def test_a_dead_letter_can_be_stored_whatever_it_says(stand: FollowingStand) -> None:
    stand.failing = {"bad": ValueError("half a pair \ud800, and \0")}
    stand.put("bad")
    stand.stream.put_record("\ud800", b"\0")
    stand.run()
    first, second = stand.letters
    assert first.reason == "ValueError: half a pair \\ud800, and \\x00"
    assert (second.topic, b64decode(second.body)) == ("\\ud800", b"\0")


def test_a_conflict_is_decided_again(stand: FollowingStand) -> None:
    stand.store.before = [raising(StoreConflict("version 3 is taken"))]
    stand.put("a", "b")
    assert stand.follower.step() == 2
    assert (stand.heard, stand.position) == ([], 0)
    assert stand.follower.step() == 2
    assert stand.handled == [["a", "b"], ["a", "b"]]
    assert (stand.heard, stand.letters) == (["a", "b"], [])


def test_a_conflict_met_by_the_handler_is_decided_again(stand: FollowingStand) -> None:
    stand.failing = {"a": StoreConflict("version 3 is taken")}
    stand.put("a", "b")
    stand.follower.step()
    stand.failing = {}
    stand.run()
    assert (stand.heard, stand.letters) == (["a", "b"], [])


def test_a_conflict_among_records_that_are_handled_singly_loses_none(stand: FollowingStand) -> None:
    stand.failing = {"bad": ValueError("no")}
    stand.store.before = [lambda: None, raising(StoreConflict("version 3 is taken"))]
    stand.put("a", "b", "bad", "c")
    stand.follower.step()
    assert stand.heard == ["a"]
    stand.run()
    assert (stand.heard, len(stand.letters)) == (["a", "b", "c"], 1)


def test_what_another_process_took_over_first_is_left_to_it(stand: FollowingStand) -> None:
    last = stand.put("a", "b")[-1]
    rival = Unit(positions=[Position(name=stand.stream.name, at=last)])

    def overtake() -> None:
        assert stand.store.commit(rival) is True

    stand.store.before = [overtake]
    stand.follower.step()
    stand.put("c")
    stand.run()
    assert (stand.heard, stand.letters) == (["c"], [])


@pytest.mark.parametrize("singly", [False, True])
def test_a_store_that_fails_ends_the_step_and_loses_nothing(stand: FollowingStand, *, singly: bool) -> None:
    stand.failing = {"bad": ValueError("no")} if singly else {}
    stand.store.before = [raising(StoreFailed("the disk is full"))]
    stand.put("a", "bad", "b")
    with pytest.raises(StoreFailed, match="the disk is full"):
        stand.follower.step()
    assert (stand.heard, stand.letters, stand.position) == ([], [], 0)
    stand.failing = {}
    stand.run()
    assert (stand.heard, stand.letters) == (["a", "bad", "b"], [])


def test_a_store_that_fails_while_a_batch_is_handled_is_not_blamed_on_a_record(stand: FollowingStand) -> None:
    stand.failing = {"a": StoreFailed("the disk does not work")}
    stand.put("a")
    with pytest.raises(StoreFailed):
        stand.follower.step()
    assert (stand.letters, stand.position) == ([], 0)
