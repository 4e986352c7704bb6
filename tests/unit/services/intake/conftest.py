from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.services.intake.intake_stand import IntakeStand


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[IntakeStand]:
    with closing(IntakeStand(tmp_path / "intake.sqlite")) as stand:
        yield stand
