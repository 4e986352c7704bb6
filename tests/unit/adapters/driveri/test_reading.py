import asyncio
from contextlib import aclosing, suppress

import httpx
import pytest

from domain.failures import Reason, Rejected, TargetFailed, Unavailable
from tests.unit.adapters.driveri.tenant import (
    A1,
    AWAY,
    CONFIGURATIONS,
    DELETED,
    JANE,
    LIST,
    LOOK,
    NOBODY,
    driver,
    drivers,
    listed,
    row,
    scanned,
    tenant,
)
from tests.unit.adapters.vendor import Answer, answer

pytestmark = pytest.mark.anyio


async def test_a_scan_yields_every_page_with_deleted_drivers() -> None:
    vendor = tenant()
    vendor.on(LIST, listed(row("A1"), row("B2", DELETED), following="?offset=200&limit=200"), listed(row("C3", AWAY)))
    assert await scanned(drivers(vendor)) == [(driver("A1"), driver("B2", active=False)), (driver("C3"),)]
    first = {"offset": "0", "limit": "200", "showAll": "true"}
    assert vendor.queries(LIST) == [first, first | {"offset": "200"}]


@pytest.mark.parametrize(
    "link",
    [
        "https://elsewhere.test/internal/drivers?offset=200&limit=200&showAll=true",
        "/v1/tenants/acme/drivers?offset=200",
        "?offset=200",
    ],
)
async def test_a_scan_stays_on_the_configured_address(link: str) -> None:
    vendor = tenant()
    vendor.on(LIST, listed(row("A1"), following=link), listed(row("B2")))
    assert len(await scanned(drivers(vendor))) == 2
    assert {request.url.host for request in vendor.requests} == {"vendor.test"}
    assert vendor.queries(LIST)[1] == {"offset": "200", "limit": "200", "showAll": "true"}


async def test_a_scan_yields_a_driver_once_when_pages_overlap() -> None:
    vendor = tenant()
    vendor.on(LIST, listed(row("A1"), row("B2"), following="?offset=200"), listed(row("B2"), row("C3")))
    assert [[seen.key for seen in page] for page in await scanned(drivers(vendor))] == [["A1", "B2"], ["C3"]]


def pages(*starts: str, offset: int = 200) -> list[Answer]:
    """A page of 200 drivers, and the next one, which begins with these; they overlap by five."""
    first = [row(f"D{number}") for number in range(200)]
    return [listed(*first, following=f"?offset={offset}"), listed(*(row(start) for start in starts))]


async def test_the_next_page_is_asked_for_before_one_is_looked_at() -> None:
    vendor = tenant()
    vendor.on(LIST, *(listed(row(name), following=f"?offset={name}") for name in "123"), listed(row("4")))
    assert [len(vendor.queries(LIST)) async for _ in drivers(vendor).scan()] == [2, 3, 4, 4]


async def test_a_scan_that_is_given_up_leaves_no_page_coming() -> None:
    vendor = tenant()
    vendor.on(LIST, listed(row("A1"), following="?offset=200"), listed(row("B2")))
    before = asyncio.all_tasks()
    async with aclosing(drivers(vendor).scan()) as scan:
        await anext(scan)
    assert asyncio.all_tasks() == before


ENDING = [f"D{number}" for number in range(195, 200)]


async def test_a_page_begins_with_the_last_drivers_of_the_one_before() -> None:
    vendor = tenant()
    vendor.on(LIST, *pages(*ENDING, "E1"))
    assert [len(page) for page in await scanned(drivers(vendor))] == [200, 1]
    assert [query["offset"] for query in vendor.queries(LIST)] == ["0", "195"]


@pytest.mark.parametrize("moved", [[*ENDING[1:], "D200", "D201"], ["D194", *ENDING], [*ENDING[:-1], "D200"], []])
async def test_a_list_that_moved_between_two_pages_is_read_again(moved: list[str]) -> None:
    vendor = tenant()
    vendor.on(LIST, *pages(*moved), *pages(*ENDING, "D200", "D201"))
    scan = await scanned(drivers(vendor))
    assert [seen.key for page in scan for seen in page] == [f"D{number}" for number in range(202)]


