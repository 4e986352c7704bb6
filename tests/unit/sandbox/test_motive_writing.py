import pytest
from httpx import AsyncClient

from tests.unit.sandbox.seeds import START, Clock, Json, journal, stored_user

pytestmark = pytest.mark.anyio

NEW: Json = {"first_name": "New", "last_name": "Noon", "role": "driver", "email": "new@acme.test"}
ZONE = {"time_zone": "Pacific Time (US & Canada)"}


async def test_a_create_stores_the_user_active_with_its_external_ids(company: AsyncClient) -> None:
    external_ids = [{"external_id": "P9", "integration_name": "gps_portal"}]
    answer = await company.post(
        "/v1/users",
        json=NEW | ZONE | {"status": "deactivated", "password": "pass-1", "external_ids_attributes": external_ids},
    )
    assert answer.status_code == 201
    user = answer.json()["user"]
    assert user["external_ids"] == external_ids
    assert user.items() >= (NEW | ZONE | {"status": "active"}).items()
    stored = await stored_user(company, user["id"])
    assert stored["external_ids"] == [{"id": 503, **external_ids[0]}]
    assert "pass-1" not in (await company.get("/sandbox/state")).text


async def test_a_create_ignores_external_ids_under_the_name_they_are_read_by(company: AsyncClient) -> None:
    body = NEW | {"external_ids": [{"external_id": "P9", "integration_name": "gps_portal"}]}
    assert (await company.post("/v1/users", json=body)).json()["user"]["external_ids"] is None


@pytest.mark.parametrize("name", ["first_name", "last_name", "role", "email"])
async def test_a_create_needs_names_a_role_and_an_email_or_user_name(company: AsyncClient, name: str) -> None:
    body = {field: value for field, value in NEW.items() if field != name}
    answer = await company.post("/v1/users", json=body)
    assert (answer.status_code, list(answer.json())) == (400, ["error_message"])


async def test_a_user_name_will_do_in_place_of_an_email(company: AsyncClient) -> None:
    body = NEW | {"email": None, "username": "new"}
    assert (await company.post("/v1/users", json=body)).status_code == 201


@pytest.mark.parametrize(
    "taken",
    [
        {"email": "ANN@acme.test"},
        {"email": "una@bolt.test"},
        {"email": "taken@elsewhere.test"},
        {"username": "Bob"},
        {"external_ids_attributes": [{"external_id": "P1", "integration_name": "gps_portal"}]},
    ],
)
async def test_what_is_taken_in_any_company_is_refused(company: AsyncClient, taken: Json) -> None:
    before = (await company.get("/sandbox/state")).json()
    answer = await company.post("/v1/users", json=NEW | taken)
    assert answer.status_code == 400
    assert "taken" in answer.json()["error_message"]
    assert (await company.get("/sandbox/state")).json() == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"driver_company_id": 7},
        {"role": "pilot"},
        {"time_zone": "America/Denver"},
        {"external_ids_attributes": [{"external_id": "P9"}]},
    ],
)
async def test_a_value_of_the_wrong_kind_is_refused(company: AsyncClient, wrong: Json) -> None:
    assert (await company.post("/v1/users", json=NEW | wrong)).status_code == 400


async def test_a_test_mode_key_answers_200_and_changes_nothing(company: AsyncClient) -> None:
    before = (await company.get("/sandbox/state")).json()
    answer = await company.post("/v1/users", json=NEW, headers={"X-Api-Key": "test-key"})
    assert (answer.status_code, answer.json()["user"]["email"]) == (200, "new@acme.test")
    assert (await company.get("/sandbox/state")).json() == before
    assert [(entry["company"], entry["created"]) for entry in await journal(company)] == [("Acme in test mode", False)]


