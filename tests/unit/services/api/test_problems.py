"""Refusals as problem details, each of a kind that the page of problems explains."""

import pytest

from services.api.app import openapi
from services.api.problems import all_kinds
from tests.unit.services.api.api_stand import ApiStand

pytestmark = pytest.mark.anyio


async def test_a_refusal_names_its_kind_and_each_wrong_field(stand: ApiStand) -> None:
    answer = await stand.post("/accounts", {"account": "a b", "tier": "pro", "master_user": ""})
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["type"], problem["status"], answer.status_code) == ("/problems#invalid-request", 400, 400)
    assert [each["field"] for each in problem["errors"]] == ["account", "master_user"]
    assert problem["detail"] == "; ".join(f"{each['field']}: {each['detail']}" for each in problem["errors"])


@pytest.mark.parametrize(("path", "kind"), [("/nowhere", "not-found"), ("/accounts/nobody", "unknown-account")])
async def test_what_is_not_there_is_a_problem_of_its_kind(stand: ApiStand, path: str, kind: str) -> None:
    answer = await stand.get(path)
    assert (answer.status_code, answer.json()["type"]) == (404, f"/problems#{kind}")


async def test_a_method_that_a_path_does_not_take_is_a_problem(stand: ApiStand) -> None:
    answer = await stand.post("/status", {})
    assert (answer.status_code, answer.json()["type"]) == (405, "/problems#wrong-method")
    assert answer.headers["allow"] == "GET"


async def test_the_page_has_every_kind(stand: ApiStand) -> None:
    page = (await stand.get("/problems")).text
    assert all(f'id="{kind.slug}"' in page for kind in all_kinds())


async def test_the_description_is_what_is_served_and_every_resource_has_a_version(stand: ApiStand) -> None:
    described = openapi()
    assert (await stand.get("/openapi.json")).json() == described
    assert described["openapi"].startswith("3.1")
    assert {path.split("/")[1] for path in described["paths"]} == {"v1", "live", "ready"}
