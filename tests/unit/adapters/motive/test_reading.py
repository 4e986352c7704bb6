import logging
from collections.abc import Callable, Sequence

import httpx
import pytest

from domain.failures import Reason, Rejected, TargetFailed, Unavailable
from domain.ports import Exists
from tests.unit.adapters.motive.company import (
    BODY,
    BY_EXTERNAL_ID,
    JANE,
    KEY,
    LIST,
    NOBODY,
    OURS,
    READ,
    TAKEN,
    company,
    driver,
    drivers,
    listed,
    one,
    scanned,
    user,
)
from tests.unit.adapters.vendor import Answer, Vendor, answer

pytestmark = pytest.mark.anyio


def by_number(
    pages: Sequence[Sequence[dict[str, object]]],
    total: object,
    per_page: object,
    *,
    total_of: Callable[[Sequence[object]], int] | None = None,
    clamped: bool = False,
) -> Answer:
    """The page that is asked for; behind the last one, that one again where the vendor does so, else an empty one."""

    def shown(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params["page_no"])
        users = pages[min(number, len(pages)) - 1] if clamped or number <= len(pages) else []
        said = total_of(users) if total_of else total
        pagination = {"page_no": number, "per_page": per_page, "total": said}
        return answer(200, {"users": [{"user": shown} for shown in users], "pagination": pagination})(request)

    return shown


async def keys_scanned(vendor: Vendor) -> list[list[str]]:
    return [[seen.key for seen in page] for page in await scanned(drivers(vendor))]


async def everybody_scanned(vendor: Vendor) -> list[str]:
    return [key for page in await keys_scanned(vendor) for key in page]


async def test_a_scan_yields_every_page_with_deactivated_drivers() -> None:
    vendor = company()
    first = listed(user(OURS), user(number=18, status="deactivated"), total=3, per_page=2)
    vendor.on(LIST, first, listed(user(number=19), page_no=2, total=3, per_page=2))
    assert await scanned(drivers(vendor)) == [
        (driver(), driver(key="18", active=False, profile=BODY)),
        (driver(key="19", profile=BODY),),
    ]
    asked = {"role": "driver", "per_page": "100"}
    assert vendor.queries(LIST) == [asked | {"page_no": "1"}, asked | {"page_no": "2"}]
    assert {request.headers["X-Api-Key"] for request in vendor.requests} == {"hush"}


async def test_a_scan_never_shows_users_of_another_role() -> None:
    vendor = company()
    vendor.on(LIST, listed(user(role="fleet_user"), user(number=18, role="admin"), user(number=19), total=3))
    assert [[seen.key for seen in page] for page in await scanned(drivers(vendor))] == [["19"]]


async def test_a_scan_yields_a_driver_once_when_pages_overlap() -> None:
    vendor = company()
    vendor.on(LIST, by_number([[user(), user(number=18)], [user(number=18), user(number=19)], []], 3, 2))
    assert await keys_scanned(vendor) == [["17", "18"], ["19"], []]


async def test_a_list_that_moved_between_two_pages_is_read_again_until_everybody_was_seen() -> None:
    vendor = company()
    first = listed(user(), user(number=18), total=4, per_page=2)
    moved = listed(user(number=18), user(number=20), page_no=2, total=4, per_page=2)
    last = listed(user(number=19), user(number=20), page_no=2, total=4, per_page=2)
    behind = listed(page_no=3, total=4, per_page=2)
    vendor.on(LIST, first, moved, behind, first, last, behind)
    assert await everybody_scanned(vendor) == ["17", "18", "20", "19"]


async def test_users_counted_before_one_left_are_counted_again() -> None:
    vendor = company()
    first = listed(user(), user(number=18), total=4, per_page=2)
    shorter = listed(user(number=20), page_no=2, total=3, per_page=2)
    vendor.on(LIST, first, shorter, listed(user(number=18), user(number=19), total=3, per_page=2), shorter)
    assert [[seen.key for seen in page] for page in await scanned(drivers(vendor))] == [
        ["17", "18"],
        ["20"],
        ["19"],
        [],
    ]


