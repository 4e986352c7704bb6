"""Which driver the line of a list is about, and what the list changes of that driver."""

from collections.abc import Collection, Mapping

import pytest

from domain.identity import AccountId, PortalDriverId
from domain.portal import ListChange, PortalDriver, RefusedLine, candidates, identified, shown_by
from domain.ports import NO_ID, PortalLine
from tests.support.stated import said

ACCOUNT, JANE, BOB = AccountId("acme"), PortalDriverId("417"), PortalDriverId("418")
BY_REF_ALONE = PortalDriverId("ref:00417")


def line(driver: str = NO_ID, *, number: int = 1, **fields: str) -> PortalLine:
    return PortalLine(driver=PortalDriverId(driver), profile=said(**fields), line=number)


@pytest.mark.parametrize(
    ("driver", "ref", "by_ref", "new", "about"),
    [
        (JANE, "00417", {}, [], [JANE]),
        (JANE, "00417", {"00417": [BOB]}, [], [JANE]),
        (JANE, "00417", {"00417": [BY_REF_ALONE]}, [JANE], [BY_REF_ALONE]),
        (JANE, "00417", {"00417": [BY_REF_ALONE]}, [], [JANE]),
        (NO_ID, "00417", {"00417": [JANE]}, [], [JANE]),
        (NO_ID, "00417", {"00417": [JANE, BOB]}, [], [JANE, BOB]),
        (NO_ID, "00417", {}, [], [BY_REF_ALONE]),
        (NO_ID, "", {}, [], []),
    ],
)
def test_a_line_is_about_the_driver_with_its_id_or_else_with_its_ref_id(
    driver: str,
    ref: str,
    by_ref: Mapping[str, list[PortalDriverId]],
    new: Collection[PortalDriverId],
    about: list[PortalDriverId],
) -> None:
    assert candidates(line(driver, ref_id=ref), by_ref, new) == about


def test_of_two_lines_about_one_driver_the_last_counts_field_by_field() -> None:
    meant = [(line(JANE, first_name="Jane", email="j@x.example"), [JANE]), (line(JANE, first_name="Joan"), [JANE])]
    assert identified(meant) == ({JANE: said(first_name="Joan", email="j@x.example")}, [])


def test_a_line_about_no_certain_driver_is_refused_and_shows_all_that_it_may_be_about() -> None:
    meant = [(line(ref_id="00417", number=7), [JANE, BOB]), (line(number=8), [])]
    shared = "2 drivers have this Reference ID; add a Driver ID column to tell them apart"
    nameless = "there is neither a Driver ID nor a Reference ID"
    refused = [
        RefusedLine(line=7, column="Reference ID", reason=shared),
        RefusedLine(line=8, column="Reference ID", reason=nameless),
    ]
    assert identified(meant) == ({}, refused)
    assert shown_by(meant) == {JANE, BOB}


KNOWN = PortalDriver(account=ACCOUNT, driver=JANE, version=3, profile={"first_name": "Jane", "ref_id": "00417"})


@pytest.mark.parametrize(
    ("profile", "fields", "is_rekeying"),
    [
        ({"first_name": "Joan", "ref_id": "00417"}, ("first_name",), False),
        ({"first_name": "Jane", "ref_id": "00500"}, ("ref_id",), True),
    ],
)
def test_a_change_names_the_fields_and_says_whether_targets_would_know_the_driver_otherwise(
    profile: dict[str, str], fields: tuple[str, ...], *, is_rekeying: bool
) -> None:
    after = PortalDriver(account=ACCOUNT, driver=JANE, version=4, profile=profile)
    change = ListChange.between(KNOWN, after, "DriverUpdated")
    assert (change.fields, change.is_new, change.is_rekeying) == (fields, False, is_rekeying)
    assert (change.before["ref_id"], change.after["ref_id"]) == ("00417", profile["ref_id"])


def test_a_driver_without_history_is_new() -> None:
    nobody = PortalDriver(account=ACCOUNT, driver=JANE)
    assert ListChange.between(nobody, KNOWN, "DriverCreated").is_new
