"""What the sandbox does not model it refuses in words; nothing that a client states is ignored."""

import pytest
from httpx import AsyncClient, BasicAuth

from tests.unit.sandbox.seeds import Json, journal

pytestmark = pytest.mark.anyio

TENANT = "/v1/tenants/acme"
DRIVERS = f"{TENANT}/drivers"
NEW: Json = {"driverId": "N1", "firstName": "New"}


async def refused(client: AsyncClient, method: str, path: str, body: object = None) -> tuple[int, str]:
    answer = await client.request(method, path, json=body)
    error: Json = answer.json()["error"]
    return answer.status_code, error["message"]


@pytest.mark.parametrize(
    ("method", "path", "body", "name"),
    [
        ("GET", f"{DRIVERS}?driverType=temp", None, "driverType"),
        ("GET", f"{DRIVERS}?state=1&showall=true", None, "showall"),
        ("GET", f"{TENANT}/driver?driverId=A1&tenant=acme", None, "tenant"),
        ("GET", f"{TENANT}/configurations?version=2", None, "version"),
        ("GET", "/v2/tenants/acme/configurations?version=2", None, "version"),
        ("POST", f"{DRIVERS}?reinstate=true", NEW, "reinstate"),
        ("POST", f"{TENANT}/bulk/drivers?reinstateDriver=true", {"drivers": [NEW]}, "reinstateDriver"),
        ("PUT", f"{DRIVERS}/A1?reinstateDriver=true", {"firstName": "Anna"}, "reinstateDriver"),
    ],
)
async def test_a_parameter_that_a_call_does_not_have_is_refused(
    fleet: AsyncClient, method: str, path: str, body: object, name: str
) -> None:
    assert await refused(fleet, method, path, body) == (400, f"{name}: the sandbox does not know this parameter")


@pytest.mark.parametrize("path", ["/v1/auth/token?grant_type=client_credentials", "/v1/auth/tokens?all=true"])
async def test_calls_about_tokens_have_no_parameters(driveri_api: AsyncClient, path: str) -> None:
    method = "GET" if "tokens" in path else "POST"
    answer = await driveri_api.request(method, path, auth=BasicAuth("acme-key", "acme-secret"))
    assert answer.status_code == 400
    assert answer.json()["message"].endswith("the sandbox does not know this parameter")


async def test_a_parameter_that_is_stated_twice_is_refused(fleet: AsyncClient) -> None:
    assert await refused(fleet, "GET", f"{DRIVERS}?state=1&state=2") == (400, "state: stated more than once")


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", DRIVERS, {**NEW, "nickName": "N"}, "nickName"),
        ("POST", DRIVERS, {**NEW, "status": 2}, "status"),
        ("POST", DRIVERS, {**NEW, "licenseNumber": "L"}, "licenseNumber"),
        ("POST", DRIVERS, {**NEW, "group": {"name": "north", "unit": 1}}, "group.unit"),
        ("PUT", f"{DRIVERS}/A1", {"externalId": "7"}, "externalId"),
        ("PUT", f"{DRIVERS}/A1", {"first_name": "Anna"}, "first_name"),
        (
            "PUT",
            f"{DRIVERS}/A1",
            {"driverPreferences": {"carrierInformation": {}}},
            "driverPreferences.carrierInformation",
        ),
        ("POST", f"{TENANT}/bulk/drivers", {"drivers": [NEW], "reinstate": True}, "reinstate"),
        ("POST", f"{TENANT}/bulk/drivers", {"drivers": [NEW, {**NEW, "group": {}, "status": 1}]}, "drivers.1.group"),
    ],
)
async def test_a_field_that_a_body_does_not_have_is_refused_and_nothing_changes(
    fleet: AsyncClient, method: str, path: str, body: object, field: str
) -> None:
    before = (await fleet.get("/sandbox/state")).json()
    assert await refused(fleet, method, path, body) == (400, f"{field}: the sandbox does not know this field")
    assert (await fleet.get("/sandbox/state")).json() == before


@pytest.mark.parametrize("path", [f"{DRIVERS}?subFleet=south", f"{TENANT}/driver?driverId=A1&subFleet=south"])
async def test_a_documented_filter_without_a_model_is_not_implemented(fleet: AsyncClient, path: str) -> None:
    assert await refused(fleet, "GET", path) == (501, "subFleet: the sandbox does not model this")


async def test_a_search_by_two_names_is_not_implemented(fleet: AsyncClient) -> None:
    status, message = await refused(fleet, "GET", f"{TENANT}/driver?driverId=A1&email=ann@acme.test")
    assert (status, message) == (
        501,
        "a search by more than one of driverId, email, userName: the sandbox does not model this",
    )


@pytest.mark.parametrize("call", ["webhooks/all", "drivers/communications", "vehicles", "fleet/configurations"])
async def test_documented_calls_without_a_model_are_not_implemented(fleet: AsyncClient, call: str) -> None:
    status, message = await refused(fleet, "GET", f"{TENANT}/{call}")
    assert (status, message) == (501, f"GET {TENANT}/{call}: the sandbox does not model this")


async def test_one_driver_is_looked_for_in_a_group(fleet: AsyncClient) -> None:
    assert (await fleet.get(f"{TENANT}/driver?driverId=B2&group=north")).status_code == 200
    assert (await fleet.get(f"{TENANT}/driver?driverId=B2&group=south")).status_code == 404


async def test_a_driver_joins_a_known_group_by_its_unique_name(fleet: AsyncClient) -> None:
    await fleet.put(f"{DRIVERS}/A1", json={"group": {"name": "north", "action": "ADD"}})
    shown = (await fleet.get(f"{TENANT}/driver?driverId=A1")).json()["data"]["drivers"][0]
    assert shown["group"] == {"groupName": "North", "groupUniqueName": "north"}


async def test_a_refused_write_is_in_the_journal(fleet: AsyncClient) -> None:
    await fleet.post(DRIVERS, json={**NEW, "nickName": "N"})
    assert [(entry["status"], entry["changed"]) for entry in await journal(fleet)] == [(400, [])]


@pytest.mark.parametrize(
    ("missing", "method", "path", "status"),
    [
        ("View Fleet Configurations", "GET", f"{TENANT}/configurations", 403),
        ("View Drivers", "GET", DRIVERS, 403),
        ("Update Drivers", "PUT", f"{DRIVERS}/A1", 403),
        ("Delete Access Token", "DELETE", "/v1/auth/token/revoke", 403),
    ],
)
async def test_each_call_needs_its_scope(
    driveri_api: AsyncClient, missing: str, method: str, path: str, status: int
) -> None:
    state = (await driveri_api.get("/sandbox/state")).json()
    key = state["tenants"][0]["clients"][0]
    key["scopes"] = [scope for scope in key["scopes"] if scope != missing]
    await driveri_api.put("/sandbox/state", json=state)
    issued = await driveri_api.post("/v1/auth/token", auth=BasicAuth("acme-key", "acme-secret"))
    headers = {"Authorization": f"bearer {issued.json()['data']['accessToken']}"}
    answer = await driveri_api.request(method, path, headers=headers, json={"firstName": "Anna"})
    assert answer.status_code == status
    assert missing in answer.text
