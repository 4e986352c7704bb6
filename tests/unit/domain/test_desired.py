"""What a portal driver's profile means for each target, and by which identifiers the two match."""

import pytest

from domain.identity import Key, Target
from domain.matching import ObservedDriver, Roster, claims, identifiers, is_key_identifier, key_identifier
from domain.profile import SPECS, to_change, to_restate, unreadable
from tests.support.scenario import DRIVERI, JANE, MOTIVE

WHOLE = {
    **JANE,
    "time_zone": "America/Denver",
    "country": "US",
    "driveri_group": "North",
    "licence_number": "L-9971",
    "licence_state": "CO",
    "licence_country": "US",
}
PERSON = {"first_name": "Jane", "last_name": "Doe", "email": "jane@fleet.example", "phone": "303-555-0142"}
LICENCE = {"licence_number": "L-9971", "licence_state": "CO"}


def test_driveri_is_desired_what_it_can_show() -> None:
    desired = DRIVERI.desired(WHOLE)
    assert desired.profile == {**PERSON, **LICENCE, "licence_country": "US", "driveri_group": "North"}
    assert (desired.key, desired.identifiers, desired.dispensable_identifier) == ("D-7", ("key:d-7",), "")


def test_motive_is_desired_what_it_can_show_and_our_two_external_ids() -> None:
    desired = MOTIVE.desired(WHOLE)
    ours = {"ref_id": "0042", "portal_driver_id": "jane", "driveri_driver_id": "D-7"}
    assert desired.profile == {**PERSON, **LICENCE, **ours, "time_zone": "America/Denver"}
    assert (desired.key, desired.dispensable_identifier, desired.is_unkeyed) == (None, "driverid:d-7", False)


@pytest.mark.parametrize(
    ("ids", "key"),
    [
        ({"driveri_driver_id": "D-7", "ref_id": "0042"}, "D-7"),
        ({"ref_id": "0042"}, "0042"),
        ({"first_name": "Jane"}, None),
    ],
)
def test_the_refid_stands_in_for_a_blank_driverid(ids: dict[str, str], key: str | None) -> None:
    desired = DRIVERI.desired(ids)
    assert (desired.key, desired.is_unkeyed) == (key, key is None)


def test_identifiers_of_personal_data_are_digests_without_regard_to_case() -> None:
    upper = {name: text.upper() for name, text in {**PERSON, **LICENCE}.items()}
    found = identifiers(Target.MOTIVE, None, {**PERSON, **LICENCE})
    assert found == identifiers(Target.MOTIVE, None, upper)
    assert [identifier.partition(":")[0] for identifier in found] == ["email", "licence"]
    assert not any(
        text.casefold() in identifier for identifier in found for text in (*PERSON.values(), *LICENCE.values())
    )


def test_driveri_keys_identify_without_regard_to_case_and_motives_as_they_are() -> None:
    assert key_identifier(Target.DRIVERI, Key("D-7")) == key_identifier(Target.DRIVERI, Key("d-7"))
    assert key_identifier(Target.MOTIVE, Key("501")) == "key:501"


def test_claims_are_all_identifiers_and_the_dispensable_one() -> None:
    profile = MOTIVE.desired(JANE).profile
    expected = {*identifiers(Target.MOTIVE, Key("501"), profile), "driverid:d-7"}
    assert claims(Target.MOTIVE, Key("501"), profile) == expected
    assert claims(Target.DRIVERI, None, DRIVERI.desired(JANE).profile) == frozenset()


def test_a_desired_can_do_without_the_driverid() -> None:
    desired = MOTIVE.desired(JANE).without_dispensable_identifier()
    assert "driveri_driver_id" not in desired.profile
    assert (desired.waits_for, desired.dispensable_identifier) == ("driverid:d-7", "")


def test_only_the_driverid_in_motive_is_ever_taken_away() -> None:
    shown = {"ref_id": "0042", "email": "jane@fleet.example", "driveri_driver_id": "D-7"}
    assert to_change(Target.MOTIVE, {"ref_id": "0042"}, shown) == ("driveri_driver_id",)
    assert to_restate(Target.MOTIVE, {"ref_id": "0042"}, shown) == ("driveri_driver_id",)
    assert to_change(Target.DRIVERI, {}, shown) == to_restate(Target.DRIVERI, {}, shown) == ()


def test_what_cannot_be_read_back_is_restated_but_never_changed() -> None:
    assert to_change(Target.DRIVERI, PERSON, {**PERSON, "phone": ""}) == ()
    assert to_restate(Target.DRIVERI, PERSON, {**PERSON, "phone": ""}) == ("phone",)
    assert [unreadable(target, PERSON) for target in Target] == [("phone",), ()]


@pytest.mark.parametrize(
    ("field", "before", "now"),
    [
        ("phone", "+1 55 1234 5678", "+52 55 1234 5678"),
        ("phone", "3035550142", "+1 (303) 555-0142"),
        ("email", "jane@fleet.example", "Jane@fleet.example"),
    ],
)
def test_what_the_portal_says_now_and_said_before_is_compared_exactly(field: str, before: str, now: str) -> None:
    for target in Target:
        assert to_restate(target, {**PERSON, field: now}, {**PERSON, field: before}) == (field,)


def test_only_the_identifier_of_a_key_is_a_key_identifier() -> None:
    assert is_key_identifier(key_identifier(Target.DRIVERI, Key("D-7")))
    assert not is_key_identifier("ref:key:7")


def test_a_roster_has_the_identifiers_of_all_drivers_in_it() -> None:
    seen = [ObservedDriver(key=Key(key), active=True, profile={}) for key in ("D-7", "D-8")]
    assert Roster(Target.DRIVERI, seen).identifiers == {"key:d-7", "key:d-8"}
    assert Roster(Target.DRIVERI).identifiers == frozenset()


def test_an_unlinked_driver_is_looked_for_by_the_strongest_identifiers_that_the_portal_states() -> None:
    assert SPECS[Target.DRIVERI].recognised_by == ("driveri_driver_id",)
    assert SPECS[Target.MOTIVE].recognised_by == ("ref_id", "email", "licence_number", "licence_state")
