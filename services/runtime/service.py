"""The loop that every service runs: follow its streams, do its chores, rest until a bell rings."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import ParamSpec, TypeVar

from domain.storing import Store, StoreConflict
from services.runtime.clock import Clock
from services.runtime.following import Feed, Follower

REST = 1.0
"""Seconds after which a service looks at its streams though no bell rang."""

LINGER = 0.02
"""Seconds between a ring and the look: what comes meanwhile goes into the same batch."""

P = ParamSpec("P")
T = TypeVar("T")


class Bell:
    """Wakes those who wait for something new in a log; a ring is never lost."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Event] = set()

    def waiter(self) -> asyncio.Event:
        """A place to wait at; it is set by each ring."""
        event = asyncio.Event()
        self._waiters.add(event)
        return event

    def ring(self) -> None:
        """Wake everybody."""
        for event in self._waiters:
            event.set()


class Service:
    """One store, the streams that feed it, and its chores, all in one thread of their own.

    A chore does a bounded piece of work that waits in the store, and says how much it did. `rest` and `linger` are in
    seconds.
    """

    def __init__(
        self,
        name: str,
        *,
        store: Store,
        clock: Clock,
        bell: Bell,
        feeds: Sequence[Feed] = (),
        chores: Sequence[Callable[[], int]] = (),
        rest: float = REST,
        linger: float = LINGER,
    ) -> None:
        self.name = name
        self.store = store
        self._bell = bell
        self._followers = [Follower(feed, store, clock) for feed in feeds]
        self._steps = [*(follower.step for follower in self._followers), *map(_repeatable, chores)]
        self._rest = rest
        self._linger = linger
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def run(self) -> None:
        """Work until cancelled. Raises `StoreFailed` when the store cannot work."""
        waiter = self._bell.waiter()
        while True:
            waiter.clear()
            if await self.call(self.step):
                self._bell.ring()
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(waiter.wait(), self._rest)
            await asyncio.sleep(self._linger)

    def step(self) -> int:
        """Take over what the streams have, and do the chores; how much there was."""
        return sum(step() for step in self._steps)

    def lag(self) -> int:
        """How far this service is behind its streams."""
        return sum(follower.lag() for follower in self._followers)

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a piece of work on the store, after whatever it does now."""
        running = asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args, **kwargs))
        running.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(running)

    def ring(self) -> None:
        """Tell everybody that there is something new."""
        self._bell.ring()

    def close(self) -> None:
        """End after the work in hand, and let go of the store."""
        self._thread.shutdown(wait=True)
        self.store.close()


def _repeatable(chore: Callable[[], int]) -> Callable[[], int]:
    def step() -> int:
        try:
            return chore()
        except StoreConflict:
            return 1

    return step
