"""Events in other forms by the same URL: lines of JSON, and Server-Sent Events over a real connection."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
from starlette.types import ASGIApp

from domain.account import Role
from services.api import streaming
from services.api.authentication import at_local_socket, at_loopback
from services.api.permissions import EVERYWHERE
from services.runtime.serving import listening, tcp_socket
from tests.support.hanging import HANGS
from tests.unit.services.api.api_stand import ApiStand, Json

pytestmark = pytest.mark.anyio

ACCOUNT: Json = {"account": "acme", "tier": "pro", "master_user": "jane"}
EVENTS = {"accept": "text/event-stream"}


@asynccontextmanager
async def served(
    stand: ApiStand, enter: Callable[[ASGIApp], ASGIApp] = at_local_socket
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API over a real connection, through this entrance."""
    async with AsyncExitStack() as opened:
        bound = opened.enter_context(tcp_socket("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/v1"
        # The client is closed last: the process ends while its streams are open.
        client = await opened.enter_async_context(httpx.AsyncClient(base_url=url, timeout=HANGS))
        await opened.enter_async_context(listening({bound: enter(stand.app)}))
        yield client


async def blocks(answer: httpx.Response) -> AsyncIterator[dict[str, str]]:
    """What is sent, block by block."""
    block: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if not line:
            yield block
            block = {}
        else:
            name, _, value = line.partition(":")
            block[name] = value.strip()


async def with_data(answer: httpx.Response, count: int) -> list[dict[str, str]]:
    """The next events, this many."""
    found: list[dict[str, str]] = []
    async for block in blocks(answer):
        found += [block] if "data" in block else []
        if len(found) == count:
            break
    return found


def types(found: list[dict[str, str]]) -> list[str]:
    return [json.loads(each["data"])["type"] for each in found]


async def test_a_stream_shows_what_was_and_at_once_what_comes(stand: ApiStand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "REST", 3600.0)
    await stand.post("/accounts", ACCOUNT)
    async with served(stand) as client, client.stream("GET", "/events", headers=EVENTS) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = blocks(answer)
        found = [block async for block in _until(lines, 1)]
        await client.post("/accounts/acme/sync", json={"by": "jane", "on": True})
        found += [block async for block in _until(lines, 1)]
    assert types(found) == ["AccountAdded", "SyncTurnedOn"]


async def _until(lines: AsyncIterator[dict[str, str]], count: int) -> AsyncIterator[dict[str, str]]:
    while count:
        block = await anext(lines)
        if "data" in block:
            count -= 1
            yield block


@pytest.mark.parametrize("last", [0, 1, 2])
async def test_a_stream_resumes_behind_the_last_event(stand: ApiStand, last: int) -> None:
    await stand.post("/accounts", ACCOUNT)
    await stand.post("/accounts/acme/sync", {"by": "jane", "on": True})
    await stand.post("/accounts/acme/sync", {"by": "jane", "on": False})
    async with served(stand) as client:
        async with client.stream("GET", "/events", headers=EVENTS) as answer:
            whole = await with_data(answer, 3)
        await client.post("/accounts/acme/sync", json={"by": "jane", "on": True})
        resuming = EVENTS | {"last-event-id": whole[last]["id"]}
        async with client.stream("GET", "/events", headers=resuming) as answer:
            rest = await with_data(answer, 3 - last)
    assert types(whole[: last + 1] + rest) == ["AccountAdded", "SyncTurnedOn", "SyncTurnedOff", "SyncTurnedOn"]


async def test_a_quiet_stream_sends_heartbeats_with_its_place(stand: ApiStand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "HEARTBEAT", 0.05)
    monkeypatch.setattr("services.api.events.HEARTBEAT", 0.05)
    await stand.post("/accounts", ACCOUNT)
    query = {"type": "SyncTurnedOn"}
    async with served(stand) as client:
        async with client.stream("GET", "/events", params=query, headers=EVENTS) as answer:
            heartbeat = next(iter([block async for block in _first_with_id(answer)]))
        page = (await client.get("/events", params=query)).json()
    assert heartbeat == {"": "so far", "id": page["cursor"]}


async def _first_with_id(answer: httpx.Response) -> AsyncIterator[dict[str, str]]:
    async for block in blocks(answer):
        if "id" in block:
            yield block
            return


@pytest.mark.parametrize("headers", [EVENTS, {"accept": "application/jsonl"}])
async def test_a_client_has_a_bounded_number_of_streams(
    stand: ApiStand, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    monkeypatch.setattr(streaming, "MOST_STREAMS", 1)
    async with served(stand) as client, client.stream("GET", "/events", headers=EVENTS):
        refused = await client.get("/events", headers=headers)
        assert (refused.status_code, refused.json()["type"]) == (429, "/problems#too-many-streams")
        assert refused.headers["retry-after"] == "5"
        assert (await client.get("/events")).status_code == 200


async def test_streams_end_with_the_process(stand: ApiStand, caplog: pytest.LogCaptureFixture) -> None:
    """At once: what did not is cut off, and uvicorn says so."""
    async with AsyncExitStack() as opened:
        async with served(stand) as client:
            answer = await opened.enter_async_context(client.stream("GET", "/events", headers=EVENTS))
            lines = blocks(answer)
            assert await anext(lines) == {"retry": "2000"}
            ended = asyncio.create_task(_read_to_the_end(lines))
        await ended
        assert [record.getMessage() for record in caplog.records if record.name == "uvicorn.error"] == []


async def _read_to_the_end(lines: AsyncIterator[dict[str, str]]) -> None:
    async for _ in lines:
        pass


async def test_a_stream_ends_once_its_key_is_revoked(stand: ApiStand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_CHECKED_EVERY", 0)
    await stand.post("/accounts", ACCOUNT)
    key = stand.key({EVERYWHERE: frozenset({Role.VIEWER})})
    headers = {**EVENTS, "authorization": f"Bearer {key}"}
    async with (
        asyncio.timeout(HANGS),
        served(stand, at_loopback) as client,
        client.stream("GET", "/events", headers=headers) as answer,
    ):
        read = blocks(answer)
        assert types([block async for block in _until(read, 1)]) == ["AccountAdded"]
        await stand.access.call(stand.access.revoke_key, key.split("_")[1])
        await stand.post("/accounts", {**ACCOUNT, "account": "beta"})
        assert [block async for block in read if "data" in block] == []


async def test_lines_of_json_end_where_the_logs_do(stand: ApiStand) -> None:
    await stand.post("/accounts", ACCOUNT)
    await stand.post("/accounts/acme/sync", {"by": "jane", "on": True})
    answer = await stand.outside(
        "GET",
        "/v1/events?limit=1",
        headers={
            "authorization": f"Bearer {stand.key({'*': frozenset({Role.VIEWER})})}",
            "accept": "application/jsonl",
        },
    )
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [each["type"] for each in lines] == ["AccountAdded", "SyncTurnedOn"]
    following = await stand.get("/events", cursor=lines[0]["cursor"])
    assert [each["type"] for each in following.json()["events"]] == ["SyncTurnedOn"]


async def test_a_page_that_listens_is_told_of_changes_only(stand: ApiStand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "HEARTBEAT", 0.05)
    async with served(stand) as client:
        url = str(client.base_url).removesuffix("/v1/") + "/console/changes"
        async with client.stream("GET", url, headers=EVENTS) as answer:
            lines = blocks(answer)
            while "" not in (block := await anext(lines)):
                pass
            assert [await anext(lines) for _ in range(3)] == [{"": "quiet"}] * 3
            await client.post("/accounts", json=ACCOUNT)
            while "" in (block := await anext(lines)):
                pass
            assert block == {"event": "changed", "data": "."}
