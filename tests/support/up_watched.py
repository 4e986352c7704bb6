"""`driverlink up` that says how long it has waited to end, which is the same on a busy machine as on a quiet one.

What is started here is the product itself, on an event loop that counts, and without the end by force: how long that
takes to come depends on the machine.
"""

import asyncio
import selectors
import sys
from time import monotonic
from typing import Final

from services.runtime import serving as ending
from services.runtime.serving import stopping_on_signals
from services.wiring.embedded import run, serving
from services.wiring.settings import EmbeddedSettings, read_settings

WAITED: Final = "seconds waited between the signal and the end:"
"""Before the number on the last line that is printed."""

_NEVER: Final = 86_400.0


class _Counting(selectors.DefaultSelector):
    """Counts the seconds for which there was nothing to do, and no longer than it was asked to wait.

    So neither computing counts, nor waiting for a processor.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waited = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready."""
        begun = monotonic()
        ready = super().select(timeout)
        took = monotonic() - begun
        self.waited += took if timeout is None else min(took, max(timeout, 0.0))
        return ready


def up_watched() -> None:
    """Run until a signal ends it."""
    vars(ending).update(LONGEST_ENDING=_NEVER)
    selector = _Counting()

    async def work() -> float:
        stop = asyncio.Event()

        async def told() -> float:
            await stop.wait()
            return selector.waited

        telling = asyncio.create_task(told())
        with stopping_on_signals(stop):
            async with serving(read_settings(EmbeddedSettings)) as installation:
                await run(installation, stop=stop)
        return await telling

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        before = runner.run(work())
    print(WAITED, selector.waited - before, file=sys.stderr, flush=True)
