"""The story of the demo: which drivers the Portal changes, and how."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from domain.failures import ClearFailure
from domain.profile import Profile

MASS_DELETE = 90
"""More deletes than the guard lets through in a fleet of 1,500."""


class NoCast(ClearFailure):
    """The fleet lacks the drivers that the story needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """One change that the Portal announces: create, update (named fields only) or delete."""

    action: str
    driver: str
    profile: Profile = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Changes that the Portal announces together, and what they show."""

    title: str
    changes: tuple[Announcement, ...]
    is_relink: bool = False

    @property
    def drivers(self) -> tuple[str, ...]:
        """The drivers that the scene is about."""
        return tuple(change.driver for change in self.changes)


@dataclass(slots=True)
class Fleet:
    """The Portal's drivers, as the story moves them on.

    `gone` keeps the last profile of the deleted ones, `former` the Driveri ids that the Portal desired at some time.
    """

    there: dict[str, Profile] = field(default_factory=dict)
    gone: dict[str, Profile] = field(default_factory=dict)
    former: set[str] = field(default_factory=set)

    def apply(self, change: Announcement) -> None:
        """What the Portal shows after a change."""
        if before := self.there.get(change.driver):
            self.former.add(desired_id(before).casefold())
        if change.action == "delete":
            self.gone[change.driver] = self.there.pop(change.driver)
            return
        self.gone.pop(change.driver, None)
        self.there[change.driver] = {**(before or {}), **change.profile}


def desired_id(profile: Profile) -> str:
    """The id that the Portal desired states in Driveri: the Driveri DriverID, else the RefID."""
    return profile.get("driveri_driver_id") or profile.get("ref_id", "")


def to_scenes(
    fleet: Fleet, settled: Iterable[str], unmanaged: Sequence[str], *, deletes: int = MASS_DELETE
) -> list[Scene]:
    """The story, played by drivers who are in sync on both targets and whose ids are their own.

    `deletes` is how many drivers leave at once. Raises `NoCast` when there are too few drivers, or no unmanaged one in
    Driveri.
    """
    cast = _cast(fleet.there, set(settled))
    if len(cast) < deletes + 6:
        raise NoCast(f"the story needs {deletes + 6} drivers in sync on both targets, and the fleet has {len(cast)}")
    if not unmanaged:
        raise NoCast("the story needs an unmanaged driver in Driveri, and the fleet has none")
    updated, renamed, relinked, one, other, leaver, *many = cast
    ids = {driver: fleet.there[driver]["driveri_driver_id"] for driver in (one, other)}
    masses = many[:deletes]
    return [
        Scene(title="an update", changes=(_update(updated, phone="602-555-0188", last_name="Quintero-Vance"),)),
        Scene(title="a new DriverID", changes=(_update(renamed, driveri_driver_id="NEW-7001"),)),
        Scene(
            title="a DriverID that exists",
            changes=(_update(relinked, driveri_driver_id=unmanaged[0]),),
            is_relink=True,
        ),
        Scene(
            title="a swap of DriverIDs",
            changes=(_update(one, driveri_driver_id=ids[other]), _update(other, driveri_driver_id=ids[one])),
        ),
        Scene(title="a delete", changes=(Announcement(action="delete", driver=leaver),)),
        Scene(title="a rehire", changes=(_rehire(fleet, leaver),)),
        Scene(
            title="too many deletes",
            changes=tuple(Announcement(action="delete", driver=driver) for driver in masses),
        ),
        Scene(title="one of them comes back", changes=(_rehire(fleet, masses[-1]),)),
    ]


def _cast(there: Mapping[str, Profile], settled: set[str]) -> list[str]:
    shared = Counter(profile.get("driveri_driver_id", "").casefold() for profile in there.values())
    return [
        driver
        for driver, profile in there.items()
        if driver in settled and shared[profile.get("driveri_driver_id", "").casefold()] == 1
    ]


def _update(driver: str, **fields: str) -> Announcement:
    return Announcement(action="update", driver=driver, profile=fields)


def _rehire(fleet: Fleet, driver: str) -> Announcement:
    return Announcement(action="create", driver=driver, profile=fleet.there[driver])
