from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.services.control.control_stand import ControlStand


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[ControlStand]:
    stand = ControlStand(tmp_path)
    yield stand
    stand.close()
