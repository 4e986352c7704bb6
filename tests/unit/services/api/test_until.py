"""Histories as they were at a moment: `until`."""

from datetime import timedelta

import pytest

from tests.unit.services.api.api_stand import NOW, ApiStand

pytestmark = pytest.mark.anyio

EARLIER = NOW.isoformat()


@pytest.fixture
async def stand(stand: ApiStand) -> ApiStand:
    await stand.set_some_aside()
    stand.now += timedelta(hours=1)
    await stand.post("/accounts/acme/sync", {"by": "jane", "on": False})
    body = {"action": "update", "driver": "1", "profile": {"last_name": "Roe"}}
    assert (await stand.post("/accounts/acme/drivers", body)).is_success
    while stand.step():
        pass
    return stand


async def test_the_history_of_an_account_has_nothing_later(stand: ApiStand) -> None:
    path = "/accounts/acme/history"
    now, then = (await stand.get(path)).json(), (await stand.get(path, until=EARLIER)).json()
    assert now["entries"][0]["type"] == "SyncTurnedOff"
    assert then["entries"] == [each for each in now["entries"] if each["at"] <= EARLIER] != []


async def test_the_history_of_a_driver_has_nothing_later(stand: ApiStand) -> None:
    path = "/accounts/acme/drivers/1"
    now, then = (await stand.get(path)).json(), (await stand.get(path, until=EARLIER)).json()
    assert then["history"] == [each for each in now["history"] if each["at"] <= EARLIER] != []
    assert len(then["history"]) < len(now["history"])
    assert then["name"] == now["name"] == "Jane Roe"


@pytest.mark.parametrize("path", ["/accounts/acme/history", "/accounts/acme/drivers/1"])
async def test_what_is_not_a_moment_is_refused(stand: ApiStand, path: str) -> None:
    answer = await stand.get(path, until="yesterday")
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems#invalid-request")
