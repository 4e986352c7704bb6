"""What intake stores of a list that the Portal's API shows."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.store.sqlite import SqliteStore
from domain.identity import AccountId, PortalDriverId
from domain.portal import PortalDriverEvent
from domain.ports import NO_ID, PortalLine
from domain.profile import NOTHING_STATED, Profile, StatedProfile
from domain.store import JournalRow
from services.intake.handlers import Intake, ReKeyingHeld, ReKeyings, digest_of
from services.intake.polling import ListReader
from services.intake.read_models import KnownDriver, ReadingRow
from services.runtime.context import CHANGES
from services.runtime.service import Notifier, Service
from services.wiring.registry import INTAKE_ROWS
from tests.support.stated import said

pytestmark = pytest.mark.anyio

ACME = AccountId("acme")
APPROVAL = JournalRow(
    id="1",
    at="2026-01-05T08:00:00+00:00",
    account=ACME,
    command="approve_rekeyings",
    subject="a set",
    by="maria",
    role="master_user",
    authenticated="",
    note="the Portal was cleaned up",
)
JANE = said(first_name="Jane", last_name="Doe", email="jane@fleet.test")


@dataclass(slots=True, kw_only=True)
class Shown:
    """The Portal as a login sees it: `PortalDrivers` and its list, which shows these lines."""

    lines: Sequence[PortalLine] = ()
    page: int = 5
    login: str = "maria"
    has_attributes: bool = False

    def __len__(self) -> int:
        return len(self.lines)

    def pages(self) -> Iterator[Sequence[PortalLine]]:
        for start in range(0, len(self.lines), self.page):
            yield self.lines[start : start + self.page]

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
        self.store = SqliteStore(self.folder / "intake.sqlite", log_name=CHANGES, rows=INTAKE_ROWS)
        self.intake = Intake(self.store, self.clock)
        self.service = Service("intake", store=self.store, clock=self.clock, notifier=Notifier())

    def clock(self) -> datetime:
        return self.now

    async def read(self, *odd: PortalLine, **drivers: StatedProfile) -> None:
        """Read a list that shows these drivers, and these lines, five minutes after the last time."""
        self.now += timedelta(minutes=5)
        reader = ListReader(self.service, self.clock, every=60.0, most_asked=1000)
        good = [PortalLine(driver=PortalDriverId(driver), profile=each) for driver, each in drivers.items()]
        portal = Shown(lines=[*odd, *good])
        reading = await self.service.call(reader.begin, ACME, portal.login)
        await reader.read(reading, portal)

    @property
    def logged(self) -> list[str]:
        """Everything in the log, in words: the fact and its driver."""
        events = (record.event for record in self.store.log.read(0, 10_000))
        return [f"{type(event).__name__} {event.driver}" for event in events if isinstance(event, PortalDriverEvent)]

    def profile(self, driver: str) -> Profile:
        (row,) = self.store.select(KnownDriver, {"account": str(ACME), "driver": driver})
        return row.profile

    @property
    def rekeyings(self) -> ReKeyings:
        return ReKeyings(self.store, self.clock)

    @property
    def held(self) -> list[str]:
        return [row.driver for row in self.rekeyings.held(ACME)]

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


async def test_while_a_line_names_no_driver_none_is_missing(stand: Stand) -> None:
    without_id = PortalLine(driver=NO_ID, profile=NOTHING_STATED, flaw="line 1 has no id that can be read")
    await stand.read(j1=JANE, j2=JANE)
    for _ in range(3):
        await stand.read(without_id, without_id, j1=JANE)
    assert stand.logged == ["DriverCreated j1", "DriverCreated j2"]
    assert stand.row.refused == 2
    await stand.read(j1=JANE)
    assert stand.logged[2:] == ["DriverMissed j2"]


async def test_a_new_driver_without_a_name_is_refused_and_counts_as_shown(stand: Stand) -> None:
    await stand.read(j1=JANE, j2=said(first_name="Bob"))
    assert (stand.logged, stand.row.drivers, stand.row.refused) == (["DriverCreated j1"], 2, 1)


def fleet(size: int = 8, *, key: str = "D", **fields: str) -> dict[str, StatedProfile]:
    """`size` drivers, each with a Driveri DriverID."""
    return {
        f"j{each}": said(first_name="Jane", last_name="Doe", driveri_driver_id=f"{key}{each}", **fields)
        for each in range(size)
    }


async def test_a_reading_that_rekeys_many_is_set_aside_and_everybody_else_goes_on(stand: Stand) -> None:
    await stand.read(**fleet())
    changed = {**fleet(7, key="NEW"), "j7": said(first_name="Joan", last_name="Doe"), "n1": JANE}
    for _ in range(2):
        await stand.read(**changed)
        assert stand.logged[8:] == ["DriverUpdated j7", "DriverCreated n1"]
        assert stand.held == [f"j{each}" for each in range(7)]
    assert stand.profile("j1")["driveri_driver_id"] == "D1"
    assert stand.row.failure == ""


async def test_the_next_reading_does_what_a_person_has_approved_and_no_more(stand: Stand) -> None:
    await stand.read(**fleet())
    await stand.read(**fleet(key="NEW"))
    seen = digest_of(ACME, stand.rekeyings.held(ACME))
    await stand.read(**fleet(key="OTHER"))
    with pytest.raises(ReKeyingHeld, match="is not what is held now for acme"):
        stand.rekeyings.approve(ACME, seen, APPROVAL)
    await stand.read(**fleet(key="NEW"))
    assert stand.store.select(JournalRow) == []
    assert stand.rekeyings.approve(ACME, seen, APPROVAL) == 8
    assert stand.store.select(JournalRow) == [APPROVAL]
    await stand.read(**fleet(key="NEW"))
    assert stand.logged[8:] == [f"DriverUpdated j{each}" for each in range(8)]
    assert stand.held == []
    await stand.read(**fleet(key="D"))
    assert len(stand.held) == 8


async def test_what_the_portal_has_corrected_is_not_held_any_more(stand: Stand) -> None:
    await stand.read(**fleet())
    await stand.read(**fleet(key="NEW"))
    await stand.read(**{name: said(first_name="Jane", last_name="Doe") for name in fleet()})
    assert len(stand.held) == 8
    await stand.read(**fleet())
    assert (stand.held, len(stand.logged)) == ([], 8)


async def test_few_are_rekeyed_at_once_and_counted_over_readings(stand: Stand) -> None:
    await stand.read(**fleet())
    await stand.read(**{**fleet(), **fleet(3, key="NEW")})
    assert stand.logged[8:] == ["DriverUpdated j0", "DriverUpdated j1", "DriverUpdated j2"]
    await stand.read(**{**fleet(), **fleet(4, key="NEW")})
    assert (stand.held, len(stand.logged)) == (["j3"], 11)
    stand.now += timedelta(days=1)
    await stand.read(**{**fleet(), **fleet(4, key="NEW")})
    assert (stand.held, stand.logged[11:]) == ([], ["DriverUpdated j3"])


async def test_a_reading_in_which_everybody_is_new_though_others_were_known_is_set_aside(stand: Stand) -> None:
    stand.intake.state(ACME, PortalDriverId("ref:1"), JANE, source="export")
    for each in range(2, 8):
        stand.intake.state(ACME, PortalDriverId(f"ref:{each}"), JANE, source="export")
    await stand.read(**fleet())
    assert (len(stand.logged), stand.held) == (7, sorted(fleet()))
    stand.rekeyings.approve(ACME, digest_of(ACME, stand.rekeyings.held(ACME)), APPROVAL)
    await stand.read(**fleet())
    assert stand.logged[7:] == [f"DriverCreated j{each}" for each in range(8)]
