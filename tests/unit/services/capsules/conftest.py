from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.stepped_services import SteppedServices, both_targets


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[SteppedServices]:
    with closing(SteppedServices(tmp_path, both_targets())) as services:
        yield services
