"""Reads a list of drivers whole, though drivers come, go and change places while it is read.

A page tells only where it begins. If somebody leaves a page that was read, all behind move up, and one of them slips
through between two pages. So each page begins with the last drivers of the one before: if they are not there any
more, the list has moved, and is read again from its beginning.
Neither the links nor the stated number of drivers are believed alone: a full page without a link is followed by the
page behind it, and a page that shows nobody new right behind another one ends the list, even if it links to more.
Source of the paging: driveri-python-sdk 1.0.0, which states no order.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Final

from adapters.driveri.client import next_query
from adapters.driveri.wire import DriverRow, DriversPage
from adapters.http import down
from domain.failures import TargetFailed

Paging = Callable[[Mapping[str, str]], Awaitable[DriversPage]]
"""Reads the page of this query."""

OVERLAP: Final = 5
"""How many drivers two pages have in common; half of a page at most, so that short pages go on too."""

MOST_READINGS: Final = 3
"""A list that has moved so often does not hold still."""

MOST_PAGES: Final = 10_000
"""A walk that needs more pages goes round in a circle."""


_LONGEST_NUMBER: Final = 19
"""Digits that no number of drivers has."""


class _ListMoved(Exception):
    """A page does not begin where the one before ended."""


async def everybody(paging: Paging, query: Mapping[str, str]) -> AsyncGenerator[Sequence[DriverRow], None]:
    """Every driver of a list once, page by page.

    Raises `TargetFailed` when a page cannot be read, or the list does not hold still.
    """
    seen: set[str] = set()
    for _ in range(MOST_READINGS):
        try:
            async with aclosing(_reading(paging, query)) as pages:
                async for rows in pages:
                    fresh = {row.driver_id: row for row in rows if row.driver_id not in seen}
                    seen.update(fresh)
                    yield tuple(fresh.values())
        except _ListMoved:
            continue
        return
    raise TargetFailed(down(f"the list of drivers moved each of the {MOST_READINGS} times that it was read"))


async def _reading(paging: Paging, query: Mapping[str, str]) -> AsyncGenerator[Sequence[DriverRow], None]:
    asked: list[Mapping[str, str]] = []
    ending: Sequence[str] = ()
    shown: set[str] = set()
    while query not in asked and len(asked) < MOST_PAGES:
        asked.append(query)
        page = await paging(query)
        rows = page.drivers
        if _ids(rows[: len(ending)]) != ending:
            raise _ListMoved
        yield rows
        following = _following(page, query)
        is_last = shown.issuperset(_ids(rows)) and len(rows) == len(ending)
        if following is None or is_last:
            return
        shown.update(_ids(rows))
        ending = _ending(rows, query, following)
        query = _moved_back(following, len(ending))
    raise TargetFailed(down("the pages of the roster go round in a circle"))


def _following(page: DriversPage, query: Mapping[str, str]) -> Mapping[str, str] | None:
    """The query of the next page; None behind a page without a link that is not full, or without any rows.

    Where a page has no links at all, it may be shorter than asked for: then the list ends where its number says so,
    or with a page that shows nobody new.
    """
    if page.links is not None and page.links.next:
        return next_query(query, page.links.next)
    end = _offset(query) + len(page.drivers)
    is_full = 0 < _number(query, "limit") <= len(page.drivers)
    may_go_on = page.links is None and len(page.drivers) > 0 and (page.total_count is None or end < page.total_count)
    return {**query, "offset": str(end)} if is_full or may_go_on else None


def _ending(rows: Sequence[DriverRow], query: Mapping[str, str], following: Mapping[str, str]) -> Sequence[str]:
    """The drivers that the next page has to begin with; none, if it is not the one right behind these rows."""
    is_next = _offset(following) == _offset(query) + len(rows)
    overlap = min(OVERLAP, len(rows) // 2)
    return _ids(rows[len(rows) - overlap :]) if is_next else ()


def _moved_back(query: Mapping[str, str], rows: int) -> Mapping[str, str]:
    return {**query, "offset": str(_offset(query) - rows)} if rows else query


def _offset(query: Mapping[str, str]) -> int:
    return _number(query, "offset")


def _number(query: Mapping[str, str], name: str) -> int:
    """A number of a query, which may come from a link; -1 if it is none."""
    text = query.get(name, "")
    return int(text) if text.isdecimal() and len(text) < _LONGEST_NUMBER else -1


def _ids(rows: Sequence[DriverRow]) -> Sequence[str]:
    return tuple(row.driver_id for row in rows)
