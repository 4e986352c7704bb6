"""`/v1/verification`: whether the events of every log are as they were stored, a part of a log at a time."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Annotated

from fastapi import Query

from domain.hash_chain import ChainedStore, CheckedPart
from services.api.installation import Readers
from services.api.naming import number_named
from services.api.routing import Installed, new_router
from services.api.schema import Malformed, ResponseBody
from services.api.signed_roots import ROOTS, check_roots

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

    The last `log` is `roots`: its events are the signed roots, each of which is worked out again. Of these `former`
    counts those that were signed before profiles were sealed: what they cover has other bytes since, so only how many
    events there are is checked.
    `next` is the `after` of the next part, which may be of the next log; None at the end of the last one. `total` is
    about how many events all logs have: the sum of their last positions.
    """

    log: str
    events: int
    broken: BrokenEvent | None
    next: str | None
    total: int
    former: int = 0


def _check_log(store: ChainedStore, most: int, behind: str) -> CheckedPart:
    return store.check_chains(behind, most)


@router.get("")
async def verify_logs(
    installation: Installed,
    *,
    after: Annotated[str, Query(description="The `next` of the part before; empty for the first.")] = "",
    limit: str = str(MOST_CHECKED),
) -> VerifiedPart:
    """Check the next events against the hashes of their histories, that none is missing, and then the signed roots."""
    most, readers = number_named("limit", limit, MOST_CHECKED), installation.readers
    checks: dict[str, Callable[[str], CheckedPart]] = {
        each.log_title: partial(_check_log, readers.stores[each.name], most) for each in installation.registry
    }
    checks[ROOTS] = partial(check_roots, installation)
    log, _, behind = (after or next(iter(checks))).partition("/")
    try:
        part = await readers.call(checks[log], behind)
    except (KeyError, ValueError):
        raise Malformed(f"no part begins behind {after!r}: give the `next` of the part before") from None
    following = f"{log}/{part.next}" if part.next else dict(pairwise(checks)).get(log)
    found = part.broken
    broken = BrokenEvent(event=found.event, position=found.position, problem=found.problem) if found else None
    total = await readers.call(_total, readers)
    return VerifiedPart(log=log, events=part.events, broken=broken, next=following, total=total, former=part.former)


def _total(readers: Readers) -> int:
    return sum(store.log.end() for store in readers.stores.values())
