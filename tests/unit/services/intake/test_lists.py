import pytest

from domain.identity import AccountId, PortalDriverId
from domain.portal import Change, DriverCreated, DriverDeleted, DriverUpdated
from domain.ports import PortalLine
from services.intake.handlers import UnknownDriver
from tests.support.stated import said
from tests.unit.services.intake.intake_stand import ACCOUNT, IntakeStand, line

JANE = PortalDriverId("417")


def test_a_driver_who_was_not_known_is_created_with_the_whole_profile(stand: IntakeStand) -> None:
    taken = stand.take(line("417", ref="00417"))
    assert (dict(taken.changes), taken.refused) == ({"DriverCreated": 1}, [])
    (fact,) = stand.facts
    assert isinstance(fact, DriverCreated)
    assert fact.profile == {"first_name": "Jane", "last_name": "Doe", "ref_id": "00417"}
    assert (fact.account, fact.driver, fact.source, fact.sequence) == ("acme", "417", "export", 1)


def test_an_equal_line_adds_nothing(stand: IntakeStand) -> None:
    stand.take(line("417"))
    end = stand.store.log.end()
    for same in (line("417"), line("417", name=" Jane "), line("417", number=9)):
        assert dict(stand.take(same).changes) == {"unchanged": 1}
    assert stand.store.log.end() == end


def test_another_profile_is_an_update_with_the_whole_of_it(stand: IntakeStand) -> None:
    stand.take(line("417", ref="00417"))
    assert dict(stand.take(line("417", ref="00417", name="Joan")).changes) == {"DriverUpdated": 1}
    fact = stand.facts[-1]
    assert isinstance(fact, DriverUpdated)
    assert fact.profile == {"first_name": "Joan", "last_name": "Doe", "ref_id": "00417"}


def test_a_field_that_is_blank_now_is_gone(stand: IntakeStand) -> None:
    stand.take(line("417", ref="00417"))
    stand.take(line("417"))
    assert stand.known("417").profile == {"first_name": "Jane", "last_name": "Doe"}


def test_only_what_the_portal_can_state_is_kept(stand: IntakeStand) -> None:
    stand.take(PortalLine(line=1, driver=JANE, profile=said(first_name="Jane", shoe_size="9")))
    assert stand.known("417").profile == {"first_name": "Jane"}


def test_of_two_lines_for_one_driver_the_last_one_counts(stand: IntakeStand) -> None:
    taken = stand.take(line("417", name="Jane"), line("418"), line("417", name="Joan"))
    assert dict(taken.changes) == {"DriverCreated": 2}
    assert stand.known("417").profile == {"first_name": "Joan", "last_name": "Doe"}


def test_a_list_is_stored_at_once(stand: IntakeStand) -> None:
    with pytest.raises(ValueError, match="surrogates"):
        stand.take(line("417"), line("\ud800"))
    assert (stand.logged, stand.everybody()) == ([], {})


def test_an_empty_list_is_nothing(stand: IntakeStand) -> None:
    assert dict(stand.take().changes) == {}
    assert stand.logged == []


def test_who_is_not_in_a_list_stays(stand: IntakeStand) -> None:
    stand.take(line("417"), line("418"))
    for _ in range(3):
        stand.take(line("417"))
    assert stand.logged == ["DriverCreated 417", "DriverCreated 418"]


def test_accounts_are_apart(stand: IntakeStand) -> None:
    stand.take(line("417"))
    other = AccountId("other")
    assert stand.intake.state(other, JANE, said(first_name="Joan"), source="api") == "DriverCreated"
    assert stand.intake.show(ACCOUNT, JANE).profile == {"first_name": "Jane", "last_name": "Doe"}
    assert stand.intake.show(other, JANE).profile == {"first_name": "Joan"}


