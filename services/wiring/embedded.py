"""The embedded deployment: every service in one process, each on a SQLite file, and the API on a local socket."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import structlog

from adapters.archives import ArchiveFailed
from adapters.credentials import CredentialsFile
from adapters.profile_keys import MasterKeyFile, ProfileKeyRow, ProfileKeysTable
from adapters.signing import RootSigner
from adapters.store.migrating import in_sqlite
from adapters.store.sqlite import SqliteStore
from domain.ports import ProfileKeys
from domain.store import StoreFailed
from services.api.authentication import ACCESS_ROWS, Access, at_local_socket, at_loopback
from services.api.installation import Installation, Readers
from services.intake.polling import Polling
from services.projector.service import ProjectorApp
from services.runtime.context import Assignment, Clock, log_of, utc_now
from services.runtime.service import Notifier, Service
from services.runtime.serving import listening
from services.webhooks.sending import WebhooksApp
from services.wiring.data_folder import DataFolder
from services.wiring.erasing import Forget, erase_removed
from services.wiring.migrations import migrate
from services.wiring.rebuild import Stores, upgrade
from services.wiring.registry import SERVICES, Dependencies, ServiceSpec, to_installation
from services.wiring.settings import EmbeddedSettings


def open_embedded(settings: EmbeddedSettings, clock: Clock = utc_now, *, is_idle: bool = False) -> Installation:
    """Every service on its file in the data folder, which the caller owns. Raises `StoreFailed`.

    Read models of another version are made again first. `is_idle`: no service will be run.
    """
    credentials = CredentialsFile(settings.data / "credentials")
    keys = open_keys(settings.data, clock)
    given = Dependencies(
        settings,
        credentials=lambda: credentials,
        leader_lock=lambda: None,
        profile_keys=keys,
        assignment=Assignment(),
        clock=clock,
        notifier=Notifier(),
    )
    try:
        stores = open_stores(settings.data, keys)
    except StoreFailed:
        keys.close()  # so that nothing lies beside the file when a copy is put in its place
        raise
    access = Access(_access_store(settings.data), clock)
    _erase(settings, stores, clock(), (credentials.forget, access.forget, keys.destroy_all))
    built = {name: spec.build(spec.caching(stores[name]), given) for name, spec in SERVICES.items()}
    logs = {log_of(store.log.name): store.log for store in stores.values()}
    for each in built.values():
        each.service.follow(logs[name] for name in each.service.consumes)
    readers = {name: _store(settings.data, spec, keys, is_reader=True) for name, spec in SERVICES.items()}
    return to_installation(
        stores,
        built,
        given,
        credentials=credentials,
        access=access,
        profile_keys=keys,
        readers=Readers(stores=readers, must_close=True),
        running=lambda: () if is_idle else SERVICES,
        command="driverlink up",
        signer=signer_of(settings.data),
        polling=built["intake"].polling,
    )


def _erase(settings: EmbeddedSettings, stores: Stores, now: datetime, beside: Collection[Forget]) -> None:
    """Erase removed accounts; where an archive of them is not there, the services run nevertheless, and erase later."""
    from services.wiring.archiving import forget_in_archives  # noqa: PLC0415 - as for `to_app`

    def forget(account: str) -> None:
        forget_in_archives(stores, settings.archive_folder, account, now)

    try:
        erase_removed(stores, None, now, beside=(forget, *beside))
    except ArchiveFailed as failure:
        _log.error("a removed account is not erased", trouble=str(failure))


def signer_of(folder: Path) -> RootSigner:
    """What signs roots in a data folder. Raises `OSError`."""
    return RootSigner.of_file(folder / "signing-key")


@contextmanager
def beside_stores(folder: Path) -> Iterator[Collection[Forget]]:
    """What the data folder has of accounts beside the stores of services. Raises `StoreFailed`."""
    with closing(Access(_access_store(folder), utc_now)) as access, closing(open_keys(folder)) as keys:
        yield CredentialsFile(folder / "credentials").forget, access.forget, keys.destroy_all


def open_keys(folder: Path, clock: Clock = utc_now) -> ProfileKeysTable:
    """The keys of profiles in the data folder; with the first of them the master key is made. Raises `StoreFailed`."""
    file = DataFolder(folder).file("profile-keys")
    table = SqliteStore(file, log_name=file.stem, rows=(ProfileKeyRow,))
    masters = MasterKeyFile(folder / "profile-master-key")
    if not table.select(ProfileKeyRow, limit=1):
        masters.make()
    return ProfileKeysTable(table, masters, clock)


def open_stores(folder: Path, keys: ProfileKeys) -> Mapping[str, SqliteStore]:
    """Every service's store in the data folder, brought to this version. Raises `StoreFailed`."""
    with ExitStack() as opened:
        files = {name: DataFolder(folder).file(name) for name in SERVICES}
        migrate(
            {name: opened.enter_context(in_sqlite(file)) for name, file in files.items()}, partition_of=None, keys=keys
        )
    stores = {name: _store(folder, spec, keys) for name, spec in SERVICES.items()}
    for store in stores.values():
        store.log.check_keys()
    upgrade(stores, partition_of=None)
    return stores


