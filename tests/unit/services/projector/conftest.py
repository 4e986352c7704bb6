from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.identity import AccountId, Target
from tests.support.stepped_services import ACME, SteppedServices, both_targets
from tests.unit.services.projector.rosters import shown

SECOND = AccountId("beta")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[SteppedServices]:
    """The projectors of two accounts that are on; what is decided, the tests say themselves."""
    services = SteppedServices(tmp_path, both_targets(ACME, SECOND))
    services.add(ACME)
    services.add(SECOND)
    yield services
    services.close()


@pytest.fixture
def scanned(fleet: SteppedServices) -> SteppedServices:
    """Both accounts have three drivers at each target, and everybody's roster was scanned."""
    for twin in fleet.twins.values():
        for number in range(1, 4):
            twin.drivers.put(shown(number))
    for target in Target:
        fleet.follow(target)
        fleet.scan(target)
    return fleet
