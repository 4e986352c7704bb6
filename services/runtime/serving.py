"""Web applications beside the work of a process, and its end: in bounded time, whatever a target does meanwhile."""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from errno import errorcode
from threading import Timer
from typing import Any, Final

import h11
import structlog
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from domain.store import StoreFailed

_GARBAGE: Final = (250_000, 20, 20)
"""New objects after which Python looks for garbage, and how often it does before it looks at older ones too.

What belongs to the batch in hand is not garbage either, so it is looked through less often than there is a batch.
"""


def collect_rarely() -> None:
    """Let Python look for garbage rarely; what a process has loaded is none, and what it works with forms no circles.

    Python would otherwise look through all that a service remembers, for every few hundred new values.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE)


class PortUnusable(StoreFailed):
    """A port cannot be listened on; the message says which and why."""


@contextmanager
def stopping_on_signals(stop: asyncio.Event) -> Iterator[None]:
    """While this lasts, Ctrl-C and SIGTERM set the event; what then does not end is ended by force."""
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


ENDING: Final = "driverlink.ending"
"""In the scope of a request: an event that is set when responses that would stay open have to end."""


SLOWEST_HEAD: Final = 10.0
"""Seconds in which the head of a request has to come."""

_LINGERING: Final = 1.0
"""Seconds that a client has to read an answer that came before its request was whole."""


class BoundedConnection(H11Protocol):
    """A connection as uvicorn has it, of which a head has to come in time, and which ends with an early answer.

    uvicorn bounds only the time between two requests: a client that sends its head byte by byte, or goes on with a body
    that was refused, would keep the connection as long as it likes.
    """

    slowest_head = SLOWEST_HEAD

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected: its first head has to come."""
        super().connection_made(transport)
        self._closing: asyncio.TimerHandle | None = None
        self._is_refused = False
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Something of a head or a body has come."""
        if not self._is_refused:
            super().data_received(data)
            self._watch()

    def on_response_complete(self) -> None:
        """A response was sent, perhaps before its request had come whole: there will be no other."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY and not self.transport.is_closing():
            self.loop.call_later(_LINGERING, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._unwatch()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Close the connection in time, unless a whole head has come; what waits for another is uvicorn's to close."""
        if self.conn.their_state is not h11.IDLE:
            self._unwatch()
        elif self._closing is None:
            self._closing = self.loop.call_later(self.slowest_head, self._refuse)

    def _unwatch(self) -> None:
        if self._closing:
            self._closing.cancel()
        self._closing = None

    def _refuse(self) -> None:
        self._closing = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self._is_refused = True
            self.transport.write(b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            self.transport.write_eof()
            # To close at once, while more is coming, would take the answer away from who reads it.
            self.loop.call_later(_LINGERING, self.transport.close)


@asynccontextmanager
async def listening(
    apps: Mapping[socket.socket, ASGIApp], *, slowest_head: float = SLOWEST_HEAD
) -> AsyncIterator[None]:
    """While this lasts, each application answers on its socket; heads have to come within this many seconds.

    They end together, so that however many there are they take the time of one.
    """
    ending = asyncio.Event()
    servers = [(_server(app, bound, ending, slowest_head), bound) for bound, app in apps.items()]
    serving = [asyncio.create_task(server.serve(sockets=[bound])) for server, bound in servers]
    try:
        yield
    finally:
        ending.set()
        for server, _ in servers:
            server.should_exit = True
        await asyncio.gather(*serving)


def _server(app: ASGIApp, bound: socket.socket, ending: asyncio.Event, slowest_head: float) -> "_Server":
    async def ended_in_time(scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            await send(message)
            if message.get("more_body"):
                # Only between two parts can it be noticed that the client is gone, and then nothing more is sent.
                await asyncio.sleep(0)

        await app({**scope, ENDING: ending}, receive, sent)

    bounded = type("BoundedConnection", (BoundedConnection,), {"slowest_head": slowest_head})
    return _Server(
        uvicorn.Config(
            ended_in_time,
            # Only h11 bounds the size of a head; at a local socket none but our own user asks.
            http="httptools" if bound.family is socket.AF_UNIX else bounded,
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=ANSWERED,
        )
    )


class _Server(uvicorn.Server):
    """uvicorn's server, with signals left to the caller."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing to capture."""
        yield


CALLS_END: Final = 10.0
"""Seconds that calls under way have when a process has to end; then they are abandoned, and count as started."""

ANSWERED: Final = 3
"""Seconds in which commands that wait are answered behind that."""

GOODBYE: Final = 5.0
"""Seconds in which connections are closed and tokens given back behind that."""

LONGEST_ORDERLY_ENDING: Final = 20.0
"""Seconds in which all of that is done, whatever others do meanwhile."""

LONGEST_ENDING: Final = 25.0
"""Seconds after which a process that has to end is ended by force; nothing is lost by that."""

CANCELLED: Final = 0.5
"""Seconds that something cancelled has to come to its end."""

_log = structlog.get_logger()


async def closed(closings: Iterable[Coroutine[Any, Any, None]], within: float = GOODBYE) -> None:
    """Close all of these at once; what takes longer, or fails, is left as it is."""
    tasks = [asyncio.create_task(each) for each in closings]
    await ended(tasks, within)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()


async def ended(tasks: Iterable[asyncio.Task[Any]], within: float) -> None:
    """Wait until these have ended, at most for `within` seconds; cancel those that have not."""
    waited = [*tasks]
    if not waited:
        return
    _, late = await asyncio.wait(waited, timeout=within)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=CANCELLED)
        _log.warning("abandoned what had not ended in time", tasks=len(late), seconds=within + CANCELLED)


def end_by_force_later() -> None:
    """End this process in `LONGEST_ENDING`, should it not have ended before: also a thread that hangs is left."""
    timer = Timer(LONGEST_ENDING, _end_by_force)
    timer.daemon = True
    timer.start()


def _end_by_force() -> None:
    print(
        f"driverlink: still running {LONGEST_ENDING:.0f} seconds after the signal to end; it ends as it is, "
        "and looks up at its next start what became of the calls under way",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)
