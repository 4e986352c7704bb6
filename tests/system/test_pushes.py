"""What is pushed to us: signed changes of the Portal, and Motive's hints, over the sandboxes' own senders."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from domain.portal import Change
from services.api import V1
from services.sandbox.demo import NO_TLS, RunningSandboxes, Stage
from tests.support.acme import (
    MOTIVE,
    acme_sandboxes,
    get_state,
    in_sync,
    open_account,
    put_state,
    turn_on,
    until,
)
from tests.support.hanging import HANGS
from tests.support.portal_fleet import to_seed
from tests.support.processes import Up, outliving_client
from tests.support.stored import log_beside

Json = dict[str, Any]
SECONDS = HANGS
MOTIVE_KEY = {"X-Api-Key": "hush-key"}
JANE: Json = {"first_name": "Jane", "last_name": "Doe", "email": "jane@fleet.test", "driveri_driver_id": "D1"}


def pushed(name: str, **profile: str) -> Json:
    return {"type": "driver.changed", "data": {"driver": name, "profile": {**JANE, **profile}}}


def signed(secret: str, push_id: str, change: Json) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of a push, by the official library."""
    body, at = json.dumps(change), datetime.now(UTC).replace(microsecond=0)
    signature = Webhook(secret).sign(push_id, at, body)
    headers = {"webhook-id": push_id, "webhook-timestamp": f"{at.timestamp():.0f}", "webhook-signature": signature}
    return body.encode(), {"content-type": "application/json", **headers}


def raw(parts: tuple[bytes, dict[str, str]]) -> bytes:
    """The same as it goes over the wire, for a sender that does not wait for the answer."""
    body, headers = parts
    head = {"host": "driverlink", "content-length": str(len(body)), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"POST {V1}/accounts/acme/changes HTTP/1.1\r\n{lines}\r\n".encode() + body


async def push(client: httpx.AsyncClient, secret: str, push_id: str, change: Json) -> httpx.Response:
    body, headers = signed(secret, push_id, change)
    return await client.post(f"{V1}/accounts/acme/changes", content=body, headers=headers)


@asynccontextmanager
async def acme(data: Path) -> AsyncIterator[tuple[RunningSandboxes, Up, httpx.AsyncClient, Stage]]:
    """The account acme, whose sync is on, in `driverlink up` as a process of its own."""
    async with acme_sandboxes() as targets:
        up = Up(data, targets)
        await up.start()
        async with outliving_client(up.socket) as client:
            stage = Stage(client)
            await open_account(stage)
            await turn_on(stage)
            yield targets, up, client, stage
        assert await up.stop() == 0


def in_time(play: Coroutine[Any, Any, None]) -> None:
    async def played() -> None:
        async with asyncio.timeout(SECONDS):
            await play

    asyncio.run(played())


async def users(targets: RunningSandboxes) -> list[Json]:
    (company,) = (await get_state(targets.motive))["companies"]
    found: list[Json] = company["users"]
    return found


async def until_named(targets: RunningSandboxes, last_name: str) -> None:
    """Wait until Motive's only user has this last name."""
    while [each["last_name"] for each in await users(targets)] != [last_name]:  # noqa: ASYNC110 - as below
        await asyncio.sleep(0.1)


async def drift(data: Path, version: int) -> None:
    async with acme(data) as (targets, up, client, stage):
        secret = (await client.post(f"{V1}/accounts/acme/push-secrets/motive", json={})).json()["secret"]
        portal = (await client.post(f"{V1}/accounts/acme/push-secrets/portal", json={})).json()["secret"]
        webhook = {
            "url": f"http://driverlink{V1}/accounts/acme/hints/motive",
            "secret": secret,
            "socket": str(up.socket),
            "version": version,
        }
        (company,) = MOTIVE["companies"]
        await put_state(targets.motive, {"companies": [{**company, "webhook": webhook}]})
        assert (await push(client, portal, "msg_1", pushed("1"))).status_code == 202
        await until(stage, lambda account: in_sync(account, 1))
        (user,) = await users(targets)
        async with httpx.AsyncClient(base_url=targets.motive, headers=MOTIVE_KEY, verify=NO_TLS) as elsewhere:
            assert (await elsewhere.put(f"/v1/users/{user['id']}", json={"last_name": "Drifted"})).is_success
        await until_named(targets, "Doe")
        found = await stage.get("/accounts/acme/explanation", driver="1")
        assert "hinted that user" in json.dumps(found)
        status = (await client.get(f"{V1}/accounts/acme/push-secrets")).json()
        assert [each["refused"] for each in status] == [[], []]


@pytest.mark.parametrize("version", [1, 2])
def test_drift_at_motive_is_mended_by_its_webhook_long_before_the_daily_run(tmp_path: Path, version: int) -> None:
    in_time(drift(tmp_path / "data", version))


async def portal_pushes(data: Path) -> None:
    async with acme(data) as (targets, up, client, stage):
        secret = (await client.post(f"{V1}/accounts/acme/push-secrets/portal", json={})).json()["secret"]
        seed = to_seed([])
        webhook = {"url": f"http://driverlink{V1}/accounts/acme/changes", "secret": secret, "socket": str(up.socket)}
        seed["accounts"][0]["webhook"] = webhook
        await put_state(targets.portal, seed)
        async with httpx.AsyncClient(base_url=targets.portal, verify=NO_TLS) as portal:
            login = await portal.get("/v2/userauth/login", params={"username": "maria", "app_token": "hush-maria"})
            session = {"session_token": login.json()["data"]["token"]}
            stated = {"firstname": "Jane", "lastname": "Doe", "email": "jane@fleet.test", "ref_id": "R1"}
            made = await portal.get("/v2/driver/create", params={**session, **stated})
            number = made.json()["data"]["id"]
            await until(stage, lambda account: in_sync(account, 1))
            await portal.get("/v2/driver/update", params={**session, "driver": number, "lastname": "Roe"})
            await until_named(targets, "Roe")
            await portal.get("/v2/driver/delete", params={**session, "driver": number})
            await until(stage, lambda account: in_sync(account, 0, ended=1))


def test_what_is_changed_in_the_portal_is_pushed_and_is_at_both_targets(tmp_path: Path) -> None:
    in_time(portal_pushes(tmp_path / "data"))


PUSHES = 2


async def kills(data: Path) -> None:
    async with acme(data) as (_, up, client, _stage):
        secret = (await client.post(f"{V1}/accounts/acme/push-secrets/portal", json={})).json()["secret"]
        for number in range(1, PUSHES + 1):
            change = pushed(str(number), email=f"{number}@fleet.test", driveri_driver_id=f"D{number}")
            _, writer = await asyncio.open_unix_connection(str(up.socket))
            writer.write(raw(signed(secret, f"msg_{number}", change)))
            await writer.drain()
            while len(created(data)) < number:  # noqa: ASYNC110 - another process gives no event
                await asyncio.sleep(0.002)
            await up.kill()
            writer.close()
            await up.start()
            answer = await push(client, secret, f"msg_{number}", change)
            assert (answer.status_code, answer.json()) == (202, {"changes": {"DriverCreated": 1}})
        assert created(data) == [str(number) for number in range(1, PUSHES + 1)]


def created(data: Path) -> list[str]:
    """The drivers that intake has stored, read beside the process."""
    with log_beside(data, "intake") as log:
        events = [record.event for record in log.read(0, 1000)]
    return [event.driver for event in events if isinstance(event, Change)]


def test_a_kill_after_the_commit_and_before_the_answer_was_read_doubles_nothing(tmp_path: Path) -> None:
    in_time(kills(tmp_path / "data"))
