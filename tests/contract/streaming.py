"""The contract of `Stream`: every record in order, readable or not, from any position on."""

from base64 import b64encode
from dataclasses import replace
from itertools import pairwise

import pytest

from domain.store import Record, Resubmission, Stream
from tests.contract.stands import StreamStand, fact
from tests.golden.samples import SAMPLES

_WHOLE = b'{"at":{"_type_":"datetime_iso","_data_":"2026-01-05T08:00:00+00:00"},"account":"acme","driver":"417",'

UNREADABLE = {
    "unknown type": ("PortalDriver.DriverPraised", _WHOLE + b'"source":"export","profile":{}}'),
    "no type": ("", b"{}"),
    "module as type": ("os:system", b"{}"),
    "nothing": ("PortalDriver.DriverCreated", b""),
    "broken": ("PortalDriver.DriverCreated", b'{"at":'),
    "no Unicode": ("PortalDriver.DriverCreated", b"\xff\xfe\x00"),
    "no object": ("PortalDriver.DriverCreated", b"[1, 2]"),
    "null": ("PortalDriver.DriverCreated", b"null"),
    "no fields": ("PortalDriver.DriverCreated", b"{}"),
    "missing field": ("PortalDriver.DriverCreated", _WHOLE + b'"profile":{"first_name":"Jane"}}'),
    "another type": ("PortalDriver.DriverCreated", _WHOLE + b'"source":"export","profile":["Jane"]}'),
    "null field": ("PortalDriver.DriverCreated", _WHOLE + b'"source":null,"profile":{"first_name":"Jane"}}'),
    "unknown encoding": ("PortalDriver.DriverCreated", _WHOLE + b'"source":{"_type_":"x","_data_":1},"profile":{}}'),
    "no moment": ("PortalDriver.DriverMissed", b'{"at":"soon","account":"acme","driver":"417","source":"export"}'),
}
"""Records that cannot be read: their type and body."""

EVERYTHING = 1_000


def positions(stream: Stream) -> list[int]:
    """Where the records are."""
    return [record.position for record in stream.read(0, EVERYTHING)]


class StreamContract:
    """A position is only ever compared with others: a stream may have gaps."""

    @pytest.fixture
    def stream(self, stand: StreamStand) -> Stream:
        return stand.stream

    @pytest.fixture
    def mixed(self, stand: StreamStand) -> Stream:
        """Five records, of which the second and the last are unreadable."""
        stand.put([fact()])
        stand.put_record(*UNREADABLE["unknown type"])
        stand.put([fact(version=2), fact("418")])
        stand.put_record(*UNREADABLE["broken"])
        return stand.stream

    def test_its_name_says_log_and_partition_and_the_epoch_where_there_is_one(self, stream: Stream) -> None:
        *epoch, log, partition = stream.name.split("/")
        assert all([*epoch, log, partition])
        assert len(epoch) <= 1

    def test_an_empty_stream_ends_at_0(self, stream: Stream) -> None:
        assert (list(stream.read(0, EVERYTHING)), stream.end()) == ([], 0)

    def test_every_kind_of_fact_comes_as_it_was_stored(self, stand: StreamStand) -> None:
        stand.put(list(SAMPLES.values()))
        records = stand.stream.read(0, EVERYTHING)
        assert [record.event for record in records] == list(SAMPLES.values())
        assert [record.topic for record in records] == list(SAMPLES)
        assert {record.reason for record in records} == {""}

    def test_records_come_in_the_order_of_being_put(self, stand: StreamStand) -> None:
        later = [fact("2"), fact("1", 2), fact("0")]
        stand.put([fact("9"), fact("1")])
        stand.put(later)
        assert [record.event for record in stand.stream.read(0, EVERYTHING)] == [fact("9"), fact("1"), *later]

    def test_positions_rise(self, mixed: Stream) -> None:
        found = positions(mixed)
        assert all(before < after for before, after in pairwise([0, *found]))

    def test_a_record_says_its_event_and_its_place_in_the_log(self, mixed: Stream) -> None:
        readable = [record for record in mixed.read(0, EVERYTHING) if record.event is not None]
        written = [fact(), fact(version=2), fact("418")]
        assert [record.id for record in readable] == [f"{it.originator_id}/{it.originator_version}" for it in written]
        places = [record.log_position for record in readable]
        assert places == sorted({*places} - {0})

    def test_a_resubmission_is_the_record_decoded_again(self, mixed: Stream) -> None:
        for record in mixed.read(0, EVERYTHING):
            again = mixed.again(
                Resubmission(
                    stream=mixed.name,
                    position=record.position,
                    log_position=record.log_position,
                    id=record.id,
                    topic=record.topic,
                    body=b64encode(record.body).decode(),
                )
            )
            assert replace(again, headers=record.headers, key=record.key) == record

    def test_reading_goes_on_behind_any_record(self, mixed: Stream) -> None:
        everything = list(mixed.read(0, EVERYTHING))
        for number, record in enumerate(everything, 1):
            assert list(mixed.read(record.position, EVERYTHING)) == everything[number:]

    def test_reading_ends_after_as_many_as_were_asked_for(self, mixed: Stream) -> None:
        everything = list(mixed.read(0, EVERYTHING))
        assert [list(mixed.read(0, limit)) for limit in (1, 3, 5, 6)] == [everything[:limit] for limit in (1, 3, 5, 6)]

    def test_a_stream_is_read_whole_in_batches(self, mixed: Stream) -> None:
        read: list[Record] = []
        while batch := mixed.read(read[-1].position if read else 0, 2):
            read += batch
        assert read == list(mixed.read(0, EVERYTHING))

    def test_the_end_is_the_last_record_even_an_unreadable_one(self, mixed: Stream) -> None:
        assert mixed.end() == positions(mixed)[-1]

    def test_behind_the_end_is_nothing_until_more_is_put(self, stand: StreamStand, mixed: Stream) -> None:
        end = mixed.end()
        assert list(mixed.read(end, EVERYTHING)) == []
        stand.put([fact(version=3)])
        (record,) = mixed.read(end, EVERYTHING)
        assert (record.event, record.position) == (fact(version=3), mixed.end())
        assert record.position > end

    @pytest.mark.parametrize("kind", UNREADABLE)
    def test_an_unreadable_record_comes_with_a_reason_and_hides_no_other(self, stand: StreamStand, kind: str) -> None:
        topic, body = UNREADABLE[kind]
        stand.put([fact()])
        stand.put_record(topic, body)
        stand.put([fact(version=2)])
        before, record, after = stand.stream.read(0, EVERYTHING)
        assert (before.event, after.event) == (fact(), fact(version=2))
        assert (record.event, record.topic, record.body) == (None, topic, body)
        assert topic in record.reason
        assert record.reason

    @pytest.mark.parametrize("kind", UNREADABLE)
    def test_a_reason_quotes_no_record(self, stand: StreamStand, kind: str) -> None:
        stand.put_record(*UNREADABLE[kind])
        (record,) = stand.stream.read(0, EVERYTHING)
        assert "Jane" not in record.reason