def _store(folder: Path, spec: ServiceSpec, keys: ProfileKeys, *, is_reader: bool = False) -> SqliteStore:
    return SqliteStore(
        DataFolder(folder).file(spec.name),
        log_name=spec.log,
        rows=() if is_reader else spec.rows,
        is_reader=is_reader,
        read_models=frozenset(spec.tables),
        keys=keys,
    )


def _access_store(folder: Path) -> SqliteStore:
    return SqliteStore(DataFolder(folder).file("api"), log_name="api", rows=ACCESS_ROWS)


_log = structlog.get_logger()


@asynccontextmanager
async def serving(
    settings: EmbeddedSettings, clock: Clock = utc_now, *, is_idle: bool = False, console: socket.socket | None = None
) -> AsyncIterator[Installation]:
    """An installation on the data folder, whose API answers on the folder's local socket while this lasts.

    Only the user who runs the process can connect to the socket. `console` is a socket of the loopback address, where
    it answers browsers that have signed in. `is_idle`: no service will be run.
    Raises `FolderUnusable`, `StoreFailed`.
    """
    from services.api.app import to_app  # noqa: PLC0415 - a rebuild opens a folder, too, and serves nothing

    with DataFolder(settings.data) as folder:
        installation = open_embedded(settings, clock, is_idle=is_idle)
        if console:
            installation = replace(installation, console=f"http://127.0.0.1:{console.getsockname()[1]}")
        app = to_app(installation)
        mask = os.umask(0o177)
        try:
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(str(folder.socket))
                os.umask(mask)
                bound.listen()
                apps = {bound: at_local_socket(app), **({console: at_loopback(app)} if console else {})}
                async with listening(apps, slowest_head=settings.api_slowest_head):
                    yield installation
        finally:
            os.umask(mask)
            # Also after a failure: a token that is being renewed has to be stored.
            await installation.connections.close()
            installation.close()


async def run(installation: Installation, *, stop: asyncio.Event) -> None:
    """Run every service until told to stop; then let the work in hand end. Raises `StoreFailed`, in a group."""
    from services.api.signed_roots import sign_daily  # noqa: PLC0415 - a rebuild opens a folder, too, and signs nothing

    services: list[Service | ProjectorApp | Polling | WebhooksApp] = [
        installation.accounts_service,
        installation.intake_service,
        installation.decider_service,
        *installation.projectors.values(),
    ]
    services += filter(None, (installation.polling, installation.sending))
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(each.run()) for each in services]
        running.append(group.create_task(sign_daily(installation)))
        _log.info("services run")
        await stop.wait()
        for task in running:
            task.cancel()
