"""`/v1/verification`: whether the events of every log are as they were stored, a part of a log at a time."""

from typing import Annotated

from fastapi import Query

from services.api.naming import number_named
from services.api.routing import Installed, new_router
from services.api.schema import Malformed, ResponseBody

router = new_router("verification", prefix="/verification")

MOST_CHECKED = 5_000
"""Events that one call checks."""


class BrokenEvent(ResponseBody):
    """The first event of a log that is not as it was stored, by its id, and what is wrong with it.

    `position` is its place in the log; None where it is missing.
    """

    event: str
    position: int | None
    problem: str


class VerifiedPart(ResponseBody):
    """A part of a log: how many `events` were found as they were stored, and the first that was not, if any.

    `next` is the `after` of the next part, which may be of the next log; None at the end of the last one.
    """

    log: str
    events: int
    broken: BrokenEvent | None
    next: str | None


@router.get("")
async def verify_logs(
    installation: Installed,
    *,
    after: Annotated[str, Query(description="The `next` of the part before; empty for the first.")] = "",
    limit: str = str(MOST_CHECKED),
) -> VerifiedPart:
    """Check the next events against the hashes of their histories, and at the end of a log that none is missing."""
    most, readers = number_named("limit", limit, MOST_CHECKED), installation.readers
    names = {each.log_title: each.name for each in installation.registry}
    log, _, behind = (after or next(iter(names))).partition("/")
    try:
        part = await readers.call(readers.stores[names[log]].check_chains, behind, most)
    except (KeyError, ValueError):
        raise Malformed(f"no part begins behind {after!r}: give the `next` of the part before") from None
    following = f"{log}/{part.next}" if part.next else dict(zip(names, [*names][1:], strict=False)).get(log)
    found = part.broken
    broken = BrokenEvent(event=found.event, position=found.position, problem=found.problem) if found else None
    return VerifiedPart(log=log, events=part.events, broken=broken, next=following)
