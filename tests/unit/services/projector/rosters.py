"""Rosters, whose scans are due, and reconciliations that are asked for."""

from domain.identity import AccountId, Key, Target
from domain.matching import ObservedDriver
from tests.support.stepped_services import SteppedServices


def shown(number: int, last_name: str = "Doe") -> ObservedDriver:
    return ObservedDriver(key=Key(str(number)), active=True, profile={"first_name": "Jane", "last_name": last_name})


def due(fleet: SteppedServices, target: Target = Target.DRIVERI) -> list[AccountId]:
    return [scan.account for scan in fleet.projectors[target]._scans.due()]


def request(fleet: SteppedServices, target: Target = Target.DRIVERI, driver: str = "", *keys: str) -> None:
    """Jane asks for a reconciliation now, and the projector hears of it."""
    fleet.ask(lambda person, account: person.reconciliation(account, target, driver=driver, keys=keys))
    fleet.follow(target)
