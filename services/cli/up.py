"""`driverlink up` and `driverlink sandbox`: what runs until Ctrl-C."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli.printing import err, out
from services.cli.reaching import CommandRefused
from services.cli.running import DataOption, run_async
from services.cli.shape import embedded
from services.control.app import to_app
from services.embedded.app import run
from services.embedded.folder import DataFolder
from services.embedded.settings import EmbeddedSettings
from services.embedded.wiring import open_embedded
from services.runtime.serving import stopping_on_signals
from services.sandbox.faults.written import FaultsRefused, faults_of_all
from services.sandbox.sample import SAMPLE
from services.sandbox.serving import Sandboxes, Seeds, serve


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
    run_async(serve(host, driveri_port, motive_port, faulty, _announce, portal_port=portal_port))


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
