"""The account acme, with a tenant and a company of its own in sandboxes that run in this process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx

from domain.identity import Target
from services.sandbox import driveri, motive, portal
from services.sandbox.demo import NO_TLS, RunningSandboxes, Stage
from services.sandbox.serving import listening

Json = dict[str, Any]

DRIVERI: Json = {
    "tenants": [
        {
            "tenant": "acme",
            "clients": [{"client_id": "id-1", "client_secret": "hush-driveri"}],
            "statuses": [{"status": 1, "description": "Active"}, {"status": 4, "description": "Deleted"}],
        }
    ]
}
MOTIVE: Json = {"companies": [{"company": "acme", "api_key": "hush-key"}]}
CREDENTIALS: Mapping[str, Json] = {
    "driveri": {"tenant": "acme", "client_id": "id-1", "client_secret": "hush-driveri"},
    "motive": {"api_key": "hush-key"},
    "portal": {"username": "maria", "app_token": "hush-maria"},
}


@asynccontextmanager
async def acme_sandboxes(in_portal: Json | None = None) -> AsyncIterator[RunningSandboxes]:
    """Both targets without drivers, and the Portal with this state."""
    async with AsyncExitStack() as stack:
        yield RunningSandboxes(
            driveri=await stack.enter_async_context(listening(driveri.application(DRIVERI))),
            motive=await stack.enter_async_context(listening(motive.application(MOTIVE))),
            portal=await stack.enter_async_context(listening(portal.application(in_portal or {}))),
        )


async def put_state(address: str, document: Json) -> None:
    """Let a sandbox hold exactly this."""
    async with httpx.AsyncClient(verify=NO_TLS) as client:
        answer = await client.put(f"{address}/sandbox/state", json=document)
        assert answer.is_success, answer.text


async def get_state(address: str) -> Json:
    """Everything that a sandbox holds."""
    async with httpx.AsyncClient(verify=NO_TLS) as client:
        state: Json = (await client.get(f"{address}/sandbox/state")).json()
    return state


async def open_account(stage: Stage, *connected: str) -> None:
    """Add the account, whose Master User is maria, and connect it; sync is off."""
    await stage.post("/accounts", {"account": "acme", "tier": "pro", "mode": "full", "master_user": "maria"})
    for target in connected or tuple(map(str, Target)):
        await stage.post("/accounts/acme/credentials", {"target": target, "values": CREDENTIALS[target]})


async def turn_on(stage: Stage) -> None:
    """Maria ticks Sync Drivers."""
    await stage.post("/accounts/acme/sync", {"by": "maria", "on": True})


async def until(stage: Stage, holds: Callable[[Json], bool]) -> Json:
    """The account's status, as soon as this is true of it."""
    while True:
        found: Sequence[Json] = await stage.get("/status")
        if found and holds(found[0]):
            return found[0]
        await asyncio.sleep(0.1)


def in_sync(account: Json, drivers: int, ended: int = 0) -> bool:
    """Whether this many links are in sync on each target, and this many have ended."""
    return all((target["in_sync"], target["ended"]) == (drivers, ended) for target in account["targets"])
