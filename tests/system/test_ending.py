"""SIGTERM ends `driverlink up` in bounded time, whatever a target does, and nothing is lost by it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from services.runtime.serving import ANSWERED, CALLS_END, CANCELLED, GOODBYE, LONGEST_ENDING, LONGEST_ORDERLY_ENDING
from services.sandbox.demo import Stage
from tests.support.acme import CREDENTIALS, acme_sandboxes, in_sync, open_account, put_state, turn_on, until
from tests.support.hanging import HANGS
from tests.support.portal_fleet import driver, to_seed
from tests.support.processes import Up, outliving_client
from tests.support.up_watched import WAITED, up_watched
from tests.system.test_portal_api import BOB, JANE

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


class Endless:
    """A target that takes every call, and comes to no end with its answer."""

    def __init__(self, part: bytes) -> None:
        self.is_written_to = asyncio.Event()
        self._part = part

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            line = (await reader.readline()).decode()
            if line.startswith("PUT "):
                self.is_written_to.set()
            if self._part:
                writer.write(_OK)
            dribbling = asyncio.create_task(self._dribble(writer))
            while await reader.read(65_536):
                pass
            dribbling.cancel()

    async def _dribble(self, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(self._part)
            await asyncio.sleep(0.5)


@asynccontextmanager
async def endless(part: bytes) -> AsyncIterator[tuple[Endless, str]]:
    target = Endless(part)
    server = await asyncio.start_server(target.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    yield target, f"http://{host}:{port}"
    server.close()


def started(data: Path) -> int:
    with closing(sqlite3.connect(data / "projector-motive.sqlite")) as file:
        return int(file.execute("SELECT COUNT(*) FROM deliveries WHERE started <> 0").fetchone()[0])


def waited(up: Up) -> float:
    """For how many seconds there was nothing to do between the signal and the end."""
    *_, line = up.printed.splitlines()
    return float(line.removeprefix(WAITED))


async def play(data: Path, part: bytes) -> None:
    settings = {"portal_read_every": "0.2"}
    async with acme_sandboxes(to_seed([JANE, BOB])) as targets, endless(part) as (target, address):
        up = Up(data, targets, portal_url=targets.portal, **settings)
        await up.start()
        async with outliving_client(up.socket) as client:
            playing = Stage(client)
            await open_account(playing, *CREDENTIALS)
            await turn_on(playing)
            await until(playing, lambda account: in_sync(account, 2))
            assert await up.stop() == 0

            stuck = Up(data, targets, portal_url=targets.portal, driveri_url=address, motive_url=address, **settings)
            stuck.begin = up_watched
            await stuck.start()
            await put_state(
                targets.portal, to_seed([driver(1, name="Janet", driver_id="D1", email="jane@fleet.test"), BOB])
            )
            await target.is_written_to.wait()
            assert await stuck.stop() == 0
            assert CALLS_END <= waited(stuck) < LONGEST_ORDERLY_ENDING
            assert started(data) == 1

            await up.start()
            await until(playing, lambda account: in_sync(account, 2))
            assert await up.stop() == 0
            assert started(data) == 0


def test_what_is_waited_for_behind_each_other_at_the_end_fits_into_what_is_promised() -> None:
    assert CALLS_END + CANCELLED + ANSWERED + GOODBYE + CANCELLED < LONGEST_ORDERLY_ENDING < LONGEST_ENDING


def test_up_ends_in_bounded_time_while_a_target_is_silent_or_sends_headers_without_an_end(tmp_path: Path) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(HANGS), asyncio.TaskGroup() as group:
            for name, part in {"silent": b"", "endless": b"X-More: 1\r\n"}.items():
                group.create_task(play(tmp_path / name, part))

    asyncio.run(in_time())
