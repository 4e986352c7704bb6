"""What looking at a parked link again means, because a person asks for it or a target can be reached again."""

from domain.case import Cause
from domain.deciding import decide
from domain.drafting import in_sequence, origin
from domain.driver_link import REFUSED, UNSETTLED, DriverLink, LinkEvent, Released, apply
from domain.ledger import Ledger
from domain.wish import Wish

_BY_TARGET = (REFUSED, UNSETTLED)
"""Reasons that the target gave: whether they are over, only another call can tell."""


def look_again(wish: Wish, link: DriverLink, ledger: Ledger, cause: Cause) -> tuple[LinkEvent, ...]:
    """Decide a parked link as if nothing had been refused; nothing if it is not parked, or its reason stands.

    What the roster, the Portal or the mode keeps from going on (contested, unkeyed, mode) is only looked at again:
    whether that is over is known here.
    """
    if link.parked is None:
        return ()
    if link.parked.reason not in _BY_TARGET:
        return decide(wish, link, ledger, cause)
    fact = Released(**origin(link, cause.at), reason=link.parked.reason)
    return in_sequence(link, [fact, *decide(wish, apply(link, fact), ledger, cause)])


def look_at_freed(wish: Wish, link: DriverLink, ledger: Ledger, cause: Cause) -> tuple[LinkEvent, ...]:
    """Decide a link for which something came free: also what the target refused may be accepted now."""
    is_refused = link.parked is not None and link.parked.reason in _BY_TARGET
    return (look_again if is_refused else decide)(wish, link, ledger, cause)
