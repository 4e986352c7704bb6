"""The Portal as intake reads it in a test: by an export in a file, or by the API, answered as the test says."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from adapters.portal.csv_export import ExportRow, read_export
from domain.failures import CallFailure, TargetFailed
from domain.identity import PortalDriverId
from domain.ports import NO_ID, PortalLine
from services.intake.handlers import SnapshotRefused, new_snapshot
from services.intake.polling import ListReader
from services.runtime.service import Notifier, Service
from tests.support.stated import whole
from tests.support.stepped_services import ACME, SteppedServices, person

COLUMNS = {
    "Reference ID": "ref_id",
    "Driveri DriverID": "driveri_driver_id",
    "First Name": "first_name",
    "Last Name": "last_name",
    "Email": "email",
}
_PAGE = 5


@dataclass(slots=True, kw_only=True)
class PortalTwin:
    """The Portal's API for one login: `PortalDrivers`, which shows these drivers, as `person` makes them.

    `breaks_off` is how the list fails behind its first page, and `down` how it fails at once.
    """

    shows: Iterable[int] = ()
    login: str = "maria"
    has_attributes: bool = False
    breaks_off: CallFailure | None = None
    down: CallFailure | None = None

    async def list_all(self) -> "_Listed":
        """The whole list. Raises `TargetFailed` when it is down."""
        if self.down:
            raise TargetFailed(self.down)
        lines = [PortalLine(driver=PortalDriverId(f"p{each}"), profile=whole(person(each))) for each in self.shows]
        return _Listed(lines=lines, breaks_off=self.breaks_off)

    async def with_attributes(self, lines: Sequence[PortalLine]) -> Sequence[PortalLine]:
        """The same lines: there is nothing more to be read."""
        return lines

    async def close(self) -> None:
        """Nothing is held open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listed:
    lines: Sequence[PortalLine]
    breaks_off: CallFailure | None

    def __len__(self) -> int:
        return len(self.lines)

    def pages(self) -> Iterator[Sequence[PortalLine]]:
        for start in range(0, len(self.lines), _PAGE):
            if start and self.breaks_off:
                raise TargetFailed(self.breaks_off)
            yield self.lines[start : start + _PAGE]


def read_api(services: SteppedServices, portal: PortalTwin) -> None:
    """Intake reads the list of a login once; one that fails, or does not count, is given up as in production."""
    service = Service("reader", store=services.intake_store, clock=services.clock, notifier=Notifier())
    with closing(service._worker), suppress(TargetFailed, SnapshotRefused):
        reader = ListReader(service, services.clock, every=60.0, most_asked=1000)
        asyncio.run(reader.read(reader.begin(ACME, portal.login), portal))


def export_of(numbers: Iterable[int]) -> str:
    """The Portal's export with these drivers, as `person` makes them."""
    rows = [[f"p{number}", *(person(number)[name] for name in COLUMNS.values())] for number in numbers]
    return "\n".join(",".join(cells) for cells in [["Driver ID", *COLUMNS], *rows])


def import_export(services: SteppedServices, path: Path, *, is_complete: bool, may_lack_many: bool = False) -> None:
    """A person imports an export, as `driverlink drivers import` does; one that does not count is given up."""
    rows = [row for row in read_export(path) if isinstance(row, ExportRow)]
    stated = [PortalLine(line=row.line, driver=row.driver or NO_ID, profile=row.profile) for row in rows]
    snapshot = new_snapshot(services.now) if is_complete else None
    services.intake.take_list(ACME, stated, source="export", snapshot=snapshot)
    if snapshot is not None:
        with suppress(SnapshotRefused):
            services.intake.finish_snapshot(
                ACME, source="export", snapshot=snapshot, refused=(), may_lack_many=may_lack_many
            )
