import logging

import pytest

from domain.failures import Reason, Rejected, TargetFailed, Unavailable
from tests.unit.adapters.motive.company import (
    BODY,
    BY_EXTERNAL_ID,
    JANE,
    KEY,
    LIST,
    NOBODY,
    OURS,
    READ,
    company,
    driver,
    drivers,
    listed,
    one,
    user,
    walked,
)
from tests.unit.adapters.vendor import Answer, answer

pytestmark = pytest.mark.anyio


async def test_a_walk_yields_every_page_with_deactivated_drivers() -> None:
    vendor = company()
    first = listed(user(OURS), user(number=18, status="deactivated"), total=3, per_page=2)
    vendor.on(LIST, first, listed(user(number=19), page_no=2, total=3, per_page=2))
    assert await walked(drivers(vendor)) == [
        (driver(), driver(key="18", active=False, profile=BODY)),
        (driver(key="19", profile=BODY),),
    ]
    asked = {"role": "driver", "per_page": "100"}
    assert vendor.queries(LIST) == [asked | {"page_no": "1"}, asked | {"page_no": "2"}]
    assert {request.headers["X-Api-Key"] for request in vendor.requests} == {"hush"}


async def test_a_walk_never_shows_users_of_another_role() -> None:
    vendor = company()
    vendor.on(LIST, listed(user(role="fleet_user"), user(number=18, role="admin"), user(number=19), total=3))
    assert [[seen.key for seen in page] for page in await walked(drivers(vendor))] == [["19"]]


async def test_a_walk_yields_a_driver_once_when_pages_overlap() -> None:
    vendor = company()
    vendor.on(LIST, listed(user(), total=2, per_page=1), listed(user(), user(number=18), total=2, per_page=1))
    assert [[seen.key for seen in page] for page in await walked(drivers(vendor))] == [["17"], ["18"]]


async def test_a_list_that_moved_between_two_pages_is_read_again_until_everybody_was_seen() -> None:
    vendor = company()
    first = listed(user(), user(number=18), total=4, per_page=2)
    moved = listed(user(number=18), user(number=20), page_no=2, total=4, per_page=2)
    last = listed(user(number=19), user(number=20), page_no=2, total=4, per_page=2)
    vendor.on(LIST, first, moved, first, last)
    assert [[seen.key for seen in page] for page in await walked(drivers(vendor))] == [["17", "18"], ["20"], [], ["19"]]


async def test_whoever_was_counted_before_somebody_left_is_counted_anew() -> None:
    vendor = company()
    first = listed(user(), user(number=18), total=4, per_page=2)
    shorter = listed(user(number=20), page_no=2, total=3, per_page=2)
    vendor.on(LIST, first, shorter, listed(user(number=18), user(number=19), total=3, per_page=2), shorter)
    assert [[seen.key for seen in page] for page in await walked(drivers(vendor))] == [["17", "18"], ["20"], ["19"], []]


async def test_a_list_that_never_holds_still_fails_the_walk() -> None:
    vendor = company()
    vendor.on(LIST, listed(user(), total=2, per_page=1))
    with pytest.raises(TargetFailed) as raised:
        await walked(drivers(vendor))
    detail = "the list of users did not hold still in 5 readings"
    assert raised.value.failure == Unavailable(reason=Reason.DOWN, detail=detail)


async def test_pages_are_asked_for_ahead_and_none_that_is_not_there() -> None:
    vendor = company()
    pages = [listed(user(number=number), page_no=number, total=4, per_page=1) for number in range(1, 5)]
    vendor.on(LIST, *pages)
    asked = [len(vendor.queries(LIST)) async for _ in drivers(vendor).walk()]
    assert asked[1] > 2
    assert all(count <= place + 2 for place, count in enumerate(asked, 1))
    assert [query["page_no"] for query in vendor.queries(LIST)] == ["1", "2", "3", "4"]


async def test_a_page_ahead_that_cannot_be_read_fails_the_walk_when_its_turn_comes() -> None:
    vendor = company()
    readable = [listed(user(number=number), page_no=number, total=4, per_page=1) for number in (1, 2)]
    vendor.on(LIST, *readable, answer(403, {"error_message": "no"}), listed(user(number=4), total=4, per_page=1))
    pages = drivers(vendor).walk()
    assert [driver.key for _ in readable for driver in await anext(pages)] == ["1", "2"]
    with pytest.raises(TargetFailed):
        await anext(pages)


async def test_a_list_that_has_grown_while_it_was_read_is_read_to_its_new_end() -> None:
    vendor = company()
    totals = (2, 3, 3)
    pages = [listed(user(number=at), page_no=at, total=total, per_page=1) for at, total in enumerate(totals, 1)]
    vendor.on(LIST, *pages)
    assert [[seen.key for seen in page] for page in await walked(drivers(vendor))] == [["1"], ["2"], ["3"]]


async def test_an_empty_company_is_one_empty_page() -> None:
    vendor = company()
    vendor.on(LIST, listed(total=0))
    assert await walked(drivers(vendor)) == [()]


@pytest.mark.parametrize(
    "broken",
    [answer(200), answer(200, {"users": []}), answer(500), listed(total=300), listed(user(), total=3, per_page=0)],
)
async def test_a_page_that_cannot_be_read_fails_the_walk(broken: Answer) -> None:
    vendor = company()
    vendor.on(LIST, broken)
    with pytest.raises(TargetFailed) as raised:
        await walked(drivers(vendor))
    assert raised.value.failure.reason is Reason.DOWN


async def test_find_reads_the_user_of_the_key() -> None:
    vendor = company()
    vendor.on(READ, one(user(OURS)))
    assert await drivers(vendor).find(KEY, {}) == driver()


@pytest.mark.parametrize("nobody", [NOBODY, one(user(role="admin"))])
async def test_find_is_none_for_whoever_is_no_driver(nobody: Answer) -> None:
    vendor = company()
    vendor.on(READ, nobody)
    vendor.on(BY_EXTERNAL_ID, nobody)
    assert await drivers(vendor).find(KEY, {}) is None
    assert await drivers(vendor).find(None, JANE) is None


async def test_find_without_a_key_looks_for_our_external_id() -> None:
    vendor = company()
    vendor.on(BY_EXTERNAL_ID, one(user(OURS)))
    assert await drivers(vendor).find(None, JANE) == driver()
    assert vendor.queries(BY_EXTERNAL_ID) == [{"external_id": "p-1", "integration_name": "gps_portal"}]


@pytest.mark.parametrize("status", [200, 400])
async def test_a_miss_is_recognised_by_its_words(status: int) -> None:
    vendor = company()
    vendor.on(BY_EXTERNAL_ID, answer(status, {"error_message": "User not found"}))
    assert await drivers(vendor).find(None, JANE) is None


async def test_find_raises_when_motive_cannot_tell() -> None:
    vendor = company()
    vendor.on(READ, answer(403, {"error_message": "no"}))
    with pytest.raises(TargetFailed) as raised:
        await drivers(vendor).find(KEY, {})
    assert raised.value.failure == Rejected(reason=Reason.CREDENTIALS, detail="answered 403")


async def test_looking_somebody_up_leaves_no_trace_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await drivers(company()).find(None, {"portal_driver_id": "p-1"})
    assert "p-1" not in caplog.text