async def test_a_list_that_never_holds_still_fails_the_scan_and_the_look_for_a_deleted_driver() -> None:
    vendor = tenant()
    vendor.on(LIST, *pages("D0") * 6)
    failure = Unavailable(reason=Reason.DOWN, detail="the list of drivers moved each of the 3 times that it was read")
    for reading in (scanned(drivers(vendor)), drivers(vendor).find(A1, {})):
        with pytest.raises(TargetFailed) as raised:
            await reading
        assert raised.value.failure == failure


@pytest.mark.parametrize("length", [1, 2, 3, 5, 6])
async def test_a_list_whose_pages_are_short_is_read_to_its_end(length: int) -> None:
    vendor = tenant()
    vendor.on(LIST, in_pages_of(length, 13))
    scan = await scanned(drivers(vendor))
    assert [seen.key for page in scan for seen in page] == [f"D{number}" for number in range(13)]


def in_pages_of(length: int, drivers: int) -> Answer:
    """A list whose pages are never longer than this, whatever limit is asked for."""

    def shown(request: httpx.Request) -> httpx.Response:
        start = int(request.url.params["offset"])
        stop = min(start + length, drivers)
        following = f"?offset={stop}" if stop < drivers else None
        return listed(*(row(f"D{number}") for number in range(start, stop)), following=following)(request)

    return shown


async def test_pages_that_are_not_right_behind_each_other_are_taken_as_they_are() -> None:
    vendor = tenant()
    vendor.on(LIST, *pages("E1", offset=300))
    assert [len(page) for page in await scanned(drivers(vendor))] == [200, 1]
    assert [query["offset"] for query in vendor.queries(LIST)] == ["0", "300"]


def numbered(request: httpx.Request, number: int, *, total: object, linked: bool) -> httpx.Response:
    """A page of a list of this many drivers, whose links are always there or never."""
    start, limit = int(request.url.params["offset"]), int(request.url.params["limit"])
    rows = [row(f"N{place}") for place in range(start, min(start + limit, number))]
    links = {"next": f"?offset={start + len(rows)}" if linked else None}
    return answer(200, {"data": {"drivers": rows}, "links": links, "totalCount": total})(request)


@pytest.mark.parametrize("linked", [True, False])
@pytest.mark.parametrize("number", [1, 199, 200, 201, 395, 396])
@pytest.mark.parametrize("total", [2665, 1, 0, -3, None, "many", 2.5, 10**30], ids=str)
async def test_a_list_is_read_to_its_end_whatever_its_links_and_its_number_say(
    linked: bool,  # noqa: FBT001 - a parameter of the test
    number: int,
    total: object,
) -> None:
    vendor = tenant()
    vendor.on(LIST, lambda request: numbered(request, number, total=total, linked=linked))
    seen = [driver.key for page in await scanned(drivers(vendor)) for driver in page]
    assert seen == [f"N{place}" for place in range(number)]
    assert len(vendor.queries(LIST)) <= 2 + number // 195


@pytest.mark.parametrize("following", ["?limit=many&offset=1", "?limit=&offset=", "?offset=" + "9" * 5000])
async def test_a_link_that_makes_no_sense_ends_no_process(following: str) -> None:
    vendor = tenant()
    vendor.on(LIST, listed(row("A1"), following=following), listed())
    with suppress(TargetFailed):
        await scanned(drivers(vendor))
    assert len(vendor.queries(LIST)) <= 3


async def test_an_empty_first_page_is_an_empty_list_whatever_it_links_to() -> None:
    vendor = tenant()
    vendor.on(LIST, listed(following="?offset=200"))
    assert await scanned(drivers(vendor)) == [()]


async def test_a_driver_without_a_status_is_read_as_one_who_is_not_deleted() -> None:
    vendor = tenant()
    nameless = {name: value for name, value in row("A1").items() if name != "status"}
    vendor.on(LIST, listed(nameless, {**row("B2"), "status": None}, row("C3", DELETED)))
    page = (driver("A1"), driver("B2"), driver("C3", active=False))
    assert await scanned(drivers(vendor)) == [page]


async def test_a_look_up_without_data_is_not_a_miss() -> None:
    vendor = tenant()
    vendor.on(LOOK, answer(200, {}))
    with pytest.raises(TargetFailed) as raised:
        await drivers(vendor).find(A1, {})
    assert raised.value.failure.reason is Reason.DOWN


