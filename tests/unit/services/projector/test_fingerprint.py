import json
from collections.abc import Mapping
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.projector.read_models import fingerprint

JANE = {"first_name": "Jane", "email": "jane@fleet.test"}

profiles = st.dictionaries(st.sampled_from(["first_name", "last_name", "email"]), st.text(max_size=3))
drivers = st.tuples(st.text(max_size=3), profiles, st.booleans())

Driver = tuple[str, Mapping[str, str], bool]


def of(driver: Driver) -> str:
    key, profile, active = driver
    return fingerprint(key, profile, active=active)


@given(drivers, drivers)
def test_only_who_is_shown_the_same_has_the_same_fingerprint(one: Driver, other: Driver) -> None:
    assert (of(one) == of(other)) is (one == other)


@given(drivers)
def test_it_is_that_of_the_json_text_with_which_rows_are_stored(driver: Driver) -> None:
    key, profile, active = driver
    text = json.dumps([key, active, profile], sort_keys=True)
    assert of(driver) == blake2b(text.encode(), digest_size=16).hexdigest()


def test_no_character_of_a_text_is_taken_for_the_end_of_it() -> None:
    for end in ("\0", '"', '", "', "\\"):
        one = {"first_name": f"A{end}last_name{end}B"}
        assert of(("D1", one, True)) != of(("D1", {"first_name": "A", "last_name": "B"}, True))


def test_the_order_of_fields_does_not_count() -> None:
    assert of(("D1", JANE, True)) == of(("D1", dict(reversed(JANE.items())), True))


@pytest.mark.parametrize(
    "other",
    [
        ("D2", JANE, True),
        ("D1", JANE, False),
        ("D1", {"first_name": "Jane"}, True),
        ("D1", {"first_name": "jane@fleet.test", "email": "Jane"}, True),
        ("D1", {"first_name": "Jane\ud800", "email": "jane@fleet.test"}, True),
    ],
)
def test_whatever_differs_counts(other: Driver) -> None:
    assert of(("D1", JANE, True)) != of(other)
