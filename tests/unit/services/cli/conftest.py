import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.commanding import Ended, command
from tests.unit.services.api.api_stand import ApiStand

Driverlink = Callable[..., Ended]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder that nobody owns, with drivers who are set aside; its name is short enough for a local socket."""
    with TemporaryDirectory(prefix="dl-") as parent:
        stand = ApiStand(Path(parent))
        asyncio.run(stand.set_some_aside())
        stand.close()
        yield Path(parent)


@pytest.fixture
def driverlink(folder: Path) -> Driverlink:
    """Runs a command on that folder."""
    return lambda *arguments: command({"DRIVERLINK_DATA": str(folder)}, *arguments)
