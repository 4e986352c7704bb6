"""An account as it was at a moment: the queries of the present, asked of a store that has its logs up to there.

What the decider's own projections make of the logs is put into a scratch store, so that the past follows from them by
the same rules as the present does.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from datetime import datetime
from heapq import merge
from itertools import chain, islice
from typing import Annotated, Final
from uuid import UUID

from fastapi import Query

from domain.identity import (
    AccountId,
    Key,
    PortalDriverId,
    Target,
    account_stream,
    breaker_stream,
    delivery_stream,
    link_stream,
    portal_driver_stream,
    reconciliation_stream,
    scan_stream,
    target_driver_stream,
)
from domain.outcomes import CallAnswered
from domain.store import Event, Store, Stream
from services.api.installation import Installation, Readers
from services.api.naming import moment_named
from services.api.schema import Malformed
from services.decider.read_models import READ_MODELS
from services.intake.read_models import KnownDriver, SearchTerm
from services.projector.read_models import RosterRow
from services.runtime.context import ACCOUNTS, CHANGES, DECISIONS, outcomes_of
from services.runtime.read_models import Events, Project, kept_rows, to_unit

AsOf = Annotated[
    str | None, Query(description="Answer as it was at this date or time, by what the logs say up to there.")
]
"""The moment of a question about the past, as a client names it."""

Logs = Mapping[str, Store]
"""The stores of all services, by the names of their logs."""

Marks = Mapping[str, int]
"""How far each log is looked at: the position of the last record that counts."""

_CAUSES: Final = (ACCOUNTS, CHANGES, DECISIONS, *map(outcomes_of, Target))
_PAGE = 500
_AHEAD = 20
"""Records among which one that can be read is looked for."""

_MOST_RELATED: Final = 200
"""Drivers who had an identifier in common with one, and whose outcomes are looked at for it."""


def logs_of(readers: Readers) -> Logs:
    """The stores by their logs. That of the decisions comes first: see `rewind`."""
    targets = {outcomes_of(target): store for target, store in readers.projectors.items()}
    return {DECISIONS: readers.decider, ACCOUNTS: readers.accounts, CHANGES: readers.intake, **targets}


def marks_at(logs: Logs, moment: datetime) -> dict[str, int]:
    """How far each log had come at this moment. Raises `StoreFailed`."""
    return {name: mark_at(store.log, moment) for name, store in logs.items()}


def mark_at(log: Stream, moment: datetime) -> int:
    """The position of the last record until this moment, found by halving the log. Raises `StoreFailed`.

    Where a clock was set back there are several such positions, and this is one of them.
    """
    low, high = 0, log.end()
    while low < high:
        middle = (low + high) // 2
        known = next((record for record in log.read(middle, _AHEAD) if record.event), None)
        if known and known.event and known.event.at <= moment:
            low = known.position
        else:
            high = middle
    return low


def rewind(
    scratch: Store, logs: Logs, account: AccountId, marks: Marks, driver: PortalDriverId | None = None
) -> Iterator[int]:
    """Fill an empty store with what the decider knew of an account up to these marks, or with what concerns a driver.

    It has the events, too, so that histories end there. Each step is a bounded piece of work, and says how many events
    it was. The decisions have to come first, because they are looked up in the scratch store by their own positions.
    Raises `StoreFailed`.
    """
    projects = projections(scratch)
    streams = streams_of(logs, account, driver)
    for name, store in logs.items():
        for events in _in_order(store, streams[name], marks[name]):
            take(scratch, projects[name], events)
            yield len(events)


def projections(scratch: Store) -> Mapping[str, Sequence[Project]]:
    """What makes the decider's rows of each log, in this store."""
    projects: defaultdict[str, list[Project]] = defaultdict(list)
    for model in READ_MODELS:
        for log, project in model.projections(scratch).items():
            projects[log].append(project)
    return projects


def take(scratch: Store, projects: Sequence[Project], events: Events) -> None:
    """Store these events of one log, and the rows that follow. Raises `StoreFailed`."""
    rows = kept_rows(scratch)
    for project in projects:
        project(events, rows)
    unit = to_unit(rows.changes())
    unit.events += [event for _, event in events]
    scratch.commit(unit)


def _in_order(store: Store, streams: Iterable[UUID], mark: int) -> Iterator[Events]:
    """The events of these histories up to a mark, in the order of the log; an empty page while they are looked for."""
    places: list[tuple[int, UUID]] = []
    remaining = iter(streams)
    while some := list(islice(remaining, _PAGE)):
        for stream, records in store.records(some).items():
            places += [(record.position, stream) for record in records if record.position <= mark]
        yield []
    places.sort()
    for start in range(0, len(places), _PAGE):
        wanted = dict(places[start : start + _PAGE])
        found = chain.from_iterable(store.records({*wanted.values()}).values())
        events = [(each.position, each.event) for each in found if each.position in wanted and each.event]
        yield sorted(events, key=_position)


def timeline(logs: Logs, account: AccountId, driver: PortalDriverId) -> Iterator[tuple[str, tuple[int, Event]]]:
    """Every event that concerns a driver, with its log and position, in the order of time. Raises `StoreFailed`.

    Of the same moment what people and the Portal stated comes first, then what was decided, and what became of it.
    """
    streams = streams_of(logs, account, driver)
    of_logs = (
        [(name, placed) for page in _in_order(store, streams[name], store.log.end()) for placed in page]
        for name, store in sorted(logs.items(), key=lambda log: _CAUSES.index(log[0]))
    )
    return merge(*of_logs, key=lambda each: each[1][1].at)


