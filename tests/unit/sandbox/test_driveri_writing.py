import pytest
from httpx import AsyncClient, BasicAuth

from tests.unit.sandbox.seeds import START, Clock, Json, journal, stored_driver

pytestmark = pytest.mark.anyio

DRIVERS = "/v1/tenants/acme/drivers"
BULK = "/v1/tenants/acme/bulk/drivers"
LICENCE = {"licenceNumber": "L9", "licenseCountry": "US", "licenseState": "TX"}


async def test_a_create_stores_what_was_stated_and_answers_a_message_only(fleet: AsyncClient, clock: Clock) -> None:
    clock.at += 5
    answer = await fleet.post(DRIVERS, json={"driverId": "N1", "firstName": "New", "phone": "555", **LICENCE})
    assert list(answer.json()["data"]) == ["message"]
    stored = await stored_driver(fleet, "N1")
    assert {name: value for name, value in stored.items() if value not in (None, False, 0)} == {
        "driverId": "N1",
        "firstName": "New",
        "phone": "555",
        **LICENCE,
        "status": 1,
        "authorizedToDrive": 1,
        "createdDate": START + 5,
        "updatedDate": START + 5,
    }


@pytest.mark.parametrize(
    "body",
    [
        {"firstName": "New"},
        {"driverId": "N1"},
        {"driverId": " ", "firstName": "New"},
        {"driverId": "N1", "firstName": ""},
        {"driverId": 7, "firstName": "New"},
        {"driverId": "N1", "firstName": "New", "authorizedToDrive": 2},
        {"driverId": "N1", "firstName": "New", "group": {"name": "North", "action": "MOVE"}},
        ["N1"],
    ],
)
async def test_a_create_that_breaks_a_rule_changes_nothing(fleet: AsyncClient, body: object) -> None:
    before = (await fleet.get("/sandbox/state")).json()
    assert (await fleet.post(DRIVERS, json=body)).status_code == 400
    assert (await fleet.get("/sandbox/state")).json() == before


async def test_a_body_that_is_not_json_is_refused(fleet: AsyncClient) -> None:
    assert (await fleet.post(DRIVERS, content=b"{")).status_code == 400


@pytest.mark.parametrize("left_out", sorted(LICENCE))
async def test_a_licence_is_stated_whole_or_not_at_all(fleet: AsyncClient, left_out: str) -> None:
    partial = {name: value for name, value in LICENCE.items() if name != left_out}
    created = await fleet.post(DRIVERS, json={"driverId": "N1", "firstName": "New", **partial})
    updated = await fleet.put(f"{DRIVERS}/A1", json=partial)
    assert (created.status_code, updated.status_code) == (400, 400)


async def test_a_licence_can_be_emptied_whole(fleet: AsyncClient) -> None:
    assert (await fleet.put(f"{DRIVERS}/A1", json=dict.fromkeys(LICENCE, ""))).status_code == 200
    assert (await stored_driver(fleet, "A1"))["licenceNumber"] is None


async def test_a_user_name_is_needed_for_an_app_with_a_password(fleet: AsyncClient) -> None:
    body = {"driverId": "N1", "firstName": "New", "enableDriveriApp": True, "setPassword": True, "password": "pass-1"}
    assert (await fleet.post(DRIVERS, json=body)).status_code == 400
    assert (await fleet.post(DRIVERS, json=body | {"userName": "new"})).status_code == 200
    assert "pass-1" not in (await fleet.get("/sandbox/state")).text


async def test_each_write_that_states_the_app_without_a_password_sends_an_invitation(fleet: AsyncClient) -> None:
    for _ in range(2):
        await fleet.put(f"{DRIVERS}/A1", json={"enableDriveriApp": True})
    await fleet.put(f"{DRIVERS}/A1", json={"lastName": "Other"})
    assert (await stored_driver(fleet, "A1"))["invitations"] == 2