def test_a_single_driver_is_stated_as_a_list_of_one(stand: IntakeStand) -> None:
    changes = [
        stand.intake.state(ACCOUNT, JANE, said(first_name=name), source="command line")
        for name in ("Jane", "Joan", "Joan")
    ]
    assert changes == ["DriverCreated", "DriverUpdated", "unchanged"]
    assert {fact.source for fact in stand.facts} == {"command line"}


def test_a_deletion_carries_the_last_profile(stand: IntakeStand) -> None:
    stand.take(line("417"))
    assert stand.intake.delete(ACCOUNT, JANE, source="api") == "DriverDeleted"
    fact = stand.facts[-1]
    assert isinstance(fact, DriverDeleted)
    assert (fact.profile, fact.source) == ({"first_name": "Jane", "last_name": "Doe"}, "api")
    assert not stand.known("417").is_there


def test_a_driver_that_the_portal_does_not_have_cannot_be_deleted_or_shown(stand: IntakeStand) -> None:
    stand.take(line("418"))
    stand.intake.delete(ACCOUNT, PortalDriverId("418"), source="api")
    end = stand.store.log.end()
    for driver in ("417", "418"):
        with pytest.raises(UnknownDriver, match=f"the Portal has no driver {driver} in account acme"):
            stand.intake.delete(ACCOUNT, PortalDriverId(driver), source="api")
        with pytest.raises(UnknownDriver):
            stand.intake.show(ACCOUNT, PortalDriverId(driver))
    assert stand.store.log.end() == end


def test_a_driver_who_comes_back_is_created_again_in_the_same_history(stand: IntakeStand) -> None:
    stand.take(line("417"))
    stand.intake.delete(ACCOUNT, JANE, source="api")
    assert dict(stand.take(line("417")).changes) == {"DriverCreated": 1}
    assert stand.logged == ["DriverCreated 417", "DriverDeleted 417", "DriverCreated 417"]
    assert len({fact.originator_id for fact in stand.facts}) == 1
    assert stand.known("417").is_there


def test_a_drivers_sequence_rises_with_everything_that_is_said(stand: IntakeStand) -> None:
    stand.take(line("417"))
    stand.take(line("417", name="Joan"))
    stand.take_snapshot("s1", line("418"))
    stand.take(line("417", name="Joan"))
    stand.intake.delete(ACCOUNT, JANE, source="api")
    stand.take(line("417"))
    facts = [fact for fact in stand.facts if fact.driver == "417"]
    assert [fact.originator_version for fact in facts] == [1, 2, 3, 4, 5, 6]
    assert [fact.sequence for fact in facts if isinstance(fact, Change)] == [1, 2, 5, 6]


def test_a_field_that_is_not_stated_stays_as_it_is_known(stand: IntakeStand) -> None:
    stand.take(line("417", ref="00417"))
    taken = stand.take(PortalLine(line=1, driver=JANE, profile=said(first_name="Joan", last_name="Doe")))
    assert dict(taken.changes) == {"DriverUpdated": 1}
    assert stand.known("417").profile == {"first_name": "Joan", "last_name": "Doe", "ref_id": "00417"}


def test_a_change_carries_the_whole_profile_whatever_was_stated(stand: IntakeStand) -> None:
    stand.take(line("417", ref="00417"))
    stand.take(PortalLine(line=1, driver=JANE, profile=said(phone="303-555-0142")))
    fact = stand.facts[-1]
    assert isinstance(fact, DriverUpdated)
    assert fact.profile == {"first_name": "Jane", "last_name": "Doe", "ref_id": "00417", "phone": "303-555-0142"}


def test_who_was_deleted_comes_back_with_what_is_stated_then_and_no_more(stand: IntakeStand) -> None:
    stand.take(line("417", ref="00417"))
    stand.intake.delete(ACCOUNT, JANE, source="api")
    stand.take(PortalLine(line=1, driver=JANE, profile=said(first_name="Jane", last_name="Doe")))
    assert stand.known("417").profile == {"first_name": "Jane", "last_name": "Doe"}
