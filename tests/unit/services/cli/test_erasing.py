"""`driverlink drivers erase`: what it says, and that it asks first."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from domain.account import Mode
from domain.identity import Target
from tests.support.served_folder import ServedFolder
from tests.unit.services.api.api_stand import ApiStand


async def _leave(stand: ApiStand) -> None:
    """Driver 2 is deleted, and nothing of it is sent."""
    await stand.set_some_aside()
    for target in Target:
        await stand.set_mode("acme", target, Mode.OBSERVE)
    await stand.post("/accounts/acme/drivers", {"action": "delete", "driver": "2"})
    while stand.step():
        pass


@pytest.fixture
def left() -> Iterator[ServedFolder]:
    with TemporaryDirectory(prefix="dl-") as parent:
        stand = ApiStand(Path(parent) / "data")
        asyncio.run(_leave(stand))
        stand.close()
        served = ServedFolder(Path(parent) / "data")
        yield served
        served.stop()


def test_it_asks_first_and_says_what_goes(left: ServedFolder) -> None:
    ended = left("drivers", "erase", "acme", "2")
    assert (ended.status, ended.out) == (2, "")
    said = " ".join(ended.err.split())
    assert "Jane Doe (2): everything personal that is stored goes, also of its links with driveri and motive" in said
    assert "repeat with --yes to erase the driver" in said
    assert left("drivers", "show", "acme", "2", "--json").document["name"] == "Jane Doe"


def test_it_is_done_once_and_says_so_again(left: ServedFolder) -> None:
    assert left("drivers", "erase", "acme", "2", "--yes").out == "driver 2 of acme is erased\n"
    again = left("drivers", "erase", "acme", "2")
    assert again.out.startswith("driver 2 of acme was erased at 20")
    assert again.out.endswith("already; nothing was added\n")
    assert left("drivers", "erase", "acme", "2", "--json").document["is_new"] is False
    shown = left("drivers", "show", "acme", "2").out
    assert "erased on 20" in shown
    assert "nothing personal is stored any more" in shown
    assert "Jane" not in shown


def test_a_refusal_is_one_line(left: ServedFolder) -> None:
    ended = left("drivers", "erase", "acme", "1", "--yes")
    words = "driverlink: the Portal still has driver 1: delete it there first, then erase it here\n"
    assert (ended.status, ended.out, ended.err) == (1, "", words)
