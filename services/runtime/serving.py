"""Small web applications beside the work of a process, and how it is told to stop."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from errno import errorcode

import uvicorn
from starlette.types import ASGIApp

from domain.storing import StoreFailed
from services.runtime.ending import GOODBYE, end_by_force_later


class PortUnusable(StoreFailed):
    """A port cannot be listened on; the message says which and why."""


@contextmanager
def stopping_on_signals(stop: asyncio.Event) -> Iterator[None]:
    """While this lasts, Ctrl-C and SIGTERM set the event; whoever then does not end is ended by force."""
    loop = asyncio.get_running_loop()

    def end() -> None:
        if not stop.is_set():
            end_by_force_later()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


@contextmanager
def tcp_socket(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens there; port 0: any free one. Raises `PortUnusable`."""
    try:
        bound = socket.create_server((host, port))
    except OSError as failure:
        number = failure.errno or 0
        reason = os.strerror(number) if number in errorcode else failure.strerror
        raise PortUnusable(f"{host}:{port} cannot be listened on: {reason}") from None
    with bound:
        yield bound


@asynccontextmanager
async def listening(app: ASGIApp, bound: socket.socket) -> AsyncIterator[None]:
    """While this lasts, the application answers on this socket."""
    server = _Server(
        uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=int(GOODBYE))
    )
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """uvicorn's server, with signals left to whoever runs it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing to capture."""
        yield
