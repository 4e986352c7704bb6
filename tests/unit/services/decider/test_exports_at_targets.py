"""What becomes of the CSV exports that people really have, as far as the targets show it."""

from collections.abc import Sequence

import pytest

from adapters.portal.csv_export import ExportRow, read_export
from domain.identity import Target
from domain.ports import NO_ID, PortalLine
from tests.support.stepped_services import ACME, SteppedServices

HEADER = "Driver ID,Reference ID,Driveri DriverID,First Name,Last Name,Phone"
EIGHT = range(1, 9)
SYNCED = [f"{each},000{each},DRV-{each},Jane {each},Doe," for each in EIGHT]


def take(fleet: SteppedServices, header: str, rows: Sequence[str]) -> dict[str, int]:
    """Import these rows of an export, and let all services work; what became of the rows."""
    file = fleet.folder / "drivers.csv"
    file.write_text("\n".join([header, *rows]), "utf-8")
    stated = [
        PortalLine(line=row.line, driver=row.driver or NO_ID, profile=row.profile)
        for row in read_export(file)
        if isinstance(row, ExportRow)
    ]
    changes = dict(fleet.intake.take_list(ACME, stated, source="export").changes)
    fleet.run()
    return changes


def keys(fleet: SteppedServices) -> list[str]:
    """The DriverIDs of Driveri's active drivers."""
    return [driver.key for driver in fleet.twins[ACME, Target.DRIVERI].drivers.scan() if driver.active]


def external_ids(fleet: SteppedServices) -> list[str | None]:
    """What Motive's users have as external id `driveri`."""
    return [user.profile.get("driveri_driver_id") for user in fleet.twins[ACME, Target.MOTIVE].drivers.scan()]


def test_without_the_column_of_driver_ids_no_driver_is_renamed_and_no_external_id_is_lost(
    fleet: SteppedServices,
) -> None:
    fleet.add()
    take(fleet, HEADER, SYNCED)
    effects = {target: list(fleet.twins[ACME, target].effects) for target in Target}
    rows = [f"{each},000{each},Jane {each},Doe," for each in EIGHT]
    assert take(fleet, "Driver ID,Reference ID,First Name,Last Name,Phone", rows) == {"unchanged": 8}
    assert keys(fleet) == external_ids(fleet) == [f"DRV-{each}" for each in EIGHT]
    assert {target: fleet.twins[ACME, target].effects for target in Target} == effects


def test_an_empty_cell_in_a_column_that_is_there_counts_as_blank(fleet: SteppedServices) -> None:
    fleet.add()
    take(fleet, HEADER, SYNCED)
    assert take(fleet, HEADER, ["1,0001,,Jane 1,Doe,"]) == {"DriverUpdated": 1}
    assert keys(fleet) == ["0001", *(f"DRV-{each}" for each in EIGHT if each > 1)]


@pytest.mark.parametrize("dressed", ["4\u200b17,00417", "417,00\u200b417", "\ufeff417,00417", '417,"=""00417"""'])
def test_an_id_that_only_looks_otherwise_makes_no_second_driver(fleet: SteppedServices, dressed: str) -> None:
    fleet.add()
    take(fleet, HEADER, ["417,00417,,Jane,Doe,"])
    assert take(fleet, HEADER, [f"{dressed},,Jane,Doe,"]) == {"unchanged": 1}
    for target in Target:
        assert len(fleet.twins[ACME, target].drivers.scan()) == 1
    assert keys(fleet) == ["00417"]


def test_ids_that_a_spreadsheet_has_dressed_are_undressed(fleet: SteppedServices) -> None:
    fleet.add()
    rows = [f'"=""0041{each}""","=""0041{each}""",,Jane {each},Doe,' for each in (7, 8, 9)]
    assert take(fleet, HEADER, rows) == {"DriverCreated": 3}
    assert keys(fleet) == ["00417", "00418", "00419"]


@pytest.mark.parametrize("target", Target)
def test_a_phone_whose_country_code_is_corrected_is_sent(fleet: SteppedServices, target: Target) -> None:
    fleet.add()
    take(fleet, HEADER, ["1,0001,,Jane,Doe,+1 55 1234 5678"])
    take(fleet, HEADER, ["1,0001,,Jane,Doe,+52 55 1234 5678"])
    drivers = fleet.twins[ACME, target].drivers
    (shown,) = drivers.scan()
    truth = drivers.truth(shown.key)
    assert truth is not None
    assert truth.profile["phone"] == "+52 55 1234 5678"
