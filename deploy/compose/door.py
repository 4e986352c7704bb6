"""The way in to the sandboxes, which listen on the loopback of their container and on nothing else.

`python door.py 9101:8101 9102:8102` shares that container's network: whoever connects to the first port of a pair
is connected to the second one on 127.0.0.1. Only the compose set-up has a door, and publishes it on loopback.
"""

import asyncio
import signal
import sys
from asyncio import StreamReader, StreamWriter
from contextlib import suppress

_MOST_AT_ONCE = 65536
"""Bytes read in one go."""


async def open_door(outer: int, inner: int, host: str = "0.0.0.0") -> asyncio.Server:  # noqa: S104 - a container's own
    """Pass every connection to a port of the host on to another port on loopback; 0 for the first is any free one."""

    async def let_in(reader: StreamReader, writer: StreamWriter) -> None:
        try:
            with suppress(OSError):
                await _pass_on(reader, writer, inner)
        finally:
            writer.close()

    return await asyncio.start_server(let_in, host, outer)


async def _pass_on(reader: StreamReader, writer: StreamWriter, inner: int) -> None:
    inside_reader, inside_writer = await asyncio.open_connection("127.0.0.1", inner)
    try:
        await asyncio.gather(_copy(reader, inside_writer), _copy(inside_reader, writer))
    finally:
        inside_writer.close()


async def _copy(reader: StreamReader, writer: StreamWriter) -> None:
    """Everything up to the end; a connection that breaks on one side is ended on the other."""
    try:
        while some := await reader.read(_MOST_AT_ONCE):
            writer.write(some)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


async def _main(pairs: list[str]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    ports = [tuple(map(int, pair.split(":"))) for pair in pairs]
    doors = [await open_door(outer, inner) for outer, inner in ports]
    await stop.wait()
    for door in doors:
        door.close()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
