"""A follower between a stream and a store that can be made to fail."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from adapters.store.sqlite import SqliteStore
from domain.event import Event
from domain.identity import AccountId, PortalDriverId, portal_driver_stream
from domain.portal import DriverCreated
from domain.storing import DeadLetter, Row, Unit
from services.runtime.following import Feed, Follower
from tests.support.stream_in_memory import StreamInMemory

NOW = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard(Row):
    """That a fact about a driver was taken over."""

    TABLE: ClassVar[str] = "heard"
    KEY: ClassVar[tuple[str, ...]] = ("position",)

    position: int
    driver: str


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
    """Takes over every fact as heard; fails on the drivers in `failing`, and stores what no store can hold in `odd`."""

    def __init__(self, path: Path) -> None:
        self.stream = StreamInMemory()
        self.store = UnsteadyStore(path)
        self.failing: dict[str, Exception] = {}
        self.odd: set[str] = set()
        self.handled: list[list[str]] = []
        self.follower = self.new_follower()

    def new_follower(self) -> Follower:
        """A follower that has just started."""
        return Follower(Feed(stream=self.stream, handler=self.handle), self.store, lambda: NOW)

    def put(self, *drivers: str) -> list[int]:
        """Append a fact about each of these drivers; where they are."""
        before = self.stream.end()
        self.stream.put([created(driver) for driver in drivers])
        return [record.position for record in self.stream.read(before, len(drivers))]

    def handle(self, events: Sequence[tuple[int, Event]]) -> Unit:
        """What follows from a batch."""
        facts = [(position, event) for position, event in events if isinstance(event, DriverCreated)]
        self.handled.append([event.driver for _, event in facts])
        unit = Unit()
        for position, event in facts:
            if event.driver in self.failing:
                raise self.failing[event.driver]
            name = "\ud800" if event.driver in self.odd else event.driver
            unit.keep([Heard(position=position, driver=name)])
        return unit

    @property
    def heard(self) -> list[str]:
        """The drivers that were taken over, in order."""
        return [row.driver for row in self.store.select(Heard, order_by="position")]

    @property
    def letters(self) -> list[DeadLetter]:
        """The dead letters, in order."""
        return self.store.select(DeadLetter, order_by="position")

    @property
    def position(self) -> int:
        """How far the stream is taken over."""
        return self.store.position(self.stream.name)

    def run(self) -> None:
        """Follow until nothing is left."""
        while self.follower.step():
            pass

    def close(self) -> None:
        """Let go of the file."""
        self.store.close()


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


def raising(failure: Exception) -> Callable[[], None]:
    """Something that fails in this way."""

    def fail() -> None:
        raise failure

    return fail
