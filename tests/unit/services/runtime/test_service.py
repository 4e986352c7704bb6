import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path

import pytest

from domain.store import Position, StoreConflict, StoreFailed, Unit
from services.runtime.consumer import BATCH
from services.runtime.context import log_of
from services.runtime.service import Notifier, Service, Worker, WorkerClosed
from tests.support.hanging import HANGS
from tests.unit.services.runtime.consumer_stand import NOW, FollowingStand, Heard, raising

pytestmark = pytest.mark.anyio

NEVER = 3600.0
"""Seconds that no test waits for."""


class Looks:
    """A chore that finds nothing to do, and tells each time that it looked; `on_look` happens while it looks."""

    def __init__(self, on_look: Callable[[], None] = lambda: None) -> None:
        self._loop = asyncio.get_running_loop()
        self._seen: asyncio.Queue[str] = asyncio.Queue()
        self._on_look = on_look

    def __call__(self) -> int:
        self._loop.call_soon_threadsafe(self._on_look)
        self._loop.call_soon_threadsafe(self._seen.put_nowait, threading.current_thread().name)
        return 0

    @property
    def is_over(self) -> bool:
        """Whether there was no look since the last one that was waited for."""
        return self._seen.empty()

    async def next(self) -> str:
        """Wait for the next look; in which thread it was."""
        return await self._seen.get()


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[FollowingStand]:
    with closing(FollowingStand(tmp_path / "service.sqlite")) as stand:
        yield stand


def service(
    stand: FollowingStand,
    notifier: Notifier,
    *chores: Callable[[], int],
    rest: float = NEVER,
    on_stored: Callable[[Unit], None] = lambda _: None,
) -> Service:
    made = Service(
        "ears",
        store=stand.store,
        clock=lambda: NOW,
        notifier=notifier,
        handlers={"upstream.v1": stand.handle},
        chores=chores,
        on_stored=on_stored,
        rest=rest,
    )
    made.follow([stand.stream])
    return made


@asynccontextmanager
async def running(work: Service) -> AsyncIterator[asyncio.Task[None]]:
    async with asyncio.timeout(HANGS):
        task = asyncio.create_task(work.run())
        try:
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, StoreFailed):
                await task
            work.close()


async def test_a_service_consumes_what_its_streams_have_and_notifies_others(stand: FollowingStand) -> None:
    notifier = Notifier()
    told, looks = notifier.waiter(), Looks()
    stand.put("a", "b")
    async with running(service(stand, notifier, looks)) as task:
        await told.wait()
        await looks.next()
        assert not task.done()
        assert stand.heard == ["a", "b"]


async def test_only_news_of_its_own_log_and_of_those_that_it_consumes_wakes_a_service(stand: FollowingStand) -> None:
    notifier, looks = Notifier(), Looks()
    work = service(stand, notifier, looks)
    async with running(work):
        await looks.next()
        notifier.notify("other.v1")
        for _ in range(20):
            await work.call(lambda: None)
        assert looks.is_over
        for log in ("upstream.v1", log_of(stand.store.log.name), ""):
            notifier.notify(log)
            await looks.next()


async def test_a_fact_that_is_stored_wakes_others_before_the_chores_are_done(stand: FollowingStand) -> None:
    notifier, may_end = Notifier(), threading.Event()
    told = notifier.waiter()
    stand.put("a")
    stand.makes_facts = True
    async with running(service(stand, notifier, lambda: may_end.wait(20) and 0)):
        await told.wait()
        assert stand.heard == ["a"]
        may_end.set()


async def test_a_service_looks_once_at_what_has_come(stand: FollowingStand) -> None:
    looks: list[int] = []

    def look() -> int:
        looks.append(len(looks))
        return 0

    work = service(stand, Notifier(), look)
    stand.put("a")
    async with running(work):
        while stand.heard != ["a"]:
            await work.call(lambda: None)
        for _ in range(20):
            await work.call(lambda: None)
    assert looks == [0]


async def test_a_service_goes_on_at_once_while_something_is_left(stand: FollowingStand) -> None:
    drivers = [f"{number:04}" for number in range(2 * BATCH + 1)]
    stand.put(*drivers)
    stand.store.before = [raising(StoreConflict("another process was first"))]
    work = service(stand, Notifier())
    async with running(work):
        while len(stand.heard) < len(drivers):
            await work.call(lambda: None)
    assert stand.store.before == []


