"""Draws what commands print, as the pictures in docs/pictures: `plan` and `explain`, on a part of the sample fleet.

The sandboxes and the embedded installation run while the commands do; ids and times differ from run to run.
"""

import asyncio
import os
import re
import sys
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

from services.sandbox.demo import ACCOUNT, sandboxes, stage
from services.sandbox.sample import SAMPLE

PICTURES = Path(__file__).parent / "pictures"
COLUMNS = 120
DRIVERS = 6
RENAMED = "200006"


async def draw() -> None:
    """Run the commands of the tutorial, and draw what the two of them print that people read most."""
    with TemporaryDirectory() as folder:
        data, export = Path(folder) / "data", Path(folder) / "drivers.csv"
        lines = (SAMPLE / "portal-drivers.csv").read_text("utf-8-sig").splitlines(keepends=True)
        export.write_text("".join(lines[: DRIVERS + 1]), "utf-8")
        async with sandboxes() as targets, stage(data, targets) as services:
            await services.open_account()
            await _run(data, "drivers", "import", str(export), "--account", ACCOUNT)
            await _draw("plan", data, "plan", ACCOUNT)
            await services.turn_on()
            await services.until_quiet()
            await _run(data, "drivers", "update", ACCOUNT, "--driver", RENAMED, "--set", "driveri_driver_id=PHX-2041")
            await services.until_quiet()
            await _draw("explain", data, "explain", ACCOUNT, RENAMED)


async def _draw(name: str, data: Path, *command: str) -> None:
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    console.print(f"[bold]$ driverlink {' '.join(command)}[/bold]", highlight=False)
    console.print(Text.from_ansi(await _run(data, *command)))
    svg = console.export_svg(title=f"driverlink {command[0]}", unique_id=name)
    # Rich names a font on another host; the reader's own will do.
    (PICTURES / f"{name}.svg").write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL), "utf-8")


async def _run(data: Path, *command: str) -> str:
    """What the command prints on a terminal with colours."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", *command, "--data", str(data)),
        env={**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(COLUMNS)},
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    if process.returncode:
        sys.exit(f"driverlink {command[0]} ended with status {process.returncode}")
    return printed.decode()


if __name__ == "__main__":
    asyncio.run(draw())