@pytest.mark.parametrize("driver_id", ["A1", "a1", "C3"])
@pytest.mark.parametrize("path", [DRIVERS, f"{DRIVERS}?reinstateDriver=false"])
async def test_a_taken_id_is_a_conflict_also_if_its_driver_is_deleted(
    fleet: AsyncClient, driver_id: str, path: str
) -> None:
    answer = await fleet.post(path, json={"driverId": driver_id, "firstName": "New"})
    assert (answer.status_code, answer.json()["error"]["messageCode"]) == (409, "DRIVER_ALREADY_EXISTS")


async def test_a_reinstated_driver_is_the_same_one_with_the_stated_fields(fleet: AsyncClient) -> None:
    answer = await fleet.post(f"{DRIVERS}?reinstateDriver=true", json={"driverId": "c3", "firstName": "Sid"})
    stored = await stored_driver(fleet, "c3")
    assert answer.status_code == 200
    assert (stored["firstName"], stored["status"], stored["createdDate"]) == ("Sid", 1, START)
    assert [entry["created"] for entry in await journal(fleet)] == [False]


async def test_reinstating_makes_an_unknown_driver_and_refuses_a_live_one(fleet: AsyncClient) -> None:
    path = f"{DRIVERS}?reinstateDriver=true"
    assert (await fleet.post(path, json={"driverId": "N1", "firstName": "New"})).status_code == 200
    assert (await fleet.post(path, json={"driverId": "A1", "firstName": "New"})).status_code == 409


async def test_the_seeded_meanings_decide_what_active_and_deleted_are(driveri_api: AsyncClient) -> None:
    answer = await driveri_api.post("/v1/auth/token", auth=BasicAuth("bolt-key", "bolt-secret"))
    headers = {"Authorization": f"Bearer {answer.json()['data']['accessToken']}"}
    drivers = "/v1/tenants/bolt/drivers"
    await driveri_api.post(drivers, json={"driverId": "N1", "firstName": "New"}, headers=headers)
    await driveri_api.put(f"{drivers}/A1", json={"status": 1}, headers=headers)
    listed = (await driveri_api.get(drivers, headers=headers)).json()["data"]["drivers"]
    assert [(driver["driverId"], driver["status"]) for driver in listed] == [("N1", 3)]


async def test_an_update_changes_the_stated_fields_only(fleet: AsyncClient, clock: Clock) -> None:
    before = await stored_driver(fleet, "A1")
    clock.at += 9
    await fleet.put(f"{DRIVERS}/a1", json={"lastName": "Other", "email": None})
    assert await stored_driver(fleet, "A1") == before | {"lastName": "Other", "updatedDate": START + 9}


async def test_an_update_that_states_what_is_there_has_no_effect(fleet: AsyncClient, clock: Clock) -> None:
    before = await stored_driver(fleet, "A1")
    clock.at += 9
    answer = await fleet.put(f"{DRIVERS}/A1", json={"firstName": "Ann", "phone": "555-0101", "status": 1})
    assert answer.status_code == 200
    assert await stored_driver(fleet, "A1") == before
    assert (await journal(fleet))[0]["changed"] == []


async def test_a_rename_moves_the_driver_to_the_new_id(fleet: AsyncClient) -> None:
    await fleet.put(f"{DRIVERS}/A1", json={"driverId": "X/9"})
    assert (await fleet.get("/v1/tenants/acme/driver?driverId=A1")).status_code == 404
    assert (await stored_driver(fleet, "X/9"))["firstName"] == "Ann"
    assert (await fleet.put(f"{DRIVERS}/X%2F9", json={"driverId": "A1"})).status_code == 200


async def test_a_change_of_letter_case_alone_is_a_rename(fleet: AsyncClient) -> None:
    await fleet.put(f"{DRIVERS}/A1", json={"driverId": "a1"})
    assert [(entry["driver"], entry["changed"]) for entry in await journal(fleet)] == [("a1", ["driverId"])]


