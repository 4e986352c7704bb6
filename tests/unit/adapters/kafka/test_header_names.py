"""Records whose header names are not UTF-8, as a broker sends them."""

import gzip
import struct

import pytest

from adapters.kafka.cloud_events import SUBSTITUTE, TolerantRecords
from tests.unit.adapters.kafka.batches import UNREADABLE, Header, batch, checked, unreadable

READABLE: list[Header] = [("ce_id", b"\xff"), ("Zoë", None), ("", b"")]


def read(data: bytes) -> list[tuple[int, bytes, list[Header]]]:
    """Everything that is in there."""
    records, found = TolerantRecords(data), []
    while records.has_next():
        each = records.next_batch()
        assert each.validate_crc()
        found += [(record.offset, record.value, list(record.headers)) for record in each]
    return found


def test_what_is_readable_is_read_as_it_is() -> None:
    data = batch(READABLE, [], READABLE)
    assert read(data) == [(0, b"0", READABLE), (1, b"1", []), (2, b"2", READABLE)]
    assert TolerantRecords(data).size_in_bytes() == len(data)


def test_an_unreadable_name_is_substituted_and_everything_else_is_kept() -> None:
    data = unreadable(batch(READABLE, [("a", b"1"), (UNREADABLE, b"2"), ("b", None)], [], [(UNREADABLE, None)]))
    substituted = SUBSTITUTE * len(UNREADABLE)
    assert read(data) == [
        (0, b"0", READABLE),
        (1, b"1", [("a", b"1"), (substituted, b"2"), ("b", None)]),
        (2, b"2", []),
        (3, b"3", [(substituted, None)]),
    ]


def test_batches_before_and_behind_it_are_read() -> None:
    data = batch(READABLE) + unreadable(batch([], [(UNREADABLE, b"")])) + batch(READABLE, [])
    assert [value for _, value, _ in read(data)] == [b"0", b"0", b"1", b"0", b"1"]


def test_a_compressed_batch_with_such_a_name_is_not_guessed_at() -> None:
    plain = unreadable(batch([(UNREADABLE, b"")]))
    header, records = bytearray(plain[:61]), gzip.compress(plain[61:])
    struct.pack_into(">i", header, 8, 61 - 12 + len(records))
    header[22] = 1
    with pytest.raises(UnicodeDecodeError):
        read(checked(bytes(header) + records))


def test_a_record_can_be_asked_for_alone_as_the_client_does_at_the_end_of_a_transaction() -> None:
    assert next(TolerantRecords(batch([], [])).next_batch()).value == b"0"
