from pydantic import TypeAdapter

from adapters.motive.wire import MotiveAccess, User, to_driver, to_wire
from domain.identity import Key
from domain.matching import ObservedDriver

ACCESS = MotiveAccess(base_url="https://motive.test", api_key="hush")
JANE = {
    "first_name": "Jane",
    "last_name": "Doe",
    "ref_id": "R-1",
    "driveri_driver_id": "A1",
    "email": "jane@fleet.test",
    "phone": "555-0100",
    "time_zone": "America/Denver",
    "licence_number": "0042",
    "licence_state": "TX",
    "portal_driver_id": "p-1",
}
BODY = {
    "first_name": "Jane",
    "last_name": "Doe",
    "driver_company_id": "R-1",
    "email": "jane@fleet.test",
    "phone": "555-0100",
    "time_zone": "Mountain Time (US & Canada)",
    "drivers_license_number": "0042",
    "drivers_license_state": "TX",
}


def test_a_profile_is_written_in_motives_words() -> None:
    assert to_wire(JANE | {"country": "US", "driveri_group": "North", "licence_country": "US"}) == BODY


def test_only_the_named_fields_are_written() -> None:
    assert to_wire(JANE, ["ref_id", "portal_driver_id"]) == {"driver_company_id": "R-1"}


def test_a_field_that_the_portal_leaves_blank_is_not_written() -> None:
    assert to_wire({"first_name": "Jane"}, ["first_name", "email", "time_zone"]) == {"first_name": "Jane"}


def test_a_time_zone_that_motive_has_no_name_for_is_not_written() -> None:
    assert to_wire({"time_zone": "Antarctica/Troll"}) == {}


def test_a_written_driver_reads_back_as_the_portal_states_it() -> None:
    ours = [
        {"id": 1, "external_id": "p-1", "integration_name": "gps_portal"},
        {"id": 2, "external_id": "payroll-9", "integration_name": "payroll"},
        {"id": 3, "external_id": "A1", "integration_name": "driveri"},
    ]
    user = TypeAdapter(User).validate_python(
        {"id": 17, "role": "driver", "status": "active", **BODY, "external_ids": ours}
    )
    assert to_driver(user, ACCESS) == ObservedDriver(key=Key("17"), active=True, profile=JANE)


def test_a_bare_driver_reads_back_as_an_empty_profile() -> None:
    user = TypeAdapter(User).validate_python(
        {"id": 17, "role": "driver", "status": "deactivated", "email": "", "external_ids": None}
    )
    assert to_driver(user, ACCESS) == ObservedDriver(key=Key("17"), active=False, profile={})


def test_a_rails_zone_without_a_counterpart_is_shown_as_it_is() -> None:
    user = TypeAdapter(User).validate_python({"id": 17, "role": "driver", "time_zone": "Nuku'alofa"})
    assert to_driver(user, ACCESS).profile == {"time_zone": "Nuku'alofa"}


def test_access_never_shows_its_secret() -> None:
    assert "hush" not in repr(ACCESS)
