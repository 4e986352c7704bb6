"""What the suites need of a target beyond its port, and the people who are there."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from domain.identity import Key, Target
from domain.matching import ObservedDriver
from domain.ports import TargetDrivers
from domain.profile import Profile, to_change

SEEDED = 230
"""More than a page, for either vendor; Bob and Dee are there besides."""

JANE = {
    "first_name": "Jane",
    "last_name": "Doe",
    "email": "jane@fleet.test",
    "phone": "+1 (555) 010-0100",
    "licence_number": "0042",
    "licence_state": "TX",
}
BOB = {"first_name": "Bob", "last_name": "Ray", "email": "bob@fleet.test", "phone": "+1 555 010 0199"}
DRIVERI_JANE = {**JANE, "driveri_group": "North", "licence_country": "US"}
MOTIVE_JANE = {
    **JANE,
    "ref_id": "R-1",
    "time_zone": "America/Denver",
    "portal_driver_id": "p-jane",
    "driveri_driver_id": "A 1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """The drivers that the suites are about.

    `desired_key` and `jane` are for a driver who is not there yet; `bob` is, and so is `departed`, who is not active.
    `unknown` is a key that no driver has.
    """

    target: Target
    desired_key: Key | None
    jane: Profile
    bob: Key
    departed: Key
    unknown: Key


DRIVERI_PEOPLE = People(
    target=Target.DRIVERI,
    desired_key=Key("Zoë/1 %2F"),
    jane=DRIVERI_JANE,
    bob=Key("B 2"),
    departed=Key("D/3"),
    unknown=Key("nobody"),
)
MOTIVE_PEOPLE = People(
    target=Target.MOTIVE,
    desired_key=None,
    jane=MOTIVE_JANE,
    bob=Key("2"),
    departed=Key("3"),
    unknown=Key("99999"),
)


class TargetStand(ABC):
    """A target's drivers, behind the port."""

    def __init__(self, people: People, drivers: TargetDrivers) -> None:
        self.people = people
        self.drivers = drivers

    async def find(self, key: Key) -> ObservedDriver:
        """The driver of this key as the target shows it now."""
        found = await self.drivers.find(key, {})
        assert found is not None
        return found

    async def roster(self) -> list[ObservedDriver]:
        """Every driver that a scan shows."""
        return [driver async for page in self.drivers.scan() for driver in page]

    def is_shown(self, desired: Profile, seen: ObservedDriver) -> bool:
        """Whether the target shows all of the profile that can be read back."""
        return not to_change(self.people.target, desired, seen.profile)

    @abstractmethod
    async def effects(self) -> int:
        """How many calls have changed something at the target."""
