"""`driverlink up` and `driverlink serve`: the services, until Ctrl-C or SIGTERM."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from enum import StrEnum
from functools import partial
from socket import socket
from typing import Annotated, NoReturn

import typer

from domain.identity import Target
from services.api.app import to_app
from services.cli.client import (
    CommandRefused,
    DataOption,
    distributed,
    embedded,
    run_async,
)
from services.cli.printing import err
from services.runtime.health import Health, Stuck
from services.runtime.process import Opening, Runnable, run_process
from services.runtime.serving import PortUnusable, listening, stopping_on_signals, tcp_socket
from services.wiring.data_folder import DataFolder
from services.wiring.distributed import Distributed
from services.wiring.embedded import open_embedded, run
from services.wiring.registry import KINDS, SERVICES
from services.wiring.settings import DistributedSettings, EmbeddedSettings

_LOCK_CHECKED_EVERY = 5.0
"""Seconds between two checks that the API still holds the lock that keeps a rebuild away."""


def up(data: DataOption = None) -> None:
    """Run all services in this process, on a data folder, until Ctrl-C.

    It continues where it stopped.

    Examples:
        driverlink up
        driverlink up --data /var/lib/driverlink
    """
    run_async(_up(embedded(data)))


async def _up(settings: EmbeddedSettings) -> None:
    stop = asyncio.Event()
    with DataFolder(settings.data) as folder, stopping_on_signals(stop):
        services = open_embedded(settings)
        try:
            err.print(f"driverlink runs on {settings.data}; Ctrl-C ends it", markup=False)
            await run(services, to_app(services), folder, stop=stop)
        finally:
            services.close()
    err.print("driverlink has ended; everything is stored")


ServiceName = StrEnum("ServiceName", [(kind, kind) for kind in (*KINDS, "api")])  # type: ignore[misc]  # from the registry


def serve(
    service: Annotated[ServiceName, typer.Argument(help="The service to run.", show_default=False)],
    target: Annotated[Target | None, typer.Option(help="With projector: its target.", show_default=False)] = None,
) -> None:
    """Run one service over Kafka and PostgreSQL until SIGTERM or Ctrl-C.

    Settings come from the environment. As many processes of a service may run as there are partitions; /live and
    /ready report its state. Run it under something that restarts it. Exit status 1, with one line that says why: a
    setting is wrong, the database or Kafka failed, or it made no progress for DRIVERLINK_PATIENCE seconds.

    Examples:
        driverlink serve decider
        driverlink serve projector --target motive
        driverlink serve api
    """
    if service == "api" and target is None:
        run_async(_serve_api(distributed()))
        return
    spec = SERVICES.get(f"{service}-{target}" if target else service)
    if spec is None:
        raise typer.BadParameter("a projector needs --target, and nothing else takes it")
    settings = distributed()
    run_async(_serve(spec.name, settings, partial(Distributed(settings).process, spec)))


async def _serve(name: str, settings: DistributedSettings, opening: Opening) -> None:
    stop, health = asyncio.Event(), Health(name)
    with _listened(settings) as bound, stopping_on_signals(stop):
        host, port = bound.getsockname()[:2]
        says = f"{name} runs; its state is at http://{host}:{port}/ready"
        async with listening(health.to_app(), bound):
            try:
                await run_process(_announced(opening, says), health, stop=stop, patience=settings.patience)
            except Stuck as stuck:
                _abandon(stuck)
    err.print(f"{name} has ended; everything is stored", markup=False)


async def _serve_api(settings: DistributedSettings) -> None:
    """Serve the API over the stores until a signal comes. Raises `StoreFailed` when the database is lost."""
    stop, shape = asyncio.Event(), Distributed(settings)
    with _listened(settings) as bound, stopping_on_signals(stop), shape.present() as lock:
        installation = shape.installation()
        try:
            host, port = bound.getsockname()[:2]
            async with listening(to_app(installation), bound):
                err.print(f"api runs; commands reach it with DRIVERLINK_API_URL=http://{host}:{port}", markup=False)
                while not stop.is_set():
                    await asyncio.to_thread(lock.check)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), _LOCK_CHECKED_EVERY)
        finally:
            await installation.connections.close()
            installation.close()
    err.print("api has ended; everything is stored", markup=False)


def _abandon(stuck: Stuck) -> NoReturn:
    """End at once: a thread that hangs would be waited for. To what restarts it, this is a crash like any other."""
    err.print(f"driverlink: {stuck}", markup=False)
    sys.stderr.flush()
    os._exit(1)


@contextmanager
def _listened(settings: DistributedSettings) -> Iterator[socket]:
    """The socket for /live and /ready. Raises `CommandRefused` when there cannot be one."""
    with ExitStack() as stack:
        try:
            bound = stack.enter_context(tcp_socket(settings.http_host, settings.http_port))
        except PortUnusable as failure:
            raise CommandRefused(f"{failure}; set another DRIVERLINK_HTTP_HOST or DRIVERLINK_HTTP_PORT") from None
        yield bound


def _announced(opening: Opening, says: str) -> Opening:
    """The same, and this is printed when it has succeeded."""

    async def opened() -> Runnable:
        process = await opening()
        err.print(says, markup=False)
        return process

    return opened
