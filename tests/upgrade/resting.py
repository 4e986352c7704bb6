"""An upgraded installation comes to rest against sandboxes, and what is there then."""

import asyncio
from typing import Any

import httpx

from services.sandbox.demo import NO_TLS, RunningSandboxes
from tests.support.hanging import HANGS

Json = dict[str, Any]

ACCOUNTS = ("fleet-1", "fleet-2")

_LOOK = 0.25
_QUIET = 8
"""Seconds between two looks at what is left, and how many looks in a row have to find nothing new."""

_PATIENCE = HANGS

_UNDATED = {"created_at", "updated_at", "createdDate", "updatedDate", "invitations"}
"""What a sandbox holds besides that says when it was written."""


async def to_hold(targets: RunningSandboxes, documents: Json) -> None:
    """Let the sandboxes hold this, and nothing else."""
    async with httpx.AsyncClient(timeout=HANGS, verify=NO_TLS) as client:
        for target, document in documents.items():
            answer = await client.put(f"{getattr(targets, target)}/sandbox/state", json=document)
            assert answer.is_success, answer.text


async def held(targets: RunningSandboxes) -> Json:
    """What the sandboxes hold of every account, driver by driver, without times."""
    async with httpx.AsyncClient(timeout=HANGS, verify=NO_TLS) as client:
        driveri = (await client.get(f"{targets.driveri}/sandbox/state")).json()
        motive = (await client.get(f"{targets.motive}/sandbox/state")).json()
    return {
        "driveri": {each["tenant"]: sorted(map(_driver, each["drivers"]), key=str) for each in driveri["tenants"]},
        "motive": {each["company"]: sorted(map(_user, each["users"]), key=str) for each in motive["companies"]},
    }


def _driver(driver: Json) -> Json:
    return {name: value for name, value in sorted(driver.items()) if value and name not in _UNDATED}


def _user(user: Json) -> Json:
    """A user, without the ids that Motive gave in the order of its calls."""
    external = sorted((each["integration_name"], each["external_id"]) for each in user["external_ids"] or ())
    named = {name: value for name, value in user.items() if value and name not in {*_UNDATED, "id", "external_ids"}}
    return dict(sorted({**named, "external_ids": [list(each) for each in external]}.items()))


async def links_of(client: httpx.AsyncClient, account: str) -> Json:
    """The state of every link of an account, and why it is parked."""
    links = (await client.get(f"/v1/accounts/{account}/links")).raise_for_status().json()
    return {
        f"{each['driver']} on {each['target']}": f"{each['state']} {each['reason'] or ''}".strip() for each in links
    }


async def at_rest(client: httpx.AsyncClient) -> None:
    """Wait until nothing is pending and nothing changes any more. Raises `AssertionError` where that takes too long."""
    quiet, before, pending = 0, None, [""]
    end = asyncio.get_running_loop().time() + _PATIENCE
    while quiet < _QUIET:
        assert asyncio.get_running_loop().time() < end, f"still pending: {pending}"
        await asyncio.sleep(_LOOK)
        links = {account: await links_of(client, account) for account in ACCOUNTS}
        pending = [driver for each in links.values() for driver, state in each.items() if state.startswith("pending")]
        quiet = quiet + 1 if links == before and not pending else 0
        before = links


def unlike(expected: Json, come_to: Json) -> list[str]:
    """What is otherwise than the earlier version would have left it."""
    return [
        f"{kind} of {account}: {entry}"
        for kind, accounts in expected.items()
        for account, entries in accounts.items()
        for entry in _differing(entries, come_to[kind][account])
    ]


def _differing(expected: list[Json] | Json, found: list[Json] | Json) -> list[str]:
    """The entries of two lists, or dictionaries, that only one of them has."""
    one, other = ([*map(str, each.items() if isinstance(each, dict) else each)] for each in (expected, found))
    return [*(f"not {entry}" for entry in one if entry not in other), *(entry for entry in other if entry not in one)]
