"""`driverlink up` with a clock that is ahead, so that a test need not wait for what is due in hours.

What is started here is the product itself, but for where the services learn the time.
"""

import asyncio
import os
from datetime import datetime, timedelta

from services.runtime.context import utc_now
from services.runtime.serving import stopping_on_signals
from services.wiring.embedded import run, serving
from services.wiring.settings import EmbeddedSettings, read_settings

AHEAD = "STORM_SECONDS_AHEAD"
"""The environment variable that says by how many seconds."""


async def _up() -> None:
    ahead = timedelta(seconds=float(os.environ[AHEAD]))

    def clock() -> datetime:
        return utc_now() + ahead

    stop = asyncio.Event()
    with stopping_on_signals(stop):
        async with serving(read_settings(EmbeddedSettings), clock) as installation:
            await run(installation, stop=stop)


def up() -> None:
    """Run until a signal ends it."""
    asyncio.run(_up())
