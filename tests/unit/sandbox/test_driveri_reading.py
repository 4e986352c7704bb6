import pytest
from httpx import AsyncClient

from tests.unit.sandbox.seeds import Json

pytestmark = pytest.mark.anyio

TENANT = "/v1/tenants/acme"


async def listed(client: AsyncClient, **parameters: str | int) -> list[str]:
    answer = await client.get(f"{TENANT}/drivers", params=parameters)
    return [driver["driverId"] for driver in answer.json()["data"]["drivers"]]


async def test_configurations_tell_what_the_status_codes_mean(fleet: AsyncClient) -> None:
    configurations = (await fleet.get(f"{TENANT}/configurations")).json()["data"]["configuration"]
    assert [status["description"] for status in configurations["driverStatus"]] == [
        "Active",
        "Inactive",
        "Suspended",
        "Deleted",
        "Pending",
    ]
    assert [status["status"] for status in configurations["driverStatus"]] == [1, 2, 3, 4, 5]
    assert [action["key"] for action in configurations["groupAction"]] == ["ADD", "REMOVE"]


async def test_a_driver_is_shown_with_all_that_can_be_read(fleet: AsyncClient) -> None:
    driver = (await fleet.get(f"{TENANT}/driver", params={"driverId": "b2"})).json()["data"]["drivers"][0]
    assert driver == {
        "driverId": "B2",
        "firstName": "Bob",
        "lastName": None,
        "status": 1,
        "createdDate": 1_800_000_000_000,
        "updatedDate": 2000,
        "licenceNumber": None,
        "licenseCountry": None,
        "licenseState": None,
        "userName": None,
        "email": None,
        "group": {"groupName": "North", "groupUniqueName": "north"},
        "enableDriveriApp": False,
        "lastLogin": None,
        "authorizedToDrive": 1,
        "linkedUserName": None,
        "imageUrl": None,
    }


async def test_the_phone_is_never_read_back(fleet: AsyncClient) -> None:
    for path in (f"{TENANT}/driver?driverId=A1", f"{TENANT}/drivers"):
        assert "phone" not in (await fleet.get(path)).json()["data"]["drivers"][0]


async def test_preferences_are_shown_to_who_asks(fleet: AsyncClient) -> None:
    asked = await fleet.get(f"{TENANT}/driver?driverId=A1&includeDriverPreferences=true")
    assert asked.json()["data"]["drivers"][0]["driverPreferences"] == {"exemptHos": True}


async def test_deleted_drivers_are_listed_only_when_asked_for(fleet: AsyncClient) -> None:
    assert await listed(fleet) == ["A1", "B2", "D4"]
    assert await listed(fleet, showAll="true") == ["A1", "B2", "C3", "D4"]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"state": "4"}, ["C3"]),
        ({"state": "2,4"}, ["C3", "D4"]),
        ({"state": "1", "showAll": "true"}, ["A1", "B2"]),
        ({"state": "5"}, []),
        ({"group": "north"}, ["B2"]),
        ({"group": "North", "state": "2"}, []),
        ({"fromDate": 2000, "showAll": "true"}, ["B2", "C3", "D4"]),
        ({"fromDate": 1000, "toDate": 2000}, ["A1", "B2"]),
    ],
)
async def test_a_list_keeps_to_what_was_asked_for(fleet: AsyncClient, parameters: Json, expected: list[str]) -> None:
    assert await listed(fleet, **parameters) == expected


async def test_following_next_links_reads_everybody_once(fleet: AsyncClient) -> None:
    seen: list[str] = []
    page: str | None = f"{TENANT}/drivers?showAll=true&limit=3"
    while page:
        body = (await fleet.get(page)).json()
        seen += [driver["driverId"] for driver in body["data"]["drivers"]]
        page = body["links"]["next"]
        assert body["totalCount"] == 4
    assert seen == ["A1", "B2", "C3", "D4"]


async def test_links_name_all_neighbours_and_keep_the_question(fleet: AsyncClient) -> None:
    links = (await fleet.get(f"{TENANT}/drivers?showAll=true&offset=1&limit=1")).json()["links"]
    base = f"http://driveri.test{TENANT}/drivers?showAll=true"
    assert links == {
        "self": f"{base}&offset=1&limit=1",
        "next": f"{base}&offset=2&limit=1",
        "prev": f"{base}&offset=0&limit=1",
        "first": f"{base}&offset=0&limit=1",
        "last": f"{base}&offset=3&limit=1",
    }


async def test_a_page_past_the_end_is_empty(fleet: AsyncClient) -> None:
    body = (await fleet.get(f"{TENANT}/drivers?offset=50")).json()
    assert body["data"]["drivers"] == []
    assert body["links"]["next"] is None


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "offset=-1", "state=x", "state=6", "showAll=1"])
async def test_a_bad_question_is_refused_below_error(fleet: AsyncClient, query: str) -> None:
    body = (await fleet.get(f"{TENANT}/drivers?{query}")).json()
    assert body["data"] is None
    assert body["error"]["status"] == 400
    assert body["error"]["path"] == f"{TENANT}/drivers"


@pytest.mark.parametrize("query", ["driverId=a1", "email=ANN@acme.test", "userName=Ann"])
async def test_one_driver_is_found_in_any_letter_case(fleet: AsyncClient, query: str) -> None:
    drivers = (await fleet.get(f"{TENANT}/driver?{query}")).json()["data"]["drivers"]
    assert [driver["driverId"] for driver in drivers] == ["A1"]


@pytest.mark.parametrize("query", ["driverId=Z", "email=z@z.test", "userName=z"])
async def test_no_driver_found_is_404(fleet: AsyncClient, query: str) -> None:
    answer = await fleet.get(f"{TENANT}/driver?{query}")
    assert (answer.status_code, answer.json()["error"]["messageCode"]) == (404, "DRIVER_NOT_FOUND")


async def test_a_search_for_nothing_is_refused(fleet: AsyncClient) -> None:
    assert (await fleet.get(f"{TENANT}/driver")).status_code == 400


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/nothing"), ("DELETE", f"{TENANT}/drivers/A1")])
async def test_what_the_vendor_does_not_offer_is_not_there(fleet: AsyncClient, method: str, path: str) -> None:
    assert (await fleet.request(method, path)).status_code == 404
