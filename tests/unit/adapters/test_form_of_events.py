"""What is stored of an event is the library's JSON, byte for byte, however it is written and read."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import pytest
from eventsourcing.persistence import DatetimeAsISO, JSONTranscoder, Mapper
from hypothesis import given
from hypothesis import strategies as st

from adapters.events import new_mapper
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


@pytest.mark.parametrize("topic", SAMPLES)
def test_every_kind_of_event_is_stored_as_the_library_would(topic: str) -> None:
    state = {name: value for name, value in vars(SAMPLES[topic]).items() if not name.startswith("originator_")}
    assert OURS.encode(state) == THEIRS.encode(state)
    assert OURS.decode(THEIRS.encode(state)) == state
    stored = new_mapper().to_stored_event(SAMPLES[topic])
    assert stored == LIBRARY.to_stored_event(SAMPLES[topic])
    assert new_mapper().to_domain_event(stored) == LIBRARY.to_domain_event(stored) == SAMPLES[topic]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["account", "driver", "profile"]), JSON))
def test_any_plain_state_is_written_and_read_as_the_library_does(fields: dict[str, object]) -> None:
    state = {"at": datetime(2026, 1, 5, 8, tzinfo=UTC), **fields}
    assert OURS.encode(state) == THEIRS.encode(state)
    assert decoded(OURS, THEIRS.encode(state)) == state


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
        b"",
        b"\xff",
    ],
)
def test_whatever_is_odd_is_read_as_the_library_reads_it(data: bytes) -> None:
    assert decoded(OURS, data) == decoded(THEIRS, data)
