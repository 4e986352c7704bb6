"""How each fault looks to a client, and what it leaves behind."""

from collections.abc import Callable

import pytest
from httpx import ASGITransport, AsyncClient, BasicAuth, ReadError, Response
from starlette.types import Message, Receive, Scope, Send

from services.sandbox import driveri, motive
from services.sandbox.serving import listening
from services.sandbox.state import iso_time
from tests.unit.sandbox.seeds import DRIVERI, MOTIVE, START, Clock, Json, journal, stored_driver, stored_user
from tests.unit.sandbox.test_faults import DRIVERS, struck, switch_on

pytestmark = pytest.mark.anyio

ACME = BasicAuth("acme-key", "acme-secret")
ZED = {"first_name": "Zed", "last_name": "Zero", "role": "driver", "username": "zed"}
Z9 = {"driverId": "Z9", "firstName": "Zed"}


async def rename_ann(company: AsyncClient) -> Response:
    return await company.put("/v1/users/11", json={"first_name": "Anna"})


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({}, "1"),
        ({"retry_after": 2.5}, "3"),
        ({"retry_after": None}, None),
        ({"retry_after": 90, "as_date": True}, "Fri, 15 Jan 2027 08:01:30 GMT"),
    ],
)
async def test_a_limit_says_when_to_come_again(company: AsyncClient, how: Json, said: str | None) -> None:
    await switch_on(company, {"fault": "limited", **how})
    answer = await rename_ann(company)
    assert (answer.status_code, answer.headers.get("Retry-After")) == (429, said)
    assert answer.json() == {"error_message": "not now"}


async def test_a_refusal_has_the_form_of_driveri(fleet: AsyncClient) -> None:
    await switch_on(fleet, {"fault": "failing", "status": 503, "retry_after": 5})
    answer = await fleet.put(f"{DRIVERS}/A1", json={"firstName": "Anna"})
    error = {"status": 503, "error": "Service Unavailable", "message": "not now", "messageCode": "NOT_NOW"}
    assert answer.json()["error"] == error | {"timestamp": iso_time(START), "path": f"{DRIVERS}/A1"}
    assert answer.headers["Retry-After"] == "5"
    assert (await stored_driver(fleet, "A1"))["firstName"] == "Ann"


@pytest.mark.parametrize(
    ("rule", "status"),
    [({"fault": "limited"}, 429), ({"fault": "failing", "status": 500}, 500), ({"fault": "web_page"}, 502)],
)
async def test_a_call_that_is_turned_away_is_in_the_journal_as_such(
    company: AsyncClient, rule: Json, status: int
) -> None:
    await switch_on(company, rule)
    assert (await rename_ann(company)).status_code == status
    [entry] = await journal(company)
    told = {name: entry[name] for name in ("company", "method", "path", "status", "fault", "changed", "after")}
    assert told == {
        "company": "Acme",
        "method": "PUT",
        "path": "/v1/users/11",
        "status": status,
        "fault": rule["fault"],
        "changed": [],
        "after": None,
    }


async def test_reads_that_are_turned_away_are_not_in_the_journal(company: AsyncClient) -> None:
    await switch_on(company, {"fault": "limited"})
    await company.get("/v1/users")
    assert await journal(company) == []


async def test_an_error_after_the_effect_is_in_the_journal_with_the_effect(company: AsyncClient) -> None:
    await switch_on(company, {"fault": "failing", "status": 500, "has_effect": True, "times": 1})
    assert (await rename_ann(company)).status_code == 500
    [entry] = await journal(company)
    assert (entry["status"], entry["fault"], entry["changed"]) == (200, "failing", ["first_name"])
    assert (await stored_user(company, 11))["first_name"] == "Anna"


async def test_an_error_page_is_a_web_page(company: AsyncClient) -> None:
    await switch_on(company, {"fault": "web_page", "status": 200})
    answer = await company.get("/v1/users")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.text.startswith("<!DOCTYPE html>")


async def test_delays_add_up_before_another_fault_strikes() -> None:
    waits: list[float] = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)

    app = motive.application(MOTIVE, Clock(), pause=pause)
    async with AsyncClient(transport=ASGITransport(app), base_url="http://motive.test") as client:
        delays: list[Json] = [{"fault": "latency", "seconds": seconds} for seconds in (2, 0.5)]
        await switch_on(client, *delays, {"fault": "limited"}, {"fault": "latency", "seconds": 9})
        assert (await client.get("/v1/users")).status_code == 429
        assert (waits, await struck(client)) == ([2, 0.5], [1, 1, 1, 0])


