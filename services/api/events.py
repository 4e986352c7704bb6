"""`/v1/events`: what happened, merged by time over several logs, filtered, and read on from a cursor."""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from heapq import merge
from itertools import chain, islice
from json import dumps, loads
from typing import Annotated, Any, Literal

from fastapi import Header, Query, Request, Response
from pydantic import Field

from domain.cleaning import LONGEST, LONGEST_ID, clean
from domain.driver_link import Decision
from domain.identity import AccountId, PortalDriverId, Target, link_stream
from domain.outcomes import Outcome
from domain.profile import SPECS
from domain.store import Event, Log, Record, Store
from services.accounts.handlers import account_of, did_you_mean
from services.api.as_of import mark_at
from services.api.driver_log import logs_of_driver
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
    in any letter case. `since` and `until` carry a time zone; what has no moment is within any. `reason`, `outcome` and
    `trigger` are as in events, and `by` is who asked, or in whose name. `correlation` is a trigger with its reference;
    `effects` are the decisions on a target that were made for it, by their versions.
    """

    account: str | None = None
    driver: str | None = None
    driver_id: str | None = None
    target: str | None = None
    types: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    reason: str | None = None
    outcome: str | None = None
    trigger: str | None = None
    by: str | None = None
    correlation: "Correlation | None" = None
    effects: frozenset[tuple[str, int]] = frozenset()

    def let_through(self, event: LoggedEvent) -> bool:
        """Whether this event is asked for."""
        if self.account not in (None, event.account) or self.target not in (None, event.target):
            return False
        if not self._is_about(event.data) or (self.correlation and not self._follows(event, self.correlation)):
            return False
        if self.types and event.type.casefold() not in {name.casefold() for name in self.types}:
            return False
        if event.at and not (self.since or event.at) <= event.at <= (self.until or event.at):
            return False
        # What triggered a decision about a driver may be about others, too, or about all.
        is_trigger = self.correlation is not None and self.correlation.is_of(event)
        if self.driver is not None and not is_trigger and self.driver not in _drivers(event):
            return False
        return self.driver_id is None or self.driver_id.casefold() in _driver_ids(event)

    def _is_about(self, data: Mapping[str, Any]) -> bool:
        """Whether it has the reason, outcome, trigger and person that are asked for."""
        trigger = _rationale(data).get("trigger")
        asked = ((self.reason, data.get("reason")), (self.outcome, data.get("outcome")), (self.trigger, trigger))
        return all(wanted in (None, found) for wanted, found in asked) and (
            self.by is None or self.by in (data.get("by"), data.get("authenticated"))
        )

    def _follows(self, event: LoggedEvent, correlation: "Correlation") -> bool:
        """Whether it is the trigger itself, was decided for it, or is what became of such a decision."""
        rationale, decision = _rationale(event.data), event.data.get("decision")
        is_for_it = (rationale.get("trigger"), rationale.get("ref")) == (correlation.trigger, correlation.ref)
        return is_for_it or correlation.is_of(event) or (event.target, decision) in self.effects


@dataclass(frozen=True, slots=True)
class Correlation:
    """What started decisions: the kind of trigger, and which one of these, as in a rationale."""

    trigger: str
    ref: str

    def is_of(self, event: LoggedEvent) -> bool:
        """Whether this event is what is referred to: by its version, the hash of a set, or the decision it answers."""
        named = {"approval": event.data.get("digest"), "answer": event.data.get("decision")}
        return event.type in TRIGGERS.get(self.trigger, ()) and str(named.get(self.trigger, event.version)) == self.ref


TRIGGERS: Mapping[str, Collection[str]] = {
    "change": ("DriverCreated", "DriverUpdated", "DriverDeleted"),
    "scan": ("RosterScanned",),
    "answer": ("CallAnswered",),
    "retry": ("RetryRequested",),
    "reconciliation": ("ReconciliationRequested",),
    "undo": ("UndoRequested",),
    "approval": ("DeletesApproved", "DeletesRejected"),
}
"""The kinds of triggers, each with the events that it refers to."""


def _rationale(data: Mapping[str, Any]) -> Mapping[str, Any]:
    found = data.get("rationale")
    return found if isinstance(found, Mapping) else {}


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
_LATEST = datetime.max.replace(tzinfo=UTC)
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


def read_events(
    streams: Mapping[str, Log], filters: EventFilter, cursor: str | None, limit: int, *, newest_first: bool = False
) -> EventPage:
    """The next events of these logs that match, at most `limit`; there may be none before the end.

    What happened at the same moment comes in the order of the logs.

    Raises `BadCursor`, `StoreFailed`, and `ValueError` for a limit below 1.
    """
    if limit < 1:
        raise ValueError("a page has at least one event")
    positions = _start(streams, filters, cursor, newest_first=newest_first)
    reading = _records_back if newest_first else _records
    logs = [reading(name, stream, positions[name], filters) for name, stream in streams.items()]
    # The newest first is the same order turned round, also for what happened at the same moment.
    logs = logs[::-1] if newest_first else logs
    key = _moment_back if newest_first else _moment
    found: list[LoggedEvent] = []
    cursors: list[str] = []
    scanned = 0
    merged = merge(*logs, key=lambda each: key(each[1]), reverse=newest_first)
    for name, record in islice(merged, MOST_SCANNED):
        scanned += 1
        positions[name] = record.position
        event = logged(name, record)
        if filters.let_through(event):
            found.append(event)
            cursors.append(_encoded(positions, newest_first=newest_first))
        if len(found) == limit:
            break
    is_end = scanned < MOST_SCANNED and len(found) < limit
    last = _encoded(positions, newest_first=newest_first)
    return EventPage(events=tuple(found), cursors=tuple(cursors), cursor=last, is_end=is_end)


def _start(
    streams: Mapping[str, Log], filters: EventFilter, cursor: str | None, *, newest_first: bool
) -> dict[str, int]:
    if cursor is not None:
        return _decoded(cursor, streams, newest_first=newest_first)
    if newest_first:
        until = filters.until + _SLACK if filters.until else None
        return {name: (mark_at(stream, until) if until else stream.end()) + 1 for name, stream in streams.items()}
    return {name: _before(stream, filters.since) for name, stream in streams.items()}


_BACK = "-"
"""Stands before the names of logs in a cursor that goes back."""


def _encoded(positions: Mapping[str, int], *, newest_first: bool) -> str:
    named = {f"{_BACK}{name}": at for name, at in positions.items()} if newest_first else positions
    return urlsafe_b64encode(dumps(named, sort_keys=True).encode()).decode()


def _records(name: str, stream: Log, after: int, filters: EventFilter) -> Iterator[tuple[str, Record]]:
    while page := stream.read(after, _PAGE):
        for record in page:
            if filters.until and _moment(record) - _SLACK > filters.until:
                return
            yield name, record
        after = page[-1].position


def _records_back(name: str, stream: Log, before: int, filters: EventFilter) -> Iterator[tuple[str, Record]]:
    while page := stream.read_back(before, _PAGE):
        for record in page:
            if filters.since and record.event and record.event.at + _SLACK < filters.since:
                return
            yield name, record
        before = page[-1].position


def _moment(record: Record) -> datetime:
    """When it happened; what cannot be read is shown where it stands, before anything else."""
    return record.event.at if record.event else _EARLIEST


def _moment_back(record: Record) -> datetime:
    """The same from the end: what cannot be read comes before anything else, too."""
    return record.event.at if record.event else _LATEST


def _before(stream: Log, moment: datetime | None) -> int:
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


def places_of(cursor: str, streams: Mapping[str, Log]) -> dict[str, int]:
    """Behind which record of each of these logs a cursor goes on, the oldest first. Raises `BadCursor`."""
    return _decoded(cursor, streams, newest_first=False)


def _decoded(cursor: str, streams: Mapping[str, Log], *, newest_first: bool) -> dict[str, int]:
    try:
        positions = loads(urlsafe_b64decode(cursor.encode()))
    except (ValueError, RecursionError):
        raise BadCursor from None
    names = [f"{_BACK}{name}" if newest_first else name for name in streams]
    if not isinstance(positions, dict) or positions.keys() != {*names}:
        raise BadCursor
    if not all(type(position) is int and 0 <= position <= LARGEST_INTEGER for position in positions.values()):
        raise BadCursor
    return {name: positions[named] for name, named in zip(streams, names, strict=True)}


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
    reason: str | None = None
    outcome: Outcome | None = None
    trigger: str | None = None
    by: str | None = None
    correlation: str | None = None
    newest_first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EventReader:
    """Reads what a client asks for, page by page."""

    installation: Installation
    streams: Mapping[str, Log]
    filters: EventFilter
    newest_first: bool = False

    async def page(self, cursor: str | None, limit: int) -> FollowedEventPage:
        """The next page. Raises `BadCursor`, `StoreFailed`."""
        found = await self.installation.readers.call(
            read_events, self.streams, self.filters, cursor, limit, newest_first=self.newest_first
        )
        until = self.filters.until
        is_over = found.is_end and (self.newest_first or (until is not None and utc_now() - until >= _UNDER_WAY))
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
        reason=query.reason,
        outcome=query.outcome,
        trigger=query.trigger,
        by=query.by,
        correlation=_correlation_named(query.correlation),
    )
    if filters.since and filters.until and filters.since > filters.until:
        raise Malformed(f"nothing is since {query.since} and until {query.until}: the one is after the other")
    if filters.driver is not None and not await readers.call(is_stated, readers.intake, filters.driver, account):
        raise await readers.call(unknown_driver, readers.intake, account, filters.driver)
    known: Mapping[str, Log] = installation.logs
    if account is not None:
        known = {each.log_title: readers.stores[each.name].log_of(account) for each in installation.registry}
    if account is not None and filters.driver is not None:
        known = logs_of_driver(installation, AccountId(account), PortalDriverId(filters.driver))
        filters = replace(filters, effects=await readers.call(_effects, readers.decider, filters))
    elif filters.correlation:
        raise Malformed("a correlation is one of a driver's: name the account and the driver")
    if query.log is not None and query.log not in known:
        raise Malformed(f"there is no log {query.log}; there are: {', '.join(known)}")
    streams = {name: stream for name, stream in known.items() if query.log in (None, name)}
    return EventReader(installation=installation, streams=streams, filters=filters, newest_first=query.newest_first)


def _correlation_named(text: str | None) -> Correlation | None:
    """What a trigger and its reference name, as `change/3`. Raises `Malformed`."""
    if text is None:
        return None
    trigger, _, ref = text.partition("/")
    if not (trigger and ref):
        raise Malformed(f"a correlation is a trigger and its reference, such as change/3, not {text!r}")
    return Correlation(trigger, ref)


def _effects(decider: Store, filters: EventFilter) -> frozenset[tuple[str, int]]:
    """The decisions on a driver that were made for what is asked after. Raises `StoreFailed`."""
    if filters.correlation is None or filters.account is None or filters.driver is None:
        return frozenset()
    account, driver = AccountId(filters.account), PortalDriverId(filters.driver)
    facts = chain.from_iterable(decider.histories([link_stream(account, target, driver) for target in Target]).values())
    asked = (filters.correlation.trigger, filters.correlation.ref)
    return frozenset(
        (fact.target, fact.originator_version)
        for fact in facts
        if isinstance(fact, Decision) and (fact.rationale.get("trigger"), fact.rationale.get("ref")) == asked
    )


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
    reason: Annotated[str | None, Query(description="Only with this reason, such as `conflict`.")] = None,
    outcome: Annotated[Outcome | None, Query(description="Only calls that ended so.")] = None,
    trigger: Annotated[str | None, Query(description="Only what this started, such as `change`.")] = None,
    by: Annotated[str | None, Query(description="Only what this person asked for.")] = None,
    correlation: Annotated[
        str | None,
        Query(description="With an account and a driver: one trigger, such as `change/3`, and all that followed."),
    ] = None,
    order: Annotated[Literal["oldest", "newest"], Query(description="Which events come first.")] = "oldest",
    cursor: str | None = None,
    limit: str = "200",
    last_event_id: Annotated[str, Header()] = "",
) -> FollowedEventPage | Response:
    """List what happened, by default oldest first: in pages, as lines of JSON, or as Server-Sent Events that go on.

    Of one driver of an account only the histories that concern it are read.
    """
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
        reason=reason,
        outcome=outcome,
        trigger=trigger,
        by=by,
        correlation=correlation,
        newest_first=order == "newest",
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
