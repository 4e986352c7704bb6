"""The twins of both targets in memory, with the same people as the sandboxes."""

from domain.identity import Key, Target
from domain.matching import ObservedDriver
from tests.contract.targets.stands import BOB, DRIVERI_PEOPLE, MOTIVE_PEOPLE, SEEDED, People, TargetStand
from tests.support.target_twin import TargetTwin


class TwinStand(TargetStand):
    """The twin of a target."""

    def __init__(self, people: People, twin: TargetTwin) -> None:
        super().__init__(people, twin)
        self.twin = twin

    async def effects(self) -> int:
        """How many calls have changed something at the target."""
        return len(self.twin.effects)


def driveri_twin() -> TwinStand:
    """Driveri."""
    return _twin(DRIVERI_PEOPLE, [Key(f"S-{number}") for number in range(SEEDED)])


def motive_twin() -> TwinStand:
    """Motive."""
    return _twin(MOTIVE_PEOPLE, [Key("1"), *(Key(str(number)) for number in range(4, SEEDED + 3))])


def _twin(people: People, others: list[Key]) -> TwinStand:
    twin = TargetTwin(Target(people.target))
    twin.drivers.put(ObservedDriver(key=people.bob, active=True, profile=BOB))
    twin.drivers.put(ObservedDriver(key=people.departed, active=False, profile={"first_name": "Dee"}))
    for number, key in enumerate(others):
        profile = {"first_name": f"First {number}", "last_name": f"Last {number}"}
        twin.drivers.put(ObservedDriver(key=key, active=True, profile=profile))
    return TwinStand(people, twin)
