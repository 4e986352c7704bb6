"""All pages of a scan together, and the Portal's list with its attributes, are bounded, with a reason for people."""

from typing import Any

import pytest

import adapters.driveri.target
import adapters.motive.target
import adapters.portal.api
from domain.failures import ListWithoutEnd, TargetFailed
from domain.identity import PortalDriverId
from domain.ports import PortalLine
from tests.contract.targets.sandboxes import company, in_process, tenant
from tests.contract.targets.stands import TargetStand
from tests.support.stated import said
from tests.unit.adapters.portal import test_api as portal
from tests.unit.adapters.vendor import Vendor

pytestmark = pytest.mark.anyio

STANDS: dict[str, tuple[Any, Any]] = {
    "driveri": (adapters.driveri.target, tenant),
    "motive": (adapters.motive.target, company),
}
SEEDED = 1000
LOOK_FOR = "check with the vendor what this account's list shows"


async def size_of_a_scan(stand: TargetStand, module: Any, patch: pytest.MonkeyPatch) -> int:  # noqa: ANN401
    """How many bytes a scan reads in all."""
    patch.setattr(module, "MOST_OF_A_ROSTER", most := 100_000_000)
    total = module.ByteBudget("the roster", most)
    with patch.context() as shared:
        shared.setattr(module, "ByteBudget", lambda *_: total)
        await stand.roster()
    return int(total._read)


@pytest.mark.parametrize("vendor", list(STANDS))
async def test_a_scan_whose_pages_are_too_long_in_all_ends_with_a_reason(
    vendor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, standing = STANDS[vendor]
    async with standing(in_process, SEEDED) as stand:
        size = await size_of_a_scan(stand, module, monkeypatch)
        assert size > 100 * SEEDED
        monkeypatch.setattr(module, "MOST_OF_A_ROSTER", size // 2)
        with pytest.raises(ListWithoutEnd) as failed:
            await stand.roster()
        assert failed.value.failure.detail == f"the roster is longer than {size // 2 / 1e6:g} MB in all: {LOOK_FOR}"


@pytest.mark.parametrize("vendor", list(STANDS))
async def test_each_scan_is_counted_for_itself(vendor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, standing = STANDS[vendor]
    async with standing(in_process, SEEDED) as stand:
        size = await size_of_a_scan(stand, module, monkeypatch)
        monkeypatch.setattr(module, "MOST_OF_A_ROSTER", size)
        for _ in range(3):
            assert len(await stand.roster()) >= SEEDED


async def test_the_portals_list_and_attributes_are_bounded_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters.portal.api, "MOST_OF_THE_PORTAL", 2_000)
    vendor = Vendor()
    vendor.on(portal.LOGIN, portal.framed({"token": "session-1"}))
    vendor.on(portal.LIST, portal.framed([{"id": 1, "lastname": "Doe"}]))
    vendor.on(portal.ATTRIBUTES, portal.framed([portal.attribute("A" * 400)]))
    drivers, line = portal.reached(vendor), PortalLine(driver=PortalDriverId("1"), profile=said(last_name="Doe"))
    for _ in range(2):
        await drivers.list_all()
        await drivers.with_attributes([line] * 3)
    with pytest.raises(TargetFailed, match=r"the list with all attributes is longer than 0\.002 MB in all"):
        await drivers.with_attributes([line] * 3)
