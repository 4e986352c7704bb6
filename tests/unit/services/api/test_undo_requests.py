"""`/v1/accounts/{account}/plan/undo`: what there is nothing of cannot be undone, and is said so."""

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.unit.services.api.api_stand import ApiStand

ACCOUNT = {"account": "acme", "tier": "pro", "mode": "full", "master_user": "jane"}
JANE = {"first_name": "Jane", "last_name": "Doe", "driveri_driver_id": "D1"}


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[ApiStand]:
    opened = ApiStand(tmp_path / "data")
    yield opened
    opened.close()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"decision": "driveri/1/99"}, "there is no decision 99 about driver 1 on driveri"),
        ({"reconciliation": "99", "target": "motive"}, "there is no reconciliation 99 of acme on motive"),
        ({"reconciliation": "-1", "target": "motive"}, "reconciliation"),
        ({"decision": "driveri/1/0"}, "a decision is TARGET/DRIVER/VERSION"),
    ],
)
async def test_what_never_was_is_no_plan_that_does_nothing(stand: ApiStand, wanted: dict[str, str], words: str) -> None:
    assert (await stand.post("/accounts", ACCOUNT)).is_success
    lines = [{"line": 1, "driver": "1", "profile": JANE}]
    assert (await stand.post("/accounts/acme/lists", {"lines": lines})).is_success
    assert (await stand.post("/accounts/acme/sync", {"by": "jane", "on": True})).is_success
    answer = await stand.get("/accounts/acme/plan/undo", **wanted)
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert words in answer.json()["detail"]
