"""Section 5's table once more, written from the text alone, as an oracle of what a reconciliation finds and decides.

It looks at what the Portal states, what we last stated, which key is linked, and what the target itself holds.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from domain.identity import Target
from domain.matching import ObservedDriver

Profile = Mapping[str, str]

OWNED = {
    Target.DRIVERI: ("first_name", "last_name", "email"),
    Target.MOTIVE: ("first_name", "last_name", "email", "ref_id", "portal_driver_id", "driveri_driver_id"),
}
"""Of the fields that we own there, those that the fleet of a test has."""

_MARKS = ("portal_driver_id", "ref_id", "email")

LEFT_OUT = ""
"""What is found where the Portal does not want the driver, and there is nothing."""

Verdict = tuple[str, tuple[str, ...]]
"""What a reconciliation finds of a driver, and the names of the facts that it decides."""

TABLE: Mapping[tuple[str, str, str], Verdict] = {
    ("wants", "any", "both ids blank"): ("unkeyed", ("Parked",)),
    ("wants", "any", "another's"): ("conflict", ("Parked",)),
    ("wants", "none", "unknown"): ("absent", ("CreateDecided",)),
    ("wants", "none", "there"): ("found", ("LinkDecided",)),
    ("wants", "none", "deleted"): ("dormant", ("ReinstateDecided",)),
    ("wants", "none", "several"): ("conflict", ("Parked",)),
    ("wants", "same key", "equal"): ("in_sync", ()),
    ("wants", "same key", "our desired state changed"): ("outdated", ("UpdateDecided",)),
    ("wants", "same key", "differs"): ("drifted", ("DriftFound", "UpdateDecided")),
    ("wants", "same key", "deleted"): ("missing", ("ReinstateDecided",)),
    ("wants", "same key", "unknown"): ("missing", ("CreateDecided",)),
    ("wants", "same key", "elsewhere"): ("missing", ("LinkDecided",)),
    ("wants", "key changed", "unknown"): ("renamed", ("RenameDecided",)),
    ("wants", "key changed", "there"): ("redirected", ("LinkDecided",)),
    ("wants", "key changed", "deleted"): ("redirected", ("ReinstateDecided",)),
    ("wants", "key changed", "both unknown"): ("missing", ("CreateDecided",)),
    ("deleted", "live", "there, and the guard is open"): ("orphaned", ("DeleteDecided",)),
    ("deleted", "live", "there, and the guard is closed"): ("held", ("DeleteHeld",)),
    ("deleted", "live", "gone"): (LEFT_OUT, ("Confirmed",)),
    ("deleted", "none", "-"): (LEFT_OUT, ()),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One driver before a reconciliation.

    `states` None: the Portal has deleted the driver; `link` empty: there is none.

    `stated` is what we last stated to the target, and `rival` tells that another driver holds the desired id.
    """

    target: Target
    driver: str
    states: Profile | None
    stated: Profile
    link: str
    is_rival: bool

    @property
    def desired(self) -> dict[str, str]:
        """What the target has to show in the fields that are compared."""
        stated = {**(self.states or {}), "portal_driver_id": self.driver}
        if self.is_rival:
            del stated["driveri_driver_id"]
        return {field: stated[field] for field in OWNED[self.target] if field in stated}

    @property
    def key(self) -> str:
        """The key desired; Motive gives its own."""
        states = self.states or {}
        desired = states.get("driveri_driver_id") or states.get("ref_id", "")
        return desired if self.target is Target.DRIVERI else self.link


