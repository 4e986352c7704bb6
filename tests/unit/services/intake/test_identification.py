"""By which driver a line is meant: the Portal's own id, or else the RefID."""

import pytest

from domain.identity import PortalDriverId
from domain.portal import RefusedLine
from domain.ports import NO_ID, PortalLine
from tests.support.stated import said
from tests.unit.services.intake.intake_stand import ACCOUNT, IntakeStand, line


def test_a_line_without_an_id_means_the_driver_with_its_reference_id(stand: IntakeStand) -> None:
    stand.take(line("417", ref="00417"), line("418", ref="00418"))
    assert dict(stand.take(line(ref="00417", name="Joan")).changes) == {"DriverUpdated": 1}
    assert stand.logged[-1] == "DriverUpdated 417"


@pytest.mark.parametrize("ref", ["00417", " 00417 "])
def test_blanks_around_a_reference_id_do_not_count(stand: IntakeStand, ref: str) -> None:
    stand.take(line("417", ref="00417"))
    assert dict(stand.take(line(ref=ref)).changes) == {"unchanged": 1}


@pytest.mark.parametrize("ref", ["417", "0417", "00417A", "oo417"])
def test_a_reference_id_is_compared_as_it_is_written(stand: IntakeStand, ref: str) -> None:
    stand.take(line("417", ref="00417"))
    assert dict(stand.take(line(ref=ref)).changes) == {"DriverCreated": 1}


def test_an_unknown_reference_id_makes_a_driver_that_is_known_by_it_from_then_on(stand: IntakeStand) -> None:
    stand.take(line(ref="00417"))
    assert dict(stand.take(line(ref="00417")).changes) == {"unchanged": 1}
    stand.take(line(ref="00417", name="Joan"))
    assert stand.logged == ["DriverCreated ref:00417", "DriverUpdated ref:00417"]


def test_two_lines_with_one_unknown_reference_id_mean_one_driver(stand: IntakeStand) -> None:
    assert dict(stand.take(line(ref="00417"), line(ref="00417", name="Joan")).changes) == {"DriverCreated": 1}
    assert stand.known("ref:00417").profile == {"first_name": "Joan", "last_name": "Doe", "ref_id": "00417"}


def test_the_id_counts_more_than_the_reference_id(stand: IntakeStand) -> None:
    stand.take(line("417", ref="00417"))
    stand.take(line("418", ref="00417"))
    assert stand.logged == ["DriverCreated 417", "DriverCreated 418"]


def test_a_reference_id_of_two_drivers_is_refused_and_the_other_lines_are_taken(stand: IntakeStand) -> None:
    stand.take(line("417", ref="00417"), line("418", ref="00417"))
    taken = stand.take(line(ref="00417", name="Joan", number=7), line("419", number=8))
    reason = "2 drivers have this Reference ID; add a Driver ID column to tell them apart"
    assert taken.refused == [RefusedLine(line=7, column="Reference ID", reason=reason)]
    assert dict(taken.changes) == {"DriverCreated": 1}
    assert stand.logged[2:] == ["DriverCreated 419"]


def test_a_driver_who_is_gone_makes_no_reference_id_doubtful(stand: IntakeStand) -> None:
    stand.take(line("417", ref="00417"), line("418", ref="00417"))
    stand.intake.delete(ACCOUNT, PortalDriverId("418"), source="api")
    stand.take(line(ref="00417", name="Joan"))
    assert stand.logged[-1] == "DriverUpdated 417"


def test_a_reference_id_that_was_given_up_means_no_driver_of_before(stand: IntakeStand) -> None:
    stand.take(line("417", ref="00417"))
    stand.take(line("417", ref="00500"))
    stand.take(line(ref="00417", name="Joan"))
    assert stand.logged[-1] == "DriverCreated ref:00417"


def test_a_line_that_names_no_driver_is_refused(stand: IntakeStand) -> None:
    taken = stand.take(
        PortalLine(line=3, driver=NO_ID, profile=said(first_name="Jane")), line(ref=" ", number=4), line("417")
    )
    reason = "there is neither a Driver ID nor a Reference ID"
    assert taken.refused == [RefusedLine(line=each, column="Reference ID", reason=reason) for each in (3, 4)]
    assert stand.logged == ["DriverCreated 417"]


def test_a_driver_who_comes_back_by_reference_id_goes_on_with_the_same_history(stand: IntakeStand) -> None:
    stand.take(line(ref="00417"))
    stand.intake.delete(ACCOUNT, PortalDriverId("ref:00417"), source="api")
    stand.take(line(ref="00417"))
    assert stand.logged == ["DriverCreated ref:00417", "DriverDeleted ref:00417", "DriverCreated ref:00417"]
    assert [fact.originator_version for fact in stand.facts] == [1, 2, 3]


def test_a_driver_known_by_the_reference_id_alone_keeps_that_identity_when_an_id_is_stated_later(
    stand: IntakeStand,
) -> None:
    stand.take(line(ref="00417"))
    stand.take(line("417", ref="00417", name="Joan"))
    assert stand.logged == ["DriverCreated ref:00417", "DriverUpdated ref:00417"]
