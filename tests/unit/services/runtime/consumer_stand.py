"""A follower between a stream and a store that can be made to fail."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from eventsourcing.persistence import StoredEvent

from adapters.events import new_mapper
from adapters.store.sqlite import SqliteStore
from domain.identity import AccountId, PortalDriverId, portal_driver_stream
from domain.portal import Change, DriverCreated
from domain.store import DeadLetter, Event, Resubmission, Row, Unit
from services.runtime.consumer import Consumer, Subscription
from tests.contract.stands import fact
from tests.support.stream_in_memory import StreamInMemory

NOW = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard(Row):
    """That a fact about a driver was taken over."""

    TABLE: ClassVar[str] = "heard"
    KEY: ClassVar[tuple[str, ...]] = ("position",)

    position: int
    driver: str
    version: int


class UnsteadyStore(SqliteStore):
    """Does something else before it commits, once for each entry of `before`, and counts what it committed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, log_name="heard.v1", rows=[Heard])
        self.before: list[Callable[[], None]] = []
        self.committed = 0

    def commit(self, unit: Unit) -> bool:
        """Commit, unless something else comes first that fails."""
        if self.before:
            self.before.pop(0)()
        done = super().commit(unit)
        self.committed += done
        return done


class FollowingStand:
    """Stores every fact that it consumes; fails on the drivers, or versions of theirs, that are in `failing`.

    What it makes of the drivers in `odd`, no store can hold. Where it `makes_facts`, it stores those too.
    """

    def __init__(self, path: Path, *, is_in_place: bool = False, target: str = "") -> None:
        self._target = target
        self.stream = StreamInMemory("upstream.v1/0" if is_in_place else "1/upstream.v1/0")
        self.store = UnsteadyStore(path)
        self.failing: dict[str | tuple[str, int], Exception] = {}
        self.odd: set[str] = set()
        self.makes_facts = False
        self.handled: list[list[str]] = []
        self.taken: list[tuple[str, int]] = []
        self.now = NOW
        self.follower = self.new_follower()

    def new_follower(self) -> Consumer:
        """A follower that has just started."""
        follower = Consumer(Subscription(handler=self.handle, target=self._target), self.store, lambda: self.now)
        follower.follow(self.stream)
        return follower

    def tell(self, *told: tuple[str, int]) -> None:
        """Append facts: the driver, and the version of its history."""
        self.stream.put([fact(driver, version) for driver, version in told])

    def tell_broken(self, driver: str, version: int) -> None:
        """Append a fact that cannot be read."""
        self.stream._append(replace(_stored(driver, version), state=b"{}"))

    def put(self, *drivers: str) -> list[int]:
        """Append a fact about each of these drivers; where they are."""
        before = self.stream.end()
        self.stream.put([created(driver) for driver in drivers])
        return [record.position for record in self.stream.read(before, len(drivers))]

    def handle(self, events: Sequence[tuple[int, Event]]) -> Unit:
        """What follows from a batch."""
        facts = [(position, event) for position, event in events if isinstance(event, Change)]
        self.handled.append([event.driver for _, event in facts])
        unit = Unit()
        for position, event in facts:
            self._fail(event)
            name = "\ud800" if event.driver in self.odd else event.driver
            unit.keep([Heard(position=position, driver=name, version=event.originator_version)])
        unit.events += [event for _, event in facts if self.makes_facts]
        self.taken += [(event.driver, event.originator_version) for _, event in facts]
        return unit

    def submit(self, letter: DeadLetter, **mended: str | int) -> Resubmission:
        """Submit a dead letter again, mended or as it was."""
        places = ("stream", "position", "log_position", "id", "topic", "body")
        submitted = Resubmission(**{place: getattr(letter, place) for place in places} | mended)
        unit = Unit()
        unit.keep([submitted])
        self.store.commit(unit)
        return submitted

    def _fail(self, event: Change) -> None:
        for name in (event.driver, (event.driver, event.originator_version)):
            if name in self.failing:
                raise self.failing[name]

    @property
    def heard(self) -> list[str]:
        """The drivers that were taken over, in order."""
        return [row.driver for row in self.store.select(Heard, order_by="position")]

    @property
    def told(self) -> list[tuple[str, int]]:
        """What was taken over, by the positions: the driver, and the version of its history."""
        return [(row.driver, row.version) for row in self.store.select(Heard, order_by="position")]

    @property
    def watermark(self) -> int:
        """The place in the log up to which everything was consumed."""
        return self.store.position("upstream.v1/0")

    @property
    def letters(self) -> list[DeadLetter]:
        """The dead letters, in order."""
        return self.store.select(DeadLetter, order_by="position")

    @property
    def submitted(self) -> list[Resubmission]:
        """What was submitted again and not looked at yet, in order."""
        return self.store.select(Resubmission, order_by="position")

    @property
    def position(self) -> int:
        """How far the stream is taken over."""
        return self.store.position(self.stream.name)

    def run(self) -> None:
        """Follow until nothing is left."""
        while self.follower.step():
            pass
        self.follower.settle()

    def close(self) -> None:
        """Let go of the file."""
        self.store.close()


def readable(driver: str, version: int) -> str:
    """The bytes of a fact, as a dead letter holds them."""
    return b64encode(_stored(driver, version).state).decode()


def created(driver: str) -> DriverCreated:
    """The first fact about a driver."""
    account = AccountId("acme")
    return DriverCreated(
        originator_id=portal_driver_stream(account, PortalDriverId(driver)),
        originator_version=1,
        at=NOW,
        account=account,
        driver=driver,
        source="export",
        profile={"first_name": "Jane", "last_name": "Doe"},
    )


def _stored(driver: str, version: int) -> StoredEvent:
    return new_mapper().to_stored_event(fact(driver, version))


def raising(failure: Exception) -> Callable[[], None]:
    """Something that fails in this way."""

    def fail() -> None:
        raise failure

    return fail
