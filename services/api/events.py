"""`/v1/events`: what happened, merged by time over several logs, filtered, and read on from a cursor."""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from heapq import merge
from itertools import islice
from json import dumps, loads
from typing import Annotated, Any

from fastapi import Header, Query, Request, Response
from pydantic import Field

from domain.cleaning import LONGEST, LONGEST_ID, clean
from domain.identity import Target
from domain.profile import SPECS
from domain.store import Event, Record, Stream
from services.accounts.handlers import account_of, did_you_mean
from services.api.installation import Installation
from services.api.naming import NamedTarget, is_stated, moment_named, number_named, unknown_driver
from services.api.routing import Installed, new_router
from services.api.schema import LARGEST_INTEGER, Malformed, Moment, ResponseBody
from services.api.streaming import HEARTBEAT, EventStream, LineStream, Waiting, Woken
from services.runtime.context import utc_now

_HEADER = frozenset({"originator_id", "originator_version", "at", "account", "target", "driver"})
_KEYS = ("key", "desired_key", "left")


class LoggedEvent(ResponseBody):
    """One record of a log. `data` holds the event's own fields as plain JSON, personal data in `profile` included.

    `target` and `driver` are empty where an event has none. A record that cannot be decoded says why in `unreadable`;
    it has no moment and version 0, and of the rest what could be made out.
    """

    log: str
    position: int
    at: Moment | None
    type: str
    account: str
    target: str
    driver: str
    version: int
    data: Mapping[str, Any]
    unreadable: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events are asked for; what is None or empty is not asked about.

    `driver` is a portal driver id, `driver_id` a Driveri DriverID and `types` are names such as `CreateDecided`, both
    in any letter case. `since` and `until` carry a time zone; what has no moment is within any.
    """

    account: str | None = None
    driver: str | None = None
    driver_id: str | None = None
    target: str | None = None
    types: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None

    def let_through(self, event: LoggedEvent) -> bool:
        """Whether this event is asked for."""
        if self.account not in (None, event.account) or self.target not in (None, event.target):
            return False
        if self.types and event.type.casefold() not in {name.casefold() for name in self.types}:
            return False
        if event.at and not (self.since or event.at) <= event.at <= (self.until or event.at):
            return False
        if self.driver is not None and self.driver not in _drivers(event):
            return False
        return self.driver_id is None or self.driver_id.casefold() in _driver_ids(event)


def logged(log: str, record: Record) -> LoggedEvent:
    """A record as it is shown; never raises."""
    event = record.event
    if event is None:
        return _unreadable(log, record)
    return LoggedEvent(
        log=log,
        position=record.position,
        at=event.at,
        type=type(event).__name__,
        account=event.account,
        target=getattr(event, "target", ""),
        driver=getattr(event, "driver", ""),
        version=event.originator_version,
        data=own_fields(event),
    )


def own_fields(event: Event) -> dict[str, Any]:
    """What an event says beyond where and when, as plain JSON."""
    return {field.name: getattr(event, field.name) for field in fields(event) if field.name not in _HEADER}


def _unreadable(log: str, record: Record) -> LoggedEvent:
    text = record.body.decode("utf-8", "backslashreplace")
    stored: dict[str, Any] = {"body": text}
    with suppress(ValueError, RecursionError):
        document = loads(text)
        # What cannot be printed as JSON again is shown as bare text.
        dumps(document, ensure_ascii=False, allow_nan=False).encode()
        stored = document if isinstance(document, dict) else stored
    header = {name: value for name in ("account", "target", "driver") if isinstance(value := stored.get(name), str)}
    return LoggedEvent(
        log=log,
        position=record.position,
        at=None,
        type=record.topic.rpartition(".")[2],
        account=header.get("account", ""),
        target=header.get("target", ""),
        driver=header.get("driver", ""),
        version=0,
        data={name: value for name, value in stored.items() if name not in header},
        unreadable=record.reason,
    )


def _drivers(event: LoggedEvent) -> Iterator[str]:
    """The portal drivers that an event is about: its own, or those whose held deletes it judges."""
    yield event.driver
    holds = event.data.get("holds")
    yield from (str(hold[0]) for hold in (holds if isinstance(holds, list) else ()) if isinstance(hold, list) and hold)


def _driver_ids(event: LoggedEvent) -> set[str]:
    """The DriverIDs that an event mentions, in small letters: keys that are one, and what the Portal states."""
    profile = event.data.get("profile")
    stated = profile.get("driveri_driver_id") if isinstance(profile, dict) else None
    are_keys = event.target in list(Target) and "driveri_driver_id" in SPECS[Target(event.target)].key_fields
    keys = [event.data.get(name) for name in _KEYS] if are_keys else []
    return {text.casefold() for text in (stated, *keys) if isinstance(text, str)}


MOST_SCANNED = 2000
"""Records that one call looks at, so that a rare filter does not block other requests."""

_PAGE = 200
_EARLIEST = datetime.fromtimestamp(0, UTC)
_SLACK = timedelta(minutes=10)
"""How far clocks may have been set back, so that a log is not quite in the order of time."""


class BadCursor(Exception):
    """A cursor is not one that the same logs gave out."""

    def __init__(self) -> None:
        super().__init__("this cursor is not one of these logs: start without one")


class EventPage(ResponseBody):
    """Some of the events, oldest first. `cursor` goes on behind them; at the end it waits for what comes.

    `cursors` go on behind each of the events.
    """

    events: tuple[LoggedEvent, ...]
    cursors: tuple[str, ...] = Field(exclude=True)
    cursor: str
    is_end: bool


def read_events(streams: Mapping[str, Stream], filters: EventFilter, cursor: str | None, limit: int) -> EventPage:
    """The next events of these logs that match, at most `limit`; there may be none before the end.

    What happened at the same moment comes in the order of the logs.

    Raises `BadCursor`, `StoreFailed`, and `ValueError` for a limit below 1.
    """
    if limit < 1:
        raise ValueError("a page has at least one event")
    positions = _start(streams, filters, cursor)
    logs = [_records(name, stream, positions[name], filters.until) for name, stream in streams.items()]
    found: list[LoggedEvent] = []
    cursors: list[str] = []
    scanned = 0
    for name, record in islice(merge(*logs, key=lambda each: _moment(each[1])), MOST_SCANNED):
        scanned += 1
        positions[name] = record.position
        event = logged(name, record)
        if filters.let_through(event):
            found.append(event)
            cursors.append(_encoded(positions))
        if len(found) == limit:
            break
    is_end = scanned < MOST_SCANNED and len(found) < limit
    return EventPage(events=tuple(found), cursors=tuple(cursors), cursor=_encoded(positions), is_end=is_end)


def _start(streams: Mapping[str, Stream], filters: EventFilter, cursor: str | None) -> dict[str, int]:
    if cursor is not None:
        return _decoded(cursor, streams)
    return {name: _before(stream, filters.since) for name, stream in streams.items()}


def _encoded(positions: Mapping[str, int]) -> str:
    return urlsafe_b64encode(dumps(positions, sort_keys=True).encode()).decode()


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


def _before(stream: Stream, moment: datetime | None) -> int:
    """The position behind which everything since this moment stands, found by halving."""
    if moment is None:
        return 0
    low, high = 0, stream.end()
    while low < high:
        middle = (low + high) // 2
        following = stream.read(middle, 1)
        if following and following[0].event and following[0].event.at + _SLACK < moment:
            low = max(following[0].position, middle + 1)
        else:
            high = middle
    return low


def _decoded(cursor: str, streams: Mapping[str, Stream]) -> dict[str, int]:
    try:
        positions = loads(urlsafe_b64decode(cursor.encode()))
    except (ValueError, RecursionError):
        raise BadCursor from None
    if not isinstance(positions, dict) or positions.keys() != streams.keys():
        raise BadCursor
    if not all(type(position) is int and 0 <= position <= LARGEST_INTEGER for position in positions.values()):
        raise BadCursor
    return positions


router = new_router("events")

_MOST_EVENTS = 1000
_UNDER_WAY = timedelta(seconds=10)
"""How long it may take from an event until it is stored."""


class FollowedEventPage(EventPage):
    """A page of events; `is_over`: nothing that was asked for can come any more."""

    is_over: bool


class EventLine(LoggedEvent):
    """An event on a line of its own. `cursor` goes on behind it."""

    cursor: str


_CHUNK = 200
"""Events that are read at a time for a response in lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQuery:
    """What a client asks for, in its own words; see `list_events`."""

    account: str | None = None
    driver: str | None = None
    driver_id: str | None = None
    target: Target | None = None
    kinds: Sequence[str] = ()
    since: str | None = None
    until: str | None = None
    log: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventReader:
    """Reads what a client asks for, page by page."""

    installation: Installation
    streams: Mapping[str, Stream]
    filters: EventFilter

    async def page(self, cursor: str | None, limit: int) -> FollowedEventPage:
        """The next page. Raises `BadCursor`, `StoreFailed`."""
        found = await self.installation.readers.call(read_events, self.streams, self.filters, cursor, limit)
        until = self.filters.until
        is_over = found.is_end and until is not None and utc_now() - until >= _UNDER_WAY
        return FollowedEventPage(**dict(found), is_over=is_over)

    async def lines(self, page: FollowedEventPage) -> AsyncIterator[str]:
        """Each event as a line of JSON, from this page to the end."""
        while True:
            for event, cursor in zip(page.events, page.cursors, strict=True):
                yield EventLine(**dict(event), cursor=cursor).model_dump_json() + "\n"
            if page.is_end:
                return
            page = await self.page(page.cursor, _CHUNK)

    async def sent(self, page: FollowedEventPage, wait: Waiting) -> AsyncIterator[str]:
        """Each event as a Server-Sent Event, from this page on, also those to come; heartbeats carry their place."""
        clock = asyncio.get_running_loop().time
        sent_at = clock()
        while True:
            for event, cursor in zip(page.events, page.cursors, strict=True):
                yield f"id: {cursor}\ndata: {event.model_dump_json()}\n\n"
            if page.events or clock() - sent_at >= HEARTBEAT:
                # A client keeps this place, so that it does not pass again what it was not asked for.
                yield f": so far\nid: {page.cursor}\n\n"
                sent_at = clock()
            if page.is_over or (page.is_end and await wait() is Woken.OVER):
                return
            page = await self.page(page.cursor, _CHUNK)


