import asyncio
from collections.abc import Callable, Coroutine

import httpx
import pytest

from adapters.clients import KEPT, Clients

pytestmark = pytest.mark.anyio

Answering = Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]


def clients(answering: Answering, clock: Callable[[], float] = lambda: 0.0) -> Clients:
    return Clients(headers={}, timeout=httpx.Timeout(5.0), transport=httpx.MockTransport(answering), clock=clock)


async def ask(clients: Clients) -> httpx.Response:
    return await clients.request("GET", "http://vendor.test/", params=None, json=None, headers=None)


async def answered(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={})


async def refused(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("scripted", request=request)


async def test_calls_one_after_the_other_share_a_client() -> None:
    tested = clients(answered)
    for _ in range(3):
        assert (await ask(tested)).status_code == 200
    assert len(tested._idle) == 1


async def test_calls_at_once_have_a_client_each() -> None:
    gate = asyncio.Event()

    async def slow(_: httpx.Request) -> httpx.Response:
        await gate.wait()
        return httpx.Response(200)

    tested = clients(slow)
    asked = [asyncio.create_task(ask(tested)) for _ in range(3)]
    await asyncio.sleep(0)
    assert len(tested._busy) == 3
    gate.set()
    await asyncio.gather(*asked)
    assert (len(tested._idle), len(tested._busy)) == (3, 0)


async def test_a_client_without_an_answer_is_used_again() -> None:
    tested = clients(refused)
    with pytest.raises(httpx.ConnectError):
        await ask(tested)
    assert (len(tested._idle), len(tested._busy)) == (1, 0)


async def test_what_a_cancelled_call_leaves_behind_is_used_no_more() -> None:
    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    tested = clients(never)
    asked = asyncio.create_task(ask(tested))
    await asyncio.sleep(0)
    (client,) = tested._busy
    asked.cancel()
    await asyncio.wait([asked])
    assert client.is_closed
    assert (len(tested._idle), len(tested._busy)) == (0, 0)


async def test_closing_closes_every_client() -> None:
    tested = clients(answered)
    await ask(tested)
    ((_, client),) = tested._idle
    await tested.close()
    assert client.is_closed


async def test_a_client_that_nobody_has_used_lately_is_closed_with_the_next_call() -> None:
    gate, now = asyncio.Event(), [0.0]

    async def slow(_: httpx.Request) -> httpx.Response:
        await gate.wait()
        return httpx.Response(200)

    tested = clients(slow, lambda: now[0])
    asked = [asyncio.create_task(ask(tested)) for _ in range(2)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*asked)
    (_, unused), (_, used_last) = tested._idle
    now[0] = KEPT + 1
    await ask(tested)
    assert unused.is_closed
    assert [client for _, client in tested._idle] == [used_last]
