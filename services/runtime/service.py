"""The loop that every service runs: consume its streams, do its chores, rest until it is notified.

Work that blocks has a thread of its own, so that the event loop never blocks.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import ClassVar, ParamSpec, Protocol, TypeVar

from domain.store import Resubmission, Store, StoreConflict, StoreFailed, Stream, Unit
from services.runtime.consumer import BATCH, Consumer, Handler, OnStored, Subscription, ignore
from services.runtime.context import Clock, log_of, position_of
from services.runtime.isolation import Troubles

P = ParamSpec("P")
T = TypeVar("T")


class WorkerClosed(StoreFailed):
    """No more work is done: the service lets go of everything, after a failure or because it has to end."""

    part: ClassVar[str] = "process"

    def __init__(self) -> None:
        super().__init__("the service is closing; its log says why")


class Worker:
    """Does one piece of work after another; what is begun is ended, even if its caller was cancelled."""

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


REST = 1.0
"""Seconds after which a service looks at its streams though nothing notified it."""

_MOST_AGAIN = 4
"""Times that a command is done again because another process stored first."""


class Notifier:
    """Wakes what waits for something new in a log; a notification is never lost."""

    def __init__(self) -> None:
        self._waiters: dict[asyncio.Event, frozenset[str]] = {}

    def waiter(self, *logs: str) -> asyncio.Event:
        """An event that is set by each notification about one of these logs; without any, about every log."""
        event = asyncio.Event()
        self._waiters[event] = frozenset(logs)
        return event

    def notify(self, log: str = "", *, but: asyncio.Event | None = None) -> None:
        """Wake everything that waits for this log, without one for any, or all but one."""
        for event, logs in self._waiters.items():
            if event is not but and (not log or not logs or log in logs):
                event.set()


async def notified(waiter: asyncio.Event, seconds: float) -> bool:
    """Wait for a notification, at most for these seconds; whether there was one."""
    with suppress(TimeoutError):
        # Python 3.11's wait_for would miss being cancelled as it is notified.
        async with asyncio.timeout(seconds):
            return await waiter.wait()
    return False


class LeaderLock(Protocol):
    """A lock that one process has at a time, for what only one may do. Everything is called in one thread."""

    def take(self) -> bool:
        """Whether we have it now; if so, we keep it until the connection is lost. Raises `StoreFailed`."""
        ...

    def wait(self, seconds: float) -> None:
        """Return when something was committed, or after these seconds. Raises `StoreFailed` when it is lost."""
        ...

    def close(self) -> None:
        """Leave it to another process."""
        ...


class Service:
    """One store, the streams that it consumes, and its chores, all in one thread of their own.

    `handlers` say what is made of each log that is consumed, by its name; the streams may come and go. A chore does a
    bounded piece of work that waits in the store, and says how much it did. Of records for one `target` only those for
    this one are handled, where one is named. `on_stored` learns of what was stored of
    each batch, right after its commit. `rest` is in seconds.

    Nothing waits for a clock: a notification wakes the service, and what comes while it works is the next batch.
    """

    def __init__(
        self,
        name: str,
        *,
        store: Store,
        clock: Clock,
        notifier: Notifier,
        handlers: Mapping[str, Handler] | None = None,
        chores: Sequence[Callable[[], int]] = (),
        target: str = "",
        on_stored: OnStored = ignore,
        rest: float = REST,
    ) -> None:
        self.name = name
        self.store = store
        self._notifier = notifier
        self._log = log_of(store.log.name)
        self._clock = clock
        self._consumers: dict[str, Consumer] = {}
        self._subscriptions = {
            log: Subscription(handler=handler, target=target) for log, handler in (handlers or {}).items()
        }
        self._chores = [*map(_repeatable, chores)]
        self._on_stored = on_stored
        self._submissions = _repeatable(self._take_again)
        self._rest = rest
        self._worker = Worker(name)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiter: asyncio.Event | None = None
        self._has_more = False
        self.taken = 0

    async def run(self) -> None:
        """Work until cancelled. Raises `StoreFailed` when the store cannot work."""
        self._loop = asyncio.get_running_loop()
        self._waiter = waiter = self._notifier.waiter(self._log, *self._subscriptions)
        clock = self._loop.time
        rested_at = clock() - self._rest
        while True:
            waiter.clear()
            if clock() - rested_at >= self._rest:
                rested_at = clock()
                await self.call(self._catch_up)
            if await self.call(self._hurry):
                self.announce()
            if not self._has_more:
                await notified(waiter, self._rest)

    @property
    def consumes(self) -> tuple[str, ...]:
        """The logs that this service consumes, by name."""
        return tuple(self._subscriptions)

    def follow(self, streams: Iterable[Stream]) -> None:
        """Consume these streams too; their logs are consumed in the order in which the service names them."""
        for stream in streams:
            log = log_of(stream.name)
            if log not in self._consumers:
                self._consumers[log] = Consumer(
                    self._subscriptions[log],
                    self.store,
                    self._clock,
                    on_stored=self._stored,
                    is_ahead=self._on_stored is ignore,
                )
            self._consumers[log].follow(stream)
        self._consumers = {log: self._consumers[log] for log in self._subscriptions if log in self._consumers}

    def leave(self, names: Iterable[str]) -> None:
        """Stop consuming the streams of these names."""
        for name in names:
            if consumer := self._consumers.get(log_of(name)):
                consumer.leave(name)

    def has_reached(self, stream: str, position: int) -> bool:
        """Whether this stream is consumed, up to this position at least."""
        consumer = self._consumers.get(log_of(stream))
        return consumer is not None and consumer.has_reached(stream, position)

    def step(self) -> int:
        """Consume what the streams have and what was submitted again, and do the chores; how much there was."""
        return self._hurry() + self._catch_up()

    def _catch_up(self) -> int:
        """What need not be done at once: positions are stored, and what was submitted again is handled."""
        for consumer in self._consumers.values():
            consumer.settle()
        return self._submissions()

    def _hurry(self) -> int:
        done = sum(consumer.step() for consumer in self._consumers.values())
        chores_done = sum(chore() for chore in self._chores)
        # What comes after this look notifies us, so another one is only needed where this one left something.
        self._has_more = chores_done > 0 or any(consumer.has_more for consumer in self._consumers.values())
        self.taken += done + chores_done
        return done + chores_done

    def lag(self) -> int:
        """How far this service is behind its streams."""
        return sum(consumer.lag() for consumer in self._consumers.values())

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a piece of work on the store, after whatever it does now."""
        return await self._worker.call(work, *args, **kwargs)

    async def call_again(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `call`; done again if another process stores first. Raises `StoreConflict` after several times."""
        for _ in range(_MOST_AGAIN):
            with suppress(StoreConflict):
                return await self.call(work, *args, **kwargs)
        return await self.call(work, *args, **kwargs)

    def notify(self) -> None:
        """Notify that there is something new in our own log, or for us to do."""
        self._notifier.notify(self._log)

    def announce(self) -> None:
        """Notify all others that there is something new in our own log; this service itself need not look."""
        self._notifier.notify(self._log, but=self._waiter)

    def _stored(self, unit: Unit) -> None:
        """Wake those who read our log at once, and not only when everything else is done."""
        if unit.events and self._loop:
            self._loop.call_soon_threadsafe(self.announce)
        self._on_stored(unit)

    def _take_again(self) -> int:
        """Handle the dead letters of the consumed streams that were submitted again, also those of former epochs."""
        consumed = {position_of(name) for consumer in self._consumers.values() for name in consumer.streams}
        submitted = [str(stream) for (stream,) in self.store.count(Resubmission, by=["stream"])]
        where = {"stream": [stream for stream in submitted if position_of(stream) in consumed]}
        rows = self.store.select(Resubmission, where, order_by="position", limit=BATCH) if where["stream"] else []
        for row in rows:
            self._consumers[log_of(row.stream)].take_again(row)
        return len(rows)

    def close(self) -> None:
        """End after the work in hand, and let go of the store."""
        self._worker.close()
        self.store.close()


def _repeatable(chore: Callable[[], int]) -> Callable[[], int]:
    troubles = Troubles()

    def step() -> int:
        try:
            done = chore()
        except StoreConflict:
            return 1
        except StoreFailed:
            raise
        except Exception as failure:  # noqa: BLE001 - a piece of work that cannot be done does not end the others
            troubles.met("chore fails unexpectedly", type(failure).__name__)
            return 0
        troubles.are_over()
        return done

    return step
