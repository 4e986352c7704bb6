"""Facts that were stored in a former form say what was known then."""

from datetime import UTC, datetime
from typing import Any

from domain.driver_link import Confirmed, DriftFound
from domain.outcomes import CallAnswered, WalkCompleted

AT = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


def test_drift_of_which_nothing_else_was_stored_was_first_seen_when_it_was_found() -> None:
    state: dict[str, Any] = {"at": AT, "fields": ["email"]}
    DriftFound.upcast_v1_v2(state)
    assert state == {
        "at": AT,
        "fields": ["email"],
        "profile": {},
        "decision": 0,
        "first_seen": "2026-01-05T08:00:00+00:00",
        "sweep": 0,
        "at_odds": [],
    }


def test_a_walk_from_before_there_were_requests_was_for_none() -> None:
    state: dict[str, Any] = {"terms": 2, "drivers": 5}
    WalkCompleted.upcast_v1_v2(state)
    assert state == {"terms": 2, "drivers": 5, "request": 0}


def test_of_a_walk_of_former_days_nothing_unreadable_is_known() -> None:
    state: dict[str, Any] = {"terms": 2}
    WalkCompleted.upcast_v2_v3(state)
    assert state == {"terms": 2, "unreadable": 0, "unreadable_records": []}


def test_what_was_confirmed_in_former_days_left_nothing_unseen() -> None:
    state: dict[str, Any] = {"unlike": ["phone"]}
    Confirmed.upcast_v1_v2(state)
    assert state == {"unlike": ["phone"], "unseen": []}


def test_an_answer_of_former_days_counts_as_shown() -> None:
    state: dict[str, Any] = {"outcome": "confirmed"}
    CallAnswered.upcast_v1_v2(state)
    assert state == {"outcome": "confirmed", "is_shown": True}
