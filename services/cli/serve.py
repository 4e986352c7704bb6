"""`driverlink serve`: one service over Kafka and PostgreSQL, until Ctrl-C or SIGTERM."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from functools import partial
from socket import socket
from typing import Annotated

import typer
import uvloop

from domain.identity import Target
from services.cli.client import CommandRefused
from services.cli.printing import err
from services.runtime.logs import level_by_signals
from services.runtime.process import Health, Runnable, Stuck, run_process
from services.runtime.serving import PortUnusable, collect_rarely, listening, stopping_on_signals, tcp_socket
from services.wiring.distributed import Distributed
from services.wiring.registry import KINDS, SERVICES, ServiceSpec
from services.wiring.settings import DistributedSettings, read_settings

_LOCK_CHECKED_EVERY = 5.0
"""Seconds between two checks that the API still holds the lock that keeps a rebuild away."""


ServiceName = StrEnum("ServiceName", [(kind, kind) for kind in (*KINDS, "views", "api")])  # type: ignore[misc]  # from the registry


def serve(
    service: Annotated[ServiceName, typer.Argument(help="The service to run.", show_default=False)],
    target: Annotated[Target | None, typer.Option(help="With projector: its target.", show_default=False)] = None,
) -> None:
    """Run one service over Kafka and PostgreSQL until SIGTERM or Ctrl-C.

    `views` relays the topics that are made from logs: the state of each link, and logs without personal data. Settings
    come from the environment. As many processes of a service may run as there are partitions; /live and
    /ready report its state. Run it under something that restarts it. Exit status 1, with one line that says why: a
    setting is wrong, the database or Kafka failed, or it made no progress for DRIVERLINK_PATIENCE seconds.

    Examples:
        driverlink serve decider
        driverlink serve projector --target motive
        driverlink serve views
        driverlink serve api
    """
    spec = SERVICES.get(f"{service}-{target}" if target else service)
    if service == "api" and target is None:
        uvloop.run(_serve_api(read_settings(DistributedSettings)))
    elif service == "views" and target is None:
        uvloop.run(_serve("views", lambda settings: Distributed(settings).views(), read_settings(DistributedSettings)))
    elif spec:
        collect_rarely()
        opened = partial(_opened, spec)
        uvloop.run(_serve(spec.name, opened, read_settings(DistributedSettings)))
    else:
        raise typer.BadParameter("a projector needs --target, and nothing else takes it")


async def _opened(spec: ServiceSpec, settings: DistributedSettings) -> Runnable:
    return await Distributed(settings).process(spec)


async def _serve(
    name: str, open_process: Callable[[DistributedSettings], Awaitable[Runnable]], settings: DistributedSettings
) -> None:
    stop, health = asyncio.Event(), Health(name)
    with _listened(settings) as bound, stopping_on_signals(stop), level_by_signals():
        host, port = bound.getsockname()[:2]

        async def opening() -> Runnable:
            process = await open_process(settings)
            err.print(f"{name} runs; its state is at http://{host}:{port}/ready", markup=False)
            return process

        async with listening({bound: health.to_app()}):
            try:
                await run_process(opening, health, stop=stop, patience=settings.patience)
            except Stuck as stuck:
                # End at once: a thread that hangs would be waited for. For what restarts it this is an ordinary crash.
                err.print(f"driverlink: {stuck}", markup=False)
                sys.stderr.flush()
                os._exit(1)
    err.print(f"{name} has ended; everything is stored", markup=False)


async def _serve_api(settings: DistributedSettings) -> None:
    """Serve the API over the stores until a signal comes. Raises `StoreFailed` when the database is lost."""
    from services.api.app import to_app
    from services.api.signed_roots import sign_daily

    stop, shape = asyncio.Event(), Distributed(settings)
    with (
        _listened(settings) as bound,
        stopping_on_signals(stop),
        level_by_signals(),
        shape.instance_lock(is_exclusive=False) as lock,
    ):
        installation = shape.installation()
        try:
            host, port = bound.getsockname()[:2]
            async with listening({bound: to_app(installation)}, slowest_head=settings.api_slowest_head):
                err.print(f"api runs; commands reach it with DRIVERLINK_API_URL=http://{host}:{port}", markup=False)
                signing = asyncio.create_task(sign_daily(installation))
                try:
                    while not stop.is_set():
                        await asyncio.to_thread(lock.check)
                        with suppress(TimeoutError):
                            await asyncio.wait_for(stop.wait(), _LOCK_CHECKED_EVERY)
                finally:
                    signing.cancel()
        finally:
            await installation.connections.close()
            installation.close()
    err.print("api has ended; everything is stored", markup=False)


@contextmanager
def _listened(settings: DistributedSettings) -> Iterator[socket]:
    """The socket for /live and /ready, and for the API. Raises `CommandRefused` when there cannot be one."""
    try:
        with tcp_socket(settings.http_host, settings.http_port) as bound:
            yield bound
    except PortUnusable as failure:
        raise CommandRefused(f"{failure}; set another DRIVERLINK_HTTP_HOST or DRIVERLINK_HTTP_PORT") from None