def _position(placed: tuple[int, Event]) -> int:
    return placed[0]


def streams_of(logs: Logs, account: AccountId, driver: PortalDriverId | None) -> Mapping[str, Iterable[UUID]]:
    """By log the histories of an account, or those that concern a driver; found by keys. Raises `StoreFailed`."""
    decider = logs[DECISIONS]
    drivers = related(logs[CHANGES], account, driver) if driver else _every_driver(logs[CHANGES], account)
    streams: dict[str, Iterable[UUID]] = {
        ACCOUNTS: [account_stream(account)],
        CHANGES: (portal_driver_stream(account, each) for each in drivers),
        DECISIONS: chain(
            (reconciliation_stream(account, target) for target in Target),
            (link_stream(account, target, each) for target in Target for each in drivers),
        ),
    }
    for target in Target:
        projector = logs[outcomes_of(target)]
        keys = keys_of(decider, projector, account, target, drivers) if driver else _every_key(projector, account)
        streams[outcomes_of(target)] = chain(
            (scan_stream(account, target), breaker_stream(account, target)),
            _of_target(account, target, drivers, keys),
        )
    return streams


def _of_target(
    account: AccountId, target: Target, drivers: Iterable[PortalDriverId], keys: Iterable[Key]
) -> Iterator[UUID]:
    """The histories of what a target answered about these drivers, and of what was seen of those with these keys."""
    yield from (delivery_stream(account, target, driver) for driver in drivers)
    yield from (target_driver_stream(account, target, key) for key in keys)


def _every_driver(intake: Store, account: AccountId) -> list[PortalDriverId]:
    """Every driver that the Portal ever stated."""
    return [PortalDriverId(str(driver)) for (driver,) in intake.count(KnownDriver, {"account": account}, by=["driver"])]


def _every_key(projector: Store, account: AccountId) -> list[Key]:
    """Every target driver that was ever seen."""
    return [Key(str(key)) for (key,) in projector.count(RosterRow, {"account": account}, by=["key"])]


def related(intake: Store, account: AccountId, driver: PortalDriverId) -> list[PortalDriverId]:
    """A driver, and those who ever had an id or an e-mail address in common: they may have had the same target driver.

    So what was seen of that may be among their outcomes.
    """
    own = intake.select(SearchTerm, {"account": account, "driver": driver})
    shared = [row.term for row in own if row.field != "name"]
    if not shared:
        return [driver]
    alike = intake.select(SearchTerm, {"account": account, "term": shared}, limit=_MOST_RELATED)
    return [driver, *sorted({PortalDriverId(row.driver) for row in alike} - {driver})]


def keys_of(
    decider: Store, projector: Store, account: AccountId, target: Target, drivers: Sequence[PortalDriverId]
) -> set[Key]:
    """The target drivers that the links of these drivers, and outcomes, ever named."""
    links = [link_stream(account, target, driver) for driver in drivers]
    deliveries = [delivery_stream(account, target, driver) for driver in drivers]
    named: set[str | None] = set()
    for fact in chain.from_iterable(decider.histories(links).values()):
        named |= {getattr(fact, "key", None), getattr(fact, "desired_key", None)}
    for report in chain.from_iterable(projector.histories(deliveries).values()):
        if isinstance(report, CallAnswered):
            named |= {report.key, report.left}
    return {Key(key) for key in named if key}


def moment_of(installation: Installation, text: str | None) -> datetime | None:
    """The moment of a question about the past; None where it is about the present. Raises `Malformed`."""
    moment = moment_named(text)
    if moment and moment > installation.clock():
        raise Malformed(f"{text} is still to come: leave the moment out to see how it is now")
    return moment


@asynccontextmanager
async def opened_scratch(installation: Installation) -> AsyncIterator[Store]:
    """An empty store, to be filled and read by `readers.call`. Raises `StoreFailed`."""
    readers, closing = installation.readers, ExitStack()
    try:
        # Opened, read and closed in the one thread that reads, so that nothing is closed which is being read.
        yield await readers.call(closing.enter_context, installation.open_dry_run())
    finally:
        await readers.call(closing.close)


async def rewind_to(
    installation: Installation,
    scratch: Store,
    account: AccountId,
    moment: datetime,
    driver: PortalDriverId | None = None,
) -> None:
    """Fill an empty store as of this moment, in pieces that let others ask in between. Raises `StoreFailed`."""
    readers = installation.readers
    logs = logs_of(readers)
    marks = await readers.call(marks_at, logs, moment)
    pieces = rewind(scratch, logs, account, marks, driver)
    while await readers.call(next, pieces, None) is not None:
        pass


@asynccontextmanager
async def rewound(
    installation: Installation, account: AccountId, moment: datetime, driver: PortalDriverId | None = None
) -> AsyncIterator[Store]:
    """A store of an account as of this moment, or of what concerns one driver.

    It stands for the stores of the accounts, of intake and of the decider. Raises `StoreFailed`.
    """
    async with opened_scratch(installation) as scratch:
        await rewind_to(installation, scratch, account, moment, driver)
        yield scratch
