"""`make trace`: which modules one change passes, from the command line to both targets and back.

Runs the embedded installation in this process and the sandboxes in another, imports one CSV row whose Driveri DriverID
has changed, and counts the modules with functions that were executed for it. Left out are imports, the sandboxes,
lambdas and comprehensions, and functions that are executed while nothing changes: the loops of the services, and the
waiting of this script.
"""

import asyncio
import contextlib
import csv
import io
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from inspect import CO_OPTIMIZED
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, FrameType

from services.cli.app import app
from services.sandbox.demo import ACCOUNT, sandboxes, stage
from services.sandbox.sample import SAMPLE

ROOT = Path(__file__).parents[2]
LAYERS = ("domain", "adapters", "services")
SECONDS_IDLE = 7.0
"""For how long the services are watched while nothing changes; longer than they wait between any two looks."""


class Recorder:
    """The functions that were executed in any thread while `recording`."""

    def __init__(self) -> None:
        self._seen: set[CodeType] | None = None
        threading.setprofile(self._on_event)
        sys.setprofile(self._on_event)

    @contextlib.contextmanager
    def recording(self) -> Iterator[set[CodeType]]:
        """The set grows until the block ends."""
        self._seen = seen = set[CodeType]()
        try:
            yield seen
        finally:
            self._seen = None

    def _on_event(self, frame: FrameType, event: str, _: object) -> None:
        if self._seen is not None and event == "call" and frame.f_code.co_flags & CO_OPTIMIZED:
            self._seen.add(frame.f_code)


async def trace() -> dict[str, set[str]]:
    """The names of the functions that were executed for one changed row, by module."""
    recorder = Recorder()
    with TemporaryDirectory() as folder:
        data, export = Path(folder) / "data", Path(folder) / "drivers.csv"
        async with sandboxes() as targets, stage(data, targets) as services:
            await services.open_account()
            await _import(export, data, rows=3)
            await services.turn_on()
            await services.until_quiet()
            # Once more, so that what is loaded or opened at first use does not count.
            await _import(export, data, rows=1, driver_id="TRACE-1")
            await services.until_quiet()
            with recorder.recording() as idle:
                await services.until_quiet()
                await asyncio.sleep(SECONDS_IDLE)
            with recorder.recording() as busy:
                await _import(export, data, rows=1, driver_id="TRACE-2")
                await services.until_quiet()
    return _by_module(busy - idle)


async def _import(export: Path, data: Path, *, rows: int, driver_id: str | None = None) -> None:
    """Import the first rows of the sample fleet by the command line, with another DriverID for each."""
    with (SAMPLE / "portal-drivers.csv").open(encoding="utf-8-sig", newline="") as sample:
        drivers = list(islice(csv.DictReader(sample), rows))
    if driver_id:
        drivers = [{**driver, "Driveri DriverID": driver_id} for driver in drivers]
    with export.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, drivers[0])
        writer.writeheader()
        writer.writerows(drivers)
    arguments = ["drivers", "import", str(export), "--account", ACCOUNT, "--data", str(data)]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        await asyncio.to_thread(app, arguments, standalone_mode=False)


def _by_module(executed: set[CodeType]) -> dict[str, set[str]]:
    modules = defaultdict[str, set[str]](set)
    for code in executed:
        path = Path(code.co_filename)
        if path.is_relative_to(ROOT) and not path.is_relative_to(ROOT / "services/sandbox"):
            name = path.relative_to(ROOT)
            if name.parts[0] in LAYERS and not code.co_name.startswith("<"):
                modules[str(name)].add(code.co_qualname)
    return modules


def main() -> None:
    """Print each module with the number of its functions, then the totals."""
    modules = asyncio.run(trace())
    for name in sorted(modules):
        print(f"{len(modules[name]):4}  {name}")
    print(f"{len(modules)} modules, {sum(map(len, modules.values()))} functions")


if __name__ == "__main__":
    main()
