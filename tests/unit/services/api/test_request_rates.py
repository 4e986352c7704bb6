"""Rates of requests: each client has its own, and what it has used comes back with time."""

import pytest

from domain.account import Role
from services.api.permissions import EVERYWHERE
from services.api.routing import RequestRates
from tests.unit.services.api.api_stand import ApiStand

pytestmark = pytest.mark.anyio


class Seconds:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_a_key_that_asks_too_often_waits_and_no_other(stand: ApiStand) -> None:
    clock = Seconds()
    stand.app.state.rates = RequestRates(2, clock)
    viewer = {"Authorization": f"Bearer {stand.key({EVERYWHERE: frozenset({Role.VIEWER})})}"}
    answers = [await stand.outside("GET", "/v1/accounts", headers=viewer) for _ in range(3)]
    assert [each.status_code for each in answers] == [200, 200, 429]
    assert answers[0].headers["ratelimit-policy"] == '"requests";q=2;w=60'
    assert [each.headers["ratelimit"] for each in answers[:2]] == ['"requests";r=1;t=30', '"requests";r=0;t=60']
    assert answers[2].json()["type"] == "/problems#rate-exceeded"
    assert answers[2].headers["retry-after"] == "30"
    assert (await stand.get("/accounts")).status_code == 200
    clock.now += 30
    assert (await stand.outside("GET", "/v1/accounts", headers=viewer)).status_code == 200


async def test_each_client_has_its_own_rate_and_never_saves_more_than_a_minutes() -> None:
    clock = Seconds()
    rates = RequestRates(6000, clock)
    first = rates.take("key:one")["RateLimit"]
    rates.take("key:one")
    assert rates.take("key:two")["RateLimit"] == first
    clock.now += 3600
    assert rates.take("key:one")["RateLimit"] == first
