import asyncio
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory

import pytest

from tests.support.served_folder import ServedFolder
from tests.unit.services.api.api_stand import ApiStand


@pytest.fixture(scope="session")
def some_parked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with drivers who are set aside, to be copied."""
    folder = tmp_path_factory.mktemp("parked")
    stand = ApiStand(folder)
    asyncio.run(stand.set_some_aside())
    stand.close()
    return folder


@pytest.fixture
def folder(some_parked: Path) -> Iterator[Path]:
    """A data folder that nothing runs on, with drivers who are set aside; short enough for a local socket."""
    with TemporaryDirectory(prefix="dl-") as parent:
        yield copytree(some_parked, Path(parent) / "data")


@pytest.fixture
def driverlink(folder: Path) -> Iterator[ServedFolder]:
    """Runs commands on that folder, whose API is served."""
    served = ServedFolder(folder)
    yield served
    served.stop()


@pytest.fixture(scope="module")
def looking(some_parked: Path) -> Iterator[ServedFolder]:
    """The same for tests that only look at it, which share it."""
    with TemporaryDirectory(prefix="dl-") as parent:
        served = ServedFolder(copytree(some_parked, Path(parent) / "data"))
        yield served
        served.stop()
