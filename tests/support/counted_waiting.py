"""An event loop that counts for how long there was nothing to do: on a busy machine as long as on a quiet one.

Where a promise says how long something is waited for, a test compares with this, never with the clock on the wall.
A test that is run by anyio has it by `anyio_backend` being `COUNTED`.
"""

import asyncio
import selectors
from time import monotonic
from typing import Any, Final


class _Selector(selectors.DefaultSelector):
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


class CountingLoop(asyncio.SelectorEventLoop):
    """The event loop."""

    def __init__(self) -> None:
        self._counting = _Selector()
        super().__init__(self._counting)

    @property
    def waited(self) -> float:
        """Seconds since the loop was made."""
        return self._counting.waited


COUNTED: Final[tuple[str, dict[str, Any]]] = ("asyncio", {"loop_factory": CountingLoop})


def waited() -> float:
    """For how many seconds the loop that runs has had nothing to do so far."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, CountingLoop)
    return loop.waited
