"""`driverlink serve`, `topics` and `database`: the distributed shape."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from functools import partial
from socket import socket
from typing import Annotated, Any, NoReturn

import typer

from domain.identity import Target
from services.cli.printing import err, out
from services.cli.reaching import CommandRefused
from services.cli.running import run_async
from services.cli.shape import distributed, kafka
from services.distributed.app import Process, keep_running
from services.distributed.health import Health, Stuck
from services.distributed.settings import DistributedSettings
from services.distributed.wiring import Distributed, create_topics, migrate_database
from services.runtime.serving import PortUnusable, listening, stopping_on_signals, tcp_socket

topics = typer.Typer(help="The topics of the distributed shape.", no_args_is_help=True)
database = typer.Typer(help="The database of the distributed shape.", no_args_is_help=True)


class ServiceName(StrEnum):
    """A service that can be a process of its own."""

    ACCOUNTS = "accounts"
    INTAKE = "intake"
    DECIDER = "decider"
    PROJECTOR = "projector"


def serve(
    service: Annotated[ServiceName, typer.Argument(help="Which service this process is.", show_default=False)],
    target: Annotated[
        Target | None, typer.Option(help="With projector: the target that it projects into.", show_default=False)
    ] = None,
) -> None:
    """Run one service over Kafka and PostgreSQL until SIGTERM or Ctrl-C; settings come from the environment.

    As many processes of a service may run as there are partitions. /live and /ready tell how it is. Exit status 1:
    something is set up wrongly; or for longer than DRIVERLINK_PATIENCE it made no progress, or could not reach what it
    needs.
    """
    if (target is None) is (service is ServiceName.PROJECTOR):
        raise typer.BadParameter("a projector needs --target, and nothing else takes it")
    settings = distributed()
    name = f"projector-{target}" if target else str(service)
    run_async(_serve(name, settings, _opening(service, target, Distributed(settings))))


Opening = Callable[[], Coroutine[Any, Any, Process]]


def _opening(service: ServiceName, target: Target | None, shape: Distributed) -> Opening:
    if target is not None:
        return partial(shape.projector, target)
    openings = {
        ServiceName.ACCOUNTS: shape.accounts,
        ServiceName.INTAKE: shape.intake,
        ServiceName.DECIDER: shape.decider,
    }
    return openings[service]


async def _serve(name: str, settings: DistributedSettings, opening: Opening) -> None:
    stop, health = asyncio.Event(), Health(name)
    with _listened(settings) as bound, stopping_on_signals(stop):
        host, port = bound.getsockname()[:2]
        says = f"{name} runs; it tells how it is at http://{host}:{port}/ready"
        async with listening(health.to_app(), bound):
            try:
                await keep_running(_announced(opening, says), health, stop=stop, patience=settings.patience)
            except Stuck as stuck:
                _abandon(stuck)
    err.print(f"{name} has ended; everything is stored", markup=False)


def _abandon(stuck: Stuck) -> NoReturn:
    """End at once: a thread that hangs would be waited for. To whoever starts us again this is a crash like any."""
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
    """The same, and this is said when it has succeeded for the first time."""
    said = asyncio.Event()

    async def opened() -> Process:
        process = await opening()
        if not said.is_set():
            err.print(says, markup=False)
            said.set()
        return process

    return opened


@topics.command("create")
def create() -> None:
    """Make the topics that are not there yet; those that are there are only checked."""
    made = run_async(create_topics(kafka()))
    out.print(f"made {', '.join(made)}" if made else "every topic is there", markup=False)


@topics.callback()
def _topics() -> None:
    """The topics of the distributed shape."""


@database.command("migrate")
def migrate(
    may_drop: Annotated[
        list[str] | None,
        typer.Option(
            "--may-drop",
            metavar="SCHEMA.TABLE",
            help="A read model of another version that may be made anew, empty; `driverlink rebuild` fills it.",
        ),
    ] = None,
) -> None:
    """Make the schemas and tables that are not there yet; nothing that is there is changed."""
    migrate_database(distributed(), may_drop or ())
    out.print("the database has every schema and table")


@database.callback()
def _database() -> None:
    """The database of the distributed shape."""
