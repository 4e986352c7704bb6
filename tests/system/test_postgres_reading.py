"""Intake's processes read the Portal's API one at a time, with credentials from the database."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from domain.portal import PortalDriverEvent
from services.intake.read_models import ReadingRow
from services.sandbox import portal
from services.sandbox.serving import listening
from services.wiring.distributed import Distributed, migrate_database
from services.wiring.registry import SERVICES
from services.wiring.settings import DistributedSettings
from tests.support.hanging import HANGS
from tests.support.portal_fleet import fleet, to_seed

pytestmark = pytest.mark.anyio

LIST, LOGIN = "/v2/driver/list", "/v2/userauth/login"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Counted:
    """The sandbox, and how often each path was asked for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._more = asyncio.Event()
        self.calls: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; ASGI's own signature."""
        self.calls[scope["path"]] += 1
        self._more.set()
        await self._app(scope, receive, send)

    async def until(self, holds: Callable[[Counter[str]], bool]) -> None:
        """Wait until this holds of the calls."""
        while not holds(self.calls):
            self._more.clear()
            await self._more.wait()


def to_settings(database: str, address: str) -> DistributedSettings:
    url = urlsplit(database)
    return DistributedSettings.model_validate(
        {
            "database_url": urlunsplit(url._replace(netloc=f"{url.username}@{url.hostname}:{url.port}")),
            "database_password": url.password or "",
            "secret_key": "a secret key that is only good for tests",
            "portal_url": address,
            "portal_read_every": 0.1,
        }
    )


@asynccontextmanager
async def working(settings: DistributedSettings) -> AsyncIterator[None]:
    """A process of intake, but for its relay."""
    process = Distributed(settings)._open(SERVICES["intake"])
    running = asyncio.create_task(process._work())
    yield
    running.cancel()
    await asyncio.wait([running])
    await process.close()


async def told(settings: DistributedSettings) -> list[str]:
    """Everything in intake's log, and that its last reading went well."""
    services = Distributed(settings).installation()
    try:
        (row,) = services.intake_service.store.select(ReadingRow)
        assert (row.drivers, row.failure) == (3, "")
        events = (record.event for record in services.intake_service.store.log.read(0, 100))
        return [f"{type(event).__name__} {event.driver}" for event in events if isinstance(event, PortalDriverEvent)]
    finally:
        services.close()


async def test_one_process_reads_and_when_it_ends_another_one_goes_on(database: str) -> None:
    sandbox = Counted(portal.application(to_seed(fleet(3))))
    async with asyncio.timeout(HANGS), listening(sandbox) as address:
        settings = to_settings(database, address)
        migrate_database(settings)
        services = Distributed(settings).installation()
        services.credentials.keep("acme", "portal", {"username": "maria", "app_token": "hush-maria"})
        services.close()
        async with working(settings):
            await sandbox.until(lambda calls: calls[LIST] >= 1)
            async with working(settings):
                await sandbox.until(lambda calls: calls[LIST] >= 6)
                assert sandbox.calls[LOGIN] == 1
        async with working(settings):
            await sandbox.until(lambda calls: calls[LIST] >= 9)
        assert sandbox.calls[LOGIN] == 2
        assert await told(settings) == [f"DriverCreated {number}" for number in (1, 2, 3)]
