from concurrent.futures import ThreadPoolExecutor

import pytest

from adapters.kafka.streams import MOST_BYTES, MOST_RECORDS, PartitionBuffer
from tests.support.hanging import HANGS
from tests.unit.adapters.kafka.messages import FakeMessage, message

SOON = HANGS
"""Seconds that nothing here takes."""


def piece(first: int, last: int) -> list[FakeMessage]:
    """Messages of these offsets, both included."""
    return [message(offset=offset) for offset in range(first, last + 1)]


def offsets(buffer: PartitionBuffer, after: int, limit: int = 100) -> list[int] | None:
    """The offsets that it has behind this position; None where it has not that position."""
    taken = buffer.take(after, limit)
    return None if taken is None else [each.offset for each in taken]


@pytest.fixture
def buffer() -> PartitionBuffer:
    """Ten messages behind the position 5, in a partition that ends at 20."""
    buffer = PartitionBuffer()
    buffer.restart(5, 20)
    buffer.put(piece(5, 14), 15, 20)
    return buffer


def test_what_arrived_is_taken_in_order(buffer: PartitionBuffer) -> None:
    assert offsets(buffer, 5) == list(range(5, 15))
    assert offsets(buffer, 5, limit=3) == [5, 6, 7]


def test_what_is_not_stored_yet_is_taken_again(buffer: PartitionBuffer) -> None:
    assert offsets(buffer, 7) == offsets(buffer, 7) == list(range(7, 15))


def test_what_is_stored_is_forgotten(buffer: PartitionBuffer) -> None:
    buffer.take(9, 100)
    assert buffer.start == 9
    assert offsets(buffer, 8) is None


def test_behind_everything_is_nothing_until_more_arrives(buffer: PartitionBuffer) -> None:
    assert offsets(buffer, 15) == []
    buffer.put(piece(15, 16), 17, 20)
    assert offsets(buffer, 15) == [15, 16]


@pytest.mark.parametrize("after", [0, 4, 16, 99])
def test_a_position_elsewhere_is_not_here(buffer: PartitionBuffer, after: int) -> None:
    assert offsets(buffer, after) is None


def test_nothing_is_given_before_it_is_started_nor_after_it_is_closed(buffer: PartitionBuffer) -> None:
    assert offsets(PartitionBuffer(), 0) == offsets(PartitionBuffer(), 5) == []
    buffer.close()
    assert offsets(buffer, 5) == offsets(buffer, 99) == []


def test_offsets_that_do_not_exist_are_not_a_gap(buffer: PartitionBuffer) -> None:
    buffer.put(piece(18, 18), 20, 20)
    assert offsets(buffer, 15) == [18]
    assert offsets(buffer, 19) == []
    assert buffer.reached == 20


def test_it_starts_again_empty(buffer: PartitionBuffer) -> None:
    buffer.restart(2, 20)
    assert (buffer.start, buffer.reached, offsets(buffer, 2)) == (2, 2, [])


def test_the_end_is_what_kafka_said_or_what_arrived_after_that(buffer: PartitionBuffer) -> None:
    assert buffer.end == 20
    buffer.put(piece(15, 24), 25, 20)
    assert buffer.end == 25
    buffer.ends_at(40)
    assert buffer.end == 40


def test_it_is_full_at_this_many_records_and_has_room_when_a_quarter_is_gone() -> None:
    small = [FakeMessage(offset=offset, key=None, value=None, headers=()) for offset in range(MOST_RECORDS)]
    buffer = PartitionBuffer()
    buffer.restart(0, 0)
    buffer.is_halted = True
    buffer.put(small[:-1], MOST_RECORDS - 1, MOST_RECORDS)
    full = [buffer.is_full]
    buffer.put(small[-1:], MOST_RECORDS, MOST_RECORDS)
    full.append(buffer.is_full)
    wants = []
    for stored in (MOST_RECORDS // 4 - 1, MOST_RECORDS // 4):
        buffer.take(stored, 1)
        wants.append(buffer.wants_more)
    assert (full, wants) == ([False, True], [False, True])


def test_it_is_full_at_this_many_bytes() -> None:
    buffer = PartitionBuffer()
    buffer.restart(0, 0)
    large = FakeMessage(offset=0, key=b"", value=b" " * MOST_BYTES, headers=(("a", None),))
    buffer.put([large], 1, 1)
    buffer.is_halted = True
    assert (buffer.is_full, buffer.wants_more) == (True, False)
    buffer.take(1, 1)
    assert (buffer.is_full, buffer.wants_more) == (False, True)


def test_it_wants_nothing_while_fetching_goes_on() -> None:
    assert not PartitionBuffer().wants_more


@pytest.mark.parametrize(
    ("limit", "pieces", "taken"),
    [
        (3, [(2, 3), (4, 9)], [2, 3, 4]),
        (100, [(2, 3), (4, 19)], list(range(2, 20))),
    ],
    ids=["as many as were asked for", "all that there are"],
)
def test_a_reader_waits_until_enough_is_here(
    buffer: PartitionBuffer, limit: int, pieces: list[tuple[int, int]], taken: list[int]
) -> None:
    with ThreadPoolExecutor(1) as thread:
        reading = thread.submit(buffer.wait, 2, limit, SOON)
        buffer.restart(2, 20)
        for first, last in pieces:
            buffer.put(piece(first, last), last + 1, 20)
        assert [each.offset for each in reading.result()] == taken


def test_a_reader_is_let_go_when_the_inbox_is_closed(buffer: PartitionBuffer) -> None:
    with ThreadPoolExecutor(1) as thread:
        reading = thread.submit(buffer.wait, 2, 1, SOON)
        buffer.close()
        assert reading.result() == ()


def test_a_reader_gets_what_there_is_when_its_time_is_over(buffer: PartitionBuffer) -> None:
    assert [each.offset for each in buffer.wait(13, 100, 0.0)] == [13, 14]
    assert list(buffer.wait(2, 100, 0.0)) == []
