"""Questions about the past: `as_of` on a driver, its explanation, and the state of an account."""

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.services.api.api_stand import NOW, ApiStand, Json

pytestmark = pytest.mark.anyio

PATHS = {
    "/status": {"account": "acme"},
    "/accounts/acme/explanation": {"driver": "1"},
    "/accounts/acme/drivers/1": {},
}
QUESTIONS = pytest.mark.parametrize("path", PATHS)
EARLIER = NOW.isoformat()


@pytest.fixture
async def before(stand: ApiStand) -> dict[str, Json]:
    """What was answered before Jane turned sync off and the driver was renamed, an hour later."""
    await stand.set_some_aside()
    for service in stand.services:
        while service.step():
            pass
    answers = {path: (await stand.get(path, **query)).json() for path, query in PATHS.items()}
    stand.now += timedelta(hours=1)
    await stand.post("/accounts/acme/sync", {"by": "jane", "on": False})
    body = {"action": "update", "driver": "1", "profile": {"last_name": "Roe"}}
    assert (await stand.post("/accounts/acme/drivers", body)).is_success
    while stand.step():
        pass
    return answers


@QUESTIONS
async def test_as_of_a_moment_the_answer_is_the_one_of_then(
    stand: ApiStand, before: dict[str, Json], path: str
) -> None:
    now = (await stand.get(path, **PATHS[path])).json()
    then = (await stand.get(path, **PATHS[path], as_of=EARLIER)).json()
    assert in_the_log(then) == in_the_log(before[path])
    assert in_the_log(now) != in_the_log(then)


def in_the_log(answer: Any) -> object:  # noqa: ANN401 - JSON
    """What no log says is when the next attempt is due; lines for people begin with the moment."""
    if isinstance(answer, list):
        return answer
    answer = answer.get("explanation", answer)
    return {**answer, "targets": [{**each, "attempt": None} for each in answer.get("targets", ())]}


async def test_people_read_as_of_when_it_is_and_no_advice(stand: ApiStand, before: dict[str, Json]) -> None:
    path = "/accounts/acme/explanation"
    lines = (await stand.get(path, driver="1", as_of=EARLIER)).json()["lines"]
    known = [line for line in before[path]["lines"] if not line.startswith("  What to do")]
    assert lines == ["As of 2026-01-05 08:00:00 UTC:", *known]


@QUESTIONS
async def test_a_moment_still_to_come_is_refused(stand: ApiStand, before: dict[str, Json], path: str) -> None:
    answer = await stand.get(path, **PATHS[path], as_of=(stand.now + timedelta(seconds=1)).isoformat())
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems#invalid-request")
    assert before


@QUESTIONS
async def test_what_is_not_a_moment_is_refused(stand: ApiStand, path: str) -> None:
    await stand.set_some_aside()
    answer = await stand.get(path, **PATHS[path], as_of="yesterday")
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems#invalid-request")


async def test_a_driver_whom_the_portal_had_not_stated_yet_is_unknown(stand: ApiStand) -> None:
    await stand.set_some_aside()
    too_early = (NOW - timedelta(seconds=1)).isoformat()
    for path in ("/accounts/acme/explanation", "/accounts/acme/drivers/1"):
        answer = await stand.get(path, **PATHS[path], as_of=too_early)
        assert (answer.status_code, answer.json()["detail"]) == (
            404,
            "the Portal had not stated driver 1 in account acme by 2026-01-05 07:59:59 UTC",
        )
    assert (await stand.get("/status", account="acme", as_of=too_early)).json() == []


async def test_the_past_of_all_accounts_at_once_is_refused(stand: ApiStand) -> None:
    answer = await stand.get("/status", as_of=EARLIER)
    assert (answer.status_code, "name an account" in answer.json()["detail"]) == (400, True)


@pytest.mark.parametrize(
    "query", [{"until": "9999-12-31T23:59:59.999999-23:59", "order": "newest"}, {"since": "0001-01-01"}]
)
async def test_the_ends_of_the_calendar_can_be_asked_for(stand: ApiStand, query: dict[str, str]) -> None:
    await stand.set_some_aside()
    whole, asked = await stand.get("/events"), await stand.get("/events", **query)
    assert asked.status_code == 200
    assert len(asked.json()["events"]) == len(whole.json()["events"])


async def test_before_the_first_moment_in_utc_no_driver_was_stated(stand: ApiStand) -> None:
    await stand.set_some_aside()
    answer = await stand.get("/accounts/acme/drivers/1", as_of="0001-01-01T00:00+23:59")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems#unknown-driver")
