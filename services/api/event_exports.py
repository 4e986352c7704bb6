"""`/v1/events/export`: every event up to now as lines, to be kept elsewhere, with personal data or without."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

from fastapi import Query, Request

from domain.identity import Target
from domain.store import Log, Record, Resubmission
from services.api.events import EventQuery, EventReader, LoggedEvent, places_of, reader_of
from services.api.naming import NamedTarget
from services.api.routing import Installed, new_router
from services.api.schema import ResponseBody
from services.api.streaming import LineStream
from services.views.relays import PERSONAL

PERSONAL_FIELDS: Final = PERSONAL | {"master_user", "account_manager"}
"""The fields of events of any log that hold what is personal."""

_CHUNK = 500
"""Events that are read at a time."""


class ExportProgress(ResponseBody):
    """How far an export is, in records of the logs that were looked at, of so many; `cursor` goes on from here."""

    done: int
    total: int
    cursor: str


class ExportLine(ResponseBody):
    """One line of an export: an event, or how far it is."""

    event: LoggedEvent | None = None
    progress: ExportProgress | None = None


@dataclass(frozen=True, slots=True)
class _LogUntil:
    """A log as it is up to a position, whatever is stored meanwhile."""

    log: Log
    last: int

    @property
    def name(self) -> str:
        """See `Log.name`."""
        return self.log.name

    def read(self, after: int, limit: int) -> Sequence[Record]:
        """See `Log.read`."""
        found = self.log.read(after, limit) if after < self.last else ()
        return [record for record in found if record.position <= self.last]

    def read_back(self, before: int, limit: int) -> Sequence[Record]:
        """See `Log.read_back`."""
        return self.log.read_back(min(before, self.last + 1), limit)

    def end(self) -> int:
        """See `Log.end`."""
        return self.last

    def again(self, resubmission: Resubmission) -> Record:
        """See `Log.again`."""
        return self.log.again(resubmission)


router = new_router("events")

_LINES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Lines of JSON, each an `ExportLine`; the last one says that all was looked at.",
        "content": {"application/jsonl": {"schema": {"type": "string"}}},
    }
}

_Cursor = Annotated[str | None, Query(description="The cursor of a line: go on behind what came before it.")]


@router.get("/events/export", response_model=ExportLine, responses=_LINES)
async def export_events(
    request: Request,
    installation: Installed,
    *,
    account: str | None = None,
    target: NamedTarget | None = None,
    log: str | None = None,
    since: str | None = None,
    until: str | None = None,
    cursor: _Cursor = None,
) -> LineStream:
    """Export the events up to now, the oldest first, profiles included."""
    query = _query(account, target, log, since, until)
    reader = await reader_of(installation, query)
    return LineStream(request, await _lines(reader, cursor))


@router.get("/events/export-without-personal-data", response_model=ExportLine, responses=_LINES)
async def export_events_without_personal_data(
    request: Request,
    installation: Installed,
    *,
    account: str | None = None,
    target: NamedTarget | None = None,
    log: str | None = None,
    since: str | None = None,
    until: str | None = None,
    cursor: _Cursor = None,
) -> LineStream:
    """Export the events up to now, the oldest first, without the fields that hold personal data."""
    query = _query(account, target, log, since, until)
    reader = await reader_of(installation, query)
    return LineStream(request, await _lines(reader, cursor, is_personal=False))


def _query(
    account: str | None, target: Target | None, log: str | None, since: str | None, until: str | None
) -> EventQuery:
    return EventQuery(account=account, target=target, log=log, since=since, until=until)


async def _lines(reader: EventReader, cursor: str | None, *, is_personal: bool = True) -> AsyncIterator[str]:
    """The lines of an export, of which the first page is read at once. Raises `BadCursor`, `StoreFailed`."""
    call = reader.installation.readers.call
    ends = {name: await call(log.end) for name, log in reader.streams.items()}
    whole: Mapping[str, Log] = {name: _LogUntil(log, ends[name]) for name, log in reader.streams.items()}
    bounded, total = replace(reader, streams=whole), sum(ends.values())
    first = await bounded.page(cursor, _CHUNK)

    async def lines() -> AsyncIterator[str]:
        page = first
        while True:
            for event in page.events:
                shown = event if is_personal else without_personal_data(event)
                yield f'{{"event": {shown.model_dump_json()}}}\n'
            places = places_of(page.cursor, whole)
            done = total if page.is_end else sum(min(places[name], end) for name, end in ends.items())
            progress = ExportProgress(done=done, total=total, cursor=page.cursor)
            yield f'{{"progress": {progress.model_dump_json()}}}\n'
            if page.is_end:
                return
            page = await bounded.page(page.cursor, _CHUNK)

    return lines()


def without_personal_data(event: LoggedEvent) -> LoggedEvent:
    """The event without the fields that hold what is personal; of one that cannot be read that is not known."""
    if event.unreadable:
        return event.model_copy(update={"data": {}})
    kept = {name: value for name, value in event.data.items() if name not in PERSONAL_FIELDS}
    return event.model_copy(update={"data": kept})
