import pytest
from httpx import ASGITransport, AsyncClient

from services.sandbox import driveri, motive
from services.sandbox.state import SeedRefused
from tests.unit.sandbox.seeds import DRIVERI, MOTIVE, Json, journal, stored_driver

pytestmark = pytest.mark.anyio

DRIVERS = "/v1/tenants/acme/drivers"


async def test_a_sandbox_says_that_it_is_well(driveri_api: AsyncClient, company: AsyncClient) -> None:
    for client, vendor in ((driveri_api, "driveri"), (company, "motive")):
        assert (await client.get("/sandbox/health")).json() == {"status": "ok", "sandbox": vendor}


async def test_the_state_shows_what_driveri_hides(driveri_api: AsyncClient) -> None:
    assert (await stored_driver(driveri_api, "A1"))["phone"] == "555-0101"


async def test_a_state_can_be_seeded_again_as_it_is_shown(driveri_api: AsyncClient, company: AsyncClient) -> None:
    for client in (driveri_api, company):
        shown = (await client.get("/sandbox/state")).json()
        assert (await client.put("/sandbox/state", json=shown)).status_code == 204
        assert (await client.get("/sandbox/state")).json() == shown


async def test_a_seed_replaces_everything(driveri_api: AsyncClient, company: AsyncClient) -> None:
    nobody: list[tuple[AsyncClient, Json]] = [
        (driveri_api, {"tenants": []}),
        (company, {"companies": [], "elsewhere": []}),
    ]
    for client, empty in nobody:
        assert (await client.put("/sandbox/state", json=empty)).status_code == 204
        assert (await client.get("/sandbox/state")).json() == empty


async def test_a_reset_goes_back_to_what_was_seeded_last(fleet: AsyncClient) -> None:
    seeded = (await fleet.get("/sandbox/state")).json()
    await fleet.put(f"{DRIVERS}/A1", json={"firstName": "Other"})
    assert (await fleet.delete("/sandbox/state")).status_code == 204
    assert (await fleet.get("/sandbox/state")).json() == seeded


async def test_a_token_outlives_a_seeding_that_keeps_its_key(fleet: AsyncClient) -> None:
    await fleet.put("/sandbox/state", json=DRIVERI)
    assert (await fleet.get(DRIVERS)).status_code == 200
    await fleet.put("/sandbox/state", json={"tenants": DRIVERI["tenants"][1:]})
    assert (await fleet.get(DRIVERS)).status_code == 401


async def test_the_journal_is_read_on_from_any_number(fleet: AsyncClient) -> None:
    for name in ("One", "Two", "Three"):
        await fleet.put(f"{DRIVERS}/A1", json={"firstName": name})
    page = (await fleet.get("/sandbox/journal?after=1&limit=1")).json()
    assert ([entry["number"] for entry in page["entries"]], page["last"]) == ([2], 3)


async def test_numbers_go_on_over_a_seeding_that_empties_the_journal(fleet: AsyncClient) -> None:
    await fleet.put(f"{DRIVERS}/A1", json={"firstName": "One"})
    await fleet.delete("/sandbox/state")
    assert await journal(fleet) == []
    await fleet.put(f"{DRIVERS}/A1", json={"firstName": "Two"})
    assert [entry["number"] for entry in await journal(fleet, after=1)] == [2]


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "limit=10001"])
async def test_a_bad_question_about_the_journal_is_refused(driveri_api: AsyncClient, query: str) -> None:
    assert (await driveri_api.get(f"/sandbox/journal?{query}")).status_code == 400


DRIVER = {"driverId": "A1", "firstName": "Ann"}
TENANT: Json = {"tenant": "acme", "drivers": [DRIVER]}
KEY = {"client_id": "k", "client_secret": "s"}
ACTIVE = {"status": 1, "description": "Active"}


@pytest.mark.parametrize(
    ("seed", "problem"),
    [
        ({"fleets": []}, "fleets: Extra inputs are not permitted"),
        ({"tenants": [{"tenant": "a/b"}]}, "tenants.0.tenant: String should match pattern '^[^/]+$'"),
        ({"tenants": [TENANT, TENANT]}, "tenants: numbers 0 and 1 have the same tenant"),
        (
            {"tenants": [{"tenant": "a", "clients": [KEY]}, {"tenant": "b", "clients": [KEY]}]},
            "tenants: numbers 0 and 1 have the same client_id",
        ),
        (
            {"tenants": [TENANT | {"drivers": [DRIVER, DRIVER | {"driverId": "a1"}]}]},
            "tenants.0.drivers: numbers 0 and 1 have the same driverId (letter case aside)",
        ),
        (
            {"tenants": [TENANT | {"statuses": [ACTIVE, ACTIVE]}]},
            "tenants.0.statuses: numbers 0 and 1 have the same status code",
        ),
        (
            {"tenants": [TENANT | {"drivers": [DRIVER | {"status": 6}]}]},
            "tenants.0: driver 0 has a status that is not in statuses",
        ),
    ],
)
async def test_a_bad_driveri_seed_is_refused_with_the_place(driveri_api: AsyncClient, seed: Json, problem: str) -> None:
    before = (await driveri_api.get("/sandbox/state")).json()
    answer = await driveri_api.put("/sandbox/state", json=seed)
    assert (answer.status_code, answer.json()) == (400, {"error": problem})
    assert (await driveri_api.get("/sandbox/state")).json() == before


USER = {"id": 1, "first_name": "Ann", "last_name": "Able"}
PAIR = {"external_id": "P1", "integration_name": "gps_portal"}


@pytest.mark.parametrize(
    ("users", "problem"),
    [
        ([{}], "companies.0.users.0.first_name: Field required"),
        ([USER, USER], "companies: numbers 0 and 1 have the same user id"),
        (
            [USER | {"email": "a@a.test"}, {"first_name": "B", "email": "A@a.test"}],
            "companies: numbers 0 and 1 have the same email",
        ),
        (
            [USER | {"external_ids": [PAIR]}, {"first_name": "B", "external_ids": [PAIR]}],
            "companies.0.users: numbers 0 and 1 have the same external id",
        ),
    ],
)
async def test_a_bad_motive_seed_is_refused_with_the_place(
    company: AsyncClient, users: list[Json], problem: str
) -> None:
    answer = await company.put("/sandbox/state", json={"companies": [{"api_key": "k", "users": users}]})
    assert (answer.status_code, answer.json()) == (400, {"error": problem})


async def test_a_seed_that_is_not_json_is_refused(driveri_api: AsyncClient) -> None:
    answer = await driveri_api.put("/sandbox/state", content=b"tenants:")
    assert (answer.status_code, answer.json()) == (400, {"error": "the seed is not JSON"})


def test_a_sandbox_does_not_start_from_a_bad_seed() -> None:
    with pytest.raises(SeedRefused):
        driveri.application({"companies": []})
    with pytest.raises(SeedRefused):
        motive.application({"tenants": []})


async def test_users_without_an_id_get_the_next_ones() -> None:
    users = [{"first_name": "A"}, {"id": 40, "first_name": "B"}, {"first_name": "C"}]
    app = motive.application({"companies": [{"api_key": "k", "users": users}]})
    async with AsyncClient(transport=ASGITransport(app), base_url="http://motive.test") as client:
        companies = (await client.get("/sandbox/state")).json()["companies"]
    assert [(user["id"], user["first_name"]) for user in companies[0]["users"]] == [(40, "B"), (41, "A"), (42, "C")]
    assert companies[0]["company"] == "k"


def test_the_seeds_of_these_tests_are_good() -> None:
    driveri.application(DRIVERI)
    motive.application(MOTIVE)
