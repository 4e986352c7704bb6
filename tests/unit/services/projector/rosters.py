"""Rosters, whose walks are due, and sweeps that are asked for."""

from domain.identity import AccountId, Key, Target
from domain.matching import TargetDriver
from tests.support.stepped_services import SteppedServices


def shown(number: int, last_name: str = "Doe") -> TargetDriver:
    return TargetDriver(key=Key(str(number)), active=True, profile={"first_name": "Jane", "last_name": last_name})


def due(fleet: SteppedServices, target: Target = Target.DRIVERI) -> list[AccountId]:
    return [walk.account for walk in fleet.projectors[target]._walks.due()]


def request(fleet: SteppedServices, target: Target = Target.DRIVERI, driver: str = "", *keys: str) -> None:
    """Jane asks for a sweep now, and the projector hears of it."""
    fleet.ask(lambda person, account: person.sweep(account, target, driver=driver, keys=keys))
    fleet.follow(target)
