"""`driverlink up` and `driverlink sandbox`: what runs until Ctrl-C.

`driverlink demo`: the whole way of a change, on sample data, in under a minute.

`driverlink rebuild`.

`driverlink serve`, `topics` and `database`: the distributed shape.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory
from typing import Annotated, Any, NoReturn

import typer
from rich.progress import Progress

from domain.identity import Target
from services.api.app import to_app
from services.api.installation import Installation
from services.cli.client import (
    CommandRefused,
    DataOption,
    JsonOption,
    Settings,
    chosen,
    distributed,
    embedded,
    kafka,
    run_async,
)
from services.cli.printing import err, out, print_json, print_table, progress_bar
from services.runtime.health import Health, Stuck
from services.runtime.process import Process, run_process
from services.runtime.serving import PortUnusable, listening, stopping_on_signals, tcp_socket
from services.sandbox.demo import Outcome, play
from services.sandbox.faults.faults import FaultsRefused, faults_of_all
from services.sandbox.sample import SAMPLE
from services.sandbox.serving import Sandboxes, Seeds
from services.sandbox.serving import serve as serve_sandboxes
from services.wiring.distributed import Distributed, create_topics, migrate_database
from services.wiring.embedded import DataFolder, open_embedded, run
from services.wiring.rebuild import Step
from services.wiring.rebuild import rebuild as rebuilding
from services.wiring.settings import DistributedSettings, EmbeddedSettings


def up(data: DataOption = None) -> None:
    """Run everything in this process until Ctrl-C, on a data folder; it goes on where it was."""
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


def sandbox(
    driveri_port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port of Driveri's sandbox; 0: any free one.")
    ] = 8101,
    motive_port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port of Motive's sandbox; 0: any free one.")
    ] = 8102,
    portal_port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port of the Portal's sandbox; 0: any free one.")
    ] = 8103,
    seed: Annotated[
        Path | None,
        typer.Option(
            help="A folder with driveri.json, motive.json and, if need be, portal.json; else the sample.",
            show_default=False,
        ),
    ] = None,
    faults: Annotated[
        Path | None,
        typer.Option(help="A file with the faults of all, as docs/reference/sandbox.md says.", show_default=False),
    ] = None,
    *,
    empty: Annotated[bool, typer.Option("--empty", help="Start without tenants, companies and drivers.")] = False,
    host: Annotated[
        str, typer.Option(help="The address to listen on; whoever reaches it can use the sandboxes.")
    ] = "127.0.0.1",
) -> None:
    """Run local stand-ins of the Driveri, Motive and Portal APIs over real HTTP until Ctrl-C."""
    seeds = Seeds() if empty else _seeds(seed or SAMPLE)
    faulty = seeds if faults is None else _with_faults(seeds, faults)
    run_async(serve_sandboxes(host, driveri_port, motive_port, faulty, _announce, portal_port=portal_port))


def _announce(running: Sandboxes) -> None:
    out.print(f"Driveri: {running.driveri}")
    out.print(f"Motive:  {running.motive}")
    out.print(f"Portal:  {running.portal}")
    out.file.flush()


def _seeds(folder: Path) -> Seeds:
    portal = folder / "portal.json"
    return Seeds(
        driveri=_read(folder / "driveri.json", "seed"),
        motive=_read(folder / "motive.json", "seed"),
        portal=_read(portal, "seed") if portal.exists() else {},
    )


def _with_faults(seeds: Seeds, path: Path) -> Seeds:
    try:
        faults = faults_of_all(_read(path, "file of faults"))
    except FaultsRefused as refused:
        raise CommandRefused(f"the file of faults {path} is no good: {refused}") from None
    return replace(seeds, driveri_faults=faults.driveri, motive_faults=faults.motive, portal_faults=faults.portal)


def _read(path: Path, what: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as failure:
        raise CommandRefused(f"the {what} {path} cannot be read: {failure.strerror}") from None
    except ValueError:
        raise CommandRefused(f"the {what} {path} is no JSON") from None


_MOST_SHOWN = 20


def demo(
    data: Annotated[Path, typer.Option("--data", help="A folder for the demo; it is made anew.")] = Path("demo-data"),
    *,
    as_json: JsonOption = False,
) -> None:
    """Synchronise a sample fleet of 1,500 drivers with local stand-ins of Driveri and Motive.

    Exit status 0: both targets agree with the Portal, driver by driver; 1: they do not.
    """
    with progress_bar(is_quiet=as_json) as progress:
        outcome = run_async(_play(data, progress))
    if as_json:
        print_json(outcome.to_json())
    else:
        _print(outcome, data)
    raise typer.Exit(0 if outcome.is_agreed else 1)


async def _play(data: Path, progress: Progress) -> Outcome:
    return await play(data, progress)


def _print(outcome: Outcome, data: Path) -> None:
    columns = ("scene", "driver", "target", "decided", "situation", "rationale")
    rows = [tuple(each[column] for column in columns) for each in outcome.decided]
    print_table(columns, _without_repeats(rows), title="\nWhat was decided, and why")
    held = ", ".join(f"{len(each['drivers'])} on {each['target']}" for each in outcome.held)
    out.print(f"\nThe guard held deletes ({held or 'none'}), and the Master User approved exactly those.")
    _print_comparison(outcome, data)
    out.print(f"\n{outcome.drivers} drivers, {outcome.seconds:.0f} seconds. Ask further, for example:")
    example = outcome.decided[0]["driver"] if outcome.decided else ""
    for command in (f"explain sample-fleet {example}", "status", "events --account sample-fleet --type DeleteHeld"):
        out.print(f"  driverlink {command} --data {data}", markup=False)


def _without_repeats(rows: list[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """The rows with a scene and a driver named only where they begin."""
    last: tuple[str, ...] = ()
    for row in rows:
        yield ("", "", *row[2:]) if row[:2] == last else row
        last = row[:2]


def _print_comparison(outcome: Outcome, data: Path) -> None:
    found = outcome.comparison
    waiting = [(target, driver, reason) for target, driver, reason in found.waiting]
    print_table(("target", "driver", "set aside, because"), waiting[:_MOST_SHOWN], title="\nA person has to look at")
    if len(waiting) > _MOST_SHOWN:
        out.print(f"... and {len(waiting) - _MOST_SHOWN} more: driverlink issues list --data {data}", markup=False)
    wrong = [*found.disagreements, *outcome.touched]
    if wrong:
        print_table(("target", "driver", "problem"), wrong[:_MOST_SHOWN], title="\nDisagreements")
    agreeing = " and ".join(f"{count} drivers on {target}" for target, count in sorted(found.agreeing.items()))
    verdict = "Both targets agree with the Portal" if outcome.is_agreed else "The targets do NOT agree with the Portal"
    (out if outcome.is_agreed else err).print(
        f"\n{verdict}: {agreeing}, those deleted on both sides included; {len(waiting)} wait for a person."
    )


def rebuild(
    *,
    check: Annotated[bool, typer.Option("--check", help="Only compare, and name the first difference.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make every read model anew from the log, beside the old one; nothing outside is touched.

    Needs the installation for itself: stop what runs on it first. Exit status 1: --check found a difference.
    """
    with (
        _alone(chosen(data), may_replace=not check) as (installation, folder),
        progress_bar(is_quiet=as_json) as progress,
    ):
        bars = {service.name: progress.add_task(service.name, total=None, note="") for service in installation.services}

        def on_step(step: Step) -> None:
            progress.update(bars[step.service], completed=step.done, total=max(step.total, 1))

        found = dict(rebuilding(installation, folder, is_check=check, on_step=on_step))
    differing = [difference for difference in found.values() if difference]
    if as_json:
        print_json({"checked" if check else "rebuilt": list(found), "differences": [str(each) for each in differing]})
    for difference in () if as_json else differing:
        out.print(f"differs: {difference}", markup=False)
    if not as_json and not differing:
        out.print("every read model is as the log says" if check else "every read model was made anew")
    raise typer.Exit(1 if differing else 0)


