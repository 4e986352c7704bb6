"""`driverlink up` with a clock that is ahead, so that a test need not wait for what is due in hours.

What is started here is the product itself, but for where the services learn the time.
"""

import asyncio
import os
from datetime import datetime, timedelta

from services.api.app import to_app
from services.runtime.context import utc_now
from services.runtime.serving import stopping_on_signals
from services.wiring.data_folder import DataFolder
from services.wiring.embedded import open_embedded, run
from services.wiring.settings import EmbeddedSettings

AHEAD = "STORM_SECONDS_AHEAD"
"""The environment variable that says by how many seconds."""


async def _up() -> None:
    ahead = timedelta(seconds=float(os.environ[AHEAD]))

    def clock() -> datetime:
        return utc_now() + ahead

    settings, stop = EmbeddedSettings(), asyncio.Event()
    with DataFolder(settings.data) as folder, stopping_on_signals(stop):
        services = open_embedded(settings, clock)
        try:
            await run(services, to_app(services), folder, stop=stop)
        finally:
            services.close()


if __name__ == "__main__":
    asyncio.run(_up())
