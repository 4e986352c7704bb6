import pytest
from httpx import AsyncClient

from tests.unit.sandbox.seeds import Json, stored_user

pytestmark = pytest.mark.anyio


async def listed(client: AsyncClient, **parameters: str | int) -> list[int]:
    answer = await client.get("/v1/users", params=parameters)
    return [item["user"]["id"] for item in answer.json()["users"]]


@pytest.mark.parametrize("key", ["", "wrong"])
async def test_without_a_good_key_nothing_is_shown(company: AsyncClient, key: str) -> None:
    answer = await company.get("/v1/users", headers={"X-Api-Key": key})
    assert answer.status_code == 401
    assert list(answer.json()) == ["error_message"]


async def test_a_company_sees_its_own_users_only(company: AsyncClient) -> None:
    assert await listed(company) == [11, 12, 13, 14]
    assert (await company.get("/v1/users/21")).status_code == 404


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"role": "driver"}, [11, 12]),
        ({"role": "driver", "status": "active"}, [11]),
        ({"status": "deactivated"}, [12, 14]),
        ({"role": "admin"}, []),
    ],
)
async def test_a_list_keeps_to_role_and_status(company: AsyncClient, parameters: Json, expected: list[int]) -> None:
    assert await listed(company, **parameters) == expected


async def test_pages_are_counted_from_one_and_tell_the_total(company: AsyncClient) -> None:
    body = (await company.get("/v1/users", params={"per_page": 3, "page_no": 2})).json()
    assert [item["user"]["id"] for item in body["users"]] == [14]
    assert body["pagination"] == {"per_page": 3, "page_no": 2, "total": 4}


@pytest.mark.parametrize(("asked", "given"), [(None, 25), (100, 100), (500, 100)])
async def test_a_page_has_25_users_unless_asked_for_and_never_over_100(
    company: AsyncClient, asked: int | None, given: int
) -> None:
    parameters = {} if asked is None else {"per_page": asked}
    assert (await company.get("/v1/users", params=parameters)).json()["pagination"]["per_page"] == given


@pytest.mark.parametrize("query", ["page_no=0", "per_page=x", "role=pilot", "status=asleep"])
async def test_a_bad_question_is_refused(company: AsyncClient, query: str) -> None:
    assert (await company.get(f"/v1/users?{query}")).status_code == 400


async def test_one_user_is_shown_whole_with_the_records_of_its_external_ids(company: AsyncClient) -> None:
    shown = await stored_user(company, 11)
    assert len(shown) == 61
    assert (
        shown.items()
        >= {
            "id": 11,
            "role": "driver",
            "status": "active",
            "first_name": "Ann",
            "last_name": "Able",
            "email": "ann@acme.test",
            "username": None,
            "phone": "5550101",
            "phone_country_code": None,
            "driver_company_id": "007",
            "drivers_license_number": None,
            "drivers_license_state": None,
            "time_zone": "Mountain Time (US & Canada)",
            "group_ids": [],
            "created_at": "2027-01-15T08:00:00Z",
            "updated_at": "2027-01-15T08:00:00Z",
            "cycle": "70_8",
            "external_ids": [
                {"id": 501, "external_id": "T1", "integration_name": "generic_tms"},
                {"id": 502, "external_id": "P1", "integration_name": "gps_portal"},
            ],
        }.items()
    )


async def test_a_list_shows_external_ids_without_records_and_none_as_null(company: AsyncClient) -> None:
    users = [item["user"] for item in (await company.get("/v1/users?role=driver")).json()["users"]]
    assert users[0]["external_ids"] == [
        {"external_id": "T1", "integration_name": "generic_tms"},
        {"external_id": "P1", "integration_name": "gps_portal"},
    ]
    assert users[1]["external_ids"] is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [("email=ANN@acme.test", 11), ("username=bob", 12), ("driver_company_id=007", 11), ("phone=5550101", 11)],
)
async def test_a_user_is_looked_up_by_each_of_its_names(company: AsyncClient, query: str, expected: int) -> None:
    assert (await company.get(f"/v1/users/lookup?{query}")).json()["user"]["id"] == expected


@pytest.mark.parametrize("query", ["email=una@bolt.test", "driver_company_id=7"])
async def test_a_lookup_that_finds_no_user_is_an_error(company: AsyncClient, query: str) -> None:
    answer = await company.get(f"/v1/users/lookup?{query}")
    assert (answer.status_code, answer.json()) == (404, {"error_message": "user not found"})


@pytest.mark.parametrize("query", ["", "email=a&phone=b"])
async def test_a_lookup_takes_exactly_one_name(company: AsyncClient, query: str) -> None:
    assert (await company.get(f"/v1/users/lookup?{query}")).status_code == 400


async def test_a_user_is_looked_up_by_what_another_system_calls_it(company: AsyncClient) -> None:
    path = "/v1/users/lookup_by_external_id"
    found = await company.get(path, params={"external_id": "P1", "integration_name": "gps_portal"})
    missed = await company.get(path, params={"external_id": "P1", "integration_name": "generic_tms"})
    half = await company.get(path, params={"external_id": "P1"})
    assert found.json()["user"]["id"] == 11
    assert (missed.status_code, half.status_code) == (404, 400)


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/drivers"), ("DELETE", "/v1/users/11"), ("GET", "/")])
async def test_what_the_vendor_does_not_offer_is_an_html_page(company: AsyncClient, method: str, path: str) -> None:
    answer = await company.request(method, path)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