async def test_an_update_changes_the_stated_fields_only(company: AsyncClient, clock: Clock) -> None:
    before = await stored_user(company, 11)
    clock.at += 1000
    answer = await company.put("/v1/users/11", json={"last_name": "Other", "phone": "0"})
    assert answer.status_code == 200
    changed = {"last_name": "Other", "phone": "0", "updated_at": "2027-01-15T08:00:01Z"}
    assert await stored_user(company, 11) == before | changed


async def test_an_update_that_states_what_is_there_has_no_effect(company: AsyncClient, clock: Clock) -> None:
    before = await stored_user(company, 11)
    clock.at += 1000
    answer = await company.put("/v1/users/11", json={"last_name": "Able", "external_ids": before["external_ids"]})
    assert answer.json()["user"]["updated_at"] == before["updated_at"]
    assert await stored_user(company, 11) == before
    assert (await journal(company))[0]["changed"] == []


async def test_a_stated_null_empties_the_field(company: AsyncClient) -> None:
    await company.put("/v1/users/11", json={"phone": None, "driver_company_id": ""})
    stored = await stored_user(company, 11)
    assert (stored["phone"], stored["driver_company_id"]) == (None, None)


@pytest.mark.parametrize("name", ["first_name", "last_name", "role", "status", "email"])
async def test_what_a_user_needs_cannot_be_emptied(company: AsyncClient, name: str) -> None:
    assert (await company.put("/v1/users/11", json={name: None})).status_code == 400


async def test_hours_of_service_settings_really_change(company: AsyncClient) -> None:
    await company.put("/v1/users/11", json={"cycle": "60_7", "exception_short_haul": True})
    assert (await journal(company))[0]["changed"] == ["cycle", "exception_short_haul"]


async def test_a_freed_email_can_be_given_to_another_user(company: AsyncClient) -> None:
    taken = {"email": "ann@acme.test"}
    assert (await company.put("/v1/users/12", json=taken)).status_code == 400
    await company.put("/v1/users/11", json={"email": "ann2@acme.test"})
    assert (await company.put("/v1/users/12", json=taken)).status_code == 200
    assert (await company.get("/v1/users/lookup", params=taken)).json()["user"]["id"] == 12


async def test_a_driver_is_deactivated_and_reactivated_and_moves_between_the_lists(company: AsyncClient) -> None:
    active = "/v1/users?role=driver&status=active"
    await company.put("/v1/users/11", json={"status": "deactivated"})
    assert (await company.get(active)).json()["pagination"]["total"] == 0
    await company.put("/v1/users/11", json={"status": "active"})
    assert (await company.get(active)).json()["pagination"]["total"] == 1


@pytest.mark.parametrize("body", [{"status": "active"}, {"status": "active", "role": "driver"}])
async def test_a_fleet_user_cannot_be_reactivated(company: AsyncClient, body: Json) -> None:
    assert (await company.put("/v1/users/14", json=body)).status_code == 400
    assert (await stored_user(company, 14))["status"] == "deactivated"


@pytest.mark.parametrize("user_id", [21, 99])
async def test_a_user_of_another_company_or_none_cannot_be_updated(company: AsyncClient, user_id: int) -> None:
    assert (await company.put(f"/v1/users/{user_id}", json={"first_name": "X"})).status_code == 404


async def test_the_journal_has_each_write_and_what_it_did(company: AsyncClient, clock: Clock) -> None:
    clock.at += 3
    await company.put("/v1/users/11", json={"status": "deactivated"})
    await company.put("/v1/users/99", json={}, headers={"X-Api-Key": "wrong"})
    first, second = await journal(company)
    assert len(first.pop("fingerprint")) == 16
    assert first == {
        "number": 1,
        "at": START + 3,
        "company": "Acme",
        "method": "PUT",
        "path": "/v1/users/11",
        "status": 200,
        "fault": None,
        "driver": "11",
        "created": False,
        "changed": ["status"],
        "before": {"key": "11", "status": "active"},
        "after": {"key": "11", "status": "deactivated"},
    }
    assert (second["status"], second["company"], second["driver"]) == (401, None, None)
