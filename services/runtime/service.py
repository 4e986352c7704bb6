"""The loop that every service runs: consume its streams, do its chores, rest until it is notified.

Work that blocks has a thread of its own, so that the event loop never blocks. What goes wrong for one account, or in
one piece of work, ends there: it is logged, and everything else goes on.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar, Generic, ParamSpec, Protocol, TypeVar
from uuid import NAMESPACE_OID, uuid5

import structlog

from domain.failures import CallFailure, Reason, Unavailable, doubled, spread
from domain.store import Resubmission, Row, Store, StoreConflict, StoreFailed, Stream, Unit
from services.runtime.consumer import BATCH, Consumer, Handler, OnStored, Subscription, ignore
from services.runtime.context import Clock, log_of, position_of

P = ParamSpec("P")
T = TypeVar("T")


class WorkerClosed(StoreFailed):
    """No more work is done: the service lets go of everything, after a failure or because it has to end."""

    part: ClassVar[str] = "process"

    def __init__(self) -> None:
        super().__init__("the service is closing; its log says why")


@dataclass(slots=True)
class _Piece(Generic[T]):
    """A piece of work that is done together with others: what came of it counts when they have all ended."""

    work: Callable[[], T]
    done: Future[T]
    outcome: Callable[[], None] = lambda: None

    def do(self) -> None:
        """Do it, and keep what comes of it to ourselves."""
        try:
            self.outcome = partial(self.done.set_result, _without_stop(self.work))
        except BaseException as failure:  # noqa: BLE001 - raised where it is awaited
            self.outcome = partial(self.done.set_exception, failure)


_MOST_TOGETHER = 100
"""Pieces of work that are done together: what else waits goes on after them."""


class Worker:
    """Does one piece of work after another; what is begun is ended, even if its caller was cancelled.

    Pieces that may be done `together` are, with all of them that have come by then, and count when that has ended.
    """

    def __init__(self, name: str, together: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._together = together
        self._waiting = deque[_Piece[Any]]()
        self._is_closed = False

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a piece of work, after whatever is being done now. Raises `WorkerClosed` after `close`."""
        return await _ended(self._begin(partial(work, *args, **kwargs)))

    async def call_together(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a piece of work together with others. Raises what `call` raises, and `StoreFailed`."""
        done = Future[T]()
        self._waiting.append(_Piece(partial(work, *args, **kwargs), done))
        self._begin(self._do_waiting)
        return await _ended(asyncio.wrap_future(done))

    def _begin(self, work: Callable[[], T]) -> asyncio.Future[T]:
        if self._is_closed:
            raise WorkerClosed
        return asyncio.get_running_loop().run_in_executor(self._thread, _without_stop, work)

    def _do_waiting(self) -> None:
        if not self._waiting:
            return
        pieces = list[_Piece[Any]]()
        try:
            with self._together():
                while self._waiting and len(pieces) < _MOST_TOGETHER:
                    pieces.append(self._waiting.popleft())
                    pieces[-1].do()
        except BaseException as failure:  # noqa: BLE001 - raised where the pieces are awaited
            for piece in pieces:
                piece.done.set_exception(failure)
        else:
            for piece in pieces:
                piece.outcome()

    def close(self) -> None:
        """End after the work in hand."""
        self._is_closed = True
        self._thread.shutdown(wait=True)


def _without_stop(work: Callable[[], T]) -> T:
    """Do a piece of work; a `StopIteration` is a mistake, with which asyncio would let the caller wait for ever."""
    try:
        return work()
    except StopIteration as stop:
        raise RuntimeError("work has raised StopIteration") from stop


async def _ended(running: asyncio.Future[T]) -> T:
    """What a piece of work comes to; it goes on when its caller is cancelled."""
    running.add_done_callback(lambda done: done.cancelled() or done.exception())
    return await asyncio.shield(running)


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


_log = structlog.get_logger()


@contextmanager
def own_trouble(event: str, **named: str) -> Iterator[None]:
    """Log whatever fails in here, and let it end nothing else. Raises `StoreFailed`: only that ends a process.

    A `StoreConflict` only means that the account has gone to another process meanwhile.
    """
    try:
        yield
    except StoreConflict:
        return
    except StoreFailed:
        raise
    except Exception:  # noqa: BLE001 - one account's trouble is its own, whatever it is
        _log.exception(event, **named)


async def stored_anyhow(store: Callable[[CallFailure], Awaitable[T]], failure: CallFailure) -> T:
    """Store what a failure leads to; where its own words cannot be stored, that something unexpected has happened.

    Raises `StoreFailed`, `StoreConflict`, and what the second try raises.
    """
    try:
        return await store(failure)
    except (StoreFailed, StoreConflict):
        raise
    except Exception as unexpected:  # noqa: BLE001 - the same
        _log.exception("failure cannot be stored", reason=str(failure.reason))
        return await store(unexpected_failure(unexpected))


def unexpected_failure(failure: Exception) -> Unavailable:
    """What is recorded of an unforeseen failure: its kind, and nothing that it quotes."""
    return Unavailable(reason=Reason.DOWN, detail=f"unexpected {type(failure).__name__}")


class Troubles:
    """What was logged last of work that goes on in spite of trouble; each line names `named`."""

    def __init__(self, **named: str) -> None:
        self._named = named
        self._last = ""

    def met(self, event: str, trouble: str) -> None:
        """There is this trouble, still or again."""
        if trouble != self._last:
            _log.warning(event, trouble=trouble, **self._named)
        self._last = trouble

    def are_over(self) -> None:
        """What there was is over."""
        if self._last:
            _log.warning("trouble is over", trouble=self._last, **self._named)
        self._last = ""


class AccountWork(Protocol):
    """A row of work that is done for one account."""

    TABLE: ClassVar[str]

    @property
    def account(self) -> str:
        """The account that it is done for."""
        ...


W = TypeVar("W", bound=AccountWork)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failed:
    """Work that failed `tries` times in a row, and is not done again before a moment."""

    tries: int
    not_before: datetime
    wait: timedelta


class Backoff:
    """Work of one account that failed: it is logged, and left alone for a while; all other accounts go on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failed: dict[tuple[str, str], _Failed] = {}

    def has_to_wait(self, kind: type[Row], account: str) -> bool:
        """Whether this work of the account has to wait."""
        failed, now = self._failed.get((kind.TABLE, account)), self._clock()
        # A moment further ahead than the wait is from a clock that was wrong.
        return failed is not None and now < failed.not_before <= now + failed.wait

    def is_any_left(self, kind: type[Row]) -> bool:
        """Whether any account's work of this kind is left to be done again."""
        return any(table == kind.TABLE for table, _ in self._failed)

    def confine(self, rows: Sequence[W], work: Callable[[Sequence[W]], int]) -> int:
        """Do this work, and where it fails, that of each account alone; how much there was.

        Raises `StoreFailed` and `StoreConflict`.
        """
        table, accounts = rows[0].TABLE, sorted({row.account for row in rows})
        try:
            done = work(rows)
        except (StoreConflict, StoreFailed):
            raise
        except Exception as failure:  # noqa: BLE001 - one account's trouble is its own, whatever it is
            if len(accounts) > 1:
                return sum(self.confine([row for row in rows if row.account == each], work) for each in accounts)
            (account,) = accounts
            former = self._failed.get((table, account))
            tries = former.tries if former else 0
            wait = timedelta(seconds=spread(doubled(tries), uuid5(NAMESPACE_OID, f"{table}/{account}"), tries))
            self._failed[table, account] = _Failed(tries=tries + 1, not_before=self._clock() + wait, wait=wait)
            _log.error("work fails unexpectedly", account=account, work=table, trouble=type(failure).__name__)
            return 1
        for account in accounts:
            self._failed.pop((table, account), None)
        return done


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
        self._worker = Worker(name, store.together)
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

    def on(self, store: Store) -> "Service":
        """The same service, as far as others call it, on another store, such as one that holds back what is stored."""
        other = copy(self)
        other.store = store
        return other

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
        """As `call`, in one transaction with all that waits to be called so, as far as the store can.

        Done again if another process stores first. Raises `StoreConflict` after several times.
        """
        for _ in range(_MOST_AGAIN):
            with suppress(StoreConflict):
                return await self._worker.call_together(work, *args, **kwargs)
        return await self._worker.call_together(work, *args, **kwargs)

    def notify(self) -> None:
        """Notify that there is something new in our own log, or for us to do."""
        self._notifier.notify(self._log)

    def waiter(self) -> asyncio.Event:
        """An event that is set by each notification of this process, about whatever log."""
        return self._notifier.waiter()

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
