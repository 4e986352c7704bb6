import pytest

from domain import store as module
from domain.identity import PortalDriverId
from services.api.naming import Candidate, find_drivers, find_stated
from tests.support.stated import whole
from tests.support.stepped_services import ACME
from tests.unit.services.api.fleet import JANE, Fleet

JANE_DOE = Candidate(driver="1", name="Jane Doe", ref_id="R1", driveri_driver_id="D1", is_wanted=True)


@pytest.mark.parametrize("text", ["1", "r1", "R1", "d1", " D1 "])
def test_a_driver_is_found_by_each_of_its_ids(fleet: Fleet, text: str) -> None:
    fleet.state("1", **JANE)
    assert find_drivers(fleet.decider, ACME, text) == [JANE_DOE]


def test_a_portal_driver_id_comes_before_all_others(fleet: Fleet) -> None:
    fleet.state("1", **JANE)
    fleet.state("2", first_name="Bob", ref_id="1")
    assert find_drivers(fleet.decider, ACME, "1") == [JANE_DOE]


def test_a_portal_driver_id_is_found_exactly_only(fleet: Fleet) -> None:
    fleet.state("ab1", first_name="Bob")
    assert find_drivers(fleet.decider, ACME, "AB1") == []


@pytest.mark.parametrize("page", [1, 500])
def test_everybody_with_an_id_is_a_candidate(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    monkeypatch.setattr(module, "_PAGE", page)
    fleet.state("1", **JANE)
    fleet.state("2", first_name="Bob", ref_id="d1")
    fleet.state("3", first_name="Eve")
    assert [each.driver for each in find_drivers(fleet.decider, ACME, "D1")] == ["1", "2"]


def test_a_deleted_driver_is_found_by_what_was_stated_last(fleet: Fleet) -> None:
    fleet.state("1", **JANE)
    fleet.delete("1")
    (found,) = find_drivers(fleet.decider, ACME, "D1")
    assert not found.is_wanted


@pytest.mark.parametrize("text", ["", " ", "Jane"])
def test_no_driver_is_found_by_an_empty_text_or_a_name(fleet: Fleet, text: str) -> None:
    fleet.state("1", first_name="Jane", last_name="Doe")
    assert find_drivers(fleet.decider, ACME, text) == []


def test_another_accounts_drivers_are_not_found(fleet: Fleet) -> None:
    fleet.state("1", **JANE)
    assert find_drivers(fleet.decider, "other", "1") == []


@pytest.mark.parametrize("text", ["1", "r1", "D1"])
def test_a_driver_of_whom_the_decider_does_not_know_yet_is_found_as_the_portal_states_it(
    fleet: Fleet, text: str
) -> None:
    fleet.portal.state(ACME, PortalDriverId("1"), whole(JANE), source="export")
    assert find_drivers(fleet.decider, ACME, text) == []
    assert find_stated(fleet.intake, ACME, text) == [JANE_DOE]
