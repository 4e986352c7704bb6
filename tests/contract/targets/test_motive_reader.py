"""The sandbox of Motive, as a reader sees it that was not written for it."""

from collections.abc import AsyncIterator

import httpx
import pytest

from services.sandbox import motive
from services.sandbox.serving import listening
from tests.contract.targets.motive_reader import Driver, Error, FlatExternalId, Other, Reader, Success, read_user
from tests.contract.targets.sandboxes import Json, motive_seed

pytestmark = pytest.mark.anyio

ADMIN: Json = {"id": 5, "role": "admin", "first_name": "Ada", "last_name": "Boss", "email": "ada@fleet.test"}
OURS = {"external_id": "p-1", "integration_name": "gps_portal"}
NEW = {"first_name": "New", "last_name": "Noon", "role": "driver", "email": "new@fleet.test"}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    seed = motive_seed(230)
    seed["companies"][0]["users"].append(ADMIN)
    headers = {"X-Api-Key": "acme-key"}
    async with (
        listening(motive.application(seed)) as url,
        httpx.AsyncClient(base_url=url, headers=headers) as client,
    ):
        yield client


async def test_an_independent_reader_finds_every_field_of_every_role_and_no_other(client: httpx.AsyncClient) -> None:
    users = await Reader(client).users()
    assert len(users) == 234
    assert {type(user) for user in users} == {Driver, Other}
    assert len(Driver.model_fields) == 61
    assert len(Other.model_fields) == 25


@pytest.mark.parametrize(
    "path",
    [
        "/v1/users/2",
        "/v1/users/4",
        "/v1/users/5",
        "/v1/users/me",
        "/v1/users/2.json",
        "/v1/users/lookup?email=bob@fleet.test",
        "/v1/users/lookup_by_external_id?external_id=payroll-9&integration_name=payroll",
    ],
)
async def test_every_way_to_one_user_shows_all_of_it(client: httpx.AsyncClient, path: str) -> None:
    read_user((await client.get(path)).raise_for_status())


async def test_the_first_calls_of_most_connectors_are_answered(client: httpx.AsyncClient) -> None:
    assert await Reader(client).companies() == ["acme-key"]
    assert (await Reader(client).user("/v1/users/me")).id == 5


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({"role": "admin"}, [5]),
        ({"role": "driver", "status": "deactivated"}, [3]),
        ({"name": "bob r"}, [2]),
        ({"name": "nobody"}, []),
        ({"duty_status": "driving"}, []),
        ({"duty_status": "off_duty", "name": "low"}, [3]),
    ],
)
async def test_every_documented_filter_filters(client: httpx.AsyncClient, filters: Json, ids: list[int]) -> None:
    assert [user.id for user in await Reader(client).users(**filters)] == ids


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/v1/users?updated_after=2026-01-01", "updated_after"),
        ("/v1/users?group_id=1", "group_id"),
        ("/v1/users/2?expand=all", "expand"),
        ("/v1/users/me?x=1", "x"),
        ("/v1/companies?x=1", "x"),
        ("/v1/users/lookup?email=bob@fleet.test&licence=1", "licence"),
        ("/v1/users/lookup_by_external_id?external_id=1&integration_name=2&role=driver", "role"),
    ],
)
async def test_a_parameter_that_is_not_modelled_is_refused_in_words(
    client: httpx.AsyncClient, path: str, word: str
) -> None:
    answer = await client.get(path)
    assert answer.status_code == 400
    assert f"'{word}'" in Error.model_validate_json(answer.content).error_message


@pytest.mark.parametrize("field", ["licence", "updated_at", "web_last_active_at", "driver"])
async def test_a_field_that_is_not_modelled_is_refused_in_words(client: httpx.AsyncClient, field: str) -> None:
    for answer in (
        await client.put("/v1/users/2", json={field: "x"}),
        await client.post("/v1/users", json={**NEW, field: "x"}),
    ):
        assert answer.status_code == 400
        assert field in Error.model_validate_json(answer.content).error_message


@pytest.mark.parametrize("path", ["/v1/vehicles", "/v1/groups/7", "/v1/logs.json"])
async def test_a_part_of_the_api_that_is_not_modelled_is_refused_in_words(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 501
    assert "does not model" in Error.model_validate_json(answer.content).error_message


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v1/drivers", "/v3/users", "/nothing.json"])
async def test_what_motive_does_not_have_is_a_page(client: httpx.AsyncClient, path: str) -> None:
    page = await client.get(path)
    assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (404, "text/html")


async def test_external_id_calls_answer_flat(client: httpx.AsyncClient) -> None:
    holder = {"external_id_holder_id": 3, "external_id_holder_type": "User"}
    made = await client.post("/v1/external_ids", json={**OURS, **holder})
    record = FlatExternalId.model_validate_json(made.raise_for_status().content)
    assert record.model_dump() == {**OURS, **holder, "id": record.id}
    edited = await client.put(f"/v1/external_ids/{record.id}", json={"external_id": "p-2"})
    assert FlatExternalId.model_validate_json(edited.raise_for_status().content).external_id == "p-2"
    removed = await client.delete(f"/v1/external_ids/{record.id}")
    assert Success.model_validate_json(removed.raise_for_status().content).success


async def test_a_form_does_what_json_does(client: httpx.AsyncClient) -> None:
    made = await client.post("/v1/users.json", data=NEW)
    assert (made.status_code, read_user(made).email) == (201, "new@fleet.test")
    assert read_user(await client.put("/v1/users/2", data={"last_name": "Roy"})).last_name == "Roy"
    flat = await client.post(
        "/v1/external_ids", data={**OURS, "external_id_holder_id": "3", "external_id_holder_type": "User"}
    )
    assert flat.status_code == 201
    nested = await client.put("/v1/users/2", data={"external_ids[][external_id]": "1"})
    assert nested.status_code == 400
    assert "JSON" in Error.model_validate_json(nested.content).error_message


async def test_errors_say_what_is_wrong_and_another_address_is_a_page(client: httpx.AsyncClient) -> None:
    for answer, status in (
        (await client.get("/v1/users/99999"), 404),
        (await client.get("/v1/users", headers={"X-Api-Key": "no"}), 401),
        (await client.post("/v1/users", json={}), 400),
    ):
        assert answer.status_code == status
        assert Error.model_validate_json(answer.content).error_message
    page = await client.get("/v2/nothing")
    assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (404, "text/html")
