"""The one group that a driver shall be in, where Driveri does not move it out of another one.

What ADD does with a driver who is in another group is not public: it may move the driver, refuse, or keep both.
"""

import httpx

from adapters.driveri.wire import DriverRow, words_of
from adapters.http import REFUSED
from domain.cleaning import folded


def may_be_of_group(reply: httpx.Response) -> bool:
    """Whether a write that names a group can have left the driver in another one: done, or refused for the group."""
    return reply.is_success or (reply.status_code in REFUSED and "group" in words_of(reply).casefold())


def other_group(row: DriverRow | None, wished: str) -> str | None:
    """The group that Driveri shows in place of the wished one, as a write names it; None if there is no such group."""
    if row is None or row.group is None:
        return None
    names = [name for name in (row.group.group_unique_name, row.group.group_name) if name]
    return None if folded(wished) in map(folded, names) else next(iter(names), None)
