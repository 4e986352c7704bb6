"""Where each driver stands when nothing is under way any more, and whether what its link says is true."""

from enum import StrEnum

from domain.claims import claims_of
from domain.driver_link import REFUSED, UNSETTLED, DriverLink
from domain.identity import PortalDriverId, Target
from domain.matching import Wish, to_change, unreadable
from domain.profile import differing
from tests.support.simulation import Simulation


class Standing(StrEnum):
    """How a link may end up."""

    IN_STEP = "in step"
    GONE = "gone"
    KEPT = "held, or kept by a person"
    PARKED = "parked, for a reason that is true"


def standing(simulation: Simulation, driver: PortalDriverId, *, is_watched: bool = True) -> Standing:
    """Where a driver stands; demands that it is true.

    Where people change the target by hand (`is_watched` false), what cannot be read back is not compared.
    """
    wish, link = simulation.decider.wishes[driver], simulation.decider.links[driver]
    assert link.pending is None
    if link.parked is not None:
        assert _is_true(simulation, wish, link), link.parked
        return Standing.PARKED
    if wish.is_wanted:
        assert _differing(simulation, wish, link, is_watched=is_watched) == []
        return Standing.IN_STEP
    if link.held is not None or (link.is_live and link.let_stay == wish.sequence):
        return Standing.KEPT
    assert not link.is_live
    return Standing.GONE


def _is_true(simulation: Simulation, wish: Wish, link: DriverLink) -> bool:
    assert link.parked is not None
    match link.parked.reason:
        case "unkeyed":
            return wish.is_unkeyed
        case "contested":
            return _is_contested(simulation, link)
        case reason if reason == REFUSED:
            return link.refused is not None and link.refused.sequence <= wish.sequence
        case reason:
            return reason == UNSETTLED


def _is_contested(simulation: Simulation, link: DriverLink) -> bool:
    assert link.parked is not None
    mark, holder = link.parked.waits_for, PortalDriverId(link.parked.holder)
    if holder:
        return holder != link.driver and mark in claims_of(simulation.decider.links[holder])
    match = simulation.decider.ledger.roster.match([mark])
    return match is not None and len(match.candidates) > 1


def _differing(simulation: Simulation, wish: Wish, link: DriverLink, *, is_watched: bool) -> list[str]:
    shown = simulation.target.truth(link.key)
    if link.key is None or shown is None or not shown.active or wish.key not in (None, link.key):
        return ["key"]
    wish = simulation.decider.ledger.yielded(wish, simulation.target.shown(link.key))
    hidden = {name: wish.profile[name] for name in unreadable(wish.target, wish.profile)}
    changed = {*to_change(wish.target, wish.profile, shown.profile), *(differing(hidden, shown.profile) * is_watched)}
    own_way = {"time_zone"} if wish.target is Target.MOTIVE else set()
    return sorted(changed - own_way)
