import pytest
from httpx import AsyncClient, BasicAuth

from tests.unit.sandbox.seeds import START, Clock, Json

pytestmark = pytest.mark.anyio

KEY = BasicAuth("acme-key", "acme-secret")
DRIVERS = "/v1/tenants/acme/drivers"


async def issue(client: AsyncClient, key: BasicAuth = KEY) -> Json:
    token: Json = (await client.post("/v1/auth/token", auth=key)).json()["data"]
    return token


def bearing(token: Json, scheme: str = "Bearer") -> dict[str, str]:
    return {"Authorization": f"{scheme} {token['accessToken']}"}


async def test_a_key_is_exchanged_for_a_token_that_says_when_it_expires(driveri_api: AsyncClient) -> None:
    token = await issue(driveri_api)
    assert token["expiresOn"] == START + 60_000
    assert token["createdOn"] == START
    assert token["scope"].startswith("View Drivers,Update Drivers,")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_a_token_is_taken_in_any_letter_case_of_the_scheme(driveri_api: AsyncClient, scheme: str) -> None:
    token = await issue(driveri_api)
    assert (await driveri_api.get(DRIVERS, headers=bearing(token, scheme))).status_code == 200


@pytest.mark.parametrize(
    "authorization", ["", "Basic !", "Basic YWNtZS1rZXk=", "Basic YWNtZS1rZXk6d3Jvbmc=", "Bearer YWNtZS1rZXk="]
)
async def test_without_a_good_key_there_is_no_token(driveri_api: AsyncClient, authorization: str) -> None:
    answer = await driveri_api.post("/v1/auth/token", headers={"Authorization": authorization})
    assert answer.status_code == 401
    assert answer.json()["path"] == "/v1/auth/token"


async def test_a_third_active_token_is_refused_and_the_two_are_listed(driveri_api: AsyncClient) -> None:
    tokens = [await issue(driveri_api), await issue(driveri_api)]
    assert (await driveri_api.post("/v1/auth/token", auth=KEY)).status_code == 400
    assert (await driveri_api.get("/v1/auth/tokens", auth=KEY)).json()["data"] == tokens


async def test_an_expired_token_opens_nothing_and_makes_room(driveri_api: AsyncClient, clock: Clock) -> None:
    token = await issue(driveri_api)
    await issue(driveri_api)
    clock.at += 60_000
    assert (await driveri_api.get(DRIVERS, headers=bearing(token))).status_code == 401
    assert (await driveri_api.get("/v1/auth/tokens", auth=KEY)).json()["data"] == []
    assert (await driveri_api.post("/v1/auth/token", auth=KEY)).status_code == 200


async def test_a_token_can_revoke_itself(driveri_api: AsyncClient) -> None:
    token = await issue(driveri_api)
    assert (await driveri_api.delete("/v1/auth/token/revoke", headers=bearing(token))).status_code == 200
    assert (await driveri_api.get(DRIVERS, headers=bearing(token))).status_code == 401


async def test_a_key_can_revoke_its_own_tokens_only(driveri_api: AsyncClient) -> None:
    token = await issue(driveri_api)
    revoke = f"/v1/auth/token/revoke/{token['accessTokenId']}"
    assert (await driveri_api.delete(revoke, auth=BasicAuth("bolt-key", "bolt-secret"))).status_code == 404
    assert (await driveri_api.delete(revoke, auth=KEY)).status_code == 200
    assert (await driveri_api.get(DRIVERS, headers=bearing(token))).status_code == 401


async def test_a_token_opens_its_own_tenant_only(driveri_api: AsyncClient) -> None:
    token = await issue(driveri_api)
    for tenant in ("bolt", "nobody"):
        answer = await driveri_api.get(f"/v1/tenants/{tenant}/drivers", headers=bearing(token))
        assert answer.status_code == 403


async def test_a_key_without_the_scope_to_write_can_only_read(driveri_api: AsyncClient) -> None:
    token = await issue(driveri_api, BasicAuth("acme-viewer", "viewer-secret"))
    written = {"driverId": "N1", "firstName": "New"}
    assert (await driveri_api.get(DRIVERS, headers=bearing(token))).status_code == 200
    assert (await driveri_api.post(DRIVERS, json=written, headers=bearing(token))).status_code == 403
