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


def names_of_other_group(row: DriverRow | None, wished: str) -> list[str]:
    """The names of the group that Driveri shows in place of the wished one; none if there is no such group.

    By which of them a write names it is not public.
    """
    if row is None or row.group is None:
        return []
    names = [name for name in (row.group.group_unique_name, row.group.group_name) if name]
    return [] if folded(wished) in map(folded, names) else list(dict.fromkeys(names))
