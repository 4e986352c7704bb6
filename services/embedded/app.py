"""Everything in one process: the services, and the local socket by which commands reach them."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from starlette.types import ASGIApp

from services.control.installation import Installation
from services.embedded.folder import DataFolder
from services.intake.polling import Polling
from services.projector.app import ProjectorApp
from services.runtime.service import Service
from services.runtime.serving import listening

_log = structlog.get_logger()


async def run(installation: Installation, control: ASGIApp, folder: DataFolder, *, stop: asyncio.Event) -> None:
    """Run every service until told to stop; then let the work in hand end. Raises `StoreFailed`."""
    with _bound(folder) as bound:
        try:
            async with listening(control, bound), asyncio.TaskGroup() as group:
                running = [group.create_task(each.run()) for each in _running(installation)]
                _log.info("services run", folder=str(folder.path))
                await stop.wait()
                for task in running:
                    task.cancel()
        finally:
            # Also after a failure: a token that is being renewed has to be stored.
            await installation.connections.close()


def _running(installation: Installation) -> Iterator[Service | ProjectorApp | Polling]:
    yield from (installation.accounts_service, installation.intake_service, installation.decider_service)
    yield from installation.projectors.values()
    if installation.polling:
        yield installation.polling


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