@pytest.mark.parametrize("taken", ["B2", "b2", "C3"])
async def test_a_rename_to_a_taken_id_is_a_conflict(fleet: AsyncClient, taken: str) -> None:
    assert (await fleet.put(f"{DRIVERS}/A1", json={"driverId": taken})).status_code == 409
    assert (await stored_driver(fleet, "A1"))["firstName"] == "Ann"


@pytest.mark.parametrize("body", [{"driverId": ""}, {"firstName": " "}, {"status": 6}, {"status": "Deleted"}])
async def test_an_update_that_breaks_a_rule_is_refused(fleet: AsyncClient, body: Json) -> None:
    assert (await fleet.put(f"{DRIVERS}/A1", json=body)).status_code == 400


async def test_an_unknown_driver_cannot_be_updated(fleet: AsyncClient) -> None:
    assert (await fleet.put(f"{DRIVERS}/Z", json={"firstName": "Zoe"})).status_code == 404


async def test_a_driver_joins_and_leaves_a_group(fleet: AsyncClient) -> None:
    await fleet.put(f"{DRIVERS}/A1", json={"group": {"name": "South", "action": "ADD"}})
    assert (await stored_driver(fleet, "A1"))["group"] == {"groupName": "South", "groupUniqueName": "South"}
    await fleet.put(f"{DRIVERS}/A1", json={"group": {"name": "North", "action": "REMOVE"}})
    assert (await stored_driver(fleet, "A1"))["group"] is not None
    await fleet.put(f"{DRIVERS}/A1", json={"group": {"name": "South", "action": "REMOVE"}})
    assert (await stored_driver(fleet, "A1"))["group"] is None


async def test_a_bulk_create_takes_the_good_rows_and_is_silent_about_the_others(fleet: AsyncClient) -> None:
    rows = [{"driverId": "N1", "firstName": "New"}, {"driverId": "A1", "firstName": "Dup"}, {"driverId": 3}, {}]
    answer = await fleet.post(BULK, json={"drivers": rows, "group": {"name": "North"}})
    assert answer.status_code == 200
    assert list(answer.json()["data"]) == ["message"]
    assert (await stored_driver(fleet, "N1"))["group"]["groupName"] == "North"
    assert [(entry["driver"], entry["created"]) for entry in await journal(fleet)] == [("N1", True)]


@pytest.mark.parametrize("body", [{}, {"drivers": []}, {"drivers": {}}])
async def test_an_empty_bulk_create_is_refused(fleet: AsyncClient, body: Json) -> None:
    assert (await fleet.post(BULK, json=body)).status_code == 400


async def test_the_journal_has_each_write_and_what_it_did(fleet: AsyncClient, clock: Clock) -> None:
    clock.at += 7
    await fleet.put(f"{DRIVERS}/A1", json={"driverId": "A9", "status": 4})
    await fleet.put(f"{DRIVERS}/A1", json={"status": 4})
    first, second = await journal(fleet)
    assert len(first.pop("fingerprint")) == 16
    assert first == {
        "number": 1,
        "at": START + 7,
        "tenant": "acme",
        "method": "PUT",
        "path": f"{DRIVERS}/A1",
        "status": 200,
        "fault": None,
        "driver": "A9",
        "created": False,
        "changed": ["driverId", "status"],
        "before": {"key": "A1", "status": 1},
        "after": {"key": "A9", "status": 4},
    }
    assert (second["number"], second["status"], second["driver"], second["changed"]) == (2, 404, None, [])


async def test_the_journal_holds_refused_writes_but_neither_reads_nor_tokens(driveri_api: AsyncClient) -> None:
    await driveri_api.post("/v1/auth/token", auth=BasicAuth("acme-key", "acme-secret"))
    await driveri_api.get(DRIVERS)
    await driveri_api.post(DRIVERS, json={})
    await driveri_api.delete("/v1/nothing")
    entries = await journal(driveri_api)
    assert [(entry["method"], entry["status"], entry["tenant"]) for entry in entries] == [
        ("POST", 401, "acme"),
        ("DELETE", 404, None),
    ]
