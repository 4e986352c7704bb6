"""`driverlink reconcile`, with the services as a process of their own.

What was changed by hand is found and put back.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from services.sandbox.demo import RunningSandboxes, Stage, sandboxes
from tests.support.commanding import command
from tests.support.processes import Up, outliving_client

COMPANY = {"companies": [{"company": "acme", "api_key": "hush-key"}]}
KEY = {"X-Api-Key": "hush-key"}

Json = dict[str, Any]


async def seed(targets: RunningSandboxes) -> None:
    """A company of Motive without anybody in it."""
    async with httpx.AsyncClient() as client:
        assert (await client.put(f"{targets.motive}/sandbox/state", json=COMPANY)).is_success


async def edit_by_hand(targets: RunningSandboxes, **changed: str) -> None:
    """Somebody writes these fields of every driver in Motive."""
    async with httpx.AsyncClient(base_url=targets.motive, headers=KEY) as client:
        for each in (await client.get("/v1/users", params={"role": "driver"})).json()["users"]:
            path = f"/v1/users/{each['user']['id']}"
            assert (await client.put(path, json=changed)).is_success


async def open_account(playing: Stage) -> None:
    """Two drivers shall be in Motive, and nothing is synchronised with Driveri."""
    await playing.post("/accounts", {"account": "acme", "tier": "pro", "master_user": "maria", "targets": ["motive"]})
    await playing.post("/accounts/acme/credentials", {"target": "motive", "values": {"api_key": "hush-key"}})
    for driver in ("1", "2"):
        profile = {"first_name": "Jane", "last_name": f"Doe {driver}", "ref_id": f"R{driver}"}
        body = {"action": "create", "driver": driver, "profile": profile}
        await playing.post("/accounts/acme/changes", body)
    await playing.post("/accounts/acme/sync", {"by": "maria", "on": True})


async def until(playing: Stage, holds: Callable[[Json], bool]) -> None:
    """Wait until this holds of how the account stands with Motive."""
    while True:
        found: Sequence[Json] = await playing.get("/status")
        if found and holds(found[0]["targets"][1]):
            return
        await asyncio.sleep(0.05)


def is_in_step(target: Json) -> bool:
    return target["in_sync"] == 2 and not target["is_reconciling"]


async def reconciliation(data: Path, *arguments: str) -> Json:
    """What a reconciliation of Motive has come to, as a script sees it."""
    words = ("reconcile", "acme", "--as", "maria", "--target", "motive", *arguments, "--json")
    ended = await asyncio.to_thread(command, {"DRIVERLINK_DATA": str(data)}, *words)
    found: Json = ended.document
    return found


async def play(data: Path) -> None:
    async with sandboxes() as targets:
        await seed(targets)
        up = Up(data, targets)
        await up.start()
        async with outliving_client(up.socket) as client:
            playing = Stage(client)
            await open_account(playing)
            await until(playing, is_in_step)
            for number, at_odds in ((2, {}), (3, {"first_name": 2})):
                await edit_by_hand(targets, first_name="Janet")
                (report,) = (await reconciliation(data))["reconciliations"]
                assert (report["number"], report["by"], report["drivers"]) == (number, "maria", 2)
                assert (report["found"], report["drifted"]) == ({"drifted": 2}, {"first_name": 2})
                assert report["at_odds"] == at_odds
                await until(playing, is_in_step)
            await edit_by_hand(targets, first_name="Janet")
            (driver,) = (await reconciliation(data, "--driver", "R2"))["drivers"]
            assert (driver["driver"], driver["finding"], driver["drifted"]) == ("2", "drifted", ["first_name"])
        assert await up.stop() == 0


def test_hand_edits_are_overridden_and_told_and_those_that_come_back_are_at_odds(tmp_path: Path) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(60):
            await play(tmp_path / "data")

    asyncio.run(in_time())
