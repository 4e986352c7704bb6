"""A data folder whose API is served in this process, and commands that reach it by the folder's local socket."""

import asyncio
from concurrent.futures import Future
from pathlib import Path
from threading import Thread

from services.wiring.embedded import run, serving
from services.wiring.settings import EmbeddedSettings
from tests.support.commanding import Ended, command


class ServedFolder:
    """Runs commands on a data folder, whose API a thread of this process serves from the first command on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._serving: tuple[Thread, asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def __call__(self, *arguments: str) -> Ended:
        """Run a command, one at a time."""
        self.start()
        return command({"DRIVERLINK_DATA": str(self.path)}, *arguments)

    def start(self, *, works: bool = False) -> None:
        """Serve the API, if it is not served yet; with `works` run the services as well, as `driverlink up` does."""
        if self._serving is None:
            answers = Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]()
            thread = Thread(target=lambda: asyncio.run(self._serve(answers, works=works)))
            thread.start()
            self._serving = (thread, *answers.result())

    def stop(self) -> None:
        """Let go of the folder; the next command serves it again."""
        if self._serving is not None:
            thread, loop, stop = self._serving
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            self._serving = None

    async def _serve(self, answers: "Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]", *, works: bool) -> None:
        stop = asyncio.Event()
        try:
            async with serving(EmbeddedSettings(data=self.path)) as installation:
                answers.set_result((asyncio.get_running_loop(), stop))
                await (run(installation, stop=stop) if works else stop.wait())
        except BaseException as failure:
            if answers.done():
                raise
            answers.set_exception(failure)