async def test_a_list_that_never_holds_still_fails_the_scan_and_says_what_was_said_and_seen() -> None:
    vendor = company()

    def moving(request: httpx.Request) -> httpx.Response:
        readings = len([query for query in vendor.queries(LIST) if query["page_no"] == "1"])
        return listed(user(number=17 + readings % 2), total=9)(request)

    vendor.on(LIST, moving)
    with pytest.raises(TargetFailed) as raised:
        await scanned(drivers(vendor))
    detail = (
        "the list of users did not hold still in 5 readings: Motive said 9, and the readings showed 1, 1, 1, 1, 1 users"
    )
    assert raised.value.failure == Unavailable(reason=Reason.DOWN, detail=detail)


async def test_a_list_that_moves_in_the_same_way_at_each_reading_is_not_whole() -> None:
    vendor = company()
    vendor.on(LIST, by_number([[user(), user(number=18)], [user(number=20), user()]], 50, 2))
    with pytest.raises(TargetFailed) as raised:
        await scanned(drivers(vendor))
    assert raised.value.failure.reason is Reason.DOWN


@pytest.mark.parametrize(
    "said", [2665, 10**30, 1, 0, -3, None, "", "many", "3", True, 2.5, [], {}], ids=lambda said: f"{said!r:.12}"
)
@pytest.mark.parametrize("per_page", [2, 0, -1, None, "x", 10**30], ids=str)
async def test_two_readings_that_show_the_same_users_agree_whatever_their_number_is_said_to_be(
    said: object, per_page: object
) -> None:
    vendor = company()
    pages = [
        [user(), user(number=18)],
        [user(number=19)],
        [],
    ]
    vendor.on(LIST, by_number(pages, said, per_page))
    assert await everybody_scanned(vendor) == ["17", "18", "19"]
    assert len(vendor.queries(LIST)) <= 2 * (len(pages) + 2)


async def test_a_number_that_is_the_length_of_the_page_ends_nothing() -> None:
    vendor = company()
    ids = [list(range(start, start + 100)) for start in (1, 101, 201)]
    pages = [[user(number=number) for number in page] for page in ids] + [[user(number=301)], []]
    vendor.on(LIST, by_number(pages, None, 100, total_of=len))
    assert len(await everybody_scanned(vendor)) == 301


async def test_a_full_page_is_followed_by_another_one_whatever_the_number_says() -> None:
    vendor = company()
    pages = [[user()], [user(number=18)], []]
    vendor.on(LIST, by_number(pages, 2, 1))
    assert await everybody_scanned(vendor) == ["17", "18"]
    assert [query["page_no"] for query in vendor.queries(LIST)] == ["1", "2", "3"]


async def test_a_vendor_that_repeats_its_last_page_ends_the_list() -> None:
    vendor = company()
    vendor.on(LIST, by_number([[user()], [user(number=18)]], 500, 1, clamped=True))
    assert await everybody_scanned(vendor) == ["17", "18"]


async def test_a_list_of_other_roles_only_is_a_list_of_no_driver() -> None:
    vendor = company()
    vendor.on(LIST, listed(total=40))
    assert await scanned(drivers(vendor)) == [(), ()]


async def test_users_who_are_invented_page_after_page_fail_the_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.motive.client.MOST_PAGES", 20)
    vendor = company()

    def invented(request: httpx.Request) -> httpx.Response:
        return listed(user(number=int(request.url.params["page_no"])), total=5, per_page=1)(request)

    vendor.on(LIST, invented)
    with pytest.raises(TargetFailed) as raised:
        await scanned(drivers(vendor))
    assert raised.value.failure.detail == "the list of users has no end: 20 pages were read"


async def test_pages_are_asked_for_ahead_and_none_that_is_not_there() -> None:
    vendor = company()
    pages = [[user(number=2 * number), user(number=2 * number + 1)] for number in range(1, 4)] + [[user(number=9)]]
    vendor.on(LIST, by_number(pages, 7, 2))
    asked = [len(vendor.queries(LIST)) async for _ in drivers(vendor).scan()]
    assert asked[1] > 2
    assert all(count <= place + 2 for place, count in enumerate(asked, 1))
    assert [query["page_no"] for query in vendor.queries(LIST)] == ["1", "2", "3", "4"]


