"""Whatever happened, and wherever it stopped: the logs explain every read model."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given

from tests.support.examples import examples
from tests.unit.services.wiring.days import Day, Happening, happenings
from tests.unit.services.wiring.rebuilt import checked


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One new folder after the other."""
    return map(partial(_made, tmp_path_factory.mktemp("days")), count())


def _made(root: Path, number: int) -> Path:
    folder = root / str(number)
    folder.mkdir()
    return folder


@examples(8, many=100)
@given(happened=happenings)
def test_rebuilt_read_models_are_as_they_were_kept(folders: Iterator[Path], happened: Sequence[Happening]) -> None:
    folder = next(folders)
    day = Day(folder)
    day.services.add()
    day.services.run()
    for each in happened:
        each(day)
    day.services.close()
    assert checked(folder) == []
