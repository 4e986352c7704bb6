"""A thread of one's own for work that blocks, so that the event loop never does."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, ParamSpec, TypeVar

from domain.storing import StoreFailed

P = ParamSpec("P")
T = TypeVar("T")


class WorkerClosed(StoreFailed):
    """No more work is done: the service lets go of everything, after a failure or because it is told to end."""

    part: ClassVar[str] = "process"

    def __init__(self) -> None:
        super().__init__("the service is closing; its log says why")


class Worker:
    """Does one piece of work after another; what is begun is ended, even when nobody waits for it any more."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._is_closed = False

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a piece of work, after whatever is being done now. Raises `WorkerClosed` after `close`."""
        if self._is_closed:
            raise WorkerClosed
        running = asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args, **kwargs))
        running.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(running)

    def close(self) -> None:
        """End after the work in hand."""
        self._is_closed = True
        self._thread.shutdown(wait=True)
