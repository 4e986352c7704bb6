import pytest
from httpx import ASGITransport, AsyncClient, Response

from services.sandbox import motive
from tests.unit.sandbox.seeds import Clock, Json, journal

pytestmark = pytest.mark.anyio

USERS = "/v1/users"
GRANT = {"client_id": "app", "client_secret": "app-secret", "refresh_token": "first", "token_lifetime": 60_000}
SEED: Json = {
    "companies": [
        {
            "company": "Acme",
            "api_key": "acme-key",
            "grants": [GRANT],
            "users": [{"id": 11, "first_name": "Ann", "last_name": "Able", "email": "ann@acme.test"}],
        },
        {"company": "Bolt", "api_key": "bolt-key", "grants": [{**GRANT, "refresh_token": "bolt"}]},
    ]
}


@pytest.fixture
def api(clock: Clock) -> AsyncClient:
    """The Motive sandbox, to somebody who has no access token yet."""
    return AsyncClient(transport=ASGITransport(motive.application(SEED, clock)), base_url="http://motive.test")


async def renew(api: AsyncClient, refresh_token: str, **stated: str) -> Response:
    form = {
        "grant_type": "refresh_token",
        "client_id": "app",
        "client_secret": "app-secret",
        "refresh_token": refresh_token,
    }
    return await api.post("/oauth/token", data=form | stated)


async def users(api: AsyncClient, access_token: str) -> Response:
    return await api.get(USERS, headers={"Authorization": f"Bearer {access_token}"})


async def test_a_refresh_token_buys_an_access_token_of_its_company(api: AsyncClient) -> None:
    answer = (await renew(api, "first")).json()
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 60)
    assert [each["user"]["id"] for each in (await users(api, answer["access_token"])).json()["users"]] == [11]
    other = (await renew(api, "bolt")).json()["access_token"]
    assert (await users(api, other)).json()["users"] == []


async def test_a_refresh_token_is_good_for_one_use(api: AsyncClient) -> None:
    second = (await renew(api, "first")).json()["refresh_token"]
    again = await renew(api, "first")
    assert (again.status_code, again.json()) == (400, {"error": "invalid_grant"})
    assert (await renew(api, second)).status_code == 200


async def test_a_renewal_ends_the_former_access_token(api: AsyncClient) -> None:
    first = (await renew(api, "first")).json()
    second = (await renew(api, first["refresh_token"])).json()
    assert (await users(api, first["access_token"])).status_code == 401
    assert (await users(api, second["access_token"])).status_code == 200


async def test_an_access_token_ends_when_its_time_is_over(api: AsyncClient, clock: Clock) -> None:
    token = (await renew(api, "first")).json()["access_token"]
    clock.at += 59_999
    assert (await users(api, token)).status_code == 200
    clock.at += 1
    assert (await users(api, token)).status_code == 401


@pytest.mark.parametrize("token", ["", "unknown", "first"])
async def test_what_is_not_an_access_token_opens_nothing(api: AsyncClient, token: str) -> None:
    assert (await users(api, token)).status_code == 401


@pytest.mark.parametrize(
    ("stated", "status", "code"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "other"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_secret": ""}, 400, "invalid_request"),
    ],
)
async def test_a_renewal_that_is_not_in_order_is_refused_and_spends_nothing(
    api: AsyncClient, stated: dict[str, str], status: int, code: str
) -> None:
    refused = await renew(api, "first", **stated)
    assert (refused.status_code, refused.json()) == (status, {"error": code})
    assert (await renew(api, "first")).status_code == 200


async def test_secrets_are_taken_from_a_form_only(api: AsyncClient) -> None:
    stated = {"grant_type": "refresh_token", **{name: str(value) for name, value in GRANT.items()}}
    for refused in (
        await api.post("/oauth/token", params=stated),
        await api.post("/oauth/token", json=stated),
        await api.post("/oauth/token", content=b"\xff\xfe"),
    ):
        assert (refused.status_code, refused.json()) == (400, {"error": "invalid_request"})


async def test_the_state_has_the_refresh_token_that_is_good_now(api: AsyncClient) -> None:
    newest = (await renew(api, "first")).json()["refresh_token"]
    state = (await api.get("/sandbox/state")).json()
    assert state["companies"][0]["grants"] == [{**GRANT, "refresh_token": newest}]
    assert (await api.put("/sandbox/state", json=state)).status_code == 204
    assert (await renew(api, newest)).status_code == 200


async def test_a_reset_brings_the_seeded_refresh_token_back(api: AsyncClient) -> None:
    token = (await renew(api, "first")).json()["access_token"]
    await api.delete("/sandbox/state")
    assert (await users(api, token)).status_code == 401
    assert (await renew(api, "first")).status_code == 200


async def test_calls_about_tokens_are_not_in_the_journal_and_writes_by_token_are(api: AsyncClient) -> None:
    token = (await renew(api, "first")).json()["access_token"]
    headers = {"Authorization": f"bearer {token}"}
    assert (await api.put(f"{USERS}/11", json={"first_name": "Anna"}, headers=headers)).status_code == 200
    assert [(entry["company"], entry["path"]) for entry in await journal(api)] == [("Acme", f"{USERS}/11")]


async def test_two_grants_with_one_refresh_token_are_refused(api: AsyncClient) -> None:
    answer = await api.put(
        "/sandbox/state", json={"companies": [{"company": "A", "api_key": "a", "grants": [GRANT, GRANT]}]}
    )
    assert (answer.status_code, "refresh token" in answer.json()["error"]) == (400, True)
