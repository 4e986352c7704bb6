"""No list changes a field of which it says nothing."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from adapters.portal.csv_export import ExportRow, read_export
from domain.identity import PortalDriverId
from domain.ports import NO_ID, PortalLine
from tests.support.examples import examples
from tests.support.stated import whole
from tests.unit.services.intake.intake_stand import IntakeStand

_COLUMNS: Mapping[str, str] = {
    "First Name": "first_name",
    "Last Name": "last_name",
    "Reference ID": "ref_id",
    "Driveri DriverID": "driveri_driver_id",
    "Time Zone": "time_zone",
    "Phone": "phone",
    "Email": "email",
    "Country": "country",
    "Driveri Group": "driveri_group",
    "Licence Number": "licence_number",
    "Licence State": "licence_state",
    "Licence Country": "licence_country",
}
_NEEDED = ("First Name", "Last Name")
_DRIVERS = ("1", "2", "3")
_SAID = {"Time Zone": "Alaska", "Email": "new@fleet.example"}
_KEPT = {"time_zone": "America/Juneau"}


def _known(driver: str) -> dict[str, str]:
    profile = {field: f"{field}-{driver}" for field in _COLUMNS.values()}
    return {**profile, "time_zone": "America/Denver", "email": f"old-{driver}@fleet.example"}


@st.composite
def exports(draw: st.DrawFn) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """The columns of a file, some of them unknown, and the cells of each driver, some of them blank."""
    others = draw(st.lists(st.sampled_from(sorted(set(_COLUMNS) - set(_NEEDED))), unique=True))
    columns = draw(st.permutations(["Driver ID", *_NEEDED, *others, "Vehicle"]))
    blank = {driver: draw(st.sets(st.sampled_from(others))) if others else set() for driver in _DRIVERS}
    return columns, [
        ["" if column in blank[driver] else _cell(column, driver) for column in columns] for driver in _DRIVERS
    ]


def _cell(column: str, driver: str) -> str:
    return driver if column == "Driver ID" else _SAID.get(column, f"new-{column}-{driver}")


def _expected(driver: str, columns: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    said = {_COLUMNS[column]: cell for column, cell in zip(columns, cells, strict=True) if column in _COLUMNS}
    kept = {field: text for field, text in _known(driver).items() if field not in said}
    return kept | {field: _KEPT.get(field, text) for field, text in said.items() if text}


@examples(20, many=300)
@given(exports())
def test_a_column_that_is_absent_says_nothing(export: tuple[Sequence[str], Sequence[Sequence[str]]]) -> None:
    columns, rows = export
    with TemporaryDirectory() as folder, closing(IntakeStand(Path(folder) / "intake.sqlite")) as stand:
        stand.take(*(_line(driver) for driver in _DRIVERS))
        file = Path(folder) / "drivers.csv"
        file.write_text("\n".join(",".join(cells) for cells in [columns, *rows]), "utf-8")
        stand.take(*(_to_stated(row) for row in read_export(file) if isinstance(row, ExportRow)))
        for driver, cells in zip(_DRIVERS, rows, strict=True):
            assert stand.known(driver).profile == _expected(driver, columns, cells)


def _line(driver: str) -> PortalLine:
    return PortalLine(line=1, driver=PortalDriverId(driver), profile=whole(_known(driver)))


def _to_stated(row: ExportRow) -> PortalLine:
    return PortalLine(line=row.line, driver=row.driver or NO_ID, profile=row.profile)
