import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from netradyne_sdk import NetradyneClient
from starlette.applications import Starlette

from services.sandbox import driveri
from services.sandbox.serving import listening
from tests.contract.official_client.seed import SEED
from tests.contract.targets.sandboxes import Time


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass(frozen=True, slots=True, kw_only=True)
class Official:
    """The official client in front of a sandbox that listens on loopback, and the sandbox's time."""

    base_url: str
    time: Time
    app: Starlette

    async def start(self, key: str = "acme-key") -> "Session":
        """A client as a program has it that has just started."""
        secret = {"acme-key": "acme-secret", "viewer": "viewer-secret"}[key]
        return Session(
            await asyncio.to_thread(
                NetradyneClient.from_client_credentials,
                key,
                secret,
                base_url=self.base_url,
                tenant_unique_name="acme",
                retry_backoff=0,
            )
        )


@dataclass(frozen=True, slots=True)
class Session:
    """One started client; it blocks, so each call has a thread."""

    client: Any

    async def call(self, function: Callable[..., Any], *given: object, **named: object) -> Any:  # noqa: ANN401
        """What a call of the client answers: the body as its model."""
        return (await asyncio.to_thread(function, *given, **named)).body

    async def raw(self, method: str, path: str, **named: object) -> Any:  # noqa: ANN401
        """The same as JSON, as it came over the wire."""
        return (await asyncio.to_thread(self.client.request, method, path, **named)).body


@pytest.fixture
async def official(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Official]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    time = Time()
    app = driveri.application(SEED, time.milliseconds, pause=time.pause)
    async with listening(app) as base_url:
        yield Official(base_url=base_url, time=time, app=app)


@pytest.fixture
async def started(official: Official) -> Session:
    return await official.start()
