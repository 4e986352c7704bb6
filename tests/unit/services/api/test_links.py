"""The links of an account, and its targets' unmanaged drivers, in pages."""

import pytest

from domain.identity import AccountId, Key, Target
from domain.matching import ObservedDriver
from domain.store import Unit
from services.api import status as module
from services.decider.read_models import to_roster_row
from tests.unit.services.api.api_stand import ApiStand, Json

pytestmark = pytest.mark.anyio

ACME = AccountId("acme")


def seen(key: str) -> ObservedDriver:
    return ObservedDriver(key=Key(key), active=True, profile={})


async def pages(stand: ApiStand, **query: str) -> list[list[Json]]:
    """All pages, each asked for behind the last of the one before."""
    found: list[list[Json]] = []
    after = ""
    while page := (await stand.get("/accounts/acme/links", after=after, **query)).json():
        found.append(page)
        after = f"{page[-1]['target']}/{page[-1]['driver'] or page[-1]['key']}"
    return found


@pytest.mark.parametrize("size", [1, 2, 4, 5, 6, 100])
async def test_every_link_is_on_one_page(stand: ApiStand, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    await stand.set_some_aside()
    monkeypatch.setattr(module, "MOST_LINKS", size)
    found = await pages(stand)
    links = [(each["target"], each["driver"]) for page in found for each in page]
    assert links == [(str(target), driver) for target in Target for driver in "123"]
    assert [len(page) for page in found[:-1]] == [size] * (len(links) // size - (len(links) % size == 0))


async def test_pages_have_only_what_was_asked_for(stand: ApiStand, monkeypatch: pytest.MonkeyPatch) -> None:
    await stand.set_some_aside()
    monkeypatch.setattr(module, "MOST_LINKS", 1)
    parked = await pages(stand, state="parked")
    assert [(each["target"], each["driver"]) for (each,) in parked] == [
        ("driveri", "1"),
        ("driveri", "2"),
        ("motive", "3"),
    ]
    of_motive = await pages(stand, state="parked", target="motive")
    assert [(each["target"], each["driver"]) for (each,) in of_motive] == [("motive", "3")]


async def test_unmanaged_drivers_come_in_pages(stand: ApiStand, monkeypatch: pytest.MonkeyPatch) -> None:
    await stand.set_some_aside()
    unit = Unit()
    unit.keep(to_roster_row(ACME, target, seen(key)) for target in Target for key in ("X1", "x2", "X3"))
    stand.stores["decider"].commit(unit)
    monkeypatch.setattr(module, "MOST_LINKS", 2)
    found = await pages(stand, state="unmanaged")
    assert [[(each["target"], each["key"]) for each in page] for page in found] == [
        [("driveri", "X1"), ("driveri", "x2")],
        [("driveri", "X3"), ("motive", "X1")],
        [("motive", "X3"), ("motive", "x2")],
    ]
