"""The embedded shape, put together: every service in one process, each on one SQLite file of the data folder."""

from functools import partial
from pathlib import Path

from adapters.credentials import CredentialsFile
from adapters.store.sqlite import SqliteStore
from domain.identity import Target
from domain.storing import Row
from services.accounts.handlers import Accounts
from services.accounts.read_models import AccountRow
from services.control.installation import Installation
from services.decider import wiring as decider
from services.embedded.folder import DataFolder
from services.embedded.settings import EmbeddedSettings
from services.intake import wiring as intake
from services.intake.handlers import Intake
from services.intake.polling import Alone
from services.intake.snapshots import Forgetting
from services.projector import wiring as projector
from services.projector.wiring import Connections
from services.rebuilding.parts import READ_MODELS
from services.runtime.clock import Clock, utc_now
from services.runtime.logs import ACCOUNTS, CHANGES, DECISIONS, log_of, reports_of
from services.runtime.readers import Readers
from services.runtime.service import Bell, Service
from services.runtime.share import Share


def open_embedded(settings: EmbeddedSettings, clock: Clock = utc_now, *, is_rebuilding: bool = False) -> Installation:
    """Every service on its file in the data folder, which the caller owns. Raises `StoreFailed`.

    Whoever `is_rebuilding` may open read models of another version, and has to put others in their place.
    """
    open_store = partial(_store, may_replace=is_rebuilding)
    bell, share = Bell(), Share()
    credentials = CredentialsFile(settings.data / "credentials")
    connections = Connections(settings, credentials)
    accounts = open_store(settings.data, "accounts", ACCOUNTS, (AccountRow,))
    stating = open_store(settings.data, "intake", CHANGES, intake.ROWS)
    deciding = open_store(settings.data, "decider", DECISIONS, decider.ROWS)
    projecting = {
        target: open_store(settings.data, f"projector-{target}", reports_of(target), projector.ROWS)
        for target in Target
    }
    taking = Intake(stating, clock)
    intake_service = Service("intake", store=stating, clock=clock, bell=bell, chores=[Forgetting(taking, clock)])
    installation = Installation(
        accounts=Accounts(accounts, clock),
        accounts_service=Service("accounts", store=accounts, clock=clock, bell=bell),
        intake=taking,
        intake_service=intake_service,
        decider_service=decider.to_service(deciding, clock=clock, bell=bell, share=share),
        projectors={
            target: projector.to_app(store, target, connect=connections.to(target), clock=clock, bell=bell, share=share)
            for target, store in projecting.items()
        },
        credentials=credentials,
        connections=connections,
        readers=_readers(settings.data),
        polling=intake.to_polling(
            intake_service, settings, credentials=credentials, turn=Alone(), clock=clock, bell=bell
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
            target: _store(folder, f"projector-{target}", reports_of(target), (), is_reader=True) for target in Target
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