async def test_a_notification_wakes_a_service_that_rests(stand: FollowingStand) -> None:
    notifier, looks = Notifier(), Looks()
    async with running(service(stand, notifier, looks)):
        await looks.next()
        for driver in "abc":
            stand.put(driver)
            notifier.notify()
            while driver not in stand.heard:
                await looks.next()


async def test_a_notification_while_a_service_looks_makes_it_look_again(stand: FollowingStand) -> None:
    notifier = Notifier()
    looks = Looks(on_look=notifier.notify)
    async with running(service(stand, notifier, looks)):
        for _ in range(50):
            await looks.next()


async def test_a_service_looks_again_without_a_ring(stand: FollowingStand) -> None:
    looks = Looks()
    async with running(service(stand, Notifier(), looks, rest=0.0)):
        for _ in range(3):
            await looks.next()


async def test_a_chore_is_done_until_nothing_is_left(stand: FollowingStand) -> None:
    left, looks = [3, 2, 1], Looks()
    async with running(service(stand, Notifier(), lambda: left.pop() if left else 0, looks)):
        for _ in range(4):
            await looks.next()
        assert left == []


async def test_a_chore_that_meets_a_conflict_is_done_again(stand: FollowingStand) -> None:
    first, looks = [raising(StoreConflict("version 3 is taken"))], Looks()

    def chore() -> int:
        if first:
            first.pop()()
        return 0

    async with running(service(stand, Notifier(), chore, looks)):
        for _ in range(2):
            await looks.next()
        assert first == []


async def test_a_store_that_fails_ends_the_service(stand: FollowingStand) -> None:
    stand.store.before = [raising(StoreFailed("the disk is full"))]
    stand.put("a")
    async with running(service(stand, Notifier())) as task:
        with pytest.raises(StoreFailed, match="the disk is full"):
            await task


async def test_everything_on_one_store_happens_in_one_thread(stand: FollowingStand) -> None:
    looks = Looks()
    work = service(stand, Notifier(), looks)
    async with running(work):
        assert {await looks.next(), await work.call(lambda: threading.current_thread().name)} == {"ears_0"}


