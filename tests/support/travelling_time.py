"""An event loop without waiting: as soon as nothing is ready, time passes at once."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, Final, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Selector(selectors.DefaultSelector):
    """Waits only for what other threads do; a time to wait for has passed already."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.threads_at_work = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready."""
        if timeout is None or (self.threads_at_work and timeout > 0):
            return super().select(None)
        ready = super().select(0)
        self.now += 0 if ready else timeout
        return ready


class TravellingLoop(asyncio.SelectorEventLoop):
    """The event loop."""

    def __init__(self) -> None:
        self._travelling = _Selector()
        super().__init__(self._travelling)

    def time(self) -> float:
        """Seconds since the loop began."""
        return self._travelling.now

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Time stands still while a thread works."""
        working = super().run_in_executor(executor, func, *args)
        self._travelling.threads_at_work += 1
        working.add_done_callback(self._has_worked)
        return working

    def _has_worked(self, _: object) -> None:
        self._travelling.threads_at_work -= 1


TRAVELLING: Final[tuple[str, dict[str, Any]]] = ("asyncio", {"loop_factory": TravellingLoop})
"""What `anyio_backend` is for tests that anyio runs in no time."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run this to its end, in no time."""
    with asyncio.Runner(loop_factory=TravellingLoop) as runner:
        return runner.run(work)
