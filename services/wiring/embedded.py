"""The embedded deployment: every service in one process, each on a SQLite file, and the API on a local socket."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import structlog
from starlette.types import ASGIApp

from adapters.credentials import CredentialsFile
from adapters.store.sqlite import SqliteStore
from domain.identity import Target
from domain.store import Row
from services.accounts.handlers import AccountRow, Accounts
from services.api.installation import Installation
from services.intake.handlers import Forgetting, Intake
from services.intake.polling import Alone, Polling
from services.projector.service import ProjectorApp
from services.runtime.context import ACCOUNTS, CHANGES, DECISIONS, Assignment, Clock, log_of, outcomes_of, utc_now
from services.runtime.readers import Readers
from services.runtime.service import Notifier, Service
from services.runtime.serving import listening
from services.wiring import services as decider
from services.wiring import services as intake
from services.wiring import services as projector
from services.wiring.data_folder import DataFolder
from services.wiring.rebuild import READ_MODELS
from services.wiring.services import Connections
from services.wiring.settings import EmbeddedSettings


def open_embedded(settings: EmbeddedSettings, clock: Clock = utc_now, *, is_rebuilding: bool = False) -> Installation:
    """Every service on its file in the data folder, which the caller owns. Raises `StoreFailed`.

    Whoever `is_rebuilding` may open read models of another version, and has to put others in their place.
    """
    open_store = partial(_store, may_replace=is_rebuilding)
    notifier, share = Notifier(), Assignment()
    credentials = CredentialsFile(settings.data / "credentials")
    connections = Connections(settings, credentials)
    accounts = open_store(settings.data, "accounts", ACCOUNTS, (AccountRow,))
    stating = open_store(settings.data, "intake", CHANGES, intake.INTAKE_ROWS)
    deciding = open_store(settings.data, "decider", DECISIONS, decider.DECIDER_ROWS)
    projecting = {
        target: open_store(settings.data, f"projector-{target}", outcomes_of(target), projector.PROJECTOR_ROWS)
        for target in Target
    }
    taking = Intake(stating, clock)
    intake_service = Service(
        "intake", store=stating, clock=clock, notifier=notifier, chores=[Forgetting(taking, clock)]
    )
    installation = Installation(
        accounts=Accounts(accounts, clock),
        accounts_service=Service("accounts", store=accounts, clock=clock, notifier=notifier),
        intake=taking,
        intake_service=intake_service,
        decider_service=decider.to_service(deciding, clock=clock, notifier=notifier, share=share),
        projectors={
            target: projector.to_app(
                store, target, connect=connections.to(target), clock=clock, notifier=notifier, share=share
            )
            for target, store in projecting.items()
        },
        credentials=credentials,
        connections=connections,
        readers=_readers(settings.data),
        polling=intake.to_polling(
            intake_service, settings, credentials=credentials, turn=Alone(), clock=clock, notifier=notifier
        ),
    )
    _follow(installation)
    return installation


def _readers(folder: Path) -> Readers:
    """The stores of the folder once more, with connections of their own."""
    return Readers(
        accounts=_store(folder, "accounts", ACCOUNTS, (), is_reader=True),
        intake=_store(folder, "intake", CHANGES, (), is_reader=True),
        decider=_store(folder, "decider", DECISIONS, (), is_reader=True),
        projectors={
            target: _store(folder, f"projector-{target}", outcomes_of(target), (), is_reader=True) for target in Target
        },
        must_close=True,
    )


def _follow(installation: Installation) -> None:
    """Let every service read the logs that it follows where they are."""
    logs = {log_of(stream.name): stream for stream in installation.logs.values()}
    for service in installation.services:
        service.follow(logs[name] for name in service.follows)


def _store(
    folder: Path,
    name: str,
    log: str,
    rows: tuple[type[Row], ...],
    *,
    is_reader: bool = False,
    may_replace: bool = False,
) -> SqliteStore:
    return SqliteStore(
        DataFolder(folder).file(name),
        log_name=log,
        rows=rows,
        is_reader=is_reader,
        read_models=READ_MODELS,
        may_replace=may_replace,
    )


_log = structlog.get_logger()


async def run(installation: Installation, control: ASGIApp, folder: DataFolder, *, stop: asyncio.Event) -> None:
    """Run every service until told to stop; then let the work in hand end. Raises `StoreFailed`."""
    with _bound(folder) as bound:
        try:
            async with listening(control, bound), asyncio.TaskGroup() as group:
                running = [group.create_task(each.run()) for each in _running(installation)]
                _log.info("services run", folder=str(folder.path))
                await stop.wait()
                for task in running:
                    task.cancel()
        finally:
            # Also after a failure: a token that is being renewed has to be stored.
            await installation.connections.close()


def _running(installation: Installation) -> Iterator[Service | ProjectorApp | Polling]:
    yield from (installation.accounts_service, installation.intake_service, installation.decider_service)
    yield from installation.projectors.values()
    if installation.polling:
        yield installation.polling


@contextmanager
def _bound(folder: DataFolder) -> Iterator[socket.socket]:
    """The local socket, which nobody but the owner of the process can connect to."""
    mask = os.umask(0o177)
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(folder.socket))
            os.umask(mask)
            bound.listen()
            yield bound
    finally:
        os.umask(mask)
