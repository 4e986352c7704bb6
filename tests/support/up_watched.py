"""`driverlink up` that says how long it has waited to end.

What is started here is the product itself, on an event loop that counts, and without the end by force: how soon that
comes depends on the machine.
"""

import asyncio
import sys
from typing import Final

from services.runtime import serving as ending
from services.runtime.serving import stopping_on_signals
from services.wiring.embedded import run, serving
from services.wiring.settings import EmbeddedSettings, read_settings
from tests.support.counted_waiting import CountingLoop, waited

WAITED: Final = "seconds waited between the signal and the end:"
"""Before the number on the last line that is printed."""

_NEVER: Final = 86_400.0


async def _up() -> float:
    """Run until a signal comes; how long was waited before."""
    stop = asyncio.Event()

    async def told() -> float:
        await stop.wait()
        return waited()

    telling = asyncio.create_task(told())
    with stopping_on_signals(stop):
        async with serving(read_settings(EmbeddedSettings)) as installation:
            await run(installation, stop=stop)
    return await telling


def up_watched() -> None:
    """Run until a signal ends it."""
    vars(ending).update(LONGEST_ENDING=_NEVER)
    loop = CountingLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        before = runner.run(_up())
    print(WAITED, loop.waited - before, file=sys.stderr, flush=True)
