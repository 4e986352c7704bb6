from collections.abc import AsyncIterator, Mapping

import pytest
from httpx import ASGITransport, AsyncClient

from services.sandbox import portal
from tests.support.portal_fleet import driver, to_seed, user
from tests.unit.sandbox.seeds import Clock, Json, journal

pytestmark = pytest.mark.anyio

SEED = to_seed(
    [
        driver(1, driver_id="D1", email="jane@fleet.test", ref_id="jane"),
        driver(2, name="Bob", ref_id="1"),
        driver(3, name="Eve"),
    ],
    user(session_lifetime=60_000),
    user("bob", sees=[2, 3]),
)


@pytest.fixture
async def api(clock: Clock) -> AsyncIterator[AsyncClient]:
    """The Portal's sandbox, to somebody who is not logged in."""
    transport = ASGITransport(portal.application(SEED, clock))
    async with AsyncClient(transport=transport, base_url="http://portal.test") as client:
        yield client


async def session(api: AsyncClient, username: str = "maria") -> str:
    query = {"username": username, "app_token": f"hush-{username}"}
    token: str = (await api.get("/v2/userauth/login", params=query)).json()["data"]["token"]
    return token


async def ask(api: AsyncClient, method: str, token: str, **query: str) -> Json:
    answer: Json = (await api.get(f"/v2/{method}", params={"session_token": token, **query})).json()
    return answer


async def ids(api: AsyncClient, token: str) -> list[int]:
    return [row["id"] for row in (await ask(api, "driver/list", token))["data"]]


async def test_the_list_shows_names_e_mail_and_phone_and_ids_as_numbers(api: AsyncClient) -> None:
    listed = await ask(api, "driver/list", await session(api))
    assert listed["head"] == {"status": "OK"}
    assert listed["data"][0] == {
        "id": 1,
        "firstname": "Jane",
        "lastname": "Doe",
        "email": "jane@fleet.test",
        "phone": None,
    }


async def test_attributes_show_ids_as_text(api: AsyncClient) -> None:
    token = await session(api)
    (shown,) = (await ask(api, "driver/getattributes", token, driver="jane"))["data"]
    assert (shown["id"], shown["key"], shown["value"]) == ("1", "Driveri DriverID", "D1")
    assert (await ask(api, "driver/getattributes", token, driver="3"))["data"] == []


async def test_a_user_who_is_seeded_no_more_is_logged_out(api: AsyncClient) -> None:
    tokens = [await session(api), await session(api, "bob")]
    await api.put("/sandbox/state", json=to_seed([]))
    assert [(await ask(api, "driver/list", token))["head"]["status"] for token in tokens] == ["OK", "ERROR"]


async def test_a_driver_is_looked_for_by_ref_id_before_id(api: AsyncClient) -> None:
    token = await session(api)
    assert (await ask(api, "driver/delete", token, driver="1"))["data"] == {"id": 2}
    assert (await ask(api, "driver/delete", token, driver="1"))["data"] == {"id": 1}


async def test_a_user_sees_only_those_whom_there_is_a_right_to_see(api: AsyncClient) -> None:
    assert await ids(api, await session(api)) == [1, 2, 3]
    token = await session(api, "bob")
    assert await ids(api, token) == [2, 3]
    assert (await ask(api, "driver/getattributes", token, driver="D1"))["errors"][0]["code"] == 404


@pytest.mark.parametrize("query", [{}, {"username": "maria"}, {"username": "maria", "app_token": "hush-bob"}])
async def test_wrong_credentials_are_refused(api: AsyncClient, query: Mapping[str, str]) -> None:
    answer = await api.get("/v2/userauth/login", params=query)
    assert (answer.status_code, answer.json()["head"]["status"]) == (403, "ERROR")


async def test_a_session_is_over_after_its_time(api: AsyncClient, clock: Clock) -> None:
    token = await session(api)
    clock.at += 59_999
    assert (await ask(api, "driver/list", token))["head"]["status"] == "OK"
    clock.at += 1
    answer = await api.get("/v2/driver/list", params={"session_token": token})
    assert (answer.status_code, answer.json()["errors"]) == (
        403,
        [{"code": 403, "message": "Forbidden (session does not exist)"}],
    )


async def test_writes_are_done_and_written_down(api: AsyncClient) -> None:
    token = await session(api)
    created = (await ask(api, "driver/create", token, firstname="Ann", lastname="Lee"))["data"]["id"]
    await ask(api, "driver/update", token, driver=str(created), email="ann@fleet.test")
    await ask(api, "driver/delete", token, driver="3")
    assert await ids(api, token) == [1, 2, created]
    entries = [(entry["account"], entry["driver"], entry["created"], entry["changed"]) for entry in await journal(api)]
    assert entries[1:] == [("acme", str(created), False, ["email"]), ("acme", None, False, [])]
    assert entries[0][:3] == ("acme", str(created), True)


async def test_a_driver_without_a_last_name_is_refused(api: AsyncClient) -> None:
    answer = await api.get("/v2/driver/create", params={"session_token": await session(api), "firstname": "Ann"})
    assert answer.status_code == 400


async def test_a_state_can_be_seeded_again_as_it_is_shown(api: AsyncClient) -> None:
    token = await session(api)
    shown = (await api.get("/sandbox/state")).json()
    assert (await api.put("/sandbox/state", json=shown)).status_code == 204
    assert (await api.get("/sandbox/state")).json() == shown
    assert await ids(api, token) == [1, 2, 3]


async def test_a_reset_goes_back_to_what_was_seeded_last(api: AsyncClient) -> None:
    token = await session(api)
    await ask(api, "driver/delete", token, driver="3")
    await api.delete("/sandbox/state")
    assert await ids(api, token) == [1, 2, 3]


@pytest.mark.parametrize(
    ("seed", "problem"),
    [
        ({"fleets": []}, "fleets: Extra inputs are not permitted"),
        (to_seed([driver(1), driver(1)]), "numbers 0 and 1 have the same driver id"),
        (to_seed([], user(), user()), "numbers 0 and 1 have the same username"),
    ],
)
async def test_a_bad_seed_is_refused_with_the_place(api: AsyncClient, seed: Json, problem: str) -> None:
    answer = await api.put("/sandbox/state", json=seed)
    assert (answer.status_code, answer.json()["error"]) == (400, problem)


async def test_what_the_portal_does_not_offer_is_an_answer_in_its_form(api: AsyncClient) -> None:
    answer = await api.get("/v2/driver/everything")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, 404)


@pytest.mark.parametrize(
    ("call", "flaw"),
    [
        ("driver/list?limit=10", "limit: the sandbox does not know this parameter"),
        ("driver/list?group=north", "group: the sandbox does not know this parameter"),
        ("driver/getattributes?driver=1&key=x", "key: the sandbox does not know this parameter"),
        ("driver/create?lastname=New&licence=L1", "licence: the sandbox does not know this parameter"),
        ("driver/update?driver=1&id=2", "id: the sandbox does not know this parameter"),
        ("driver/delete?driver=1&driver=2", "driver: stated more than once"),
        (
            "userauth/login?username=maria&app_token=hush&account=acme",
            "account: the sandbox does not know this parameter",
        ),
    ],
)
async def test_what_a_call_would_ignore_is_refused(api: AsyncClient, call: str, flaw: str) -> None:
    answer = await api.get(f"/v2/{call}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["message"] == f"Bad Request ({flaw})"
