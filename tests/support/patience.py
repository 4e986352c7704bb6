"""The API of a distributed installation in this process, and a client that waits until its database comes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from services.api import PREFIX
from services.api.app import to_app
from services.api.authentication import at_local_socket
from services.api.installation import Installation
from services.runtime.serving import listening, tcp_socket
from services.wiring.distributed import Distributed
from services.wiring.settings import DistributedSettings

_DONE_ALREADY = (400, 403, 404, 409)
_STORE_FAILED = 503
_PAUSE = 0.1
"""Seconds until it is asked again."""


class PatientTransport(httpx.AsyncBaseTransport):
    """Asks again while the store fails. What a lost answer had done already, the next one may refuse to do twice."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request as often as it takes."""
        await request.aread()
        has_failed = False
        while True:
            response = await self._transport.handle_async_request(request)
            if response.status_code != _STORE_FAILED:
                break
            has_failed = True
            await asyncio.sleep(_PAUSE)
        if has_failed and request.method == "POST" and response.status_code in _DONE_ALREADY:
            return httpx.Response(200, json={}, request=request)
        return response


@asynccontextmanager
async def commanded(settings: DistributedSettings) -> AsyncIterator[tuple[httpx.AsyncClient, Installation]]:
    """The installation as `driverlink serve api` opens it, and a client of its API."""
    installation = Distributed(settings).installation()
    transport = PatientTransport(httpx.ASGITransport(at_local_socket(to_app(installation))))
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://driverlink", timeout=60.0) as client:
            yield client, installation
    finally:
        await installation.connections.close()
        installation.close()


@asynccontextmanager
async def reached_by_commands(installation: Installation) -> AsyncIterator[dict[str, str]]:
    """The variables of commands that reach the API of this installation, which is served meanwhile."""
    with tcp_socket("127.0.0.1", 0) as bound:
        async with listening({bound: at_local_socket(to_app(installation))}):
            yield {f"{PREFIX}API_URL": f"http://127.0.0.1:{bound.getsockname()[1]}"}
