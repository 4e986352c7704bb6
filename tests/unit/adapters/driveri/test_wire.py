import pytest
from pydantic import TypeAdapter

from adapters.driveri.wire import (
    DriveriAccess,
    DriverRow,
    StatusCodes,
    StatusRow,
    as_shown,
    is_same,
    to_driver,
    to_status_codes,
    to_wire,
)
from domain.failures import Reason, Rejected, TargetFailed
from domain.identity import Key
from domain.matching import ObservedDriver

ACCESS = DriveriAccess(base_url="https://driveri.test", tenant="acme", client_id="id", client_secret="hush")
CODES = StatusCodes(active=1, deleted=4)
JANE = {
    "first_name": "Jane",
    "last_name": "Doe",
    "ref_id": "R-1",
    "driveri_driver_id": "A1",
    "email": "jane@fleet.test",
    "phone": "555-0100",
    "time_zone": "America/Denver",
    "country": "US",
    "driveri_group": "North",
    "licence_number": "0042",
    "licence_state": "TX",
    "licence_country": "US",
}


def test_a_profile_is_written_in_driveris_words() -> None:
    assert to_wire(JANE) == {
        "firstName": "Jane",
        "lastName": "Doe",
        "email": "jane@fleet.test",
        "phone": "555-0100",
        "licenceNumber": "0042",
        "licenseState": "TX",
        "licenseCountry": "US",
        "group": {"name": "North", "action": "ADD"},
    }


def test_only_the_named_fields_are_written() -> None:
    assert to_wire(JANE, ["email", "time_zone", "ref_id"]) == {"email": "jane@fleet.test"}


def test_a_named_field_that_the_portal_leaves_blank_is_not_written() -> None:
    assert to_wire({"first_name": "Jane"}, ["first_name", "email", "driveri_group"]) == {"firstName": "Jane"}


@pytest.mark.parametrize("field", ["licence_number", "licence_state", "licence_country"])
def test_a_licence_is_written_whole_or_not_at_all(field: str) -> None:
    whole = {"licenceNumber": "0042", "licenseState": "TX", "licenseCountry": "US"}
    assert to_wire(JANE, [field]) == whole
    assert to_wire({name: text for name, text in JANE.items() if name != field}, ["licence_number"]) == {}


def test_what_is_shown_after_a_write_lacks_what_driveri_never_shows() -> None:
    assert as_shown({name: text for name, text in JANE.items() if name != "licence_state"}) == {
        "first_name": "Jane",
        "last_name": "Doe",
        "email": "jane@fleet.test",
        "driveri_group": "North",
    }


def test_a_written_driver_reads_back_as_shown() -> None:
    row = TypeAdapter(DriverRow).validate_python(
        {
            "driverId": "A1",
            "status": 1,
            "firstName": "Jane",
            "lastName": "Doe",
            "email": "jane@fleet.test",
            "licenceNumber": "0042",
            "licenseState": "TX",
            "licenseCountry": "US",
            "group": {"groupName": "North Region", "groupUniqueName": "North"},
            "lastLogin": None,
        }
    )
    assert to_driver(row, CODES) == ObservedDriver(key=Key("A1"), active=True, profile=as_shown(JANE))


@pytest.mark.parametrize(("status", "active"), [(1, True), (2, True), (4, False), (5, True)])
def test_a_driver_is_active_in_every_status_but_the_deleted_one(status: int, active: bool) -> None:  # noqa: FBT001 # a row of the table
    row = TypeAdapter(DriverRow).validate_python({"driverId": 7, "status": status, "firstName": " ", "email": None})
    assert to_driver(row, CODES) == ObservedDriver(key=Key("7"), active=active, profile={})


def test_a_group_without_a_name_goes_by_its_unique_name() -> None:
    row = TypeAdapter(DriverRow).validate_python(
        {"driverId": "A1", "status": 1, "group": {"groupUniqueName": "north-1"}}
    )
    assert to_driver(row, CODES).profile == {"driveri_group": "north-1"}


def rows(*words: str | None) -> list[StatusRow]:
    return [StatusRow(status=code, description=word) for code, word in enumerate(words, start=1)]


def test_status_words_are_found_in_any_letter_case() -> None:
    assert to_status_codes(rows("ACTIVE", None, "deleted "), ACCESS) == StatusCodes(active=1, deleted=3)


def test_an_unknown_status_word_is_answered_with_those_that_exist() -> None:
    with pytest.raises(TargetFailed) as raised:
        to_status_codes(rows("Active", "Removed"), ACCESS)
    detail = "no driver status is called 'Deleted' here; there are: Active, Removed"
    assert raised.value.failure == Rejected(reason=Reason.NOT_CONFIGURED, detail=detail)


def test_letter_case_does_not_tell_ids_apart() -> None:
    assert is_same("ab-1 straße", "AB-1 STRASSE")
    assert not is_same("ab-1", "ab-2")


def test_access_never_shows_its_secret() -> None:
    assert "hush" not in repr(ACCESS)
