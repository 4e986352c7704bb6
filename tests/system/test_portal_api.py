"""The Portal by its API: from its list to both targets, with `driverlink up` as a process of its own."""

import asyncio
from pathlib import Path

from services.sandbox.demo import RunningSandboxes, Stage
from tests.support.acme import (
    CREDENTIALS,
    acme_sandboxes,
    get_state,
    in_sync,
    open_account,
    put_state,
    turn_on,
    until,
)
from tests.support.commanding import command
from tests.support.hanging import HANGS
from tests.support.portal_fleet import driver, to_seed, user
from tests.support.processes import Up, outliving_client

JANE = driver(1, driver_id="D1", email="jane@fleet.test")
BOB = driver(2, name="Bob", driver_id="D2", email="bob@fleet.test")
EVE = driver(3, name="Eve", driver_id="D3", email="eve@fleet.test")


async def shown(targets: RunningSandboxes) -> dict[str, int]:
    """Every driver in Driveri, by DriverID, with their status."""
    (tenant,) = (await get_state(targets.driveri))["tenants"]
    return {each["driverId"]: each["status"] for each in tenant["drivers"]}


async def play(data: Path) -> None:
    async with acme_sandboxes(to_seed([JANE, BOB, EVE])) as targets:
        up = Up(data, targets, portal_url=targets.portal, portal_read_every="0.2")
        await up.start()
        async with outliving_client(up.socket) as client:
            playing = Stage(client)
            await open_account(playing, *CREDENTIALS)
            await turn_on(playing)
            account = await until(playing, lambda account: in_sync(account, 3))
            assert (account["portal"]["drivers"], account["portal"]["failure"]) == (3, "")
            await put_state(targets.portal, to_seed([driver(1, driver_id="D9", email="jane@fleet.test"), BOB]))
            await until(playing, lambda account: in_sync(account, 2, ended=1))
            assert await shown(targets) == {"D9": 1, "D2": 1, "D3": 4}
            await put_state(targets.portal, to_seed([BOB], user(app_token="hush-other")))
            failing = await until(playing, lambda account: bool(account["portal"]["failure"]))
            assert failing["portal"]["failure"] == "credentials: answered 403"
            assert in_sync(failing, 2, ended=1)
            told = await asyncio.to_thread(command, {"DRIVERLINK_DATA": str(data)}, "status", "acme")
            assert (told.status, "Portal read" in told.out, "credentials: answered 403" in told.out) == (0, True, True)
        assert await up.stop() == 0


def test_what_the_portals_api_lists_comes_to_both_targets_and_what_it_lacks_twice_goes(tmp_path: Path) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(HANGS):
            await play(tmp_path / "data")

    asyncio.run(in_time())
