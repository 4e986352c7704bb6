"""What comes with a partition is taken up in order, and what goes with it is ended before it is let go."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.store.sqlite import SqliteStore
from domain.store import Position, StoreConflict, Unit
from services.runtime.consumer import MOST_AHEAD
from services.runtime.context import ACCOUNTS, CHANGES, Assignment
from services.runtime.partitions import Partitions
from services.runtime.service import Notifier, Service
from tests.support.stream_in_memory import StreamInMemory
from tests.support.travelling_time import run

NOW = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


class Stand:
    """A service for accounts named by their partition; what happens is recorded in order."""

    def __init__(self, path: Path) -> None:
        self.told: list[str] = []
        self.lost: set[int] = set()
        self.is_conflicting = False
        told, lost = self.told, self.lost

        class Owned(SqliteStore):
            def own(self, partitions: Collection[int]) -> None:
                told.append(f"own {sorted(partitions)}")

            def disown(self, partitions: Collection[int]) -> None:
                told.append(f"disown {sorted(partitions)}")

            def lost(self) -> Collection[int]:
                return lost

        self.store = Owned(path, log_name="x.v1", rows=())
        handlers = {ACCOUNTS: lambda _: Unit(), CHANGES: lambda _: Unit()}
        self.service = Service("x", store=self.store, clock=lambda: NOW, notifier=Notifier(), handlers=handlers)
        self.share = Assignment(int, held=())
        self.streams: list[Opened] = []
        self.partitions = Partitions(self.service, self.store, self.share, resume=self._resume, drain=self._drain)

    @property
    def held(self) -> list[int]:
        """The partitions whose accounts are worked for."""
        return [each for each in range(9) if self.share.has(str(each))]

    async def _resume(self) -> None:
        self.told.append(f"resume {self.held}")
        if self.is_conflicting:
            raise StoreConflict("another process owns the partitions 3")

    async def _drain(self) -> None:
        self.told.append(f"drain {self.held}")

    def assign(self, *numbers: int) -> dict[str, int]:
        """The process gets these partitions; where each stream goes on."""
        self.streams = streams(*numbers)
        return dict(asyncio.run(self.partitions.assigned(self.streams)))

    def take_over(self) -> None:
        """Everything is read, and the process looks whether it is."""
        while self.service.step():
            pass
        run(look_only(self))

    def revoke(self, *numbers: int) -> None:
        asyncio.run(self.partitions.revoked([each.name for each in streams(*numbers)]))


class Opened(StreamInMemory):
    """A stream that ends at its end."""

    @property
    def first_end(self) -> int | None:
        return self.end()

    @first_end.setter
    def first_end(self, _: int | None) -> None:
        raise NotImplementedError


def streams(*numbers: int) -> list[Opened]:
    return [Opened(f"1/{log}/{number}") for number in numbers for log in (ACCOUNTS, CHANGES)]


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path / "x.sqlite")
    with closing(made.service):
        yield made


def test_a_partition_is_owned_before_its_work_is_taken_up(stand: Stand) -> None:
    stand.assign(3, 5)
    assert (stand.partitions.held, stand.held) == (2, [])
    stand.take_over()
    assert stand.told == ["own [3, 5]", "resume [3, 5]"]
    assert stand.held == [3, 5]


def test_no_work_begins_before_everything_is_consumed(stand: Stand) -> None:
    async def watch() -> list[list[int]]:
        held = []
        looking = asyncio.create_task(stand.partitions.run())
        for _ in range(2):
            await asyncio.sleep(1)
            held.append(stand.held)
            stand.service.step()
        await asyncio.sleep(1)
        looking.cancel()
        return [*held, stand.held]

    stand.assign(3)
    for _ in range(MOST_AHEAD + 1):
        stand.streams[1].put_record("x", b"{}")
    assert run(watch()) == [[], [], [3]]


async def look_only(stand: Stand) -> None:
    looking = asyncio.create_task(stand.partitions.run())
    await asyncio.sleep(1)
    looking.cancel()


def test_a_stream_goes_on_from_the_stored_position(stand: Stand) -> None:
    stand.store.commit(Unit(positions=[Position(name=f"1/{CHANGES}/3", at=42)]))
    assert stand.assign(3) == {f"1/{ACCOUNTS}/3": 0, f"1/{CHANGES}/3": 42}


def test_work_for_a_partition_ends_before_it_is_let_go(stand: Stand) -> None:
    stand.assign(3, 5)
    stand.take_over()
    stand.told.clear()
    stand.revoke(3)
    assert stand.told == ["drain [5]", "disown [3]"]
    assert (stand.partitions.held, stand.held) == (1, [5])


def test_what_is_held_already_is_not_opened_again(stand: Stand) -> None:
    stand.assign(3)
    stand.told.clear()
    stand.assign(3, 5)
    stand.take_over()
    assert stand.told == ["own [5]", "resume [3, 5]"]


def test_a_stream_that_was_let_go_is_followed_no_more(stand: Stand) -> None:
    stand.assign(3, 5)
    stand.revoke(3, 5)
    assert (stand.held, stand.service.lag(), stand.service.step()) == ([], 0, 0)


def test_a_partition_comes_back_after_it_was_let_go(stand: Stand) -> None:
    stand.assign(3)
    stand.revoke(3)
    stand.told.clear()
    stand.assign(3)
    stand.take_over()
    assert stand.told == ["own [3]", "resume [3]"]


def test_a_stream_of_which_nothing_has_to_be_read_begins_at_the_given_position(stand: Stand) -> None:
    stand.assign(3)
    stand.service.step()
    stand.streams[1].put_record("gone", b"{}")
    begin = stand.streams[1].end()
    asyncio.run(stand.partitions.begins({f"1/{CHANGES}/3": begin}))
    stand.take_over()
    assert stand.store.position(f"1/{CHANGES}/3") == begin
    assert stand.held == [3]
    assert stand.service.taken == 0


def test_a_stream_that_has_gone_by_now_begins_nowhere(stand: Stand) -> None:
    stand.assign(3)
    stand.revoke(3)
    asyncio.run(stand.partitions.begins({f"1/{CHANGES}/3": 7}))
    assert stand.partitions.held == 0
    assert not stand.service.has_reached(f"1/{CHANGES}/3", 0)


def test_a_partition_that_another_process_has_by_now_is_left_to_it(stand: Stand) -> None:
    def lost(_: Unit) -> bool:
        raise StoreConflict("somebody else has taken over the partitions 3")

    stand.assign(3)
    stand.store.commit = lost  # type: ignore[method-assign, assignment] # as a zombie's store does
    asyncio.run(stand.partitions.begins({f"1/{CHANGES}/3": 7}))
    assert stand.store.position(f"1/{CHANGES}/3") == 0


@asynccontextmanager
async def assigned(stand: Stand, *, is_consumed: bool = True) -> AsyncIterator[None]:
    """The process has two partitions, and looks on."""
    opened = streams(3, 5)
    if not is_consumed:
        opened[0].put_record("x", b"{}")
    await stand.partitions.assigned(opened)
    if is_consumed:
        stand.service.step()
    looking = asyncio.create_task(stand.partitions.run())
    await asyncio.sleep(1)
    stand.told.clear()
    yield
    assert not looking.done()
    looking.cancel()


def test_what_another_process_owned_too_late_is_owned_again(stand: Stand) -> None:
    async def lose() -> None:
        async with assigned(stand):
            stand.lost.add(3)
            await asyncio.sleep(5)
            assert (stand.told, stand.held) == ([], [3, 5])
            await asyncio.sleep(5)
            stand.service.step()
            await asyncio.sleep(1)

    run(lose())
    assert (stand.told, stand.held) == (["drain []", "own [3, 5]", "resume [3, 5]"], [3, 5])


def test_what_was_lost_before_everything_was_consumed_is_owned_again(stand: Stand) -> None:
    async def lose() -> None:
        async with assigned(stand, is_consumed=False):
            stand.lost.add(3)
            await asyncio.sleep(11)
            assert (stand.told, stand.held) == (["drain []", "own [3, 5]"], [])
            stand.lost.clear()
            stand.service.step()
            await asyncio.sleep(1)

    run(lose())
    assert stand.told == ["drain []", "own [3, 5]", "resume [3, 5]"]


def test_another_owner_for_a_moment_changes_nothing(stand: Stand) -> None:
    async def lose() -> None:
        async with assigned(stand):
            for _ in range(3):
                stand.lost.add(3)
                await asyncio.sleep(5)
                stand.lost.clear()
                await asyncio.sleep(5)

    run(lose())
    assert stand.told == []


def test_what_kafka_takes_away_is_not_owned_again(stand: Stand) -> None:
    async def lose() -> None:
        async with assigned(stand):
            stand.lost.add(3)
            await asyncio.sleep(5)
            await stand.partitions.revoked([each.name for each in streams(3, 5)])
            await asyncio.sleep(20)

    run(lose())
    assert stand.told == ["drain []", "disown [3, 5]"]


def test_a_process_that_loses_its_partitions_as_it_begins_goes_on(stand: Stand) -> None:
    async def lose() -> None:
        stand.is_conflicting = True
        async with assigned(stand):
            stand.is_conflicting = False
            stand.lost.add(3)
            await asyncio.sleep(10)
            stand.service.step()
            await asyncio.sleep(1)

    run(lose())
    assert stand.told == ["drain []", "own [3, 5]", "resume [3, 5]"]
