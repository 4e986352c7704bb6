"""The log over real streams: merged, filtered, paged, followed."""

from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from json import dumps

import pytest

from domain.identity import Target
from domain.store import Event, Log, Record, Resubmission
from services.api import events
from services.api.events import BadCursor, EventFilter, EventPage, LoggedEvent, read_events
from services.api.schema import to_json
from tests.unit.services.api.fleet import JANE, Fleet

EVERYTHING = EventFilter()
SIZES = [1, 3, 1000]


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Log]]:
    """Two drivers are created, one is renamed, the other one deleted; for reading only."""
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    fleet.start("1", "2")
    fleet.state("1", **{**JANE, "driveri_driver_id": "Dx9"})
    fleet.delete("2")
    fleet.settle()
    yield streams_of(fleet)
    fleet.close()


def streams_of(fleet: Fleet) -> Mapping[str, Log]:
    reports = {f"outcomes-{target}": store.log for target, store in fleet.reports.items()}
    return {"accounts": fleet.accounts.log, "changes": fleet.intake.log, "decisions": fleet.decider.log, **reports}


def pages(
    streams: Mapping[str, Log], filters: EventFilter = EVERYTHING, limit: int = 1000, cursor: str | None = None
) -> Iterator[EventPage]:
    while True:
        page = read_events(streams, filters, cursor, limit)
        yield page
        cursor = page.cursor
        if page.is_end:
            return


def read(streams: Mapping[str, Log], filters: EventFilter = EVERYTHING, limit: int = 1000) -> list[LoggedEvent]:
    return [event for page in pages(streams, filters, limit) for event in page.events]


def told(found: Sequence[LoggedEvent]) -> list[str]:
    return [f"{event.log} {event.type} {event.driver}".rstrip() for event in found]


@pytest.mark.parametrize("limit", SIZES)
def test_logs_are_merged_in_the_order_of_time(streams: Mapping[str, Log], limit: int) -> None:
    found = read(streams, limit=limit)
    assert len(found) == sum(stream.end() for stream in streams.values())
    moments = [event.at for event in found if event.at]
    assert moments == sorted(moments)
    assert told(found)[:4] == [
        "accounts AccountAdded",
        "changes DriverCreated 1",
        "changes DriverCreated 2",
        "accounts SyncTurnedOn",
    ]


@pytest.mark.parametrize("limit", SIZES)
@pytest.mark.parametrize("scanned", [1, 7, 2000])
def test_the_size_of_pages_changes_nothing(
    streams: Mapping[str, Log], monkeypatch: pytest.MonkeyPatch, limit: int, scanned: int
) -> None:
    whole = read(streams)
    monkeypatch.setattr(events, "MOST_SCANNED", scanned)
    monkeypatch.setattr(events, "_PAGE", 2)
    assert read(streams, limit=limit) == whole


@pytest.mark.parametrize("limit", SIZES)
@pytest.mark.parametrize("scanned", [1, 7, 2000])
def test_the_newest_come_first_whatever_the_size_of_pages(
    streams: Mapping[str, Log], monkeypatch: pytest.MonkeyPatch, limit: int, scanned: int
) -> None:
    whole, until = read(streams), datetime(2026, 3, 1, 8, 10, tzinfo=UTC)
    monkeypatch.setattr(events, "MOST_SCANNED", scanned)
    monkeypatch.setattr(events, "_PAGE", 2)
    for filters in (EVERYTHING, EventFilter(until=until), EventFilter(since=until)):
        found = backwards(streams, filters, limit)
        assert found == [each for each in reversed(whole) if filters.let_through(each)]


def backwards(streams: Mapping[str, Log], filters: EventFilter, limit: int = 1000) -> list[LoggedEvent]:
    found: list[LoggedEvent] = []
    page: EventPage | None = None
    while page is None or not page.is_end:
        page = read_events(streams, filters, page.cursor if page else None, limit, newest_first=True)
        found += page.events
    return found


def test_a_cursor_does_not_turn_round(streams: Mapping[str, Log]) -> None:
    page = read_events(streams, EVERYTHING, None, 2, newest_first=True)
    with pytest.raises(BadCursor):
        read_events(streams, EVERYTHING, page.cursor, 2)


