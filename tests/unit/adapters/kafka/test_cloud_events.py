"""What becomes of records in Kafka: the event that was sent, or a reason, and never an exception."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.events import to_record as to_logged
from adapters.kafka.cloud_events import LARGEST, Headers, to_outgoing, to_record
from adapters.kafka.connection import StreamsFailed
from domain.store import DeciderEvent, Event
from tests.contract.stands import fact
from tests.golden.samples import SAMPLES
from tests.unit.adapters.kafka.messages import MAPPER, FakeMessage, message, with_header, without_header

GOOD = message()


def with_body(**changes: object) -> bytes:
    """The value of a good message with other fields; None leaves one out."""
    assert GOOD.value is not None
    fields = {**json.loads(GOOD.value), **changes}
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


def marked(text: str) -> dict[str, str]:
    """A moment as it was stored once."""
    return {"_type_": "datetime_iso", "_data_": text}


def changed(name: str, value: bytes | None) -> FakeMessage:
    return replace(GOOD, headers=with_header(GOOD, name, value))


def lacking(name: str) -> FakeMessage:
    return replace(GOOD, headers=without_header(GOOD, name))


POISON = {
    "header without value": (changed("ce_subject", None), "the header 'ce_subject' has no value"),
    "header no UTF-8": (changed("ce_source", b"\xff"), "the header 'ce_source' is not UTF-8"),
    "id no UTF-8": (changed("ce_id", b"\xff\xfe"), "the header 'ce_id' is not UTF-8"),
    "foreign header no UTF-8": (
        replace(GOOD, headers=(*GOOD.headers, ("trace", b"\x80"))),
        "the header 'trace' is not UTF-8",
    ),
    "header twice": (
        replace(GOOD, headers=(*GOOD.headers, ("ce_id", b"x"))),
        "the header 'ce_id' comes more than once",
    ),
    "no headers": (replace(GOOD, headers=()), "the header 'ce_specversion' is missing"),
    "no id": (lacking("ce_id"), "the header 'ce_id' is missing"),
    "no type": (lacking("ce_type"), "the header 'ce_type' is missing"),
    "no sequence": (lacking("ce_sequence"), "the header 'ce_sequence' is missing"),
    "no content type": (lacking("content-type"), "the header 'content-type' is missing"),
    "other specification": (changed("ce_specversion", b"0.3"), "ce_specversion is '0.3', not '1.0'"),
    "no JSON": (changed("content-type", b"application/avro"), "content-type is 'application/avro', not"),
    "no number": (changed("ce_sequence", b"first"), "ce_sequence is not a position in a log"),
    "sequence 0": (changed("ce_sequence", b"0"), "ce_sequence is not a position in a log"),
    "sequence negative": (changed("ce_sequence", b"-1"), "ce_sequence is not a position in a log"),
    "sequence with zeros": (changed("ce_sequence", b"007"), "ce_sequence is not a position in a log"),
    "sequence too large": (changed("ce_sequence", str(2**63).encode()), "ce_sequence is not a position in a log"),
    "endless sequence": (changed("ce_sequence", b"9" * 10_000), "ce_sequence is not a position in a log"),
    "no moment": (changed("ce_time", b"yesterday"), "ce_time is not a moment, or is out of range"),
    "moment out of range": (
        changed("ce_time", b"12026-01-05T08:00:00+00:00"),
        "ce_time is not a moment, or is out of range",
    ),
    "moment before the first": (
        changed("ce_time", b"0001-01-01T00:00:00+14:00"),
        "ce_time is not a moment, or is out of",
    ),
    "id no UUID": (changed("ce_id", b"417/1"), "ce_id is not the id of an event: originator/version"),
    "id without version": (
        changed("ce_id", str(fact().originator_id).encode()),
        "ce_id is not the id of an event: originator/version",
    ),
    "version 0": (changed("ce_id", f"{fact().originator_id}/0".encode()), "ce_id is not the id of an event"),
    "version too large": (
        changed("ce_id", f"{fact().originator_id}/{2**63}".encode()),
        "ce_id is not the id of an event",
    ),
    "endless version": (
        changed("ce_id", f"{fact().originator_id}/{'9' * 5_000}".encode()),
        "ce_id is not the id of an",
    ),
    "id spelled otherwise": (
        changed("ce_id", str(fact().originator_id).upper().encode() + b"/1"),
        "ce_id is not the id of",
    ),
    "unknown type": (changed("ce_type", b"PortalDriver.DriverPraised"), "unknown type 'PortalDriver.DriverPraised'"),
    "another event's type": (changed("ce_type", b"Account.SyncTurnedOn"), "Account.SyncTurnedOn cannot be read"),
    "tombstone": (replace(GOOD, value=None), "it has no value: a tombstone"),
    "too large": (replace(GOOD, value=b" " * (LARGEST + 1)), f"its value has {LARGEST + 1} bytes, more than {LARGEST}"),
    "empty": (replace(GOOD, value=b""), "PortalDriver.DriverCreated cannot be read"),
    "broken": (replace(GOOD, value=b'{"at":'), "PortalDriver.DriverCreated cannot be read"),
    "no Unicode": (replace(GOOD, value=b"\xff\x00"), "PortalDriver.DriverCreated cannot be read"),
    "nested too deeply": (replace(GOOD, value=b"[" * 200_000), "PortalDriver.DriverCreated cannot be read"),
    "nested version": (replace(GOOD, value=b'{"class_version":' + b"[" * 200_000), "it is nested too deeply"),
    "unknown version": (replace(GOOD, value=with_body(class_version=2)), "its version 2 is unknown here"),
    "missing field": (replace(GOOD, value=with_body(source=None)), "missing or of another type: source"),
    "another type of field": (replace(GOOD, value=with_body(profile="Jane")), "missing or of another type: profile"),
    "date out of range": (
        replace(GOOD, value=with_body(at="12026-01-05T08:00:00+00:00")),
        "PortalDriver.DriverCreated cannot be read",
    ),
    "date before the first": (
        replace(GOOD, value=with_body(at=marked("0001-01-01T00:00:00+14:00"))),
        "its moment has no offset, or is out of range",
    ),
    "date without offset": (
        replace(GOOD, value=with_body(at="2026-01-05T08:00:00")),
        "its moment has no offset, or is out of range",
    ),
    "no key": (replace(GOOD, key=None), "its key is not the event's account"),
    "key no UTF-8": (replace(GOOD, key=b"\xff"), "its key is not the event's account"),
    "another account's key": (replace(GOOD, key=b"other"), "its key is not the event's account"),
    "key in capitals": (replace(GOOD, key=b"ACME"), "its key is not the event's account"),
}
"""Messages that cannot be read, and what is said of them."""


@pytest.mark.parametrize("topic", SAMPLES)
def test_every_kind_of_event_comes_as_it_was_logged(topic: str) -> None:
    event = SAMPLES[topic]
    logged = to_logged(MAPPER, 41, MAPPER.to_stored_event(event))
    sent = message(event, offset=6, log_position=41)
    outgoing = to_outgoing(logged, "intake")
    assert to_record(MAPPER, sent) == replace(logged, position=7, headers=outgoing.headers, key=outgoing.key)


@pytest.mark.parametrize("kind", POISON)
def test_what_cannot_be_read_becomes_a_record_with_a_reason(kind: str) -> None:
    poison, reason = POISON[kind]
    record = to_record(MAPPER, poison)
    assert (record.event, record.position, record.body) == (None, 7, poison.value or b"")
    assert reason in record.reason


@pytest.mark.parametrize("kind", POISON)
def test_key_and_headers_of_what_cannot_be_read_are_kept(kind: str) -> None:
    poison, _ = POISON[kind]
    record = to_record(MAPPER, poison)
    assert record.headers == tuple((name, value or b"") for name, value in poison.headers)
    assert record.key == poison.key


@pytest.mark.parametrize("kind", POISON)
def test_a_reason_quotes_no_record(kind: str) -> None:
    assert "Jane" not in to_record(MAPPER, POISON[kind][0]).reason


def test_what_can_be_read_of_a_bad_record_is_reported() -> None:
    record = to_record(MAPPER, replace(GOOD, value=b"{"))
    assert (record.id, record.topic, record.log_position) == (f"{fact().originator_id}/1", fact().TOPIC, 3)


def test_what_a_bad_record_does_not_tell_is_empty() -> None:
    record = to_record(MAPPER, replace(GOOD, headers=(("ce_id", b"\xff"), ("ce_sequence", b"x"))))
    assert (record.id, record.topic, record.log_position) == ("", "", 0)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_may_be_announced_in_other_words(content_type: str) -> None:
    assert to_record(MAPPER, changed("content-type", content_type.encode())).event == fact()


def test_further_headers_do_no_harm() -> None:
    further: Headers = (("traceparent", b"00-4bf9-01"), ("trace", b"1"), ("trace", b"2"))
    record = to_record(MAPPER, replace(GOOD, headers=(*GOOD.headers, *further)))
    assert record.event == fact()
    assert record.headers[-3:] == further


def test_the_largest_value_is_read() -> None:
    assert GOOD.value is not None
    assert to_record(MAPPER, replace(GOOD, value=GOOD.value.ljust(LARGEST))).event == fact()


def test_an_event_without_a_driver_has_no_subject() -> None:
    headers = dict(message(SAMPLES["Account.SyncTurnedOn"]).headers)
    assert "ce_subject" not in headers
    assert dict(message(fact()).headers)["ce_subject"] == b"417"


def test_only_what_the_decider_says_of_one_target_names_it() -> None:
    decision = SAMPLES["DriverLink.CreateDecided"]
    assert isinstance(decision, DeciderEvent)
    assert to_record(MAPPER, message(decision)).target == decision.target
    named = [topic for topic, event in SAMPLES.items() if "ce_target" in dict(message(event).headers)]
    assert named == [topic for topic, event in SAMPLES.items() if isinstance(event, DeciderEvent)]


@pytest.mark.parametrize(
    ("sent_in", "read", "is_stale"),
    [("1", "1", False), ("1", "2", True), ("2", "1", True), ("", "2", False), ("1", "", False)],
)
def test_what_was_sent_in_another_epoch_is_stale(sent_in: str, read: str, is_stale: bool) -> None:  # noqa: FBT001
    assert to_record(MAPPER, message(epoch=sent_in), read).is_stale is is_stale


def test_an_epoch_that_cannot_be_read_is_left_to_the_dead_letters() -> None:
    sent = message(epoch="2")
    record = to_record(MAPPER, replace(sent, headers=with_header(sent, "ce_epoch", b"\xff")), "1")
    assert (record.is_stale, record.reason) == (False, "the header 'ce_epoch' is not UTF-8")


@pytest.mark.parametrize("value", [None, b"\xff"])
def test_a_target_that_cannot_be_read_is_none(value: bytes | None) -> None:
    decision = message(SAMPLES["DriverLink.CreateDecided"])
    assert to_record(MAPPER, replace(decision, headers=with_header(decision, "ce_target", value))).target == ""


def test_a_log_that_cannot_be_read_is_not_relayed() -> None:
    logged = to_logged(MAPPER, 5, replace(MAPPER.to_stored_event(fact()), topic="PortalDriver.DriverPraised"))
    with pytest.raises(StreamsFailed, match=r"record 5 of the log of intake cannot be relayed: unknown type"):
        to_outgoing(logged, "intake")


_HEADERS = st.lists(
    st.tuples(st.sampled_from([name for name, _ in GOOD.headers]), st.none() | st.binary(max_size=40)), max_size=9
)


@given(
    key=st.none() | st.binary(max_size=8),
    value=st.none() | st.binary(max_size=200),
    headers=_HEADERS,
    keeps_headers=st.booleans(),
)
def test_no_bytes_raise_anything(
    *, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]], keeps_headers: bool
) -> None:
    said = GOOD.headers if keeps_headers else tuple(headers)
    record = to_record(MAPPER, FakeMessage(offset=0, key=key, value=value, headers=said))
    assert record.event is None
    assert record.reason


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(fields=st.dictionaries(st.sampled_from(["at", "account", "driver", "source", "profile", "more"]), _JSON))
def test_no_json_raises_anything(fields: dict[str, object]) -> None:
    body = json.dumps({**json.loads(GOOD.value or b""), **fields}).encode()
    record = to_record(MAPPER, replace(GOOD, value=body))
    assert isinstance(record.event, Event) is not bool(record.reason)
