import asyncio
import os
import signal
import socket

import pytest
from httpx import URL, AsyncClient

from services.sandbox import motive
from services.sandbox.serving import NotAnAddress, PortBusy, Sandboxes, Seeds, listening, serve
from services.sandbox.validation import SeedRefused
from tests.unit.sandbox.seeds import DRIVERI, MOTIVE

pytestmark = pytest.mark.anyio


class Announced:
    """Waits until the sandboxes have been announced."""

    def __init__(self) -> None:
        self._sandboxes: asyncio.Future[Sandboxes] = asyncio.get_running_loop().create_future()

    def __call__(self, sandboxes: Sandboxes) -> None:
        self._sandboxes.set_result(sandboxes)

    async def sandboxes(self) -> Sandboxes:
        return await self._sandboxes


def unheard(_: Sandboxes) -> None:
    pytest.fail("announced")


async def test_both_sandboxes_answer_over_real_sockets_until_sigterm() -> None:
    announced = Announced()
    seeds = Seeds(driveri=DRIVERI, motive=MOTIVE)
    serving = asyncio.create_task(serve("127.0.0.1", 0, 0, seeds, announced))
    sandboxes = await announced.sandboxes()
    async with AsyncClient() as client:
        token = await client.post(f"{sandboxes.driveri}/v1/auth/token", auth=("acme-key", "acme-secret"))
        users = await client.get(f"{sandboxes.motive}/v1/users", headers={"X-Api-Key": "acme-key"})
    assert (token.status_code, users.json()["pagination"]["total"]) == (200, 4)
    os.kill(os.getpid(), signal.SIGTERM)
    await serving


async def test_a_cancelled_serve_lets_go_of_its_ports() -> None:
    announced = Announced()
    serving = asyncio.create_task(serve("localhost", 0, 0, Seeds(), announced))
    sandboxes = await announced.sandboxes()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    port = int(sandboxes.motive.rpartition(":")[2])
    async with listening(motive.application({}), port=port) as base_url:
        assert base_url == sandboxes.motive


async def test_a_busy_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortBusy, match=f"port {port} is busy"):
            await serve("127.0.0.1", 0, port, Seeds(), unheard)


@pytest.mark.parametrize("host", ["192.0.2.1", "example.test", "", "127.0.0.1:80"])
async def test_an_address_that_this_machine_does_not_have_is_refused(host: str) -> None:
    with pytest.raises(NotAnAddress, match="is not an IP address of this machine"):
        await serve(host, 0, 0, Seeds(), unheard)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "0.0.0.0"])  # noqa: S104 # where it is told to listen
async def test_a_sandbox_listens_where_it_is_told(host: str) -> None:
    async with listening(motive.application({}), host=host) as base_url:
        assert URL(base_url).host == host
        reached = "127.0.0.3" if host == "0.0.0.0" else host  # noqa: S104 # any address of this machine
        async with AsyncClient() as client:
            answer = await client.get(f"http://{reached}:{URL(base_url).port}/sandbox/health")
        assert answer.status_code == 200


async def test_a_bad_seed_is_refused_before_anything_listens() -> None:
    with pytest.raises(SeedRefused):
        await serve("127.0.0.1", 0, 0, Seeds(motive={"tenants": []}), unheard)
