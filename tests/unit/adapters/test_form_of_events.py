"""What is stored of an event is plain JSON, and what was stored in the library's own form is read as it reads it."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import pytest
from eventsourcing.persistence import DatetimeAsISO, JSONTranscoder, Mapper
from hypothesis import given
from hypothesis import strategies as st

from adapters.events import envelope_of, new_mapper
from tests.golden.samples import SAMPLES

OURS = new_mapper().transcoder
THEIRS = JSONTranscoder()
THEIRS.register(DatetimeAsISO())

LIBRARY: Mapper[UUID] = Mapper(THEIRS)

NOTHING = object()


def decoded(transcoder: object, data: bytes) -> object:
    assert isinstance(transcoder, JSONTranscoder)
    with suppress(Exception):
        return transcoder.decode(data)
    return NOTHING


def plain(state: dict[str, object]) -> dict[str, object]:
    """The same with the moment as text."""
    moment = state["at"]
    assert isinstance(moment, datetime)
    return {**state, "at": moment.isoformat()}


@pytest.mark.parametrize("topic", SAMPLES)
def test_every_kind_of_event_is_stored_as_plain_json(topic: str) -> None:
    state = {name: value for name, value in vars(SAMPLES[topic]).items() if not name.startswith("originator_")}
    assert OURS.encode(state) == THEIRS.encode(plain(state))
    assert json.loads(OURS.encode(state))["at"] == SAMPLES[topic].at.isoformat()
    stored = new_mapper().to_stored_event(SAMPLES[topic])
    assert new_mapper().to_domain_event(stored) == SAMPLES[topic]


@pytest.mark.parametrize("topic", SAMPLES)
def test_every_kind_of_event_is_read_as_the_library_stored_it_once(topic: str) -> None:
    once = LIBRARY.to_stored_event(SAMPLES[topic])
    assert new_mapper().to_domain_event(once) == LIBRARY.to_domain_event(once) == SAMPLES[topic]
    envelope, now = envelope_of(once.state), envelope_of(new_mapper().to_stored_event(SAMPLES[topic]).state)
    assert envelope is not None
    assert now is not None
    assert envelope.time == now.time == SAMPLES[topic].at.isoformat()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["account", "driver", "profile"]), JSON))
def test_any_plain_state_is_written_as_the_library_does_and_read_in_both_forms(fields: dict[str, object]) -> None:
    state: dict[str, object] = {"at": datetime(2026, 1, 5, 8, tzinfo=UTC), **fields}
    assert OURS.encode(state) == THEIRS.encode(plain(state))
    assert decoded(OURS, OURS.encode(state)) == state
    assert decoded(OURS, THEIRS.encode(state)) == state


def test_what_looks_like_a_mark_is_text_in_a_plain_state() -> None:
    state = {"at": datetime(2026, 1, 5, 8, tzinfo=UTC), "profile": {"_type_": "datetime_iso", "_data_": "_type_"}}
    assert decoded(OURS, OURS.encode(state)) == state


MARKED = {"_type_": "datetime_iso", "_data_": "2026-01-05T08:00:00+00:00"}


@pytest.mark.parametrize(
    "data",
    [
        json.dumps({"at": MARKED, "more": MARKED}).encode(),
        json.dumps({"more": MARKED}).encode(),
        json.dumps({"at": {**MARKED, "third": 1}}).encode(),
        json.dumps({"at": {**MARKED, "_data_": 7}}).encode(),
        json.dumps({"at": {**MARKED, "_type_": "uuid_hex"}}).encode(),
        json.dumps({"at": MARKED, "more": {"x": MARKED}}).replace('"x": {"_type_"', '"x": {"\\u005ftype_"').encode(),
        json.dumps({"at": MARKED, "text": "\ud800"}).encode(),
        json.dumps({"at": MARKED, "number": float("inf")}).encode(),
        json.dumps([MARKED]).encode(),
        b'{"at":{"_type_":"datetime_iso","_data_":"2026-01-05T08:00:00+00:00"},"a":1,"a":2}',
        b'{"at":{"_type_":"datetime_iso","_data_":"soon"}}',
        b'{"at":"soon"}',
        b'{"at":7}',
        b"",
        b"\xff",
    ],
)
def test_whatever_is_odd_is_read_as_the_library_reads_it(data: bytes) -> None:
    assert decoded(OURS, data) == decoded(THEIRS, data)
