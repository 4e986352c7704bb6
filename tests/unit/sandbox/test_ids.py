"""An id that was given never comes again for somebody else."""

from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from starlette.applications import Starlette

from services.sandbox import motive, portal
from services.sandbox.state import Ids, ids_from
from tests.unit.sandbox.seeds import MOTIVE, START, Clock, Json

pytestmark = pytest.mark.anyio

KEY = {"X-Api-Key": "acme-key"}
PORTAL: Json = {
    "accounts": [
        {
            "account": "acme",
            "users": [{"username": "maria", "app_token": "hush"}],
            "drivers": [{"id": 7, "lastname": "Able"}],
        }
    ]
}


async def asked(app: Starlette, method: str, path: str, **given: Any) -> Any:  # noqa: ANN401
    async with AsyncClient(transport=ASGITransport(app), base_url="http://sandbox.test", headers=KEY) as client:
        answer = (await client.request(method, path, **given)).raise_for_status()
        return answer.json() if answer.content else None


async def motive_ids(app: Starlette, name: str) -> tuple[int, int]:
    """The user id, and the record id of the external id, of a new user."""
    external = [{"external_id": name, "integration_name": "gps_portal"}]
    body = {"role": "driver", "first_name": name, "last_name": name, "email": f"{name}@acme.test"}
    created = await asked(app, "POST", "/v1/users", json={**body, "external_ids_attributes": external})
    shown = await asked(app, "GET", f"/v1/users/{created['user']['id']}")
    return shown["user"]["id"], shown["user"]["external_ids"][0]["id"]


async def portal_id(app: Starlette) -> int:
    login = await asked(app, "GET", "/v2/userauth/login?username=maria&app_token=hush")
    path = f"/v2/driver/create?session_token={login['data']['token']}&lastname=New"
    return int((await asked(app, "GET", path))["data"]["id"])


def test_a_process_begins_above_all_that_an_earlier_one_gave() -> None:
    ids = Ids(ids_from(START))
    given = [next(ids) for _ in range(5_000)]
    assert len(set(given)) == 5_000
    assert ids_from(START + 1_000) > given[-1]
    assert ids_from(0) == 0


@pytest.mark.parametrize("between", ["reset", "seeding"])
async def test_motive_gives_no_id_again_after_a_reset_or_a_seeding(clock: Clock, between: str) -> None:
    app = motive.application(MOTIVE, clock)
    first = await motive_ids(app, "nia")
    if between == "reset":
        await asked(app, "DELETE", "/sandbox/state")
    else:
        await asked(app, "PUT", "/sandbox/state", json=MOTIVE)
    second = await motive_ids(app, "noa")
    assert second[0] > first[0]
    assert second[1] > first[1]


async def test_motive_gives_other_ids_after_a_restart(clock: Clock) -> None:
    first = await motive_ids(motive.application(MOTIVE, clock, first_id=ids_from(clock())), "nia")
    clock.at += 1_000
    second = await motive_ids(motive.application(MOTIVE, clock, first_id=ids_from(clock())), "noa")
    assert second[0] > first[0]
    assert second[1] > first[1]


async def test_seeded_users_without_ids_are_the_same_after_a_reset(clock: Clock) -> None:
    seed: Json = {"companies": [{"api_key": "acme-key", "users": [{"first_name": "Ann"}]}]}
    app = motive.application(seed, clock, first_id=ids_from(clock()))
    before = (await asked(app, "GET", "/sandbox/state"))["companies"][0]["users"]
    await asked(app, "DELETE", "/sandbox/state")
    assert (await asked(app, "GET", "/sandbox/state"))["companies"][0]["users"] == before


async def test_the_portal_gives_no_id_again_after_a_deletion_a_reset_or_a_restart(clock: Clock) -> None:
    app = portal.application(PORTAL, clock)
    first = await portal_id(app)
    login = await asked(app, "GET", "/v2/userauth/login?username=maria&app_token=hush")
    await asked(app, "GET", f"/v2/driver/delete?session_token={login['data']['token']}&driver={first}")
    second = await portal_id(app)
    await asked(app, "DELETE", "/sandbox/state")
    third = await portal_id(app)
    restarted = await portal_id(portal.application(PORTAL, clock, first_id=ids_from(clock())))
    assert first < second < third < restarted
