"""`driverlink up`: all services in one process, until Ctrl-C or SIGTERM."""

import asyncio
import sys
from typing import Annotated, Final

import typer
import uvloop

from services.api.sign_in import new_link
from services.cli.client import OwnedFolderOption
from services.cli.printing import err
from services.runtime.logs import level_by_signals
from services.runtime.serving import collect_rarely, stopping_on_signals, tcp_socket
from services.wiring.embedded import run, serving
from services.wiring.settings import EmbeddedSettings, read_settings

_SWITCHING: Final = 0.001
"""Seconds after which a thread that works lets another one work, which is five times as often as Python's default.

A change goes through half a dozen threads in one process, and waits this long for each while any of them decides.
"""


def up(
    data: OwnedFolderOption = None,
    *,
    no_services: Annotated[
        bool, typer.Option("--no-services", help="Only answer commands: nothing is decided, and nothing sent.")
    ] = False,
) -> None:
    """Run all services in this process, on a data folder, until Ctrl-C.

    It makes the folder where there is none, and else goes on where it stopped. Other commands reach it through the
    folder.

    Examples:
        driverlink up
        driverlink up --data /var/lib/driverlink
    """
    collect_rarely()
    sys.setswitchinterval(_SWITCHING)
    uvloop.run(_up(read_settings(EmbeddedSettings, data=data), is_idle=no_services))


async def _up(settings: EmbeddedSettings, *, is_idle: bool) -> None:
    stop = asyncio.Event()
    with stopping_on_signals(stop), level_by_signals(), tcp_socket("127.0.0.1", settings.console_port) as console:
        async with serving(settings, is_idle=is_idle, console=console) as installation:
            err.print(f"driverlink runs on {settings.data}; Ctrl-C ends it", markup=False)
            # What goes to a log file or a journal is read by others, too.
            link = await new_link(installation) if err.is_terminal else "`driverlink sign-in` prints a link"
            err.print(f"sign in with a browser, once: {link}", markup=False, soft_wrap=True)
            await (stop.wait() if is_idle else run(installation, stop=stop))
    err.print("driverlink has ended; everything is stored")
