import asyncio
import os
import signal
import socket

import pytest
from httpx import URL, AsyncClient

from services.sandbox import motive
from services.sandbox import serving as serving_module
from services.sandbox.serving import NotAnAddress, PortBusy, Sandboxes, Seeds, listening, serve
from services.sandbox.state import SeedRefused
from tests.support.counted_waiting import waited
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


async def test_the_sandboxes_end_together_though_clients_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_module, "_SECONDS_TO_FINISH", 1)
    announced, names = Announced(), [f"Driver {number} {'x' * 900}" for number in range(1000)]
    seeds = Seeds(
        driveri={"tenants": [{"tenant": "acme", "drivers": [{"driverId": name, "firstName": "A"} for name in names]}]},
        motive={"companies": [{"api_key": "key", "users": [{"first_name": name, "last_name": "B"} for name in names]}]},
        portal={
            "accounts": [{"account": "acme", "drivers": [{"id": n, "lastname": x} for n, x in enumerate(names, 1)]}]
        },
    )
    serving = asyncio.create_task(serve("127.0.0.1", 0, 0, seeds, announced))
    sandboxes = await announced.sandboxes()
    clients = [await never_reading(url) for url in (sandboxes.driveri, sandboxes.motive, sandboxes.portal)]
    async with AsyncClient() as client:
        for url in (sandboxes.driveri, sandboxes.motive, sandboxes.portal):
            assert (await client.get(f"{url}/sandbox/health")).status_code == 200
    before = waited()
    os.kill(os.getpid(), signal.SIGTERM)
    await serving
    assert 0.9 < waited() - before < 2.5
    for each in clients:
        each.close()


async def never_reading(url: str) -> socket.socket:
    """A client that asks for twenty large answers, and reads none of them."""
    client, address = socket.socket(), URL(url)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((address.host, address.port))
    client.settimeout(0)
    await asyncio.get_running_loop().sock_sendall(client, b"GET /sandbox/state HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
    return client


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
        with pytest.raises(PortBusy, match=f"port {port} is busy: end what listens on it, or choose another"):
            await serve("127.0.0.1", 0, port, Seeds(), unheard)


@pytest.mark.parametrize("host", ["192.0.2.1", "example.test", "", "127.0.0.1:80"])
async def test_an_address_that_this_machine_does_not_have_is_refused(host: str) -> None:
    with pytest.raises(NotAnAddress, match="is not an IP address of this machine"):
        await serve(host, 0, 0, Seeds(), unheard)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "0.0.0.0"])  # noqa: S104 # where it is told to listen
async def test_a_sandbox_listens_where_it_is_configured(host: str) -> None:
    async with listening(motive.application({}), host=host) as base_url:
        assert URL(base_url).host == host
        reached = "127.0.0.3" if host == "0.0.0.0" else host  # noqa: S104 # any address of this machine
        async with AsyncClient() as client:
            answer = await client.get(f"http://{reached}:{URL(base_url).port}/sandbox/health")
        assert answer.status_code == 200


async def test_a_bad_seed_is_refused_before_anything_listens() -> None:
    with pytest.raises(SeedRefused):
        await serve("127.0.0.1", 0, 0, Seeds(motive={"tenants": []}), unheard)
