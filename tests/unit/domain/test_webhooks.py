"""What webhooks say of a link's history, when a message is sent again, and where one may go."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from domain.driver_link import (
    Confirmed,
    CreateDecided,
    Decision,
    DeleteDecided,
    DeleteHeld,
    LinkEvent,
    Parked,
    Rationale,
    Released,
    RenameDecided,
    UpdateDecided,
)
from domain.identity import AccountId, PortalDriverId, Target, link_stream
from domain.ports import WebhookAnswer
from domain.webhooks import (
    RETRY_SCHEDULE,
    MessageType,
    NamedLink,
    Occurrence,
    follow,
    is_loopback_address,
    is_public_address,
    pause_after,
    wait_after,
)

AT = datetime(2026, 3, 2, 8, tzinfo=UTC)
LINK = link_stream(AccountId("acme"), Target.DRIVERI, PortalDriverId("417"))
ORIGIN: dict[str, Any] = {"originator_id": LINK, "at": AT, "account": "acme", "target": "driveri", "driver": "417"}


def decided(kind: type[Decision], version: int, situation: str) -> Decision:
    return kind(
        **ORIGIN,
        originator_version=version,
        sequence=version,
        key=None,
        desired_key="D1",
        profile={"first_name": "Jane"},
        fields=[],
        answers=0,
        policy_generation=1,
        waits_for="",
        rationale={"situation": situation},
    )


def confirmed(version: int, key: str | None, decision: int = 0) -> Confirmed:
    return Confirmed(**ORIGIN, originator_version=version, decision=decision, key=key, profile={}, unlike=[])


def parked(version: int, reason: str, rationale: Rationale) -> Parked:
    return Parked(
        **ORIGIN,
        originator_version=version,
        sequence=1,
        reason=reason,
        detail="",
        waits_for="",
        holder="",
        rationale=rationale,
    )


def said(history: Iterable[LinkEvent]) -> list[Occurrence]:
    """Everything that there is to say of a history."""
    link, found = NamedLink(), list[Occurrence]()
    for event in history:
        link, occurrences = follow(link, event)
        found += occurrences
    return found


def test_a_life_is_told_by_the_keys_that_were_confirmed() -> None:
    history = [
        decided(CreateDecided, 1, "absent"),
        confirmed(2, "D1", 1),
        decided(UpdateDecided, 3, "outdated"),
        confirmed(4, "D1", 3),
        decided(RenameDecided, 5, "renamed"),
        confirmed(6, "D2", 5),
        decided(DeleteDecided, 7, "orphaned"),
        confirmed(8, None, 7),
    ]
    assert said(history) == [
        Occurrence(type=MessageType.LINKED, reason="absent", key="D1"),
        Occurrence(type=MessageType.RENAMED, reason="renamed", key="D2", former_key="D1"),
        Occurrence(type=MessageType.DELETED, reason="orphaned", former_key="D2"),
    ]


def test_what_the_target_did_without_us_is_observed() -> None:
    history = [decided(CreateDecided, 1, "absent"), confirmed(2, "D1", 1), confirmed(3, None)]
    assert [each.reason for each in said(history)] == ["absent", "observed"]


def test_the_answer_to_an_older_decision_does_not_have_the_reason_of_the_newest() -> None:
    history = [decided(CreateDecided, 1, "absent"), decided(RenameDecided, 2, "renamed"), confirmed(3, "D1", 1)]
    assert [each.reason for each in said(history)] == ["observed"]


def test_what_comes_again_says_nothing_again() -> None:
    history = [decided(CreateDecided, 1, "absent"), confirmed(2, "D1", 1)]
    link = NamedLink()
    for event in history:
        link, _ = follow(link, event)
    assert [follow(link, event) for event in history] == [(link, ())] * 2


def test_a_held_delete_needs_a_person() -> None:
    held = DeleteHeld(**ORIGIN, originator_version=1, sequence=1, key="D1", rationale={"situation": "orphaned"})
    assert said([held]) == [
        Occurrence(type=MessageType.HELD, reason="orphaned", key="D1"),
        Occurrence(type=MessageType.NEEDS_PERSON, reason="orphaned", key="D1"),
    ]


@pytest.mark.parametrize(
    ("rationale", "types"),
    [
        (Rationale(), ["driver.parked", "driver.needs_person"]),
        (Rationale(evidence={"conflict": {"by": "id"}}), ["driver.parked", "driver.needs_person"]),
        (Rationale(evidence={"conflict": {"swap": True}}), ["driver.parked"]),
    ],
)
def test_a_driver_set_aside_needs_a_person_unless_others_of_a_circle_only_have_to_move(
    rationale: Rationale, types: list[str]
) -> None:
    assert [str(each.type) for each in said([parked(1, "conflict", rationale)])] == types


def test_a_release_says_nothing() -> None:
    assert said([Released(**ORIGIN, originator_version=1, reason="conflict")]) == []


def test_a_message_is_tried_for_three_days_ever_more_rarely_and_then_no_more() -> None:
    message = UUID(int=7)
    waits = [wait_after(tries, message) for tries in range(1, len(RETRY_SCHEDULE) + 2)]
    assert waits[-1] is None
    assert [wait for wait in waits if wait] == sorted(wait for wait in waits if wait)
    assert all(wait and planned <= wait <= planned * 1.1 for wait, planned in zip(waits, RETRY_SCHEDULE, strict=False))
    assert 3 < sum(RETRY_SCHEDULE) / 86_400 < 4


def test_a_receiver_that_asks_for_time_gets_it_within_the_schedule() -> None:
    message = UUID(int=7)
    assert wait_after(1, message, 120.0) == 120.0
    assert wait_after(2, message, 120.0) == wait_after(2, message)
    assert wait_after(1, message, 1e9) == RETRY_SCHEDULE[-1]
    assert wait_after(len(RETRY_SCHEDULE) + 1, message, 120.0) is None
    assert [pause_after(failures, 120.0) for failures in (1, 50)] == [120.0, 300.0]
    assert pause_after(1, 1e9) == 300.0


def test_one_failure_does_not_pause_an_endpoint_and_more_do_ever_longer() -> None:
    assert [pause_after(failures) for failures in (1, 2, 3, 4, 50)] == [0.0, 5.0, 10.0, 20.0, 300.0]


@pytest.mark.parametrize(
    ("address", "is_public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("64:ff9b::808:808", True),
        ("127.0.0.1", False),
        ("::1", False),
        ("0.0.0.0", False),  # noqa: S104 - not bound
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("224.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("2002:a00:1::", False),
        ("64:ff9b::a00:1", False),
        ("64:ff9b:1::1", False),
    ],
)
def test_only_addresses_of_the_public_internet_are_public_however_they_are_written(
    address: str, *, is_public: bool
) -> None:
    assert is_public_address(address) is is_public


def test_loopback_is_known_in_both_families() -> None:
    assert [is_loopback_address(each) for each in ("127.0.0.9", "::1", "8.8.8.8")] == [True, True, False]


@pytest.mark.parametrize(("status", "is_success"), [(0, False), (199, False), (200, True), (299, True), (300, False)])
def test_a_receiver_has_a_message_once_it_answers_with_a_status_of_success(status: int, *, is_success: bool) -> None:
    assert WebhookAnswer(status=status).is_success is is_success
