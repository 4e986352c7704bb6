"""A profile holds what the Portal says, cleaned, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.profile import FIELDS, StatedProfile, chosen, differing, erased_profile, is_erased, tidy

TEXTS = st.text(alphabet=" \tab", max_size=4)
VALUES = st.dictionaries(st.sampled_from([*FIELDS, "shoe_size", "id"]), TEXTS)


@given(values=VALUES)
def test_a_tidy_profile_has_no_blanks_no_margins_and_no_unknown_fields(values: dict[str, str]) -> None:
    profile = tidy(values)
    assert profile == {name: text for name in FIELDS if (text := " ".join(values.get(name, "").split()))}
    assert list(profile) == [name for name in FIELDS if name in profile]
    assert tidy(profile) == profile


def test_only_the_chosen_fields_that_are_there_are_kept() -> None:
    assert chosen({"email": "e", "phone": "p"}, ["phone", "ref_id"]) == {"phone": "p"}


@pytest.mark.parametrize(
    ("desired", "shown"),
    [
        ({"phone": "+1 (303) 555-0142"}, {"phone": "3035550142"}),
        ({"phone": "303-555-0142"}, {"phone": "13035550142"}),
        ({"phone": "303-555-0142"}, {"phone": "+13035550142"}),
        ({"phone": "0049 171 1234567"}, {"phone": "+491711234567"}),
        ({"phone": "0171 1234567"}, {"phone": "+491711234567"}),
        ({"phone": "+52 55 1234 5678"}, {"phone": "5512345678"}),
        ({"email": "Jane@Fleet.example"}, {"email": "jane@fleet.example"}),
        ({}, {"email": "jane@fleet.example"}),
    ],
)
def test_spelling_and_silence_do_not_differ(desired: dict[str, str], shown: dict[str, str]) -> None:
    assert differing(desired, shown) == ()


@pytest.mark.parametrize(
    ("desired", "shown"),
    [
        ({"phone": "303-555-0142"}, {"phone": "303-555-0143"}),
        ({"phone": "303-555-0142"}, {}),
        ({"phone": "+52 55 1234 5678"}, {"phone": "+1 55 1234 5678"}),
        ({"phone": "0052 55 1234 5678"}, {"phone": "15512345678"}),
        ({"phone": "303-555-0142"}, {"phone": "555-0142"}),
        ({"phone": "+1 303 555 0142"}, {"phone": "555-0142"}),
        ({"phone": "ask the office"}, {"phone": "none"}),
        ({"last_name": "Doe"}, {"last_name": "DOE"}),
        ({"ref_id": "0042"}, {"ref_id": "42"}),
    ],
)
def test_everything_else_differs(desired: dict[str, str], shown: dict[str, str]) -> None:
    assert differing(desired, shown) == tuple(desired)


def test_differences_are_sorted_and_leave_out_what_cannot_be_read() -> None:
    desired = {"phone": "1", "last_name": "Doe", "email": "e"}
    assert differing(desired, {}, unreadable=["phone"]) == ("email", "last_name")


def test_a_statement_says_nothing_of_the_fields_that_it_does_not_name() -> None:
    known = {"first_name": "Jane", "last_name": "Doe", "email": "jane@fleet.test"}
    stated = StatedProfile(fields={"last_name": "Roe ", "email": ""})
    assert stated.onto(known) == {"first_name": "Jane", "last_name": "Roe"}
    assert stated.and_also({"email": "roe@fleet.test"}).onto(known)["email"] == "roe@fleet.test"
    assert [stated.text(name) for name in ("last_name", "email", "first_name")] == ["Roe", "", ""]


def test_the_profile_of_an_erased_driver_is_recognised_and_cannot_be_stated() -> None:
    assert is_erased(erased_profile())
    assert not any(map(is_erased, ({}, {"first_name": "erased"}, None)))
    assert tidy(erased_profile()) == {}
