"""The product as separate processes that can be killed, and a client that outlives their deaths."""

import asyncio
import os
import resource
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryFile

import httpx

from services.cli.__main__ import main
from services.sandbox.demo import NO_TLS, RunningSandboxes
from services.wiring.data_folder import DataFolder
from tests.support.loaded import Loaded
from tests.support.unhurried import UNHURRIED
from tests.support.up_ahead import AHEAD, up

_DONE_ALREADY = (400, 403, 404, 409)


@asynccontextmanager
async def sandboxes() -> AsyncIterator[RunningSandboxes]:
    """`driverlink sandbox` with the sample fleet, on free ports."""
    ports = [word for name in ("driveri", "motive", "portal") for word in (f"--{name}-port", "0")]
    reading, writing = os.pipe()
    with os.fdopen(reading) as printed:
        with os.fdopen(writing, "wb") as output:
            process = Loaded(["sandbox", *ports], os.environ, output)
        try:
            lines = [await asyncio.to_thread(printed.readline) for _ in range(3)]
            driveri, motive, portal = (line.split()[-1] for line in lines)
            yield RunningSandboxes(driveri=driveri, motive=motive, portal=portal)
        finally:
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait)


class Up:
    """`driverlink up` on a data folder, started again after each kill.

    `ahead` is by how much its clock is, `most_bytes` its address space at most, `begin` what it begins with; they hold
    from the next start on. `printed` is what it had printed when it ended.
    """

    def __init__(self, data: Path, targets: RunningSandboxes, **settings: str) -> None:
        self.socket = DataFolder(data).socket
        self.ahead: timedelta | None = None
        self.begin: Callable[[], None] = main
        self.printed = ""
        self.most_bytes = resource.RLIM_INFINITY
        self._environment = {
            **os.environ,
            "DRIVERLINK_DATA": str(data),
            "DRIVERLINK_DRIVERI_URL": targets.driveri,
            "DRIVERLINK_MOTIVE_URL": targets.motive,
            "DRIVERLINK_PORTAL_URL": targets.portal or "http://127.0.0.1:1",
            **{f"DRIVERLINK_{name.upper()}": value for name, value in {**UNHURRIED, **settings}.items()},
        }
        self._process: Loaded | None = None
        self._output: int | None = None

    async def start(self) -> None:
        """Start it, and wait until it answers."""
        ahead = {} if self.ahead is None else {AHEAD: str(self.ahead.total_seconds())}
        with TemporaryFile() as output:
            self._output = os.dup(output.fileno())
            self._process = Loaded(["up"], self._environment | ahead, output, begin=up if ahead else self.begin)
        resource.prlimit(self._process.pid, resource.RLIMIT_AS, (self.most_bytes, self.most_bytes))
        while not await self._answers():
            if self._process.poll() is not None:
                self._keep_printed()
                raise AssertionError(self.printed)
            await asyncio.sleep(0.02)

    def most_megabytes(self) -> float:
        """The most memory that the process which runs now has had at any time."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text("ascii")
        return next(int(line.split()[1]) / 1000 for line in status.splitlines() if line.startswith("VmHWM"))

    async def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM; the exit status."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(number)
        status = await asyncio.to_thread(self._process.wait)
        self._keep_printed()
        return status

    def _keep_printed(self) -> None:
        if self._output is not None:
            with os.fdopen(self._output, "rb") as output:
                output.seek(0)
                self.printed = output.read().decode(errors="replace")
            self._output = None

    async def _answers(self) -> bool:
        transport = httpx.AsyncHTTPTransport(uds=str(self.socket), verify=NO_TLS)
        async with httpx.AsyncClient(transport=transport, base_url="http://driverlink", timeout=60.0) as client:
            try:
                return (await client.get("/live")).is_success
            except httpx.TransportError:
                return False


class OutlivingTransport(httpx.AsyncBaseTransport):
    """Asks again until there is an answer. What a lost answer had done already, the next one may refuse to do twice."""

    def __init__(self, socket: Path) -> None:
        self._transport = httpx.AsyncHTTPTransport(uds=str(socket), verify=NO_TLS)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request as often as it takes."""
        await request.aread()
        lost = False
        while True:
            try:
                response = await self._transport.handle_async_request(request)
                await response.aread()
            except httpx.TransportError:
                lost = True
                await asyncio.sleep(0.05)
                continue
            if lost and request.method == "POST" and response.status_code in _DONE_ALREADY:
                return httpx.Response(200, json={}, request=request)
            return response

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._transport.aclose()


@asynccontextmanager
async def outliving_client(socket: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the control socket that waits for the process that replaces a killed one."""
    async with httpx.AsyncClient(
        transport=OutlivingTransport(socket), base_url="http://driverlink", timeout=60.0
    ) as client:
        yield client