async def test_a_scan_that_goes_round_in_a_circle_fails() -> None:
    vendor = tenant()
    vendor.on(LIST, listed(row("A1"), following="?offset=200"), listed(row("B2"), following="?offset=0"))
    with pytest.raises(TargetFailed) as raised:
        await scanned(drivers(vendor))
    detail = "the pages of the roster go round in a circle"
    assert raised.value.failure == Unavailable(reason=Reason.DOWN, detail=detail)


@pytest.mark.parametrize("broken", [answer(200), answer(200, {"data": None}), answer(200, {"data": {}}), answer(500)])
async def test_a_page_that_cannot_be_read_fails_the_scan(broken: Answer) -> None:
    vendor = tenant()
    vendor.on(LIST, broken)
    with pytest.raises(TargetFailed) as raised:
        await scanned(drivers(vendor))
    assert raised.value.failure.reason is Reason.DOWN


@pytest.mark.parametrize("data", [None, {}, {"drivers": None}, {"drivers": []}])
async def test_a_list_that_says_that_it_is_empty_is_read_without_drivers(data: object) -> None:
    vendor = tenant()
    vendor.on(LIST, answer(200, {"data": data, "links": None, "totalCount": 0}))
    assert await scanned(drivers(vendor)) == [()]


async def test_an_unknown_tenant_is_a_matter_of_configuration() -> None:
    vendor = tenant()
    vendor.on(CONFIGURATIONS, NOBODY)
    with pytest.raises(TargetFailed) as raised:
        await scanned(drivers(vendor))
    assert raised.value.failure.reason is Reason.NOT_CONFIGURED


async def test_a_status_word_that_the_tenant_lacks_is_answered_with_those_it_has() -> None:
    vendor = tenant()
    vendor.on(CONFIGURATIONS, answer(200, {"data": {"driverStatus": [{"status": 1, "description": "Active"}]}}))
    detail = "no driver status is called 'Deleted' here; there are: Active"
    assert await drivers(vendor).delete(A1) == Rejected(reason=Reason.NOT_CONFIGURED, detail=detail)


async def test_status_codes_are_read_once() -> None:
    vendor = tenant()
    vendor.on(LOOK, listed(row("A1")))
    target = drivers(vendor)
    await asyncio.gather(*(target.find(A1, {}) for _ in range(3)))
    assert vendor.calls.count(CONFIGURATIONS) == 1


async def test_find_compares_ids_without_regard_to_case() -> None:
    vendor = tenant()
    vendor.on(LOOK, listed(row("A10"), row("a1")))
    assert await drivers(vendor).find(A1, {}) == driver("a1")
    assert vendor.queries(LOOK) == [{"driverId": "A1"}]


async def test_find_prefers_the_id_that_is_written_the_same() -> None:
    vendor = tenant()
    vendor.on(LOOK, listed(row("a1"), row("A1")))
    assert await drivers(vendor).find(A1, {}) == driver("A1")


@pytest.mark.parametrize("miss", [NOBODY, listed(), answer(200, {"data": None}), answer(200, {"data": {}})])
async def test_find_looks_for_deleted_drivers_in_the_list(miss: Answer) -> None:
    vendor = tenant()
    vendor.on(LOOK, miss)
    vendor.on(LIST, listed(row("B2", DELETED), following="?offset=200"), listed(row("A1", DELETED)))
    assert await drivers(vendor).find(A1, {}) == driver("A1", active=False)
    assert [query["state"] for query in vendor.queries(LIST)] == [str(DELETED)] * 2


async def test_find_raises_when_driveri_cannot_tell() -> None:
    vendor = tenant()
    vendor.on(LOOK, answer(422, {"message": "odd"}))
    with pytest.raises(TargetFailed) as raised:
        await drivers(vendor).find(A1, {})
    assert raised.value.failure == Rejected(reason=Reason.INVALID, detail="answered 422")


async def test_find_is_none_for_an_id_that_no_driver_has() -> None:
    assert await drivers(tenant()).find(A1, {}) is None


async def test_find_without_a_key_is_none_without_a_call() -> None:
    vendor = tenant()
    assert await drivers(vendor).find(None, JANE) is None
    assert vendor.calls == []
