"""A roster of which one line is odd is read, and no driver counts as gone because of that line."""

from collections.abc import Sequence

import pytest

from domain.identity import Key, Target
from domain.matching import ObservedDriver, UnreadableRecord, UnreadableRecords, key_identifier
from domain.ports import TargetDrivers
from tests.unit.adapters.driveri import tenant as driveri
from tests.unit.adapters.motive import company as motive
from tests.unit.adapters.vendor import answer

pytestmark = pytest.mark.anyio


async def roster(target: TargetDrivers) -> Sequence[ObservedDriver]:
    return [seen async for page in target.scan() for seen in page]


async def test_a_driver_whose_name_is_an_object_is_shown_without_it() -> None:
    vendor = driveri.tenant()
    odd = {**driveri.row("A2"), "lastName": {"of": "birth"}}
    vendor.on(driveri.LIST, driveri.listed(driveri.row("A1"), odd))
    first, second = await roster(driveri.drivers(vendor))
    assert "last_name" in first.profile
    assert "last_name" not in second.profile


@pytest.mark.parametrize("odd", [{"driverId": "A2", "status": {}}, {"driverId": "A2", "email": {}}])
async def test_a_record_of_driveri_that_cannot_be_read_is_reported_once(odd: dict[str, object]) -> None:
    vendor = driveri.tenant()
    rows = [driveri.row(f"B{number}") for number in range(199)]
    second = [*rows[-4:], {**driveri.row("A2"), **odd}, driveri.row("A3")]
    vendor.on(
        driveri.LIST,
        driveri.listed(*rows, {**driveri.row("A2"), **odd}, following="/drivers?offset=200"),
        driveri.listed(*second),
    )
    unreadable = UnreadableRecords()
    async for _ in driveri.drivers(vendor).scan(unreadable):
        pass
    (record,) = unreadable
    assert record.key == "A2"
    assert record.place.startswith("offset ")
    assert record.is_left_out is ("status" in odd)
    assert record.fields == tuple(odd.keys() - {"driverId"})


async def test_records_of_motive_that_cannot_be_read_are_reported_with_their_place() -> None:
    vendor = motive.company()
    odd = [{**motive.user(number=18), "role": []}, {**motive.user(number=19), "phone": {}}]
    unnamed = {**motive.user(), "id": {"of": "some"}}
    first, second = motive.listed(motive.user(), *odd, unnamed, total=4), motive.listed(total=4)
    vendor.on(motive.LIST, first, second, first, second)
    unreadable = UnreadableRecords()
    async for _ in motive.drivers(vendor).scan(unreadable):
        pass
    assert list(unreadable) == [
        UnreadableRecord(place="page 1, users.1", key="18", fields=("role",), is_left_out=True),
        UnreadableRecord(place="page 1, users.2", key="19", fields=("phone",), is_left_out=False),
        UnreadableRecord(place="page 1, users.3", key="", fields=("id",), is_left_out=True),
    ]


async def test_texts_that_no_store_takes_are_cleaned() -> None:
    vendor = driveri.tenant()
    vendor.on(driveri.LIST, driveri.listed({**driveri.row("A1"), "lastName": "D\0o\u200be\x1b[2J \u202e"}))
    (shown,) = await roster(driveri.drivers(vendor))
    assert shown.profile["last_name"] == "Doe[2J"


async def test_a_driver_missing_from_a_list_with_a_line_that_names_no_driver_is_looked_up() -> None:
    vendor = driveri.tenant()
    vendor.on(driveri.LIST, driveri.listed(driveri.row("A1"), {**driveri.row("A2"), "driverId": {}}))
    vendor.on(driveri.LOOK, driveri.listed(driveri.row("A2")))
    drivers = driveri.drivers(vendor)
    assert [seen.key for seen in await roster(drivers)] == ["A1"]
    assert await drivers.gone([Key("A2")]) == []


async def test_who_is_shown_in_an_odd_form_is_not_gone() -> None:
    vendor = motive.company()
    vendor.on(motive.READ, motive.one({**motive.user(), "role": []}), answer(200, {}), motive.NOBODY)
    drivers = motive.drivers(vendor)
    assert await drivers.gone([motive.KEY]) == []


def test_keys_that_look_the_same_have_the_same_mark() -> None:
    assert key_identifier(Target.DRIVERI, Key("D\u200b-7 ")) == key_identifier(Target.DRIVERI, Key("d-7"))