async def reader_of(installation: Installation, query: EventQuery) -> EventReader:
    """What reads this. Raises `Malformed`, `UnknownAccount`, `UnknownDriver`."""
    readers, account, driver = installation.readers, query.account, query.driver
    if account is not None:
        account = (await readers.call(account_of, readers.accounts, account)).account
    filters = EventFilter(
        account=account,
        driver=clean(driver, LONGEST["driver"]) if driver is not None else None,
        driver_id=clean(query.driver_id, LONGEST_ID) if query.driver_id is not None else None,
        target=query.target,
        types=frozenset(name for text in query.kinds for name in _types(text)),
        since=moment_named(query.since),
        until=moment_named(query.until),
    )
    if filters.since and filters.until and filters.since > filters.until:
        raise Malformed(f"nothing is since {query.since} and until {query.until}: the one is after the other")
    if filters.driver is not None and not await readers.call(is_stated, readers.intake, filters.driver, account):
        raise await readers.call(unknown_driver, readers.intake, account, filters.driver)
    known = installation.logs
    if query.log is not None and query.log not in known:
        raise Malformed(f"there is no log {query.log}; there are: {', '.join(known)}")
    streams = {name: stream for name, stream in known.items() if query.log in (None, name)}
    return EventReader(installation=installation, streams=streams, filters=filters)


