"""`driverlink demo`: the whole way of a change, on sample data, in under a minute."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from services.cli.printing import err, out, print_json, print_table, progress_bar
from services.cli.running import JsonOption, run_async
from services.demo.app import Outcome, play

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
    columns = ("scene", "driver", "target", "decided", "situation", "because")
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
