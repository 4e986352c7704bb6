"""Backtests as a client asks for them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.services.api.api_stand import ApiStand

pytestmark = pytest.mark.anyio


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[ApiStand]:
    stand = ApiStand(tmp_path)
    yield stand
    stand.close()


async def test_a_backtest_of_an_account_without_a_history_differs_in_nothing(stand: ApiStand) -> None:
    await stand.post("/accounts", {"account": "acme", "tier": "pro", "mode": "full", "master_user": "jane"})
    answer = await stand.get("/accounts/acme/backtest")
    (line,) = [json.loads(text) for text in answer.text.splitlines()]
    assert line == {
        "summary": {"account": "acme", "batches": 0, "unordered": 0, "erased": 0, "counts": {"driveri": 0, "motive": 0}}
    }


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"mode": "driveri"}, "'driveri' has to be TARGET=MODE"),
        ({"mode": "drivery=full"}, "there is no target 'drivery'; there are: driveri, motive"),
        (
            {"mode": "driveri=fully"},
            "there is no mode 'fully'; did you mean full?; there are: off, observe, upsert, full",
        ),
        ({"own": "driveri=shoe_size"}, "there is no field 'shoe_size'"),
        ({"disown": "driveri=time_zone"}, "there is no owned field 'time_zone'"),
        ({"match": "driveri=ref"}, "driveri matches drivers only by their DriverID"),
        ({"match": "motive=name"}, "there is no kind of identifier 'name'; there are: portal, ref, email, licence"),
    ],
)
async def test_a_rule_that_cannot_be_is_refused_with_those_that_can(
    stand: ApiStand, query: dict[str, str], detail: str
) -> None:
    await stand.post("/accounts", {"account": "acme", "tier": "pro", "mode": "full", "master_user": "jane"})
    answer = await stand.get("/accounts/acme/backtest", **query)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(detail)
