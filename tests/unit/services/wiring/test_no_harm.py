"""A read that is cut, empty, broken off, or made with few rights deletes no driver, neither by the Portal nor a target.

Each happens several times, a day after the other, and each time both targets are reconciled.
"""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from domain.driver_link import DeleteDecided, DeleteHeld, LinkEvent
from domain.failures import Reason, Rejected, Unavailable
from domain.identity import AccountId, Target
from domain.matching import ObservedDriver, UnreadableRecords
from services.accounts.handlers import AccountChange
from tests.support.portal_reading import PortalTwin, export_of, import_export, read_api
from tests.support.stepped_services import ACME, SteppedServices, person
from tests.support.target_twin import TargetTwin

DRIVERS = 12
EVERYBODY, HALF = range(1, DRIVERS + 1), range(1, DRIVERS // 2 + 1)
DAYS = 3
DOWN = Unavailable(reason=Reason.DOWN, detail="answered 500")

Harm = Callable[["Fleet"], None]


class PartialTwin(TargetTwin):
    """A target whose list can lack drivers that were not deleted."""

    shows: Callable[[Sequence[ObservedDriver]], Sequence[ObservedDriver]] = staticmethod(lambda everybody: everybody)

    async def scan(self, unreadable: UnreadableRecords | None = None) -> AsyncGenerator[Sequence[ObservedDriver], None]:
        """The roster as far as it is shown, one empty page where nothing is."""
        async for page in super().scan(unreadable):
            yield self.shows(page)


class Fleet:
    """A dozen drivers, in sync on both targets; what is looked at is what came after that."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.days = 0
        self.twins: dict[tuple[AccountId, Target], PartialTwin] = {
            (ACME, target): PartialTwin(target, page=5) for target in Target
        }
        self.services = SteppedServices(folder, self.twins)
        self.services.add()
        read_api(self.services, PortalTwin(shows=EVERYBODY))
        self.services.run()
        in_sync = {f"p{number}": "in_sync" for number in EVERYBODY}
        assert [self.services.states(target) for target in Target] == [in_sync, in_sync]
        self._before = [self._shown(target) for target in Target]
        self._decided = len(self.services.decided())
        for twin in self.twins.values():
            twin.called.clear()
            twin.scans = 0

    @property
    def called(self) -> list[str]:
        """The calls that were made, apart from looks: who was created, changed or deleted."""
        calls = [call for twin in self.twins.values() for call in twin.called]
        return [call for call in calls if not call.startswith(("find", "probe"))]

    @property
    def deletes(self) -> list[LinkEvent]:
        """The deletes that were decided, or that wait for a person."""
        return [event for event in self.services.decided() if isinstance(event, DeleteDecided | DeleteHeld)]

    @property
    def decided(self) -> list[LinkEvent]:
        """Everything that was decided of a driver."""
        return self.services.decided()[self._decided :]

    @property
    def is_untouched(self) -> bool:
        """Whether both targets have everybody as before."""
        return self._before == [self._shown(target) for target in Target]

    def reconciliation(self) -> None:
        """Everybody works until nothing is left; a day later both targets are reconciled, and everybody works again."""
        self.services.run()
        self.services.wait(hours=25)
        for target in Target:
            self.services.ask(_reconciling(target))
        self.services.run()
        self.days += 1
        assert all(twin.scans >= self.days for twin in self.twins.values()), "the targets were not reconciled"

    def export(self, text: str) -> Path:
        """An export with this text."""
        path = self.folder / "drivers.csv"
        path.write_text(text, "utf-8")
        return path

    def _shown(self, target: Target) -> list[ObservedDriver | None]:
        drivers = self.services.twins[ACME, target].drivers
        return [drivers.truth(each.key) for each in drivers.scan()]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """The fleet in sync."""
    made = Fleet(tmp_path)
    yield made
    made.services.close()


def _reconciling(target: Target) -> AccountChange:
    return lambda jane, known: jane.reconciliation(known, target)


def half_an_export(*, is_complete: bool) -> Harm:
    """The file was cut in the middle of a line."""
    text = export_of(EVERYBODY)

    def harm(fleet: Fleet) -> None:
        import_export(fleet.services, fleet.export(text[: len(text) // 2]), is_complete=is_complete)

    return harm


def a_list(portal: PortalTwin) -> Harm:
    """The Portal's API answers so."""
    return lambda fleet: read_api(fleet.services, portal)


def a_scan(*targets: Target, breaks_off: int | None = None, shows: slice = slice(None)) -> Harm:
    """These targets break a scan off after some pages, or show only some of each page."""

    def harm(fleet: Fleet) -> None:
        for target in targets:
            twin = fleet.twins[ACME, target]
            twin.breaks_off = None if breaks_off is None else (breaks_off, DOWN)
            twin.shows = lambda everybody: everybody[shows]

    return harm


FROM_THE_PORTAL = {
    "an export cut in half": half_an_export(is_complete=False),
    "an export cut in half that is said to be complete": half_an_export(is_complete=True),
    "an empty list with status 200": a_list(PortalTwin()),
    "a list that fails": a_list(PortalTwin(down=DOWN)),
    "credentials that are refused": a_list(PortalTwin(down=Rejected(reason=Reason.CREDENTIALS, detail="answered 403"))),
    "a list that breaks off": a_list(PortalTwin(shows=EVERYBODY, breaks_off=DOWN)),
    "a token that sees half of the drivers from now on": a_list(PortalTwin(shows=HALF)),
    "another token, which sees half of the drivers": a_list(PortalTwin(shows=HALF, login="bob")),
    "another token, which sees one driver": a_list(PortalTwin(shows=[1], login="bob")),
}

FROM_A_TARGET = {
    f"{target}: {what}": harm
    for target in Target
    for what, harm in {
        "an error at the first page": a_scan(target, breaks_off=0),
        "an error in mid-scan": a_scan(target, breaks_off=1),
        "a token that sees every other driver": a_scan(target, shows=slice(0, None, 2)),
        "an empty list with status 200": a_scan(target, shows=slice(0)),
    }.items()
}


@pytest.mark.parametrize("harm", FROM_THE_PORTAL.values(), ids=FROM_THE_PORTAL.keys())
def test_a_doubtful_read_of_the_portal_decides_nothing_at_all(fleet: Fleet, harm: Harm) -> None:
    for _ in range(DAYS):
        harm(fleet)
        fleet.reconciliation()
    assert fleet.decided == []
    assert fleet.called == []
    assert fleet.is_untouched


@pytest.mark.parametrize("harm", FROM_A_TARGET.values(), ids=FROM_A_TARGET.keys())
def test_a_doubtful_scan_of_a_target_deletes_no_driver_and_makes_none_twice(fleet: Fleet, harm: Harm) -> None:
    for _ in range(DAYS):
        harm(fleet)
        fleet.reconciliation()
    assert fleet.deletes == []
    assert [call for call in fleet.called if call.startswith("delete")] == []
    assert fleet.is_untouched


@pytest.mark.parametrize("target", Target)
def test_a_scan_that_breaks_off_decides_nothing_of_whom_it_has_not_seen(fleet: Fleet, target: Target) -> None:
    a_scan(target, breaks_off=1)(fleet)
    fleet.reconciliation()
    assert fleet.decided == []
    assert fleet.called == []


@pytest.mark.parametrize("is_by_api", [True, False], ids=["by the API", "by exports"])
def test_whom_two_whole_lists_in_a_row_lack_is_deleted_all_the_same(fleet: Fleet, *, is_by_api: bool) -> None:
    for _ in range(2):
        assert fleet.deletes == []
        if is_by_api:
            read_api(fleet.services, PortalTwin(shows=EVERYBODY[1:]))
        else:
            import_export(fleet.services, fleet.export(export_of(EVERYBODY[1:])), is_complete=True)
        fleet.reconciliation()
    assert [(type(event), event.target, event.driver) for event in fleet.deletes] == [
        (DeleteDecided, target, "p1") for target in Target
    ]
    assert fleet.called == [f"delete {person(1)['driveri_driver_id']}", "delete 1"]
