"""The embedded shape, put together: every service in one process, each on one SQLite file of the data folder.

The data folder, and who owns it: one process at a time.

Everything in one process: the services, and the local socket by which commands reach them.
"""

import asyncio
import fcntl
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType

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


STORES = ("accounts", "intake", "decider", *(f"projector-{target}" for target in Target))
"""The services whose stores are the SQLite files of a data folder."""

_LONGEST_SOCKET_PATH = 100
"""Bytes that a local socket's path may have; systems allow little more."""


class FolderUnusable(Exception):
    """The data folder cannot be used; the message says what to do."""


class FolderOwned(FolderUnusable):
    """Another process owns the data folder."""

    def __init__(self, folder: Path, owner: str) -> None:
        super().__init__(f"{folder} is in use by another driverlink process ({owner}): stop that one first")


class DataFolder:
    """A folder that is owned while it is open: `with DataFolder(path): ...`. Raises `FolderUnusable`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @property
    def socket(self) -> Path:
        """Where the owner listens for other commands."""
        return self.path / "control.sock"

    def file(self, name: str) -> Path:
        """The file of one of `STORES`."""
        return self.path / f"{name}.sqlite"

    def check_whole(self) -> None:
        """Raise `FolderUnusable` where this is no data folder that is complete, rather than make one by a slip.

        A folder that another process owns passes: that process may be making it.
        """
        if not self._is_there():
            raise FolderUnusable(
                f"there is no data folder {self.path}: name another with --data, "
                "or make it by `driverlink accounts add` or `driverlink up`"
            )
        missing = [name for name in STORES if not self.file(name).is_file()]
        if missing and not self._is_owned():
            raise FolderUnusable(self._said_of(missing))

    def _is_there(self) -> bool:
        """Whether it is a folder that can be looked into. Raises `FolderUnusable` where there is something else."""
        try:
            next(self.path.iterdir(), None)
        except (FileNotFoundError, ValueError):
            return False
        except NotADirectoryError:
            raise FolderUnusable(f"the data folder {self.path} cannot be used: it is no folder") from None
        except OSError as failure:
            raise FolderUnusable(f"the data folder {self.path} cannot be used: {failure.strerror}") from None
        return True

    def _is_owned(self) -> bool:
        try:
            lock = os.open(self.path / "owner", os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def _said_of(self, missing: Sequence[str]) -> str:
        if len(missing) == len(STORES):
            return (
                f"{self.path} is no data folder of driverlink: name another with --data, "
                "or make it one by `driverlink accounts add` or `driverlink up`"
            )
        return (
            f"the data folder {self.path} is not complete: {self.file(missing[0]).name} is missing; put back a copy "
            "of it or, if the folder was only just begun, complete it by `driverlink accounts add` or `driverlink up`"
        )

    def __enter__(self) -> "DataFolder":
        if len(os.fsencode(self.socket.absolute())) > _LONGEST_SOCKET_PATH:
            raise FolderUnusable(
                f"the path of the data folder {self.path} is too long for a local socket; use a shorter one"
            )
        try:
            self._own()
        except OSError as failure:
            self._release()
            why = "it is no folder" if isinstance(failure, FileExistsError) else failure.strerror
            raise FolderUnusable(f"the data folder {self.path} cannot be used: {why}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(FileNotFoundError):
            self.socket.unlink()
        self._release()

    def _own(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self.path / "owner", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._lock, 100).decode("ascii", "replace").strip()
            self._release()
            raise FolderOwned(self.path, owner or "just starting") from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"process {os.getpid()}\n".encode(), 0)
        self.socket.unlink(missing_ok=True)

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


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