async def test_work_that_is_called_gives_what_it_gives(stand: FollowingStand) -> None:
    with closing(service(stand, Notifier())) as work:
        assert await work.call(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await work.call(divmod, 7, 0)


async def test_work_in_hand_ends_though_its_caller_was_cancelled(stand: FollowingStand) -> None:
    work = service(stand, Notifier())
    may_end, ended = threading.Event(), threading.Event()
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow() -> None:
        loop.call_soon_threadsafe(begun.set)
        may_end.wait(20)
        ended.set()

    calling = asyncio.create_task(work.call(slow))
    await begun.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    may_end.set()
    work.close()
    assert ended.is_set()


class Together:
    """What was done in one thread, and between what; the first time, nothing counts where it `fails`."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.done: list[str] = []
        self._fails = fails

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self.done.append("begin")
        yield
        self.done.append("end")
        if self._fails:
            raise self._fails

    async def do(self, *names: str) -> Sequence[object]:
        """Let these be done together, which come while another piece is done; what became of each."""
        may_begin = threading.Event()
        with closing(Worker("w", self)) as worker:
            work = [asyncio.create_task(worker.call(may_begin.wait, 20))]
            work += [asyncio.create_task(worker.call_together(self._do, name)) for name in names]
            await asyncio.sleep(0)
            may_begin.set()
            return (await asyncio.gather(*work, return_exceptions=True))[1:]

    def _do(self, name: str) -> bool:
        self.done.append(name)
        return bool(int(name))


async def test_what_waits_is_done_together_and_fails_alone() -> None:
    together = Together()
    first, second, third = await together.do("1", "no number", "0")
    assert together.done == ["begin", "1", "no number", "0", "end"]
    assert (first, type(second), third) == (True, ValueError, False)


async def test_what_was_done_together_counts_only_when_that_has_ended() -> None:
    failure = StoreFailed("the disk is full")
    assert await Together(failure).do("1", "no number") == [failure, failure]


async def test_a_closed_service_has_let_go_of_its_store(stand: FollowingStand) -> None:
    work = service(stand, Notifier())
    work.close()
    with pytest.raises(WorkerClosed):
        await work.call(lambda: None)
    assert stand.store._datastore.pool.closed


async def test_lag_is_that_of_all_streams(stand: FollowingStand) -> None:
    with closing(service(stand, Notifier())) as work:
        stand.put("a")
        assert work.lag() == stand.stream.end()
        work.step()
        assert work.lag() == 0


async def test_a_notification_reaches_all_who_wait() -> None:
    notifier = Notifier()
    waiters = [notifier.waiter() for _ in range(3)]
    notifier.notify()
    assert [waiter.is_set() for waiter in waiters] == [True, True, True]


async def test_a_service_that_announces_wakes_all_but_itself(stand: FollowingStand) -> None:
    notifier, looks = Notifier(), Looks()
    work, other = service(stand, notifier, looks), notifier.waiter()
    async with running(work):
        await looks.next()
        other.clear()
        work.announce()
        for _ in range(20):
            await work.call(lambda: None)
        assert other.is_set()
        assert looks.is_over


async def test_a_notification_before_the_waiting_is_not_lost() -> None:
    notifier = Notifier()
    waiter = notifier.waiter()
    notifier.notify()
    async with asyncio.timeout(HANGS):
        await waiter.wait()


async def test_a_notification_for_which_nothing_waits_does_no_harm() -> None:
    notifier = Notifier()
    notifier.notify()
    assert not notifier.waiter().is_set()


async def test_a_chore_that_fails_unexpectedly_ends_nothing(stand: FollowingStand) -> None:
    looks = Looks()
    async with running(service(stand, Notifier(), failing(OverflowError()), looks, rest=0.0)):
        await looks.next()
        await looks.next()


def test_a_chore_whose_store_fails_ends_the_service(stand: FollowingStand) -> None:
    with pytest.raises(StoreFailed):
        service(stand, Notifier(), failing(StoreFailed("the disk is full"))).step()


def told_of(stand: FollowingStand) -> list[tuple[list[str], bool]]:
    """Of each unit that a service says was stored: its drivers, and whether they are there by then."""
    told: list[tuple[list[str], bool]] = []

    def on_stored(unit: Unit) -> None:
        drivers = [row.driver for row in unit.rows.values() if isinstance(row, Heard)]
        told.append((drivers, set(drivers) <= set(stand.heard)))

    work = service(stand, Notifier(), on_stored=on_stored)
    while work.step():
        pass
    return told


def test_what_was_stored_is_said_right_after_its_commit(stand: FollowingStand) -> None:
    stand.put("a", "b")
    assert told_of(stand) == [(["a", "b"], True)]


def test_of_a_batch_with_a_bad_record_each_unit_that_was_stored_is_said(stand: FollowingStand) -> None:
    stand.failing = {"bad": ValueError("no")}
    stand.put("a", "bad", "b")
    assert told_of(stand) == [(["a"], True), ([], True), (["b"], True)]


def test_a_record_that_was_submitted_again_is_said_too(stand: FollowingStand) -> None:
    stand.failing = {"bad": ValueError("no")}
    stand.put("bad")
    stand.run()
    stand.failing = {}
    stand.submit(stand.letters[0])
    assert told_of(stand) == [(["bad"], True)]


def test_what_was_not_stored_is_not_said(stand: FollowingStand) -> None:
    last = stand.put("a")[-1]
    rival = Unit(positions=[Position(name=stand.stream.name, at=last)])

    def overtake() -> None:
        stand.store.commit(rival)

    stand.store.before = [raising(StoreConflict("version 3 is taken")), overtake]
    assert told_of(stand) == []


async def test_work_that_raises_stop_iteration_fails_and_does_not_hang() -> None:
    with closing(Worker("test")) as worker:
        async with asyncio.timeout(HANGS):
            with pytest.raises(RuntimeError, match="StopIteration"):
                await worker.call(next, iter(()))


def failing(failure: Exception) -> Callable[[], int]:
    def chore() -> int:
        raise failure

    return chore