@contextmanager
def _alone(settings: Settings, *, may_replace: bool) -> Iterator[tuple[Installation, Path]]:
    """An installation that nobody else works on, and a folder for what is made anew."""
    if isinstance(settings, DistributedSettings):
        with _database_alone(settings) as found:
            yield found
        return
    with _folder_alone(settings, may_replace=may_replace) as found:
        yield found


@contextmanager
def _folder_alone(settings: EmbeddedSettings, *, may_replace: bool) -> Iterator[tuple[Installation, Path]]:
    folder = DataFolder(settings.data)
    folder.check_whole()
    with folder, closing(open_embedded(settings, is_rebuilding=may_replace)) as installation:
        yield installation, settings.data


@contextmanager
def _database_alone(settings: DistributedSettings) -> Iterator[tuple[Installation, Path]]:
    shape = Distributed(settings)
    with shape.alone(), TemporaryDirectory(prefix="driverlink-") as folder, closing(shape.installation()) as found:
        yield found, Path(folder)


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

    As many processes of a service may run as there are partitions. /live and /ready report its state. Run it under
    something that restarts it. Exit status 1, with one line that says why: something is configured wrongly, the
    database or Kafka failed, or it made no progress for DRIVERLINK_PATIENCE seconds.
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
                await run_process(_announced(opening, says), health, stop=stop, patience=settings.patience)
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
    """The same, and this is printed when it has succeeded."""

    async def opened() -> Process:
        process = await opening()
        err.print(says, markup=False)
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
