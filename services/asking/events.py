"""The log: what happened, merged by time over several streams, filtered, and read on from a cursor."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import merge
from itertools import islice
from json import dumps, loads

from domain.storing import Record, Stream
from services.asking.answers import Answer
from services.asking.logged import Filters, LoggedEvent, logged

MOST_SCANNED = 2000
"""Records that one call looks at, so that a rare filter keeps nobody waiting."""

_PAGE = 200
_EARLIEST = datetime.fromtimestamp(0, UTC)
_SLACK = timedelta(minutes=10)
"""How far clocks may have been set back, so that a log is not quite in the order of time."""


class BadCursor(Exception):
    """A cursor is not one that the same logs gave out."""

    def __init__(self) -> None:
        super().__init__("this cursor is not one of these logs: start without one")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage(Answer):
    """Some of what was asked for, oldest first. `cursor` goes on behind it; at the end it waits for what comes."""

    events: tuple[LoggedEvent, ...]
    cursor: str
    is_end: bool


def read_events(streams: Mapping[str, Stream], filters: Filters, cursor: str | None, limit: int) -> EventPage:
    """The next events of these logs that match, at most so many; there may be none though it is not the end yet.

    What happened at the same moment comes in the order of the logs.

    Raises `BadCursor`, `StoreFailed`, and `ValueError` for a limit below 1.
    """
    if limit < 1:
        raise ValueError("a page has at least one event")
    positions = _decoded(cursor, streams) if cursor is not None else _starts(streams, filters.since)
    found: list[LoggedEvent] = []
    scanned = 0
    for name, record in islice(_merged(streams, positions, filters.until), MOST_SCANNED):
        scanned += 1
        positions[name] = record.position
        event = logged(name, record)
        if filters.let_through(event):
            found.append(event)
        if len(found) == limit:
            break
    is_end = scanned < MOST_SCANNED and len(found) < limit
    return EventPage(events=tuple(found), cursor=_encoded(positions), is_end=is_end)


def _merged(
    streams: Mapping[str, Stream], positions: Mapping[str, int], until: datetime | None
) -> Iterator[tuple[str, Record]]:
    each = [_records(name, stream, positions[name], until) for name, stream in streams.items()]
    return merge(*each, key=lambda found: _moment(found[1]))


def _records(name: str, stream: Stream, after: int, until: datetime | None) -> Iterator[tuple[str, Record]]:
    while page := stream.read(after, _PAGE):
        for record in page:
            if until and _moment(record) - _SLACK > until:
                return
            yield name, record
        after = page[-1].position


def _moment(record: Record) -> datetime:
    """When it happened; what cannot be read is shown where it stands, before anything else."""
    return record.event.at if record.event else _EARLIEST


def _starts(streams: Mapping[str, Stream], since: datetime | None) -> dict[str, int]:
    return {name: _before(stream, since) if since else 0 for name, stream in streams.items()}


def _before(stream: Stream, moment: datetime) -> int:
    """The position behind which everything since this moment stands, found by halving."""
    low, high = 0, stream.end()
    while low < high:
        middle = (low + high) // 2
        following = stream.read(middle, 1)
        if following and following[0].event and following[0].event.at + _SLACK < moment:
            low = max(following[0].position, middle + 1)
        else:
            high = middle
    return low


def _encoded(positions: Mapping[str, int]) -> str:
    return urlsafe_b64encode(dumps(dict(positions), sort_keys=True).encode()).decode()


def _decoded(cursor: str, streams: Mapping[str, Stream]) -> dict[str, int]:
    try:
        positions = loads(urlsafe_b64decode(cursor.encode()))
    except ValueError:
        raise BadCursor from None
    if not isinstance(positions, dict) or positions.keys() != streams.keys():
        raise BadCursor
    if not all(type(position) is int and position >= 0 for position in positions.values()):
        raise BadCursor
    return positions
