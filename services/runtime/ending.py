"""How a process ends in bounded time, whatever a target or the Portal does meanwhile."""

import asyncio
import os
import sys
from collections.abc import Coroutine, Iterable
from threading import Timer
from typing import Any, Final

CALLS_END: Final = 10.0
"""Seconds that calls under way have when a process is told to end; then they are abandoned, and count as started."""

GOODBYE: Final = 5.0
"""Seconds in which connections are closed, tokens given back, and commands that wait are answered."""

LONGEST_ENDING: Final = 25.0
"""Seconds after which a process that was told to end is ended by force; nothing is lost by that."""

_CANCELLED: Final = 1.0
"""Seconds that something cancelled has to come to its end."""


async def closed(closings: Iterable[Coroutine[Any, Any, None]], within: float = GOODBYE) -> None:
    """Close all of these at once; what takes longer, or fails, is left as it is."""
    tasks = [asyncio.create_task(each) for each in closings]
    await ended(tasks, within)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()


async def ended(tasks: Iterable[asyncio.Task[Any]], within: float) -> None:
    """Wait until these have ended, for so many seconds; cancel those that have not."""
    waited = [*tasks]
    if not waited:
        return
    _, late = await asyncio.wait(waited, timeout=within)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=_CANCELLED)


def end_by_force_later() -> None:
    """End this process in `LONGEST_ENDING`, should it not have ended before: also a thread that hangs is left."""
    timer = Timer(LONGEST_ENDING, _end_by_force)
    timer.daemon = True
    timer.start()


def _end_by_force() -> None:
    print(
        f"driverlink: not at its end {LONGEST_ENDING:.0f} seconds after it was told to; it ends as it is, "
        "and looks up at its next start what became of the calls under way",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)
