"""`driverlink replay`: what our code makes of a capsule now, beside what it made of it then."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from services.api.version import version_line
from services.capsules.capsule import LARGEST, Capsule, CapsuleUnusable, read
from services.capsules.replay import ReplayStep, replay_whole, to_row
from services.cli.client import JsonOption
from services.cli.printing import moment, out, print_json, print_note

_STANDARD_INPUT = Path("-")


def replay(
    capsule: Annotated[
        Path, typer.Argument(metavar="CAPSULE", help="The file; - is standard input.", show_default=False)
    ],
    *,
    as_json: JsonOption = False,
) -> None:
    """Run a capsule through the real decider and projector, and compare.

    Needs no installation: everything happens in temporary stores, and the targets are sandboxes that begin as the
    targets were, and fail where they failed. Each step shows what happened then, and where it is otherwise, what
    happens now. Exit status 0: everything is the same; 1: something is otherwise.

    Examples:
        driverlink replay capsule-200006.json
        driverlink replay capsule-200006.json --json
    """
    opened = read(_content(capsule))
    steps = asyncio.run(replay_whole(opened))
    rows = [to_row(each) for each in steps]
    is_equal = all(each["is_equal"] for each in rows)
    if as_json:
        about = {"account": opened.account, "driver": opened.driver, "made_by": opened.made_by}
        print_json({**about, "replayed_by": version_line(), "is_equal": is_equal, "steps": rows})
    else:
        _print(opened, rows, steps)
    raise typer.Exit(0 if is_equal else 1)


def _content(path: Path) -> bytes:
    try:
        if path == _STANDARD_INPUT:
            return sys.stdin.buffer.read(LARGEST + 1)
        with path.open("rb") as file:
            return file.read(LARGEST + 1)
    except OSError as failure:
        raise CapsuleUnusable(f"{path} cannot be read: {failure.strerror}") from None


def _print(capsule: Capsule, rows: list[dict[str, Any]], steps: list[ReplayStep]) -> None:
    out.print(f"driver {capsule.driver} of account {capsule.account}", markup=False)
    out.print(f"made by {capsule.made_by}, replayed by {version_line()}", markup=False)
    if capsule.is_erased:
        print_note("the driver was erased: its facts hold no personal data, so decisions about it may differ")
    if capsule.unordered:
        print_note(
            f"{capsule.unordered} facts are taken in the order of time, because it is not stored when they were "
            "decided by: differences may come of that"
        )
    for letter in capsule.dead_letters:
        print_note(f"a service could not handle {letter.type} {letter.version}: {letter.reason}")
    for row in rows:
        verdict = "not tried" if row["untried"] else "equal" if row["is_equal"] else "DIFFERENT"
        out.print(f"{moment(row['at'])}  {verdict:9}  {row['what']}: {row['then']}", markup=False)
        if not row["is_equal"]:
            out.print(f"{'':32}now: {row['now']}", markup=False)
            out.print(f"{'':32}other: {', '.join(row['differing'])}", markup=False)
        if row["untried"]:
            out.print(f"{'':32}{row['untried']}", markup=False)
    different = sum(not each["is_equal"] for each in rows)
    out.print(f"{different} of {len(steps)} steps are different" if different else f"all {len(steps)} steps are equal")
