"""Exports of events: what is personal is left out, and they end although more is stored meanwhile."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.api import event_exports
from services.api.event_exports import PERSONAL_FIELDS, without_personal_data
from services.api.events import LoggedEvent
from tests.unit.services.api.api_stand import ApiStand

pytestmark = pytest.mark.anyio

DOCUMENT = Path(__file__).parents[4] / "docs/reference/asyncapi.json"
EXPORT = "/events/export"


def marked(document: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """The fields that the contract says are personal."""
    if isinstance(document, dict):
        for name, each in document.items():
            if isinstance(each, dict) and each.get("x-personal-data"):
                yield name
            yield from marked(each)


def test_every_field_that_is_personal_by_the_contract_is_left_out() -> None:
    assert {*marked(json.loads(DOCUMENT.read_text("utf-8")))} == PERSONAL_FIELDS


def test_of_what_cannot_be_read_nothing_is_shown() -> None:
    event = LoggedEvent(
        log="decisions",
        position=1,
        at=None,
        type="Strange",
        account="acme",
        target="",
        driver="",
        version=0,
        data={"body": "Jane"},
        unreadable="unknown type",
    )
    assert without_personal_data(event).data == {}


async def lines(stand: ApiStand, path: str, **query: str) -> list[dict[str, Any]]:
    answer = await stand.get(path, **query)
    assert answer.status_code == 200
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_an_export_says_how_far_it_is_and_goes_on_from_any_of_its_cursors(
    stand: ApiStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stand.set_some_aside()
    monkeypatch.setattr(event_exports, "_CHUNK", 4)
    for path in (EXPORT, "/events/export-without-personal-data"):
        found = await lines(stand, path)
        events = [each["event"] for each in found if "event" in each]
        progress = [each["progress"] for each in found if "progress" in each]
        assert len(events) == len((await stand.get("/events")).json()["events"]) > 8
        assert [each["done"] for each in progress] == sorted({each["done"] for each in progress})
        assert progress[-1]["done"] == progress[-1]["total"]
        assert all(len(page) <= 4 for page in pages(found))
        for number, each in enumerate(progress):
            rest = await lines(stand, path, cursor=each["cursor"])
            seen = sum(map(len, pages(found)[: number + 1]))
            assert [line["event"] for line in rest if "event" in line] == events[seen:]


def pages(found: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The events of an export, parted where it says how far it is."""
    parts: list[list[dict[str, Any]]] = [[]]
    for each in found:
        parts[-1].append(each) if "event" in each else parts.append([])
    return parts[:-1]


async def test_an_export_ends_where_the_logs_ended_when_it_began(stand: ApiStand) -> None:
    await stand.set_some_aside()
    log = stand._installation.readers.decider.log
    last = log.end()
    until = event_exports._LogUntil(log, last - 1)
    assert [record.position for record in until.read(0, 100)] == [*range(1, last)]
    assert [record.position for record in until.read_back(last + 9, 1)] == [last - 1]
    assert (until.end(), [*until.read(last - 1, 10)]) == (last - 1, [])


async def test_a_wrong_cursor_and_account_are_refused(stand: ApiStand) -> None:
    for query in ({"cursor": "x"}, {"account": "nobody"}, {"log": "nothing"}):
        assert (await stand.get(EXPORT, **query)).status_code in (400, 404)
