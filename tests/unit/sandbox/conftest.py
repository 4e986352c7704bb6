from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient, BasicAuth

from services.sandbox import driveri, motive
from tests.support.counted_waiting import COUNTED
from tests.unit.sandbox.seeds import DRIVERI, MOTIVE, Clock


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return COUNTED


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def driveri_api(clock: Clock) -> AsyncIterator[AsyncClient]:
    """The Driveri sandbox, to somebody who has no token yet."""
    transport = ASGITransport(driveri.application(DRIVERI, clock))
    async with AsyncClient(transport=transport, base_url="http://driveri.test") as client:
        yield client


@pytest.fixture
async def fleet(driveri_api: AsyncClient) -> AsyncClient:
    """The Driveri sandbox, with a token of the tenant `acme`."""
    answer = await driveri_api.post("/v1/auth/token", auth=BasicAuth("acme-key", "acme-secret"))
    driveri_api.headers["Authorization"] = f"bearer {answer.json()['data']['accessToken']}"
    return driveri_api


@pytest.fixture
async def company(clock: Clock) -> AsyncIterator[AsyncClient]:
    """The Motive sandbox, with the key of the company `Acme`."""
    transport = ASGITransport(motive.application(MOTIVE, clock))
    async with AsyncClient(
        transport=transport, base_url="http://motive.test", headers={"X-Api-Key": "acme-key"}
    ) as client:
        yield client
