"""`driverlink sandbox` and `driverlink demo`: the targets and the Portal as local sandboxes."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli.client import CommandRefused, JsonOption
from services.cli.printing import err, out, print_json, print_table, progress_bar
from services.sandbox.demo import DemoResult, play, play_and_stay
from services.sandbox.faults.faults import FaultsRefused, faults_of_all
from services.sandbox.sample import SAMPLE
from services.sandbox.serving import Sandboxes, Seeds
from services.sandbox.serving import serve as serve_sandboxes


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
        str, typer.Option(help="The address to listen on; everybody who reaches it can use the sandboxes.")
    ] = "127.0.0.1",
) -> None:
    """Run local sandboxes of the Driveri, Motive and Portal APIs until Ctrl-C.

    They serve real HTTP, on loopback unless --host says otherwise.

    Examples:
        driverlink sandbox
        driverlink sandbox --seed my-fleet --faults faults.json
    """
    seeds = Seeds() if empty else _seeds(seed or SAMPLE)
    faulty = seeds if faults is None else _with_faults(seeds, faults)
    asyncio.run(serve_sandboxes(host, driveri_port, motive_port, faulty, _announce, portal_port=portal_port))


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
        raise CommandRefused(f"the file of faults {path} is not valid: {refused}") from None
    return replace(seeds, driveri_faults=faults.driveri, motive_faults=faults.motive, portal_faults=faults.portal)


def _read(path: Path, what: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as failure:
        raise CommandRefused(f"the {what} {path} cannot be read: {failure.strerror}") from None
    except ValueError:
        raise CommandRefused(f"the {what} {path} is not JSON") from None


_MOST_SHOWN = 20


def demo(
    data: Annotated[Path, typer.Option("--data", help="A folder for the demo; it is replaced.")] = Path("demo-data"),
    *,
    push: Annotated[bool, typer.Option("--push", help="Let the Portal push its changes, signed.")] = False,
    as_json: JsonOption = False,
    console: Annotated[
        bool, typer.Option("--console", help="Keep everything running afterwards, with the console for a browser.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port of the console; 0: any free one.")] = 8100,
) -> None:
    """Synchronise a sample fleet with local sandboxes of Driveri and Motive.

    The fleet has 1,500 drivers. Exit status 0: both targets agree with the Portal, driver by driver; 1: they do not.

    Examples:
        driverlink demo
        driverlink demo --console
        driverlink demo --data /tmp/demo-data
        driverlink demo --push
    """
    if console:
        _stay(data, port)
        return
    with progress_bar(is_quiet=as_json) as progress:
        outcome = asyncio.run(play(data, progress, is_pushed=push))
    if as_json:
        print_json(outcome.to_json())
    else:
        _print(outcome, data)
    raise typer.Exit(0 if outcome.is_agreed else 1)


def _stay(data: Path, port: int) -> None:
    with progress_bar(is_quiet=False) as progress:

        def announce(outcome: DemoResult, link: str) -> None:
            progress.stop()
            _print_comparison(outcome, data)
            out.print("\nEverything keeps running. Open the console, with a link that is good once:")
            out.print(f"  {link}", markup=False, soft_wrap=True)
            out.print(f"`driverlink sign-in --data {data}` prints another link; Ctrl-C ends everything.", markup=False)
            out.file.flush()

        asyncio.run(play_and_stay(data, progress, port, announce))


def _print(outcome: DemoResult, data: Path) -> None:
    columns = ("scene", "driver", "target", "decided", "situation", "rationale")
    rows = [tuple(each[column] for column in columns) for each in outcome.decided]
    print_table(columns, _without_repeats(rows), title="\nWhat was decided, and why")
    held = ", ".join(f"{len(each['drivers'])} on {each['target']}" for each in outcome.held)
    out.print(f"\nThe guard held deletes ({held or 'none'}), and the Master User approved exactly those.")
    _print_comparison(outcome, data)
    out.print(f"\n{outcome.drivers} drivers, {outcome.seconds:.0f} seconds.")
    out.print("To see it in a browser, with everything running: make console (or driverlink demo --console).")
    out.print("To look further by commands, start in one terminal:")
    places = (("DRIVERI", 8101), ("MOTIVE", 8102), ("PORTAL", 8103))
    addresses = " ".join(f"DRIVERLINK_{name}_URL=http://127.0.0.1:{port}" for name, port in places)
    out.print(f"  {addresses} driverlink up --data {data}", markup=False)
    out.print("and ask in another, for example:")
    example = outcome.decided[0]["driver"] if outcome.decided else ""
    for command in (f"explain sample-fleet {example}", "status", "events --account sample-fleet --type DeleteHeld"):
        out.print(f"  driverlink {command} --data {data}", markup=False)
    out.print("The stand-ins have ended with the demo, so a plan or a reconciliation cannot read them.")


def _without_repeats(rows: list[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """The rows with a scene and a driver named only where they begin."""
    last: tuple[str, ...] = ()
    for row in rows:
        yield ("", "", *row[2:]) if row[:2] == last else row
        last = row[:2]


def _print_comparison(outcome: DemoResult, data: Path) -> None:
    found = outcome.comparison
    waiting = [(target, driver, reason) for target, driver, reason in found.waiting]
    print_table(("target", "driver", "reason"), waiting[:_MOST_SHOWN], title="\nParked, for a person to look at")
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