def test_events_are_found_by_reason_outcome_trigger_and_person(streams: Mapping[str, Log]) -> None:
    whole = read(streams)
    confirmed = [each for each in whole if each.type == "CallAnswered"]
    assert confirmed
    assert read(streams, EventFilter(outcome="confirmed")) == confirmed
    assert read(streams, EventFilter(outcome="refused")) == []
    assert read(streams, EventFilter(reason="conflict")) == []
    assert {each.type for each in read(streams, EventFilter(trigger="change"))} >= {"RenameDecided", "DeleteDecided"}
    asked = {each.data["by"] for each in whole if "by" in each.data}
    for person in asked:
        assert {each.data["by"] for each in read(streams, EventFilter(by=person))} == {person}


def test_a_rare_filter_looks_at_a_bounded_number_of_records(
    streams: Mapping[str, Log], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_SCANNED", 5)
    found = list(pages(streams, EventFilter(types=frozenset({"DriverDeleted"}))))
    assert [len(page.events) for page in found if page.events] == [1]
    assert len(found) == sum(stream.end() for stream in streams.values()) // 5 + 1


def test_following_shows_each_event_once(fleet: Fleet) -> None:
    fleet.state("1", **JANE)
    streams = streams_of(fleet)
    *_, last = pages(streams)
    waiting = read_events(streams, EVERYTHING, last.cursor, 10)
    assert (waiting.events, waiting.is_end) == ((), True)
    fleet.state("2", first_name="Eve")
    *_, following = pages(streams, cursor=waiting.cursor)
    assert told(following.events) == ["changes DriverCreated 2"]


def test_an_event_is_shown_with_its_own_fields(streams: Mapping[str, Log]) -> None:
    found = next(event for event in read(streams) if event.type == "RenameDecided")
    assert (found.log, found.account, found.target, found.driver, found.version) == (
        "decisions",
        "acme",
        "driveri",
        "1",
        3,
    )
    assert found.data["desired_key"] == "Dx9"
    assert found.data["profile"] == {"first_name": "Jane", "last_name": "Doe"}
    assert found.data["rationale"]["situation"] == "RENAMED"
    sent = to_json(found)
    assert dumps(sent)
    assert sent["at"] == "2026-03-01T08:11:00+00:00"
    assert {"originator_id", "at", "account", "target", "driver"}.isdisjoint(sent["data"])


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (
            EventFilter(types=frozenset({"createdecided"}), driver="2"),
            ["decisions CreateDecided 2", "decisions CreateDecided 2"],
        ),
        (EventFilter(types=frozenset({"CreateDecided"}), driver="2", target="motive"), ["decisions CreateDecided 2"]),
        (
            EventFilter(types=frozenset({"DriverUpdated", "driverdeleted"})),
            ["changes DriverUpdated 1", "changes DriverDeleted 2"],
        ),
        (EventFilter(account="other"), []),
        (EventFilter(driver="99"), []),
        (
            EventFilter(driver_id="DX9", target="driveri"),
            ["decisions RenameDecided 1", "decisions Confirmed 1", "outcomes-driveri CallAnswered 1"],
        ),
        (
            EventFilter(driver_id="dx9", types=frozenset({"DriverUpdated", "UpdateDecided"})),
            ["changes DriverUpdated 1", "decisions UpdateDecided 1"],
        ),
    ],
)
def test_filters_let_through_what_is_asked_for(
    streams: Mapping[str, Log], filters: EventFilter, expected: list[str]
) -> None:
    assert told(read(streams, filters)) == expected


def test_a_driveri_driver_id_is_not_a_key_in_motive(streams: Mapping[str, Log]) -> None:
    assert read(streams, EventFilter(driver_id="1")) == []


def test_a_word_on_held_deletes_is_found_by_each_driver_it_is_about(fleet: Fleet) -> None:
    fleet.start(*(str(number) for number in range(1, 7)))
    fleet.delete("1", "2", "3", "4")
    fleet.judge(Target.DRIVERI)
    found = read(streams_of(fleet), EventFilter(driver="4", types=frozenset({"DeletesApproved"})))
    assert [(event.log, event.driver) for event in found] == [("accounts", "")]


def test_a_span_of_time_lets_through_its_ends(streams: Mapping[str, Log]) -> None:
    moments = sorted(event.at for event in read(streams) if event.at)
    span = EventFilter(since=moments[3], until=moments[8])
    assert [event.at for event in read(streams, span)] == [at for at in moments if moments[3] <= at <= moments[8]]


