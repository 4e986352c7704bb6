"""What a person's word on held deletes means for one link."""

from domain.account import Mode
from domain.case import Cause, to_case
from domain.drafting import in_sequence, origin, said
from domain.driver_link import (
    DeleteApproved,
    DeleteDecided,
    DeleteRejected,
    DriverLink,
    HoldJudged,
    LinkEvent,
    apply,
)
from domain.ledger import Ledger
from domain.wish import Wish


def approve(
    wish: Wish, link: DriverLink, ledger: Ledger, cause: Cause, *, hold: int, by: str, digest: str
) -> tuple[LinkEvent, ...]:
    """The delete goes out after all, past the guard; nothing if it is no longer this hold, or deletes are off."""
    if not _is_held(link, hold) or wish.is_wanted or cause.mode is not Mode.FULL:
        return ()
    approved = _judged(DeleteApproved, link, cause, hold=hold, by=by, digest=digest)
    case = to_case(wish, apply(link, approved), ledger, cause)
    decided = said(case, DeleteDecided, wished_key=None, profile={}, guard=ledger.guard.figures())
    return in_sequence(link, [approved, *decided])


def reject(link: DriverLink, cause: Cause, *, hold: int, by: str, digest: str) -> tuple[LinkEvent, ...]:
    """The driver stays on the target; nothing if it is no longer this hold."""
    return (_judged(DeleteRejected, link, cause, hold=hold, by=by, digest=digest),) if _is_held(link, hold) else ()


def _is_held(link: DriverLink, hold: int) -> bool:
    return link.held is not None and link.held.originator_version == hold


def _judged(
    verdict: type[HoldJudged], link: DriverLink, cause: Cause, *, hold: int, by: str, digest: str
) -> HoldJudged:
    return verdict(**origin(link, cause.at), hold=hold, by=by, digest=digest)
