"""Everything in one process: the services, and the local socket by which commands reach them."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog
import uvicorn
from starlette.types import ASGIApp

from services.control.installation import Installation
from services.embedded.folder import DataFolder

_log = structlog.get_logger()


async def run(installation: Installation, control: ASGIApp, folder: DataFolder, *, stop: asyncio.Event) -> None:
    """Run every service until told to stop; then let the work in hand end. Raises `StoreFailed`."""
    async with _listening(control, folder), asyncio.TaskGroup() as group:
        running = [
            group.create_task(installation.accounts_service.run()),
            group.create_task(installation.intake_service.run()),
            group.create_task(installation.decider_service.run()),
            *(group.create_task(projector.run()) for projector in installation.projectors.values()),
        ]
        _log.info("services run", folder=str(folder.path))
        await stop.wait()
        for task in running:
            task.cancel()
    await installation.connections.close()


@contextmanager
def stopping_on_signals(stop: asyncio.Event) -> Iterator[None]:
    """While this lasts, Ctrl-C and SIGTERM set the event."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


@asynccontextmanager
async def _listening(control: ASGIApp, folder: DataFolder) -> AsyncIterator[None]:
    server = _Server(uvicorn.Config(control, lifespan="off", log_config=None, access_log=False))
    with _bound(folder) as bound:
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        try:
            yield
        finally:
            server.should_exit = True
            await serving


@contextmanager
def _bound(folder: DataFolder) -> Iterator[socket.socket]:
    """The local socket, which nobody but the owner of the process can connect to."""
    mask = os.umask(0o177)
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(folder.socket))
            os.umask(mask)
            bound.listen()
            yield bound
    finally:
        os.umask(mask)


class _Server(uvicorn.Server):
    """uvicorn's server, with signals left to whoever runs it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing to capture."""
        yield
