"""Failures carry the facts, and no personal data."""

import pytest

from domain.failures import Reason, Rejected, TargetFailed, Unavailable, redacted

PROFILE = {"first_name": "Jane", "email": "jane@fleet.example", "last_name": "D"}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("jane@fleet.example is taken", "<email> is taken"),
        ("JANE@FLEET.EXAMPLE is taken by Jane", "<email> is taken by <first_name>"),
        ("email is invalid", "email is invalid"),
        ("Driver not found", "Driver not found"),
    ],
)
def test_a_targets_words_name_fields_and_not_their_values(said: str, told: str) -> None:
    assert redacted(said, PROFILE) == told


def test_words_without_a_profile_are_only_cut() -> None:
    assert redacted("x" * 400, {}) == "x" * 300


def test_values_with_signs_of_their_own_are_found_as_they_are() -> None:
    assert redacted("phone +1 (303) 555.", {"phone": "+1 (303) 555"}) == "phone <phone>."


@pytest.mark.parametrize(
    "failure", [Rejected(reason=Reason.CREDENTIALS, detail="401"), Unavailable(reason=Reason.DOWN, detail="401")]
)
def test_a_roster_that_cannot_be_read_says_why(failure: Rejected | Unavailable) -> None:
    failed = TargetFailed(failure)
    assert (str(failed), failed.failure) == (f"{failure.reason}: 401", failure)
