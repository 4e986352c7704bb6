"""What intake takes over of a list that the Portal's API shows."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.store.sqlite import SqliteStore
from domain.identity import AccountId, PortalDriverId
from domain.portal import PortalDriverEvent
from domain.ports import PortalLine
from domain.profile import Profile, StatedProfile
from services.intake.handlers import Intake
from services.intake.read_models import KnownDriver, ReadingRow
from services.intake.reading import Reader
from services.intake.readings import Readings
from services.intake.wiring import ROWS
from services.runtime.logs import CHANGES
from services.runtime.service import Bell, Service
from tests.support.stated import said

pytestmark = pytest.mark.anyio

ACME = AccountId("acme")
JANE = said(first_name="Jane", last_name="Doe", email="jane@fleet.test")


@dataclass(slots=True, kw_only=True)
class Shown:
    """The Portal as a login sees it: `PortalDrivers` and its list, which shows these lines."""

    lines: Sequence[PortalLine] = ()
    login: str = "maria"
    has_attributes: bool = False

    def __len__(self) -> int:
        return len(self.lines)

    def pages(self) -> Iterator[Sequence[PortalLine]]:
        yield self.lines

    async def list_all(self) -> "Shown":
        return self

    async def with_attributes(self, lines: Sequence[PortalLine]) -> Sequence[PortalLine]:
        return lines

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(slots=True)
class Stand:
    """Intake on a store of its own, and a clock that is moved by hand."""

    folder: Path
    now: datetime = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
    store: SqliteStore = field(init=False)
    intake: Intake = field(init=False)
    service: Service = field(init=False)

    def __post_init__(self) -> None:
        self.store = SqliteStore(self.folder / "intake.sqlite", log_name=CHANGES, rows=ROWS)
        self.intake = Intake(self.store, self.clock)
        self.service = Service("intake", store=self.store, clock=self.clock, bell=Bell())

    def clock(self) -> datetime:
        return self.now

    async def read(self, **drivers: StatedProfile) -> None:
        """Read a list that shows these drivers, five minutes after the last time."""
        self.now += timedelta(minutes=5)
        readings = Readings(self.store, self.intake, self.clock, every=60.0)
        portal = Shown(
            lines=[PortalLine(driver=PortalDriverId(driver), profile=each) for driver, each in drivers.items()]
        )
        reading = await self.service.call(readings.begin, ACME, portal.login)
        await Reader(self.service, readings, most_asked=1000).read(reading, portal)

    @property
    def told(self) -> list[str]:
        """Everything in the log, in words: the fact and its driver."""
        events = (record.event for record in self.store.log.read(0, 10_000))
        return [f"{type(event).__name__} {event.driver}" for event in events if isinstance(event, PortalDriverEvent)]

    def profile(self, driver: str) -> Profile:
        (row,) = self.store.select(KnownDriver, {"account": str(ACME), "driver": driver})
        return row.profile

    @property
    def row(self) -> ReadingRow:
        (row,) = self.store.select(ReadingRow)
        return row


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    stand = Stand(tmp_path)
    with closing(stand.service):
        yield stand


async def test_a_name_that_the_list_does_not_state_stays_as_it_is_known(stand: Stand) -> None:
    await stand.read(j1=JANE)
    await stand.read(j1=said(email="jd@fleet.test"))
    assert stand.profile("j1") == {"first_name": "Jane", "last_name": "Doe", "email": "jd@fleet.test"}
    assert stand.row.refused == 0


async def test_a_new_driver_without_a_name_is_refused_and_counts_as_shown(stand: Stand) -> None:
    await stand.read(j1=JANE, j2=said(first_name="Bob"))
    assert (stand.told, stand.row.drivers, stand.row.refused) == (["DriverCreated j1"], 2, 1)