async def test_a_page_ahead_that_cannot_be_read_fails_the_scan_when_its_turn_comes() -> None:
    vendor = company()
    readable = [listed(user(number=number), page_no=number, total=4, per_page=1) for number in (1, 2)]
    vendor.on(LIST, *readable, answer(403, {"error_message": "no"}), listed(user(number=4), total=4, per_page=1))
    pages = drivers(vendor).scan()
    assert [driver.key for _ in readable for driver in await anext(pages)] == ["1", "2"]
    with pytest.raises(TargetFailed):
        await anext(pages)


async def test_a_list_that_has_grown_while_it_was_read_is_read_to_its_new_end() -> None:
    vendor = company()
    totals = (2, 3, 3)
    pages = [listed(user(number=at), page_no=at, total=total, per_page=1) for at, total in enumerate(totals, 1)]
    vendor.on(LIST, *pages, listed(page_no=4, total=3, per_page=1))
    assert await keys_scanned(vendor) == [["1"], ["2"], ["3"], []]


async def test_an_empty_company_is_one_empty_page() -> None:
    vendor = company()
    vendor.on(LIST, listed(total=0))
    assert await scanned(drivers(vendor)) == [()]


@pytest.mark.parametrize(
    "broken",
    [answer(200), answer(200, {"users": []}), answer(200, {"pagination": {"total": 0}}), answer(500)],
)
async def test_a_page_that_cannot_be_read_fails_the_scan(broken: Answer) -> None:
    vendor = company()
    vendor.on(LIST, broken)
    with pytest.raises(TargetFailed) as raised:
        await scanned(drivers(vendor))
    assert raised.value.failure.reason is Reason.DOWN


async def test_find_reads_the_user_of_the_key() -> None:
    vendor = company()
    vendor.on(READ, one(user(OURS)))
    assert await drivers(vendor).find(KEY, {}) == driver()


@pytest.mark.parametrize("not_a_driver", [NOBODY, one(user(role="admin"))])
async def test_find_is_none_for_a_user_who_is_not_a_driver(not_a_driver: Answer) -> None:
    vendor = company()
    vendor.on(READ, not_a_driver)
    vendor.on(BY_EXTERNAL_ID, not_a_driver)
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


async def test_a_look_up_that_answers_with_another_driver_finds_no_driver_and_adopts_no_driver() -> None:
    vendor = company()
    vendor.on(BY_EXTERNAL_ID, one(user({"external_id": "p-2", "integration_name": "gps_portal"})))
    with pytest.raises(TargetFailed) as raised:
        await drivers(vendor).find(None, JANE)
    assert raised.value.failure == Unavailable(reason=Reason.DOWN, detail="an answer about another user")


async def test_a_refused_create_never_adopts_another_user_that_a_look_up_shows() -> None:
    vendor = company()
    vendor.on("POST /v1/users", TAKEN)
    vendor.on("GET /v1/users/lookup", one({**user(), "email": "bob@fleet.test"}))
    answered = await drivers(vendor).create(None, JANE)
    assert isinstance(answered, Unavailable)


@pytest.mark.parametrize("status", [200, 400, 404, 422])
async def test_a_refused_create_looks_by_our_external_id_first_and_by_the_address_then(status: int) -> None:
    vendor = company()
    vendor.on("POST /v1/users", TAKEN)
    vendor.on(BY_EXTERNAL_ID, answer(status, {"error_message": "user not found"}))
    vendor.on("GET /v1/users/lookup", one(user()))
    assert isinstance(await drivers(vendor).create(None, JANE), Exists)
    assert vendor.calls == ["POST /v1/users", BY_EXTERNAL_ID, "GET /v1/users/lookup"]


async def test_find_raises_when_motive_cannot_tell() -> None:
    vendor = company()
    vendor.on(READ, answer(403, {"error_message": "no"}))
    with pytest.raises(TargetFailed) as raised:
        await drivers(vendor).find(KEY, {})
    assert raised.value.failure == Rejected(reason=Reason.CREDENTIALS, detail="answered 403")


async def test_looking_a_driver_up_leaves_no_trace_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await drivers(company()).find(None, {"portal_driver_id": "p-1"})
    assert "p-1" not in caplog.text
