from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.identity import AccountId
from tests.support.stepped_services import ACME, SteppedServices, both_targets

SECOND = AccountId("beta")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[SteppedServices]:
    """The projectors of two accounts that are on; what is decided, the tests say themselves."""
    services = SteppedServices(tmp_path, both_targets(ACME, SECOND))
    services.add(ACME)
    services.add(SECOND)
    yield services
    services.close()