async def test_a_late_write_takes_effect_though_its_client_has_gone_meanwhile() -> None:
    gone: list[str] = []

    async def pause(_: float) -> None:
        gone.append("client")

    app = motive.application(MOTIVE, Clock(), pause=pause)

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        async def received() -> Message:
            return {"type": "http.disconnect"} if gone else await receive()

        await app(scope, received, send)

    headers = {"X-Api-Key": "acme-key"}
    async with AsyncClient(transport=ASGITransport(served), base_url="http://motive.test", headers=headers) as client:
        await switch_on(client, {"fault": "latency", "seconds": 2})
        await rename_ann(client)
        [entry] = await journal(client)
        assert (entry["status"], entry["fault"], entry["changed"]) == (200, "latency", ["first_name"])
        assert (await stored_user(client, 11))["first_name"] == "Anna"


@pytest.mark.parametrize(
    ("fault", "becomes"),
    [
        ("truncated", lambda body: body[: len(body) // 2]),
        ("malformed", lambda body: b"OK" + body.replace(b'"', b"'")),
        ("senseless", lambda _: b"{}"),
        ("empty", lambda _: b""),
    ],
)
async def test_a_spoilt_answer_keeps_its_status_and_the_write_its_effect(
    company: AsyncClient, fault: str, becomes: Callable[[bytes], bytes]
) -> None:
    await rename_ann(company)
    whole = (await rename_ann(company)).content
    await switch_on(company, {"fault": fault, "times": 1})
    spoilt = await rename_ann(company)
    assert (spoilt.status_code, spoilt.content) == (200, becomes(whole))
    await switch_on(company, {"fault": fault, "times": 1})
    assert (await company.post("/v1/users", json=ZED)).status_code == 201
    assert (await stored_user(company, 22))["first_name"] == "Zed"


@pytest.mark.parametrize(
    ("fault", "body"),
    [("truncated", b'{"data"'), ("malformed", b"OK{'data': null}"), ("senseless", b"{}"), ("empty", b"")],
)
async def test_a_success_that_says_nothing_can_take_the_place_of_a_call(
    company: AsyncClient, fault: str, body: bytes
) -> None:
    await switch_on(company, {"fault": fault, "has_effect": False, "times": 1})
    answer = await rename_ann(company)
    assert (answer.status_code, answer.content) == (200, body)
    assert (await stored_user(company, 11))["first_name"] == "Ann"
    [entry] = await journal(company)
    assert (entry["status"], entry["fault"], entry["changed"]) == (200, fault, [])


@pytest.mark.parametrize(("fault", "name", "status"), [("reset_before", "Ann", None), ("reset_after", "Anna", 200)])
async def test_a_reset_breaks_the_connection_off(fault: str, name: str, status: int | None) -> None:
    async with (
        listening(motive.application(MOTIVE)) as url,
        AsyncClient(base_url=url, headers={"X-Api-Key": "acme-key"}) as company,
    ):
        await switch_on(company, {"fault": fault, "times": 1})
        with pytest.raises(ReadError):
            await rename_ann(company)
        assert (await stored_user(company, 11))["first_name"] == name
        [entry] = await journal(company)
        assert (entry["status"], entry["fault"], entry["company"]) == (status, fault, "Acme")


async def test_a_reset_breaks_no_other_connection_off() -> None:
    async with listening(motive.application(MOTIVE)) as url, AsyncClient(base_url=url) as other:
        await other.get("/sandbox/health")
        async with AsyncClient(base_url=url) as company:
            await switch_on(company, {"fault": "reset_before", "times": 1})
            with pytest.raises(ReadError):
                await company.get("/v1/users")
        assert (await other.get("/v1/users")).status_code == 401


async def test_a_reset_within_the_process_is_a_reset_all_the_same(company: AsyncClient) -> None:
    await switch_on(company, {"fault": "reset_after"})
    with pytest.raises(ConnectionResetError):
        await rename_ann(company)
    assert (await journal(company))[0]["changed"] == ["first_name"]


async def test_an_expired_token_is_over_for_good_and_another_one_is_not(fleet: AsyncClient) -> None:
    await switch_on(fleet, {"fault": "expired_token", "times": 1})
    assert [(await fleet.get(DRIVERS)).status_code for _ in range(2)] == [401, 401]
    issued = (await fleet.post("/v1/auth/token", auth=ACME)).json()["data"]["accessToken"]
    assert (await fleet.get(DRIVERS, headers={"Authorization": f"bearer {issued}"})).status_code == 200


async def test_a_third_token_is_refused_because_others_took_the_first_two(driveri_api: AsyncClient) -> None:
    await switch_on(driveri_api, {"fault": "third_token", "times": 1})
    answer = await driveri_api.post("/v1/auth/token", auth=ACME)
    assert (answer.status_code, answer.json()["messageCode"]) == (400, "TOO_MANY_TOKENS")
    active = (await driveri_api.get("/v1/auth/tokens", auth=ACME)).json()["data"]
    assert len(active) == 2
    assert (await driveri_api.delete(f"/v1/auth/token/revoke/{active[0]['accessTokenId']}", auth=ACME)).is_success
    assert (await driveri_api.post("/v1/auth/token", auth=ACME)).is_success


async def pages_of_driveri(fleet: AsyncClient) -> list[tuple[str, int]]:
    """The ids on the pages of one driver each, with the number of drivers that each page claims."""
    pages = [await fleet.get(DRIVERS, params={"showAll": "true", "limit": 1, "offset": start}) for start in range(4)]
    return [(_ids(page.json()["data"]["drivers"]), page.json()["totalCount"]) for page in pages]


async def pages_of_motive(company: AsyncClient) -> list[tuple[str, int]]:
    """The first names on the pages of one user each, with the number of users that each page claims."""
    pages = [(await company.get("/v1/users", params={"per_page": 1, "page_no": page})).json() for page in range(1, 5)]
    return [(_names(page["users"]), page["pagination"]["total"]) for page in pages]


def _ids(drivers: list[Json]) -> str:
    return " ".join(driver["driverId"] for driver in drivers)


def _names(users: list[Json]) -> str:
    return " ".join(user["user"]["first_name"] for user in users)


@pytest.mark.parametrize(
    ("shift", "driveri_pages", "motive_pages"),
    [
        ("left", [("A1", 4), ("C3", 3), ("D4", 3), ("", 3)], [("Ann", 4), ("Flo", 3), ("Gus", 3), ("", 3)]),
        ("came", [("A1", 4), ("A1", 5), ("B2", 5), ("C3", 5)], [("Ann", 4), ("Ann", 5), ("Bob", 5), ("Flo", 5)]),
        ("to_end", [("A1", 4), ("C3", 4), ("D4", 4), ("A1", 4)], [("Ann", 4), ("Flo", 4), ("Gus", 4), ("Ann", 4)]),
        ("to_front", [("A1", 4), ("A1", 4), ("B2", 4), ("C3", 4)], [("Ann", 4), ("Ann", 4), ("Bob", 4), ("Flo", 4)]),
    ],
)
async def test_a_shift_moves_every_page_but_the_first(
    fleet: AsyncClient,
    company: AsyncClient,
    shift: str,
    driveri_pages: list[tuple[str, int]],
    motive_pages: list[tuple[str, int]],
) -> None:
    for client in (fleet, company):
        await switch_on(client, {"fault": "shifted", "shift": shift})
    assert await pages_of_driveri(fleet) == driveri_pages
    assert await pages_of_motive(company) == motive_pages
    assert await struck(fleet) == await struck(company) == [3]


async def test_reordered_pages_come_from_lists_in_different_orders(fleet: AsyncClient, company: AsyncClient) -> None:
    for client in (fleet, company):
        await switch_on(client, {"fault": "reordered", "seed": 3})
    for shown in (await pages_of_driveri(fleet), await pages_of_motive(company)):
        assert {total for _, total in shown} == {4}
        assert len({name for name, _ in shown}) < 4
    await fleet.delete("/sandbox/faults")
    assert await pages_of_driveri(fleet) == [("A1", 4), ("B2", 4), ("C3", 4), ("D4", 4)]


async def test_a_create_that_creates_nothing_answers_as_if(fleet: AsyncClient, company: AsyncClient) -> None:
    for client in (fleet, company):
        await switch_on(client, {"fault": "creates_nothing"})
    before = [(await client.get("/sandbox/state")).json() for client in (fleet, company)]
    added = await fleet.post(DRIVERS, json=Z9)
    made = await company.post("/v1/users", json=ZED)
    assert (added.status_code, added.json()) == (200, {"data": {"message": "driver added"}})
    assert (made.status_code, made.json()["user"]["first_name"]) == (201, "Zed")
    assert (await company.get(f"/v1/users/{made.json()['user']['id']}")).status_code == 404
    assert [(await client.get("/sandbox/state")).json() for client in (fleet, company)] == before


async def test_a_create_that_creates_nothing_is_in_the_journal_without_effect(fleet: AsyncClient) -> None:
    await switch_on(fleet, {"fault": "creates_nothing"})
    await fleet.post(DRIVERS, json=Z9)
    [entry] = await journal(fleet)
    assert (entry["status"], entry["fault"], entry["created"], entry["after"]) == (200, "creates_nothing", False, None)


async def test_faults_of_a_create_or_a_list_leave_all_other_calls_alone(fleet: AsyncClient) -> None:
    names = ("creates_nothing", "reordered", "shifted", "third_token")
    await switch_on(fleet, *({"fault": name} for name in names))
    await fleet.put(f"{DRIVERS}/A1", json={"firstName": "Anna"})
    await fleet.get("/v1/tenants/acme/driver", params={"driverId": "A1"})
    assert await struck(fleet) == [0] * len(names)


async def test_a_sandbox_can_start_with_faults() -> None:
    app = driveri.application(DRIVERI, faults={"rules": [{"fault": "failing", "status": 401}]})
    async with AsyncClient(transport=ASGITransport(app), base_url="http://driveri.test") as client:
        assert (await client.post("/v1/auth/token", auth=ACME)).status_code == 401
