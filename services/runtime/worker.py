"""A thread of one's own for work that blocks, so that the event loop never does."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Worker:
    """Does one piece of work after another; what is begun is ended, even when nobody waits for it any more."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a piece of work, after whatever is being done now."""
        running = asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args, **kwargs))
        running.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(running)

    def close(self) -> None:
        """End after the work in hand."""
        self._thread.shutdown(wait=True)
