"""The product in this process, as the demonstration plays on it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from services.control.app import to_app
from services.demo.sandboxes import RunningSandboxes
from services.demo.story import Change
from services.embedded.app import run
from services.embedded.folder import DataFolder
from services.embedded.settings import EmbeddedSettings
from services.embedded.wiring import open_embedded

ACCOUNT = "sample-fleet"
MASTER_USER = "maria"
_CREDENTIALS = {
    "driveri": {"tenant": "sample-fleet", "client_id": "sample-client", "client_secret": "sample-secret"},
    "motive": {"api_key": "sample-motive-key"},
}
_UNHURRIED = {
    "driveri_calls_per_second": 10_000,
    "driveri_calls_at_once": 32,
    "motive_calls_per_second": 10_000,
    "motive_calls_at_once": 32,
}
"""Sandboxes have no limits that a projector would have to keep."""

_JUDGED = ("DeleteApproved", "DeleteRejected", "DeleteRecalled")
_LOOK = 0.25
"""Seconds between two looks at how far the services are."""

Json = dict[str, Any]


class Stage:
    """What the story asks of the services, through the same door as every command."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def open_account(self) -> None:
        """An account of the sample fleet, connected to both sandboxes, with synchronisation off."""
        await self.post("/accounts", {"account": ACCOUNT, "tier": "pro", "master_user": MASTER_USER})
        for target, values in _CREDENTIALS.items():
            await self.post(f"/accounts/{ACCOUNT}/credentials", {"target": target, "values": values})

    async def take(self, lines: Sequence[Json]) -> None:
        """The Portal lists these drivers."""
        await self.post(f"/accounts/{ACCOUNT}/lists", {"lines": list(lines)})

    async def turn_on(self) -> None:
        """The Master User ticks Sync Drivers."""
        await self.post(f"/accounts/{ACCOUNT}/sync", {"by": MASTER_USER, "on": True})

    async def announce(self, change: Change) -> None:
        """The Portal announces one change."""
        body = {"action": change.action, "driver": change.driver, "profile": dict(change.profile)}
        await self.post(f"/accounts/{ACCOUNT}/changes", body)

    async def approve_all(self) -> list[Json]:
        """The Master User approves exactly the sets that are held now."""
        held: list[Json] = await self.get(f"/accounts/{ACCOUNT}/approvals")
        for each in held:
            body = {"by": MASTER_USER, "target": each["target"], "digest": each["digest"], "approve": True}
            await self.post(f"/accounts/{ACCOUNT}/approvals", body)
        return held

    async def links(self) -> list[Json]:
        """How every link stands."""
        found: list[Json] = await self.get(f"/accounts/{ACCOUNT}/links")
        return found

    async def decided(self, driver: str, since: str) -> list[Json]:
        """What was decided for one driver since a moment, and why: target, type, situation, cause."""
        query = {"account": ACCOUNT, "driver": driver, "log": "decisions", "since": since}
        events = await self.events(query)
        return [_to_reason(event) for event in events if "because" in event["data"] or event["type"] in _JUDGED]

    async def events(self, query: Mapping[str, str]) -> list[Json]:
        """Every event of the log that matches."""
        query, found = dict(query), []
        while True:
            page: Json = await self.get("/events", **query)
            found += page["events"]
            if page["is_end"]:
                return found
            query["cursor"] = page["cursor"]

    async def until_quiet(self, on_look: Callable[[Json], None] = lambda _: None) -> None:
        """Wait until nothing is left to be done, and nothing was recorded between two looks."""
        recorded = -1
        while True:
            progress: Json = await self.get("/progress")
            on_look(progress)
            if progress["left"] == 0 and progress["recorded"] == recorded:
                return
            recorded = progress["recorded"]
            await asyncio.sleep(_LOOK)

    async def get(self, path: str, **query: str | int) -> Any:  # noqa: ANN401 - JSON
        """Ask for something."""
        return (await self._client.get(path, params=query)).raise_for_status().json()

    async def post(self, path: str, body: Json) -> Any:  # noqa: ANN401 - JSON
        """Have something done."""
        return (await self._client.post(path, json=body)).raise_for_status().json()


def _to_reason(event: Json) -> Json:
    because = event["data"].get("because", {})
    cause = f"{because.get('cause', '')} {because.get('ref', '')}".strip()
    return {
        "driver": event["driver"],
        "target": event["target"],
        "decided": event["type"],
        "situation": because.get("situation", ""),
        "because": event["data"].get("by") or cause,
    }


@asynccontextmanager
async def stage(data: Path, targets: RunningSandboxes) -> AsyncIterator[Stage]:
    """Every service, running in this process on a data folder, against the sandboxes."""
    addresses = {"driveri_url": targets.driveri, "motive_url": targets.motive}
    if targets.portal:
        addresses["portal_url"] = targets.portal
    settings = EmbeddedSettings.model_validate({"data": data, **addresses, **_UNHURRIED})
    stop = asyncio.Event()
    with DataFolder(data) as folder:
        services = open_embedded(settings)
        control = to_app(services)
        running = asyncio.create_task(run(services, control, folder, stop=stop))
        try:
            transport = httpx.ASGITransport(control)
            async with httpx.AsyncClient(transport=transport, base_url="http://driverlink", timeout=60.0) as client:
                yield Stage(client)
        finally:
            stop.set()
            await running
            services.close()
