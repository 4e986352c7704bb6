from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.services.api.api_stand import ApiStand


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[ApiStand]:
    stand = ApiStand(tmp_path)
    yield stand
    stand.close()
