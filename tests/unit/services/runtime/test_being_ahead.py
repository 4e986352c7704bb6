"""A batch is handled while the one before it is being stored, and is handled again where that one is not."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from domain.store import Commit, DeadLetter, Event, Position, StoreConflict, StoreFailed, Unit
from services.runtime.caching import CachingStore
from services.runtime.consumer import BATCH, MOST_AHEAD, Consumer, Subscription
from tests.contract.stands import fact
from tests.support.stream_in_memory import StreamInMemory
from tests.unit.services.runtime.consumer_stand import NOW, Heard, UnsteadyStore, raising

DRIVERS = [f"d{number:04}" for number in range(3 * BATCH)]
FIRST, SECOND, THIRD = (DRIVERS[start : start + BATCH] for start in range(0, len(DRIVERS), BATCH))


class SlowStore(UnsteadyStore):
    """What it begins to store is stored when its end is awaited; fails there once for each entry of `ending`."""

    def __init__(self, path: Path, told: list[str]) -> None:
        super().__init__(path)
        self.ending: list[Callable[[], None]] = []
        self._told = told

    def begin(self, unit: Unit) -> Commit:
        commit = super().begin(unit)
        self._told.append("begin")

        def end() -> bool:
            self._told.append("end")
            if self.ending:
                self.ending.pop(0)()
            return commit()

        return end


class Stand:
    """A consumer that stores every fact; `told` is what happens, in order."""

    def __init__(self, path: Path) -> None:
        self.told: list[str] = []
        self.odd = ""
        self.stream = StreamInMemory("1/upstream.v1/0")
        self.store = SlowStore(path, self.told)
        self.caching = CachingStore(self.store, [Heard])
        self.consumer = Consumer(
            Subscription(handler=self.handle),
            self.caching,
            lambda: NOW,
            on_stored=lambda unit: self.told.append(f"stored {len(unit.rows)}"),
            is_ahead=True,
        )
        self.consumer.follow(self.stream)
        self.reads: Callable[[int], object] = lambda _: None

    def handle(self, events: Sequence[tuple[int, Event]]) -> Unit:
        """One row for each fact; of a driver who is odd no store can hold it."""
        self.told.append(f"handle {len(events)}")
        self.reads(events[0][0])
        unit = Unit()
        for position, event in events:
            driver = str(vars(event)["driver"])
            name = "\ud800" if driver == self.odd else driver
            unit.keep([Heard(position=position, driver=name, version=1)])
        return unit

    def tell(self, drivers: Sequence[str]) -> None:
        self.stream.put([fact(driver) for driver in drivers])

    @property
    def positions(self) -> list[int]:
        return [record.position for record in self.stream.read(0, 10_000)]

    @property
    def heard(self) -> list[str]:
        return [row.driver for row in self.store.select(Heard, order_by="position")]


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    stand = Stand(tmp_path / "ahead.sqlite")
    with closing(stand.store):
        yield stand


def test_a_batch_is_handled_while_the_one_before_it_is_stored(stand: Stand) -> None:
    stand.tell([*FIRST, *SECOND, "last"])
    assert stand.consumer.step() == 2 * BATCH + 1
    whole = [f"handle {BATCH}", "begin"]
    ends = ["end", f"stored {BATCH}"]
    assert stand.told == [*whole, f"handle {BATCH}", *ends, "begin", "handle 1", *ends, "begin", "end", "stored 1"]
    assert stand.heard == [*FIRST, *SECOND, "last"]
    assert stand.store.position(stand.stream.name) == stand.stream.end()


def test_the_other_work_has_its_turn_after_some_batches(stand: Stand) -> None:
    stand.tell([*DRIVERS, *DRIVERS])
    assert stand.consumer.step() == MOST_AHEAD
    assert len(stand.heard) == MOST_AHEAD


def test_nothing_counts_as_consumed_that_is_under_way(stand: Stand) -> None:
    reached = list[bool]()
    stand.reads = lambda _: reached.append(stand.consumer.has_reached(stand.stream.name, 1))
    stand.tell([*FIRST, "last"])
    stand.consumer.step()
    assert reached == [False, False]
    assert stand.consumer.has_reached(stand.stream.name, stand.stream.end())


@pytest.mark.parametrize("what", ["a conflict", "reached already"])
def test_what_followed_from_a_batch_that_is_not_stored_is_decided_again(stand: Stand, what: str) -> None:
    def meanwhile() -> None:
        if what == "a conflict":
            raise StoreConflict("another process")
        stand.store.commit(Unit(positions=[Position(name=stand.stream.name, at=stand.positions[BATCH - 1])]))

    stand.store.ending = [meanwhile]
    stand.tell([*FIRST, *SECOND, "last"])
    while stand.consumer.step():
        pass
    expected = [*FIRST, *SECOND, "last"]
    assert stand.heard == (expected if what == "a conflict" else expected[BATCH:])
    assert stand.store.position(stand.stream.name) == stand.stream.end()


def test_a_store_that_fails_at_the_end_loses_and_doubles_nothing(stand: Stand) -> None:
    stand.store.ending = [raising(StoreFailed("the server is away"))]
    stand.tell([*FIRST, *SECOND])
    with pytest.raises(StoreFailed):
        stand.consumer.step()
    assert stand.heard == []
    while stand.consumer.step():
        pass
    assert stand.heard == [*FIRST, *SECOND]


def test_what_no_store_can_hold_becomes_a_dead_letter_alone(stand: Stand) -> None:
    stand.odd = FIRST[7]
    stand.tell([*FIRST, *SECOND, "last"])
    while stand.consumer.step():
        pass
    assert stand.heard == [each for each in (*FIRST, *SECOND, "last") if each != FIRST[7]]
    assert [letter.position for letter in stand.store.select(DeadLetter)] == [stand.positions[7]]


def test_memory_answers_what_is_under_way(stand: Stand) -> None:
    found = list[list[Heard]]()
    stand.tell([*FIRST, "last"])
    last_of_first = stand.positions[BATCH - 1]
    stand.reads = lambda _: found.append(stand.caching.select(Heard, {"position": [last_of_first]}))
    stand.consumer.step()
    assert found == [[], [Heard(position=last_of_first, driver=FIRST[-1], version=1)]]
    assert stand.told.index("handle 1") < stand.told.index("end")


def test_what_memory_cannot_answer_waits_for_what_is_under_way(stand: Stand) -> None:
    found = list[int]()
    stand.reads = lambda _: found.append(len(stand.caching.select(Heard, order_by="position")))
    stand.tell([*FIRST, "last"])
    stand.consumer.step()
    assert found == [0, BATCH]


def test_reading_behind_what_was_not_stored_decides_nothing(stand: Stand) -> None:
    stand.reads = lambda _: stand.caching.count(Heard)
    stand.store.ending = [raising(StoreConflict("another process"))]
    stand.tell([*FIRST, "last"])
    while stand.consumer.step():
        pass
    assert stand.heard == [*FIRST, "last"]
