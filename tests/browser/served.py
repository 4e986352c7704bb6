"""A small fleet with everything that a page can show, served on a port of loopback until its input ends.

`python -m tests.browser.served FOLDER` prints a line of JSON: where the console is. Its input says what comes next.
"""

import asyncio
import json
import sys
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from domain.store import DeadLetter, Unit
from services.api.app import to_app
from services.api.authentication import at_local_socket
from services.api.sign_in import new_link
from services.console import plans
from services.runtime.context import utc_now
from services.runtime.serving import tcp_socket
from services.sandbox.demo import NO_TLS, RunningSandboxes, Stage, sandboxes
from services.sandbox.state import wall_clock
from services.sandbox.webhooks import standard_signature
from services.wiring.embedded import run, serving
from services.wiring.settings import EmbeddedSettings

NASTY = "<script>document.title='hurt'</script>"
"""A first name that a page must show as it is written."""

QUOTED = "\"'><img src=x onerror=document.title='hurt'>"

LONG = "Wolfeschlegelsteinhausenbergerdorff"
"""A last name that has to find its place, on a narrow page too."""

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
    _line("5", "Maximiliana-Alexandrina Theodora", LONG, f"{LONG}@{'long-' * 6}fleet.test", ref_id=f"R-{LONG}"),
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
    await _push(stage)
    await stage.post("/keys", {"name": "night shift", "roles": ["viewer"], "accounts": ["acme"], "days": 90})


async def _push(stage: Stage) -> None:
    """With its former secret, good for a day, the Portal pushes other RefIDs, which are held; one push is forged."""
    former = (await stage.post("/accounts/acme/push-secrets/portal", {}))["secret"]
    await stage.post("/accounts/acme/push-secrets/portal/rotation", {})
    others = [
        {"type": "driver.changed", "data": {"driver": driver, "profile": {"ref_id": f"N{driver}"}}}
        for driver in ("2", "10", "11", "17", "18")
    ]
    body = json.dumps(others).encode()
    assert not await stage.send("/accounts/acme/changes", body, standard_signature(former, wall_clock)(body))
    with suppress(httpx.HTTPStatusError):
        await stage.send("/accounts/acme/changes", body, standard_signature(_FORGED, wall_clock)(body))


def _letters() -> Unit:
    """Records that the decider could not handle, for two reasons."""
    reasons = {1: _UNKNOWN, 2: _UNKNOWN, 3: "ValidationError: driver.profile.email: is not an e-mail address"}
    body = json.dumps({"account": "acme", "driver": "10", "profile": {"first_name": "Ada", "email": "ada at fleet"}})
    unit = Unit()
    unit.keep(
        DeadLetter(
            stream="portal.driver-changes.v1/0",
            position=position,
            log_position=position,
            id=f"9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d/{position}",
            topic="DriverUpdated",
            headers=[],
            body=b64encode(body.encode()).decode(),
            reason=reason,
            at=utc_now().isoformat(),
        )
        for position, reason in reasons.items()
    )
    return unit


_UNKNOWN = "LookupError: the type DriverUpdated has no version 9 here"
_FORGED = f"whsec_{b64encode(b'somebody else signs with this one').decode()}"


async def go_on(stage: Stage, targets: RunningSandboxes, asked: str) -> None:
    """What happens while somebody looks at a page, until nothing is left to be done; after `trouble` something is."""
    profiles = {
        "resolve": ("4", {"email": "carl@fleet.test"}),
        "change": ("10", {"phone": "303 555 0142"}),
        "trouble": ("18", {"last_name": "Drives"}),
    }
    if asked == "trouble":
        await _let_fail(targets.motive, {"fault": "failing", "status": 503, "methods": ["PUT"]})
    if asked in profiles:
        driver, profile = profiles[asked]
        await stage.post("/accounts/acme/drivers", {"action": "update", "driver": driver, "profile": profile})
    if asked == "slow":
        plans.PATIENCE = 0.0
        await _let_fail(targets.motive, {"fault": "latency", "seconds": 2.5, "methods": ["GET"]})
    elif asked != "trouble":
        await stage.until_quiet()


async def _let_fail(sandbox: str, *rules: Mapping[str, object]) -> None:
    async with httpx.AsyncClient(verify=NO_TLS) as client:
        (await client.put(f"{sandbox}/sandbox/faults", json={"rules": rules})).raise_for_status()


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
                "portal_url": targets.portal,
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
                    decider = installation.decider_service
                    await decider.call(decider.store.commit, _letters())
                    where = {"console": installation.console, "link": await new_link(installation)}
                    print(json.dumps(where), flush=True)
                    while asked := (await asyncio.to_thread(sys.stdin.readline)).strip():
                        await go_on(stage, targets, asked)
                        print(json.dumps({"done": asked}), flush=True)
                stop.set()
                await running


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
