"""The Portal by its API: from its list to both targets, with `driverlink up` as a process of its own."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from services.sandbox.demo import RunningSandboxes, Stage, sandboxes
from tests.support.commanding import command
from tests.support.portal_fleet import driver, to_seed, user
from tests.support.processes import Up, outliving_client

DRIVERI = {
    "tenants": [
        {
            "tenant": "acme",
            "clients": [{"client_id": "id-1", "client_secret": "hush-driveri"}],
            "statuses": [{"status": 1, "description": "Active"}, {"status": 4, "description": "Deleted"}],
        }
    ]
}
MOTIVE = {"companies": [{"company": "acme", "api_key": "hush-key"}]}
CREDENTIALS: Mapping[str, Mapping[str, str]] = {
    "driveri": {"tenant": "acme", "client_id": "id-1", "client_secret": "hush-driveri"},
    "motive": {"api_key": "hush-key"},
    "portal": {"username": "maria", "app_token": "hush-maria"},
}
JANE = driver(1, driver_id="D1", email="jane@fleet.test")
BOB = driver(2, name="Bob", driver_id="D2", email="bob@fleet.test")
EVE = driver(3, name="Eve", driver_id="D3", email="eve@fleet.test")

Json = dict[str, Any]


async def seed(address: str, document: Json) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.put(f"{address}/sandbox/state", json=document)
        assert answer.is_success, answer.text


async def open_account(playing: Stage) -> None:
    await playing.post("/accounts", {"account": "acme", "tier": "pro", "master_user": "maria"})
    for target, values in CREDENTIALS.items():
        await playing.post("/accounts/acme/credentials", {"target": target, "values": dict(values)})
    await playing.post("/accounts/acme/sync", {"by": "maria", "on": True})


async def shown(targets: RunningSandboxes) -> dict[str, int]:
    """Every driver in Driveri, by DriverID, with their status."""
    async with httpx.AsyncClient() as client:
        state = (await client.get(f"{targets.driveri}/sandbox/state")).json()
    return {each["driverId"]: each["status"] for each in state["tenants"][0]["drivers"]}


async def until(playing: Stage, holds: Callable[[Json], bool]) -> Json:
    """The account's status, once this holds of it."""
    while True:
        found: Sequence[Json] = await playing.get("/status")
        if found and holds(found[0]):
            return found[0]
        await asyncio.sleep(0.1)


def in_sync(account: Json, drivers: int, ended: int = 0) -> bool:
    return all((target["in_sync"], target["ended"]) == (drivers, ended) for target in account["targets"])


async def play(data: Path) -> None:
    async with sandboxes() as targets:
        for address, document in ((targets.driveri, DRIVERI), (targets.motive, MOTIVE)):
            await seed(address, document)
        await seed(targets.portal, to_seed([JANE, BOB, EVE]))
        up = Up(data, targets, portal_url=targets.portal, portal_read_every="0.2")
        await up.start()
        async with outliving_client(up.socket) as client:
            playing = Stage(client)
            await open_account(playing)
            account = await until(playing, lambda account: in_sync(account, 3))
            assert (account["portal"]["drivers"], account["portal"]["failure"]) == (3, "")
            await seed(targets.portal, to_seed([driver(1, driver_id="D9", email="jane@fleet.test"), BOB]))
            await until(playing, lambda account: in_sync(account, 2, ended=1))
            assert await shown(targets) == {"D9": 1, "D2": 1, "D3": 4}
            await seed(targets.portal, to_seed([BOB], user(app_token="hush-other")))
            failing = await until(playing, lambda account: bool(account["portal"]["failure"]))
            assert failing["portal"]["failure"] == "credentials: answered 403"
            assert in_sync(failing, 2, ended=1)
            told = await asyncio.to_thread(command, {"DRIVERLINK_DATA": str(data)}, "status", "acme")
            assert (told.status, "Portal read" in told.out, "credentials: answered 403" in told.out) == (0, True, True)
        assert await up.stop() == 0


def test_what_the_portals_api_lists_comes_to_both_targets_and_what_it_lacks_twice_goes(tmp_path: Path) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(60):
            await play(tmp_path / "data")

    asyncio.run(in_time())
