"""A small fleet with everything that a page can show, served on a port of loopback until its input ends.

`python -m tests.browser.served FOLDER` prints a line of JSON: where the console is. Its input says what comes next.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from services.api.app import to_app
from services.api.authentication import at_local_socket
from services.api.sign_in import new_link
from services.runtime.serving import tcp_socket
from services.sandbox.demo import NO_TLS, RunningSandboxes, Stage, sandboxes
from services.wiring.embedded import run, serving
from services.wiring.settings import EmbeddedSettings

NASTY = "<script>document.title='hurt'</script>"
"""A first name that a page must show as it is written."""

QUOTED = "\"'><img src=x onerror=document.title='hurt'>"

_DRIVERI = {
    "tenant": "acme",
    "clients": [{"client_id": "id", "client_secret": "secret"}],
    "statuses": [{"status": 1, "description": "Active"}, {"status": 4, "description": "Deleted"}],
}
_MOTIVE = {"api_key": "key"}
_CREDENTIALS = {
    "driveri": {"tenant": "acme", "client_id": "id", "client_secret": "secret"},
    "motive": {"api_key": "key"},
}
_THERE = [
    {"driverId": "D1", "firstName": "Jane", "lastName": "Do", "email": "jane@fleet.test", "status": 1},
    {"driverId": "X9", "firstName": "Old", "lastName": "Hand", "email": "old@fleet.test", "status": 1},
]


def _line(driver: str, first: str, last: str, mail: str = "", **ids: str) -> dict[str, Any]:
    profile = {"first_name": first, "last_name": last, "email": mail or f"d{driver}@fleet.test", **ids}
    return {"line": int(driver), "driver": driver, "profile": profile}


LINES = [
    _line("1", "Jane", "Doe", "jane@fleet.test", ref_id="R1", driveri_driver_id="D1"),
    _line("2", "Nora", "O'Brien", ref_id="R2", driveri_driver_id="D2"),
    _line("3", "Uma", "Unkeyed"),
    _line("4", "Carl", "Conflict", "jane@fleet.test", ref_id="R4", driveri_driver_id="D4"),
    *(
        _line(str(number), name, "Driver", ref_id=f"R{number}", driveri_driver_id=f"D{number}")
        for number, name in enumerate(("Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gil", "Hal", "Ida"), 10)
    ),
]


async def tell_story(stage: Stage, targets: RunningSandboxes) -> None:
    """Acme is on, with drift, held deletes and drivers set aside; north is off. West may not turn on yet."""
    people = {"master_user": "maria", "account_manager": "bob"}
    for account, tier in (("acme", "pro"), ("north", "pro"), ("west", "standard")):
        await stage.post("/accounts", {"account": account, "tier": tier, "mode": "full", **people})
        for target, values in _CREDENTIALS.items():
            await stage.post(f"/accounts/{account}/credentials", {"target": target, "values": values})
    await stage.post("/accounts/acme/lists", {"lines": LINES})
    await stage.post("/accounts/north/lists", {"lines": [*LINES[:4], _line("5", "Nils", "New", ref_id="R5")]})
    await stage.post("/accounts/west/lists", {"lines": [_line("6", NASTY, QUOTED, ref_id=NASTY)]})
    await stage.post("/accounts/acme/sync", {"by": "maria", "on": True})
    await stage.until_quiet()
    for driver, last in (("10", "Adams"), ("1", "Roe")):
        await stage.post(
            "/accounts/acme/drivers", {"action": "update", "driver": driver, "profile": {"last_name": last}}
        )
    await stage.post(
        "/accounts/acme/drivers", {"action": "update", "driver": "11", "profile": {"driveri_driver_id": "D11-new"}}
    )
    await stage.until_quiet()
    await _drift(targets)
    await stage.post("/accounts/acme/reconciliations", {"by": "maria"})
    await stage.until_quiet()
    for driver in ("12", "13", "14", "15", "16"):
        await stage.post("/accounts/acme/drivers", {"action": "delete", "driver": driver})
    await stage.until_quiet()


async def go_on(stage: Stage, asked: str) -> None:
    """What the Portal does while somebody looks at a page, until nothing is left to be done."""
    profiles = {"resolve": ("4", {"email": "carl@fleet.test"}), "change": ("10", {"phone": "303 555 0142"})}
    if asked in profiles:
        driver, profile = profiles[asked]
        await stage.post("/accounts/acme/drivers", {"action": "update", "driver": driver, "profile": profile})
    await stage.until_quiet()


async def _drift(targets: RunningSandboxes) -> None:
    """Somebody writes another last name in Driveri."""
    async with httpx.AsyncClient(verify=NO_TLS) as client:
        state = (await client.get(f"{targets.driveri}/sandbox/state")).json()
        for driver in state["tenants"][0]["drivers"]:
            if driver["driverId"] == "D17":
                driver["lastName"] = "Elsewhere"
        (await client.put(f"{targets.driveri}/sandbox/state", json=state)).raise_for_status()


async def _seed(targets: RunningSandboxes) -> None:
    seeds: Mapping[str, object] = {
        targets.driveri: {"tenants": [{**_DRIVERI, "drivers": _THERE}]},
        targets.motive: {"companies": [{**_MOTIVE, "users": []}]},
    }
    async with httpx.AsyncClient(verify=NO_TLS) as client:
        for address, seed in seeds.items():
            (await client.put(f"{address}/sandbox/state", json=seed)).raise_for_status()


async def main(folder: Path) -> None:
    """Serve until standard input ends."""
    async with sandboxes() as targets:
        await _seed(targets)
        settings = EmbeddedSettings.model_validate(
            {
                "data": folder,
                "driveri_url": targets.driveri,
                "motive_url": targets.motive,
                **{f"{name}_calls_per_second": 1000 for name in ("driveri", "motive")},
            }
        )
        stop = asyncio.Event()
        with tcp_socket("127.0.0.1", 0) as console:
            async with serving(settings, console=console) as installation:
                running = asyncio.create_task(run(installation, stop=stop))
                transport = httpx.ASGITransport(at_local_socket(to_app(installation)))
                async with httpx.AsyncClient(transport=transport, base_url="http://driverlink", timeout=60) as client:
                    await tell_story(stage := Stage(client), targets)
                    where = {"console": installation.console, "link": await new_link(installation)}
                    print(json.dumps(where), flush=True)
                    while asked := (await asyncio.to_thread(sys.stdin.readline)).strip():
                        await go_on(stage, asked)
                        print(json.dumps({"done": asked}), flush=True)
                stop.set()
                await running


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
