"""How a command reaches the services: through the owner's local socket, or by opening their stores itself."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx

from services.cli.shape import Settings
from services.control.app import to_app
from services.control.installation import Installation
from services.distributed.settings import DistributedSettings
from services.distributed.wiring import Distributed
from services.embedded.folder import DataFolder, FolderOwned
from services.embedded.settings import EmbeddedSettings
from services.embedded.wiring import open_embedded

_PATIENCE = 600.0
"""Seconds to wait for an answer."""


_ENDED = (
    "the process that runs the services has ended meanwhile; what it has acknowledged stays so, and goes on when it is "
    "started again"
)


class CommandRefused(Exception):
    """The services refused what the command asked; the message says why and what to do."""


class Services:
    """The services, as a command asks them."""

    def __init__(self, client: httpx.AsyncClient, *, may_run: bool = True) -> None:
        self._client = client
        self.has_answered = False
        self.may_run = may_run
        """False where it is certain that no process runs, which would do what is asked for."""

    async def get(self, path: str, **query: str | int | list[str] | None) -> Any:  # noqa: ANN401 - JSON
        """What is there. Raises `CommandRefused`."""
        given = {name: value for name, value in query.items() if value is not None}
        with _sendable():
            return self._answered(await self._client.get(path, params=given))

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """Ask for something to be done. Raises `CommandRefused`."""
        with _sendable():
            return self._answered(await self._client.post(path, json=body))

    async def lines(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str | None
    ) -> AsyncGenerator[dict[str, Any], None]:
        """A long answer, line by line. Raises `CommandRefused`."""
        given = {name: value for name, value in query.items() if value is not None}
        with _sendable():
            async with self._client.stream(method, path, json=body, params=given) as response:
                self.has_answered = True
                if not response.is_success:
                    await response.aread()
                    _told_by(response)
                async for text in response.aiter_lines():
                    yield _told(json.loads(text))

    def _answered(self, response: httpx.Response) -> Any:  # noqa: ANN401 - JSON
        self.has_answered = True
        return _told_by(response)


@asynccontextmanager
async def reached(settings: Settings, *, makes_folder: bool = False) -> AsyncIterator[Services]:
    """The services of an installation. Raises `FolderUnusable`, `StoreFailed` or `CommandRefused`."""
    if isinstance(settings, DistributedSettings):
        shape = Distributed(settings)
        with shape.present():
            async with _asked(shape.installation()) as services:
                yield services
        return
    async with _reached_folder(settings, makes_folder=makes_folder) as services:
        yield services


@asynccontextmanager
async def _reached_folder(settings: EmbeddedSettings, *, makes_folder: bool) -> AsyncIterator[Services]:
    folder = DataFolder(settings.data)
    if not makes_folder:
        folder.check_whole()
    try:
        folder.__enter__()
    except FolderOwned as owned:
        async with _through_socket(folder, owned) as services:
            yield services
        return
    try:
        async with _asked(open_embedded(settings), may_run=False) as services:
            yield services
    finally:
        folder.__exit__(None, None, None)


@asynccontextmanager
async def _asked(installation: Installation, *, may_run: bool = True) -> AsyncIterator[Services]:
    try:
        transport = httpx.ASGITransport(to_app(installation))
        async with httpx.AsyncClient(transport=transport, base_url="http://driverlink", timeout=_PATIENCE) as client:
            yield Services(client, may_run=may_run)
    finally:
        await installation.connections.close()
        installation.close()


@asynccontextmanager
async def _through_socket(folder: DataFolder, owned: FolderOwned) -> AsyncIterator[Services]:
    transport = httpx.AsyncHTTPTransport(uds=str(folder.socket))
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://driverlink", timeout=_PATIENCE) as client:
            services = Services(client)
            yield services
    except httpx.TransportError:
        if services.has_answered:
            raise CommandRefused(_ENDED) from None
        raise CommandRefused(f"{owned}; or, if it is only just starting or ending, try again") from None


@contextmanager
def _sendable() -> Iterator[None]:
    """Text that is no Unicode, as an argument in another encoding, cannot be asked about."""
    try:
        yield
    except UnicodeEncodeError:
        raise CommandRefused("an argument is no text in UTF-8") from None


def _told(line: dict[str, Any]) -> dict[str, Any]:
    if "error" in line:
        raise CommandRefused(str(line["error"]))
    return line


def _told_by(response: httpx.Response) -> Any:  # noqa: ANN401 - JSON
    if response.is_success:
        return response.json()
    try:
        raise CommandRefused(str(response.json()["error"]))
    except (ValueError, KeyError, TypeError):
        raise CommandRefused(f"the services answered {response.status_code}; see their log") from None
