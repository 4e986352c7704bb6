"""What a process logs of what it stores, and how much."""

import asyncio
import os
import signal
from collections.abc import Iterator, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import structlog

from domain.driver_link import Confirmed, Parked, UpdateDecided
from domain.outcomes import CallAnswered, ObservedDriverSeen
from services.runtime.logs import LogLevel, level_by_signals, log_stored, set_level

STREAM = UUID(int=7)
NOW = datetime(2026, 11, 30, tzinfo=UTC)
PERSON = {"first_name": "Jane", "email": "jane@fleet.test"}

DECIDED = UpdateDecided(
    originator_id=STREAM,
    originator_version=3,
    at=NOW,
    account="acme",
    target="motive",
    driver="p1",
    sequence=4,
    key="17",
    desired_key="17",
    profile=PERSON,
    fields=["email"],
    answers=1,
    policy_generation=1,
    waits_for="",
    rationale={"trigger": "change", "ref": "4", "situation": "outdated", "mode": "full", "evidence": {"key": "jane"}},
)
PARKED = Parked(
    originator_id=STREAM,
    originator_version=4,
    at=NOW,
    account="acme",
    target="motive",
    driver="p1",
    sequence=5,
    reason="conflict",
    detail="jane@fleet.test is another driver's",
    waits_for="email:jane@fleet.test",
    holder="p2",
    rationale={"situation": "conflict"},
)
ANSWERED = CallAnswered(
    originator_id=STREAM,
    originator_version=2,
    at=NOW,
    account="acme",
    target="motive",
    driver="p1",
    decision=3,
    outcome="refused",
    key="17",
    active=True,
    profile=PERSON,
    left=None,
    reason="invalid",
    detail="Jane is too long",
)
CONFIRMED = Confirmed(
    originator_id=STREAM,
    originator_version=5,
    at=NOW,
    account="acme",
    target="motive",
    driver="p1",
    decision=3,
    key="17",
    profile=PERSON,
    unlike=[],
)
SEEN = ObservedDriverSeen(
    originator_id=STREAM,
    originator_version=1,
    at=NOW,
    account="acme",
    target="motive",
    key="17",
    active=True,
    profile=PERSON,
)
EVENTS = [SEEN, DECIDED, PARKED, CONFIRMED, ANSWERED]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    set_level(LogLevel.WARNING)
    structlog.configure(**before)


def test_a_decision_is_one_line_that_says_why_and_names_people_by_their_ids() -> None:
    set_level(LogLevel.INFO)
    with structlog.testing.capture_logs() as lines:
        log_stored([DECIDED])
    assert lines == [
        {
            "event": "stored",
            "log_level": "info",
            "type": "DriverLink.UpdateDecided",
            "id": f"{STREAM}/3",
            "account": "acme",
            "target": "motive",
            "driver": "p1",
            "sequence": 4,
            "trigger": "change",
            "ref": "4",
            "situation": "outdated",
            "mode": "full",
        }
    ]


@pytest.mark.parametrize(
    ("level", "types"),
    [
        (LogLevel.ERROR, []),
        (LogLevel.WARNING, []),
        (LogLevel.INFO, ["DriverLink.UpdateDecided", "DriverLink.Parked", "Report.CallAnswered"]),
        (LogLevel.DEBUG, [event.TOPIC for event in EVENTS]),
    ],
)
def test_the_level_says_which_facts_have_a_line_and_none_has_personal_data(level: LogLevel, types: list[str]) -> None:
    set_level(level)
    with structlog.testing.capture_logs() as lines:
        log_stored(EVENTS)
    assert [line["type"] for line in lines] == types
    assert "jane" not in repr(lines).lower()


def test_signals_raise_the_level_of_a_running_process_and_set_it_back() -> None:
    set_level(LogLevel.WARNING)
    said: asyncio.Queue[str] = asyncio.Queue()

    def hear(_: object, __: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
        said.put_nowait(line["to"])
        raise structlog.DropEvent

    async def send() -> list[str]:
        heard = []
        with level_by_signals():
            for number in (signal.SIGUSR1, signal.SIGUSR1, signal.SIGUSR1, signal.SIGUSR2):
                os.kill(os.getpid(), number)
                heard.append(await said.get())
        return heard

    structlog.configure(processors=[hear])
    assert asyncio.run(send()) == ["info", "debug", "debug", "warning"]