def test_a_span_that_nothing_lies_in_is_empty(streams: Mapping[str, Log]) -> None:
    assert read(streams, EventFilter(since=datetime.max.replace(tzinfo=UTC))) == []
    assert read(streams, EventFilter(until=datetime.min.replace(tzinfo=UTC))) == []


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "?",
        "ü",
        "bm90IGpzb24=",
        urlsafe_b64encode(b"[1]").decode(),
        urlsafe_b64encode(b'{"accounts": 1}').decode(),
        urlsafe_b64encode(b'{"only": -1}').decode(),
        urlsafe_b64encode(b'{"only": true}').decode(),
        urlsafe_b64encode(b'{"only": 9223372036854775808}').decode(),
        urlsafe_b64encode(b"[" * 5000).decode(),
        urlsafe_b64encode(b"\xff").decode(),
    ],
)
def test_a_bad_cursor_is_refused(fleet: Fleet, cursor: str) -> None:
    with pytest.raises(BadCursor, match="start without one"):
        read_events({"only": fleet.accounts.log}, EVERYTHING, cursor, 10)


def test_a_page_without_events_cannot_be_asked_for(fleet: Fleet) -> None:
    with pytest.raises(ValueError, match="at least one event"):
        read_events({"only": fleet.accounts.log}, EVERYTHING, None, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """A stream of records as they are given."""

    name: str
    records: Sequence[Record]
    asked: list[int]

    def read(self, after: int, limit: int) -> Sequence[Record]:
        self.asked.append(after)
        return [record for record in self.records if record.position > after][:limit]

    def read_back(self, before: int, limit: int) -> Sequence[Record]:
        return [record for record in reversed(self.records) if record.position < before][:limit]

    def end(self) -> int:
        return self.records[-1].position if self.records else 0

    def again(self, resubmission: Resubmission) -> Record:
        raise NotImplementedError


def shelf(*records: Record) -> Shelf:
    return Shelf(name="1/shelf/0", records=records, asked=[])


def unreadable(position: int, body: bytes) -> Record:
    return Record(
        position=position,
        log_position=position,
        id="",
        topic="Link.Strange",
        body=body,
        decode=lambda: (None, "unknown type 'Link.Strange'"),
    )


def test_a_record_that_cannot_be_decoded_is_shown_with_what_can_be_made_out() -> None:
    body = b'{"account": "acme", "driver": "1", "target": "driveri", "desired_key": "D1", "holds": 5}'
    streams = {"strange": shelf(unreadable(7, body))}
    expected = LoggedEvent(
        log="strange",
        position=7,
        at=None,
        type="Strange",
        account="acme",
        target="driveri",
        driver="1",
        version=0,
        data={"desired_key": "D1", "holds": 5},
        unreadable="unknown type 'Link.Strange'",
    )
    assert read(streams) == [expected]
    assert read(streams, EventFilter(account="acme", driver_id="d1", driver="1")) == [expected]
    assert read(streams, EventFilter(driver="2")) == []
    assert to_json(expected)["at"] is None


@pytest.mark.parametrize(
    "body", [b"", b"\xff\x00", b"[1]", b'{"a":', b'{"text": "\\ud800"}', b'{"number": NaN}', b"[" * 100_000]
)
def test_no_body_is_so_strange_that_it_cannot_be_shown(body: bytes) -> None:
    (found,) = read({"strange": shelf(unreadable(1, body))})
    assert dumps(to_json(found), ensure_ascii=False, allow_nan=False).encode()
    assert list(found.data) == ["body"]


@pytest.mark.parametrize("gap", [1, 10])
def test_since_a_moment_the_log_is_not_read_from_its_start(streams: Mapping[str, Log], gap: int) -> None:
    first = next(iter(streams["changes"].read(0, 1))).event
    assert first is not None
    count = 2000
    long = shelf(*(at_minute(first, number, gap * number) for number in range(1, count + 1)))
    since = first.at + timedelta(minutes=count - 5)
    found = read({"long": long}, EventFilter(since=since))
    assert [event.position for event in found] == [gap * number for number in range(count - 5, count + 1)]
    assert len(long.asked) < 20


def test_since_a_moment_a_log_whose_clock_was_set_back_is_read_whole(streams: Mapping[str, Log]) -> None:
    first = next(iter(streams["changes"].read(0, 1))).event
    assert first is not None
    minutes = [10, 11, 12, 4, 5, 6, 13, 14]
    jumping = shelf(*(at_minute(first, minute, position) for position, minute in enumerate(minutes, 1)))
    found = read({"jumping": jumping}, EventFilter(since=first.at + timedelta(minutes=12)))
    assert [event.position for event in found] == [3, 7, 8]


def at_minute(event: Event, minute: int, position: int) -> Record:
    later = replace(event, at=event.at + timedelta(minutes=minute))
    return Record(
        position=position, log_position=position, id="", topic=event.TOPIC, body=b"", decode=lambda: (later, "")
    )
