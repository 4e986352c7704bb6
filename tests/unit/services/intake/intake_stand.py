"""The intake service on a store of its own, and lists as the Portal gives them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from adapters.store.sqlite import SqliteStore
from domain.identity import AccountId, PortalDriverId
from domain.portal import PortalDriver, PortalDriverEvent, replay
from domain.ports import NO_ID, PortalLine
from domain.profile import StatedProfile
from domain.store import Event
from services.intake.handlers import Intake, Taken
from services.intake.read_models import KnownDriver, ReKeyingRow, SearchTerm, SnapshotDriver, to_portal_driver

ACCOUNT = AccountId("acme")
SOURCE = "export"


class IntakeStand:
    """Intake with a clock that moves on by a minute each time that it is asked."""

    def __init__(self, path: Path) -> None:
        self.store = SqliteStore(
            path, log_name="portal.driver-changes.v1", rows=(KnownDriver, SearchTerm, SnapshotDriver, ReKeyingRow)
        )
        self.intake = Intake(self.store, self._next_minute)
        self._now = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)

    @property
    def now(self) -> datetime:
        """What the clock said last."""
        return self._now

    def wait(self, time: timedelta) -> None:
        """Let so much time pass."""
        self._now += time

    def take(self, *drivers: PortalLine, snapshot: str | None = None) -> Taken:
        """Take over a list, or a part of a snapshot."""
        return self.intake.take_list(ACCOUNT, drivers, source=SOURCE, snapshot=snapshot)

    def finish(self, snapshot: str, *refused: PortalLine) -> dict[str, int]:
        """A snapshot was read to its end; how many of which facts followed."""
        return dict(self.intake.finish_snapshot(ACCOUNT, source=SOURCE, snapshot=snapshot, refused=refused).changes)

    def take_snapshot(self, snapshot: str, *drivers: PortalLine) -> dict[str, int]:
        """Take over a complete snapshot; how many of which facts its end added."""
        self.take(*drivers, snapshot=snapshot)
        return self.finish(snapshot)

    @property
    def facts(self) -> Sequence[PortalDriverEvent]:
        """Everything in the log."""
        events = (record.event for record in self.store.log.read(0, 10_000))
        return [event for event in events if isinstance(event, PortalDriverEvent)]

    @property
    def logged(self) -> list[str]:
        """Everything in the log, in words: the fact and its driver."""
        return [f"{type(event).__name__} {event.driver}" for event in self.facts]

    def known(self, driver: str) -> PortalDriver:
        """A driver as intake knows it."""
        (row,) = self.store.select(KnownDriver, {"account": str(ACCOUNT), "driver": driver})
        return to_portal_driver(row)

    def everybody(self) -> dict[str, PortalDriver]:
        """Every driver as intake knows it, those who are gone included."""
        return {row.driver: to_portal_driver(row) for row in self.store.select(KnownDriver)}

    def close(self) -> None:
        """Let go of the file."""
        self.store.close()

    def _next_minute(self) -> datetime:
        self._now += timedelta(minutes=1)
        return self._now


def line(driver: str | None = None, *, ref: str = "", name: str = "Jane", number: int = 1) -> PortalLine:
    """A line of a list."""
    profile = {"first_name": name, "last_name": "Doe", "ref_id": ref}
    return PortalLine(line=number, driver=PortalDriverId(driver or NO_ID), profile=StatedProfile(fields=profile))


def replayed(facts: Iterable[Event]) -> dict[str, PortalDriver]:
    """Every driver after all the facts in the log."""
    drivers: dict[str, PortalDriver] = {}
    for event in facts:
        if isinstance(event, PortalDriverEvent):
            start = PortalDriver(account=AccountId(event.account), driver=PortalDriverId(event.driver))
            drivers[event.driver] = replay(drivers.get(event.driver, start), [event])
    return drivers