def verdict(standing: Standing, held: Iterable[ObservedDriver], *, is_guard_open: bool) -> Verdict:
    """What the table says of a driver, where the target holds these."""
    drivers = {str(each.key): each for each in held}
    if standing.states is None:
        link = "live" if standing.link else "none"
        return TABLE["deleted", link, _shown_deleted(standing, drivers, is_guard_open=is_guard_open)]
    if standing.target is Target.DRIVERI and (in_the_way := _in_the_way(standing)):
        return TABLE["wants", "any", in_the_way]
    if not standing.link:
        return TABLE["wants", "none", _answering(standing, drivers)]
    if standing.key == standing.link:
        return TABLE["wants", "same key", _shown_same(standing, drivers)]
    return TABLE["wants", "key changed", _shown_changed(standing, drivers)]


def unmanaged(standings: Iterable[Standing], held: Collection[ObservedDriver]) -> set[str]:
    """The keys of the active target drivers that no link has, or is about to have."""
    claimed = set[str]()
    for standing in standings:
        found = _candidates(standing, {str(each.key): each for each in held}) if standing.states else []
        is_taken = verdict(standing, held, is_guard_open=True)[1] == ("LinkDecided",)
        claimed |= {standing.link, *(str(each.key) for each in found if is_taken)}
    return {str(each.key) for each in held if each.active} - claimed


def drifted(standing: Standing, held: Iterable[ObservedDriver]) -> dict[str, str | None]:
    """The fields in which the linked driver is not as desired, and what it shows there."""
    shown = next(each.profile for each in held if each.key == standing.link)
    return {field: shown.get(field) for field, text in standing.desired.items() if shown.get(field) != text}


def _in_the_way(standing: Standing) -> str:
    if not standing.key:
        return "both ids blank"
    return "another's" if standing.is_rival else ""


def _shown_deleted(standing: Standing, drivers: Mapping[str, ObservedDriver], *, is_guard_open: bool) -> str:
    if not standing.link:
        return "-"
    if not _is_there(drivers.get(standing.link)):
        return "gone"
    return f"there, and the guard is {'open' if is_guard_open else 'closed'}"


def _shown_same(standing: Standing, drivers: Mapping[str, ObservedDriver]) -> str:
    linked = drivers.get(standing.link)
    if linked is None:
        found = _answering(standing, drivers)
        return "elsewhere" if found == "there" else found
    if not linked.active:
        return "deleted"
    if _is_restated(standing):
        return "our desired state changed"
    return "differs" if drifted(standing, drivers.values()) else "equal"


def _shown_changed(standing: Standing, drivers: Mapping[str, ObservedDriver]) -> str:
    found = _answering(standing, drivers)
    return found if found != "unknown" or _is_there(drivers.get(standing.link)) else "both unknown"


def _answering(standing: Standing, drivers: Mapping[str, ObservedDriver]) -> str:
    """What the target shows of the driver that matches the desired state."""
    found = _candidates(standing, drivers)
    if len(found) > 1:
        return "several"
    return ("there" if found[0].active else "deleted") if found else "unknown"


def _candidates(standing: Standing, drivers: Mapping[str, ObservedDriver]) -> Sequence[ObservedDriver]:
    """Who answers to the desired state: in Driveri the id.

    In Motive the first of our external id, the RefID and the e-mail.
    """
    if standing.target is Target.DRIVERI:
        return [each for key, each in drivers.items() if key.casefold() == standing.key.casefold()]
    matches = (_having(drivers.values(), field, standing.desired.get(field)) for field in _MARKS)
    return next(filter(None, matches), ())


def _having(drivers: Iterable[ObservedDriver], field: str, text: str | None) -> Sequence[ObservedDriver]:
    return [each for each in drivers if text and each.profile.get(field) == text]


def _is_restated(standing: Standing) -> bool:
    """Whether the Portal states otherwise what we stated; a DriverID can be taken back in Motive, nothing else can."""
    before = {**standing.stated, "portal_driver_id": standing.driver}
    is_taken_back = standing.target is Target.MOTIVE and "driveri_driver_id" not in standing.desired
    return is_taken_back or any(before.get(field) != text for field, text in standing.desired.items())


def _is_there(driver: ObservedDriver | None) -> bool:
    return driver is not None and driver.active
