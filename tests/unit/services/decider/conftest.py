from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stepped_services import SteppedServices, both_targets


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[SteppedServices]:
    """Every service, and an account's two targets."""
    services = SteppedServices(tmp_path, both_targets())
    yield services
    services.close()
