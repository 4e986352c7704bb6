"""A target may write a NUL, or a terminal's escape, wherever it writes text: it reaches no store and no terminal."""

import pytest

from domain.failures import Rejected
from domain.ports import Done
from tests.unit.adapters.driveri import tenant as driveri
from tests.unit.adapters.motive import company as motive
from tests.unit.adapters.vendor import answer

pytestmark = pytest.mark.anyio

ODD = "\0\x1b[2J\u202e"


async def test_a_status_description_with_a_nul_means_its_code() -> None:
    vendor = driveri.tenant()
    statuses = [
        {"status": 3, "description": "Act\0ive"},
        {"status": driveri.DELETED, "description": f"Deleted{ODD[:1]}"},
    ]
    vendor.on(driveri.CONFIGURATIONS, answer(200, {"data": {"configuration": {"driverStatus": statuses}}}))
    vendor.on(driveri.edit("A1"), driveri.MESSAGE)
    assert isinstance(await driveri.drivers(vendor).delete(driveri.A1), Done)
    assert vendor.body(driveri.edit("A1")) == {"status": driveri.DELETED}


async def test_a_name_with_a_nul_is_shown_without_it() -> None:
    driveri_vendor, motive_vendor = driveri.tenant(), motive.company()
    driveri_vendor.on(driveri.LOOK, driveri.listed({**driveri.row("A1"), "lastName": f"Do{ODD}e"}))
    motive_vendor.on(motive.READ, motive.one({**motive.user(), "last_name": f"Do{ODD}e"}))
    for found in (
        await driveri.drivers(driveri_vendor).find(driveri.A1, {}),
        await motive.drivers(motive_vendor).find(motive.KEY, {}),
    ):
        assert found is not None
        assert found.profile["last_name"] == "Do[2Je"


async def test_a_refusal_is_reported_without_a_nul_or_an_escape() -> None:
    driveri_vendor, motive_vendor = driveri.tenant(), motive.company()
    driveri_vendor.on(driveri.edit("A1"), answer(400, {"error": {"status": 400, "message": f"not{ODD} so"}}))
    motive_vendor.on(motive.EDIT, answer(400, {"error_message": f"not{ODD} so"}))
    for answered in (
        await driveri.drivers(driveri_vendor).update(driveri.A1, driveri.JANE, ["email"]),
        await motive.drivers(motive_vendor).update(motive.KEY, motive.JANE, ["email"]),
    ):
        assert isinstance(answered, Rejected)
        assert answered.detail == "answered 400: not[2J so"
