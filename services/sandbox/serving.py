"""Runs the sandboxes over real HTTP, on loopback unless another address is given."""

import asyncio
import errno
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from domain.failures import ClearFailure
from services.sandbox import driveri, motive, portal
from services.sandbox.faults.faulting import Connection, Resettable
from services.sandbox.state import Now, ids_from, wall_clock

_STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SECONDS_TO_FINISH = 5


class PortBusy(ClearFailure):
    """Something listens on this port already."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"port {port} is busy: end what listens on it, or choose another port by an option (see --help)"
        )
        self.port = port


class NotAnAddress(ClearFailure, ValueError):
    """What was given to listen on is not an IP address that this machine has; names are not looked up."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"{host} is not an IP address of this machine: give one, such as 127.0.0.1, or 0.0.0.0 for all"
        )
        self.host = host


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeds:
    """What each sandbox starts from, and its faults: JSON documents, described in docs/reference/sandbox.md."""

    driveri: object = field(default_factory=dict)
    motive: object = field(default_factory=dict)
    portal: object = field(default_factory=dict)
    driveri_faults: object = field(default_factory=dict)
    motive_faults: object = field(default_factory=dict)
    portal_faults: object = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandboxes:
    """The base addresses of the running sandboxes, such as `http://127.0.0.1:8101`."""

    driveri: str
    motive: str
    portal: str


async def serve(
    host: str,
    driveri_port: int,
    motive_port: int,
    seeds: Seeds,
    announce: Callable[[Sandboxes], None],
    now: Now = wall_clock,
    *,
    portal_port: int = 0,
) -> None:
    """Run all sandboxes until SIGTERM, Ctrl-C or cancellation; port 0 is any free port.

    Calls `announce` once all listen. Ids that Motive and the Portal give come from the time, so that what an earlier
    process gave never comes again for somebody else.
    Raises `SeedRefused`, `FaultsRefused`, `NotAnAddress` or `PortBusy` before that.
    """
    driveri_app = driveri.application(seeds.driveri, now, seeds.driveri_faults)
    first_id = ids_from(now())
    motive_app = motive.application(seeds.motive, now, seeds.motive_faults, first_id=first_id)
    portal_app = portal.application(seeds.portal, now, seeds.portal_faults, first_id=first_id)
    stop = asyncio.Event()
    async with (
        listening(driveri_app, host=host, port=driveri_port, stop=stop) as driveri_url,
        listening(motive_app, host=host, port=motive_port, stop=stop) as motive_url,
        listening(portal_app, host=host, port=portal_port, stop=stop) as portal_url,
    ):
        with _stopped_by_signals(stop):
            announce(Sandboxes(driveri=driveri_url, motive=motive_url, portal=portal_url))
            await stop.wait()


@asynccontextmanager
async def listening(
    app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0, stop: asyncio.Event | None = None
) -> AsyncIterator[str]:
    """An app served in the running loop, as its base address; port 0 is any free port.

    Servers with the same `stop` close together once it is set, or one of them is left.
    A sandbox checks only the credentials of its seed, so anyone who reaches the address can use it.
    Raises `NotAnAddress` or `PortBusy`.
    """
    with _bound(host, port) as bound:
        server = _Server(app, stop or asyncio.Event())
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        try:
            yield _base_url(bound)
        finally:
            server.stopping.set()
            await serving


class _Server(uvicorn.Server):
    """uvicorn's server, ended by an event; signals are left to the caller."""

    def __init__(self, app: ASGIApp, stopping: asyncio.Event) -> None:
        super().__init__(
            uvicorn.Config(
                Resettable(app, self._connections),
                lifespan="off",
                ws="none",
                access_log=False,
                log_config=None,
                log_level="warning",
                date_header=False,
                server_header=False,
                timeout_graceful_shutdown=_SECONDS_TO_FINISH,
            )
        )
        self.stopping = stopping

    def _connections(self) -> Iterable[Connection]:
        return cast("Iterable[Connection]", self.server_state.connections)

    async def main_loop(self) -> None:
        """Wait for the end; uvicorn's own loop would look for it ten times a second."""
        await self.stopping.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: two servers in one process cannot both have the signals."""
        yield


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens from now on, so that a client may come before the server takes its first look."""
    address = _address(host)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    # Only where the protocol is named does asyncio send the parts of an answer without waiting for acknowledgements.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((str(address), port))
            bound.listen()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortBusy(port) from None
            if error.errno == errno.EADDRNOTAVAIL:
                raise NotAnAddress(host) from None
            raise
        yield bound


def _address(host: str) -> IPv4Address | IPv6Address:
    try:
        return ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise NotAnAddress(host) from None


def _base_url(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if bound.family == socket.AF_INET6 else f"http://{host}:{port}"


@contextmanager
def _stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in _STOPPING_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in _STOPPING_SIGNALS:
            loop.remove_signal_handler(number)