_FORMS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page; or, by `Accept`, all that match as lines of JSON, or these and those to come "
        "as Server-Sent Events, whose `id` is a cursor.",
        "content": {
            "application/jsonl": {"schema": {"type": "string"}},
            "text/event-stream": {"schema": {"type": "string"}},
        },
    }
}


@router.get("/events", response_model=FollowedEventPage, responses=_FORMS)
async def list_events(
    request: Request,
    installation: Installed,
    *,
    account: str | None = None,
    driver: str | None = None,
    driver_id: str | None = None,
    target: NamedTarget | None = None,
    kinds: Annotated[list[str] | None, Query(alias="type")] = None,
    since: str | None = None,
    until: str | None = None,
    log: str | None = None,
    cursor: str | None = None,
    limit: str = "200",
    last_event_id: Annotated[str, Header()] = "",
) -> FollowedEventPage | Response:
    """List what happened, oldest first: in pages, as lines of JSON, or as Server-Sent Events that go on."""
    most = number_named("limit", limit, _MOST_EVENTS)
    query = EventQuery(
        account=account,
        driver=driver,
        driver_id=driver_id,
        target=target,
        kinds=kinds or (),
        since=since,
        until=until,
        log=log,
    )
    reader = await reader_of(installation, query)
    page = await reader.page(last_event_id or cursor, most)
    accept = request.headers.get("accept", "")
    if "text/event-stream" in accept:
        return EventStream(request, lambda wait: reader.sent(page, wait))
    if "application/jsonl" in accept:
        return LineStream(request, reader.lines(page))
    return page


def _types(text: str) -> Sequence[str]:
    """The events of this name: `Parked`, or as it is stored, `DriverLink.Parked`; in any letter case."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    for topic, kind in Event.BY_TOPIC.items():
        for name in {topic, topic.rpartition(".")[2], kind.__name__}:
            names[name.casefold()].append(kind.__name__)
    if (wanted := text.strip().casefold()) not in names:
        shown = [*Event.BY_TOPIC, *(kind.__name__ for kind in Event.BY_TOPIC.values())]
        raise Malformed(
            f"there is no event of the type {text!r}{did_you_mean(text, shown)}; see docs/reference/events.md"
        )
    return names[wanted]
