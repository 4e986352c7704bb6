"""Reads the list of users whole, though Motive states no order, and users come and go while it is read.

Between two pages the list may have moved, so that some users are shown twice and others not at all. The pages say
how many users there are: the list was read whole once as many different ones were seen. Until then it is read again
from its beginning, and what further readings show counts together.
Where the number falls somebody has left, who may have been counted, so the counting begins anew.

The next pages are asked for while one is looked at, so that Motive works while we do.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from contextlib import aclosing
from typing import Final

from adapters.http import down
from adapters.motive.wire import User, UsersPage
from domain.failures import TargetFailed

Paging = Callable[[int], Coroutine[None, None, UsersPage]]
"""Reads the page of this number."""

AHEAD: Final = 2
"""How many pages are asked for ahead."""

MOST_READINGS: Final = 5
"""A list that was not whole after so many readings does not hold still."""


class _Census:
    """The users seen so far, and whether they are all that there are."""

    def __init__(self) -> None:
        self._counted: set[int] = set()
        self._total = 0

    @property
    def is_whole(self) -> bool:
        return len(self._counted) >= self._total

    def count(self, page: UsersPage) -> None:
        if page.pagination.total < self._total:
            self._counted.clear()
        self._total = page.pagination.total
        self._counted.update(user.id for user in users_on(page))


async def everybody(paging: Paging) -> AsyncGenerator[Sequence[User], None]:
    """Every user of the list once, page by page.

    Raises `TargetFailed` when a page cannot be read, or the list does not hold still.
    """
    census = _Census()
    seen: set[int] = set()
    for _ in range(MOST_READINGS):
        async with aclosing(_reading(paging)) as pages:
            async for page in pages:
                census.count(page)
                fresh = {user.id: user for user in users_on(page) if user.id not in seen}
                seen.update(fresh)
                yield tuple(fresh.values())
        if census.is_whole:
            return
    raise TargetFailed(down(f"the list of users did not hold still in {MOST_READINGS} readings"))


async def _reading(paging: Paging) -> AsyncGenerator[UsersPage, None]:
    page, number, coming = await paging(1), 1, deque[asyncio.Task[UsersPage]]()
    try:
        while page.users and number < (last := _last(page)):
            for ahead in range(number + len(coming) + 1, min(number + AHEAD, last) + 1):
                coming.append(asyncio.create_task(paging(ahead)))
            yield page
            page, number = await coming.popleft(), number + 1
        yield page
    finally:
        for asked in coming:
            asked.cancel()
        await asyncio.gather(*coming, return_exceptions=True)


def _last(page: UsersPage) -> int:
    """The number of the last page, as far as this one tells."""
    return -(-page.pagination.total // page.pagination.per_page)


def users_on(page: UsersPage) -> Iterable[User]:
    """The users of a page, without their wrapping."""
    return (answer.user for answer in page.users)
