"""Where each driver stands when nothing is under way any more, and whether what its link says is true."""

from enum import StrEnum

from domain.driver_link import REFUSED, UNSETTLED, DriverLink
from domain.identity import Key, PortalDriverId, Target
from domain.matching import DesiredDriver, former_driver, speaks_against
from domain.profile import differing, to_change, unreadable
from tests.support.simulation import Simulation


class Standing(StrEnum):
    """How a link may end up."""

    IN_SYNC = "in sync"
    GONE = "gone"
    KEPT = "held, or kept by a person"
    PARKED = "parked, for a reason that is true"


def standing(simulation: Simulation, driver: PortalDriverId, *, is_watched: bool = True) -> Standing:
    """Where a driver stands; demands that it is true.

    Where people change the target by hand (`is_watched` false), what cannot be read back is not compared.
    """
    desired, link = simulation.decider.desired_drivers[driver], simulation.decider.links[driver]
    assert link.pending is None
    if link.parked is not None:
        assert _is_true(simulation, desired, link), link.parked
        return Standing.PARKED
    if desired.is_wanted:
        assert _differing(simulation, desired, link, is_watched=is_watched) == []
        return Standing.IN_SYNC
    if link.held is not None or (link.is_live and link.let_stay == desired.sequence):
        return Standing.KEPT
    assert not link.is_live
    return Standing.GONE


def _is_true(simulation: Simulation, desired: DesiredDriver, link: DriverLink) -> bool:
    assert link.parked is not None
    match link.parked.reason:
        case "unkeyed":
            return desired.is_unkeyed
        case "conflict":
            return _is_in_conflict(simulation, desired, link)
        case reason if reason == REFUSED:
            return link.refused is not None and link.refused.sequence <= desired.sequence
        case reason:
            return reason == UNSETTLED


def _is_in_conflict(simulation: Simulation, desired: DesiredDriver, link: DriverLink) -> bool:
    assert link.parked is not None
    identifier, holder = link.parked.waits_for, PortalDriverId(link.parked.holder)
    if not holder:
        match = simulation.decider.batch.roster.match([identifier])
        return match is not None and len(match.candidates) > 1
    known = simulation.decider.links.get(holder)
    if known is not None and identifier in known.claims:
        return holder != link.driver
    return _is_another(simulation, desired, identifier, former=holder)


def _is_another(simulation: Simulation, desired: DesiredDriver, identifier: str, *, former: PortalDriverId) -> bool:
    """Whether the target driver of this key was the other portal driver, and may not be this one."""
    shown = simulation.target.truth(Key(identifier.removeprefix("key:")))
    if shown is None or former_driver(desired, shown) != former:
        return False
    wanted = [driver for driver, each in simulation.decider.desired_drivers.items() if each.is_wanted]
    return speaks_against(desired, shown, wanted) != ""


def _differing(simulation: Simulation, desired: DesiredDriver, link: DriverLink, *, is_watched: bool) -> list[str]:
    shown = simulation.target.truth(link.key)
    if link.key is None or shown is None or not shown.active or desired.key not in (None, link.key):
        return ["key"]
    desired = simulation.decider.batch.attainable(desired, simulation.target.shown(link.key))
    hidden = {name: desired.profile[name] for name in unreadable(desired.target, desired.profile)}
    changed = {
        *to_change(desired.target, desired.profile, shown.profile),
        *(differing(hidden, shown.profile) * is_watched),
    }
    own_way = {"time_zone"} if desired.target is Target.MOTIVE else set()
    return sorted(changed - own_way)
