import pytest
from httpx import AsyncClient

from tests.unit.sandbox.seeds import Json, journal, stored_user

pytestmark = pytest.mark.anyio

THEIRS = {"external_id": "T1", "integration_name": "generic_tms"}
OURS = {"external_id": "P1", "integration_name": "gps_portal"}
DRIVERI = {"external_id": "D1", "integration_name": "driveri"}


async def external_ids(client: AsyncClient, user_id: int = 11) -> list[Json]:
    records: list[Json] = (await stored_user(client, user_id))["external_ids"]
    return records


async def test_stated_external_ids_replace_all_others_and_keep_their_records(company: AsyncClient) -> None:
    assert (await company.put("/v1/users/11", json={"external_ids": [OURS, DRIVERI]})).status_code == 200
    assert await external_ids(company) == [{"id": 502, **OURS}, {"id": 503, **DRIVERI}]
    assert (await journal(company))[0]["changed"] == ["external_ids"]


async def test_attributes_add_without_an_id_and_edit_with_one(company: AsyncClient) -> None:
    attributes = [DRIVERI, {"id": 502, "external_id": "P2"}]
    assert (await company.put("/v1/users/11", json={"external_ids_attributes": attributes})).status_code == 200
    assert await external_ids(company) == [
        {"id": 501, **THEIRS},
        {"id": 502, "external_id": "P2", "integration_name": "gps_portal"},
        {"id": 503, **DRIVERI},
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"external_ids_attributes": [OURS]},
        {"external_ids_attributes": [{"id": 999, "external_id": "P2"}]},
        {"external_ids": [OURS, OURS]},
        {"external_ids": [{"external_id": "P2"}]},
        {"external_ids": [{"external_id": 2, "integration_name": "gps_portal"}]},
    ],
)
async def test_a_pair_is_unique_and_a_record_belongs_to_its_user(company: AsyncClient, body: Json) -> None:
    before = await external_ids(company)
    assert (await company.put("/v1/users/11", json=body)).status_code == 400
    assert await external_ids(company) == before


async def test_a_pair_that_another_user_has_is_refused(company: AsyncClient) -> None:
    for spelling in ("external_ids", "external_ids_attributes"):
        assert (await company.put("/v1/users/12", json={spelling: [OURS]})).status_code == 400


async def test_the_same_pair_is_free_in_another_company(company: AsyncClient) -> None:
    answer = await company.put("/v1/users/21", json={"external_ids": [OURS]}, headers={"X-Api-Key": "bolt-key"})
    assert answer.status_code == 200


async def test_a_pair_given_up_can_be_taken(company: AsyncClient) -> None:
    await company.put("/v1/users/11", json={"external_ids": [THEIRS]})
    assert (await company.put("/v1/users/12", json={"external_ids": [OURS]})).status_code == 200
    found = await company.get("/v1/users/lookup_by_external_id", params=OURS)
    assert found.json()["user"]["id"] == 12


async def test_an_external_id_is_added_alone(company: AsyncClient) -> None:
    holder = {"external_id_holder_id": 12, "external_id_holder_type": "User"}
    answer = await company.post("/v1/external_ids", json=DRIVERI | holder)
    assert (answer.status_code, answer.json()) == (201, {"id": 503, **DRIVERI, **holder})
    assert await external_ids(company, 12) == [{"id": 503, **DRIVERI}]
    assert [(entry["driver"], entry["changed"]) for entry in await journal(company)] == [("12", ["external_ids"])]


@pytest.mark.parametrize(
    ("stated", "status"),
    [
        (OURS | {"external_id_holder_id": 12, "external_id_holder_type": "User"}, 400),
        (DRIVERI | {"external_id_holder_id": 12}, 400),
        (DRIVERI | {"external_id_holder_id": 99, "external_id_holder_type": "User"}, 404),
        (DRIVERI | {"external_id_holder_id": 12, "external_id_holder_type": "Vehicle"}, 404),
    ],
)
async def test_an_external_id_needs_a_free_pair_and_a_user(company: AsyncClient, stated: Json, status: int) -> None:
    assert (await company.post("/v1/external_ids", json=stated)).status_code == status


async def test_an_external_id_is_edited_by_body_or_by_address(company: AsyncClient) -> None:
    await company.put("/v1/external_ids/502", json={"external_id": "P2"})
    await company.put("/v1/external_ids/501?integration_name=other_tms")
    assert await external_ids(company) == [
        {"id": 501, "external_id": "T1", "integration_name": "other_tms"},
        {"id": 502, "external_id": "P2", "integration_name": "gps_portal"},
    ]


async def test_an_external_id_cannot_be_edited_into_one_that_is_taken(company: AsyncClient) -> None:
    assert (await company.put("/v1/external_ids/502", json=THEIRS)).status_code == 400
    assert (await company.put("/v1/external_ids/502?external_id=")).status_code == 400


async def test_an_external_id_is_removed_alone(company: AsyncClient) -> None:
    answer = await company.delete("/v1/external_ids/501")
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert await external_ids(company) == [{"id": 502, **OURS}]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_an_unknown_record_is_404(company: AsyncClient, method: str) -> None:
    assert (await company.request(method, "/v1/external_ids/999", json={})).status_code == 404


async def test_a_test_mode_key_leaves_external_ids_alone(company: AsyncClient) -> None:
    state = (await company.get("/sandbox/state")).json()
    state["companies"][0]["test_mode"] = True
    await company.put("/sandbox/state", json=state)
    assert (await company.put("/v1/users/11", json={"external_ids": []})).status_code == 200
    assert (await company.delete("/v1/external_ids/501")).status_code == 200
    assert (await company.get("/sandbox/state")).json() == state
    assert [entry["changed"] for entry in await journal(company)] == [[], []]
