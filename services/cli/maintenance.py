"""`driverlink rebuild`, `database` and `topics`: what an operator does to the stores and topics themselves."""

import asyncio
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from domain.store import Stream
from services.api import PREFIX
from services.cli.client import JsonOption, OwnedFolderOption
from services.cli.printing import out, print_json, progress_bar
from services.runtime.consumer import PartitionOf
from services.runtime.context import utc_now
from services.wiring.data_folder import DataFolder
from services.wiring.distributed import Distributed, create_topics, migrate_database
from services.wiring.embedded import beside_stores, open_keys, open_stores
from services.wiring.erasing import Forget, erase_removed
from services.wiring.rebuild import Difference, Step, Stores, differences, hand_over
from services.wiring.rebuild import rebuild as rebuilding
from services.wiring.registry import SERVICES
from services.wiring.settings import (
    ArchiveSettings,
    DistributedSettings,
    EmbeddedSettings,
    KafkaSettings,
    read_settings,
)


def rebuild(
    *,
    check: Annotated[bool, typer.Option("--check", help="Only compare, and print the first difference.")] = False,
    archive: Annotated[
        Path | None,
        typer.Option(help="Read what was archived from this folder, not from the stores.", show_default=False),
    ] = None,
    data: OwnedFolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rebuild every read model from the log, or check them.

    The new models are built beside the old ones; no target is called. Stop every other process of the installation
    first. Without --data it works on the database of DRIVERLINK_DATABASE_URL, where that is set. Exit status 1: --check
    found a difference.

    Examples:
        driverlink rebuild --check
        driverlink rebuild
        driverlink rebuild --check --archive /mnt/archives
    """
    with alone(data) as (stores, partition_of), progress_bar(is_quiet=as_json) as progress:
        logs = _archived(stores, archive) if archive else None
        bars = {name: progress.add_task(name, total=None, note="") for name in stores}

        def on_step(step: Step) -> None:
            progress.update(bars[step.service], completed=step.done, total=max(step.total, 1))

        found: dict[str, Difference | None] = {}
        if check:
            found = differences(stores, partition_of=partition_of, on_step=on_step, logs=logs)
        else:
            rebuilding(stores, partition_of=partition_of, on_step=on_step, logs=logs)
    differing = [difference for difference in found.values() if difference]
    if as_json:
        print_json({"checked" if check else "rebuilt": list(stores), "differences": [str(each) for each in differing]})
    for difference in () if as_json else differing:
        out.print(f"differs: {difference}", markup=False)
    if not as_json and not differing:
        out.print("every read model matches the log" if check else "rebuilt every read model")
    raise typer.Exit(1 if differing else 0)


def _archived(stores: Stores, archive: Path) -> Mapping[str, Stream]:
    from services.wiring.archiving import archived_logs  # noqa: PLC0415 - only those that have archives load it

    return archived_logs(stores, archive)


def handover(
    service: Annotated[str, typer.Argument(help="The service, such as projector-motive.", show_default=False)],
    *,
    data: OwnedFolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a successor that starts from the logs take the place of a service.

    It replays what its predecessor had consumed, without any effect: no target is called. Then it takes its place with
    the work in hand, in one transaction; after a kill, run it again. Stop every other process of the installation
    first. Without --data it works on the database of DRIVERLINK_DATABASE_URL, where that is set.

    Examples:
        driverlink handover projector-motive
    """
    if service not in SERVICES:
        raise typer.BadParameter(f"there is no service {service}: choose from {', '.join(SERVICES)}")
    with alone(data) as (stores, partition_of), progress_bar(is_quiet=as_json) as progress:
        bars = {name: progress.add_task(name, total=None, note="") for name in stores}

        def on_step(step: Step) -> None:
            progress.update(bars[step.service], completed=step.done, total=max(step.total, 1))

        done = hand_over(stores, service, partition_of=partition_of, on_step=on_step)
    if as_json:
        print_json(asdict(done))
        return
    for log, replayed in done.replayed.items():
        out.print(f"replayed {replayed.events} events of {log}, up to position {replayed.mark}", markup=False)
    out.print(f"{service} has taken its predecessor's place; {done.unfinished} pieces of work were handed over")


def erase(*, data: OwnedFolderOption = None, as_json: JsonOption = False) -> None:
    """Erase the data of removed accounts from every store, and from archives.

    `driverlink up` does it at its start; this is for the distributed deployment, and for a folder on which nothing
    runs. Stop every other process of the installation first. Without --data it works on the database of
    DRIVERLINK_DATABASE_URL, where that is set. After a kill, run it again: it goes on.

    Examples:
        driverlink erase
    """
    from services.wiring.archiving import forget_in_archives  # noqa: PLC0415 - as above

    now, folder = utc_now(), read_settings(ArchiveSettings).archive_folder
    with alone(data) as (stores, partition_of), _beside(data) as beside:

        def forget(account: str) -> None:
            forget_in_archives(stores, folder, account, now)

        erased = erase_removed(stores, partition_of, now, beside=(forget, *beside))
    if as_json:
        print_json({"erased": list(erased)})
    else:
        out.print(f"erased {', '.join(erased)}" if erased else "no removed account has data any more", markup=False)


def is_database(data: Path | None) -> bool:
    """Whether a command works on the database that the environment names, and not on a data folder."""
    return data is None and bool(os.environ.get(f"{PREFIX}DATABASE_URL"))


@contextmanager
def _beside(data: Path | None) -> Iterator[Collection[Forget]]:
    """What an installation has of accounts beside the stores of services."""
    if is_database(data):
        with Distributed(read_settings(DistributedSettings)).beside_stores() as beside:
            yield beside
        return
    with beside_stores(read_settings(EmbeddedSettings, data=data).data) as beside:
        yield beside


@contextmanager
def alone(data: Path | None) -> Iterator[tuple[Stores, PartitionOf | None]]:
    """The stores of an installation that no other process uses, and how accounts are partitioned there."""
    if is_database(data):
        shape = Distributed(read_settings(DistributedSettings))
        shape.upgrade()
        with shape.instance_lock(is_exclusive=True), shape.stores() as stores:
            yield stores, shape.partition_of
        return
    folder = DataFolder(read_settings(EmbeddedSettings, data=data).data)
    folder.check_whole()
    with folder, ExitStack() as opened:
        keys = opened.enter_context(closing(open_keys(folder.path)))
        yield {name: opened.enter_context(closing(each)) for name, each in open_stores(folder.path, keys).items()}, None


topics = typer.Typer(no_args_is_help=True)
database = typer.Typer(no_args_is_help=True)


@topics.command("create")
def create() -> None:
    """Create missing topics, and check the existing ones.

    Examples:
        driverlink topics create
    """
    made = asyncio.run(create_topics(read_settings(KafkaSettings)))
    out.print(f"created {', '.join(made)}" if made else "every topic exists", markup=False)


@topics.command("refill")
def refill() -> None:
    """Send the state of every link to its topic again.

    What the topic has of links that are not there any more gets a tombstone. `driverlink serve views` does it, at once
    if it runs; it reads only, and nothing else has to stop.

    Examples:
        driverlink topics refill
    """
    Distributed(read_settings(DistributedSettings)).request_states()
    out.print("requested: `driverlink serve views` sends the state of every link again")


@database.command("migrate")
def migrate() -> None:
    """Create missing schemas and tables, and migrate those that hold work in hand.

    Read models of another version are left as they are: the first process to start makes them again.

    Examples:
        driverlink database migrate
    """
    stale = migrate_database(read_settings(DistributedSettings))
    out.print("the database has every schema and table")
    if stale:
        out.print(f"made again by the first process to start: {', '.join(stale)}", markup=False)


@database.callback()
def _database() -> None:
    """A group, although it has one command."""
