"""When absence from a list means anything: only in complete ones, and only the second time in a row."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.identity import AccountId, PortalDriverId
from domain.ports import PortalLine
from services.intake.handlers import Hourly, SnapshotRefused, new_snapshot
from services.intake.read_models import SnapshotDriver
from tests.support.stated import said
from tests.unit.services.intake.intake_stand import ACCOUNT, SOURCE, IntakeStand, line

NOW = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
EMPTY = "the list shows no driver at all; an empty list never deletes a driver"


@pytest.fixture
def fleet(stand: IntakeStand) -> IntakeStand:
    """Jane (417), Bob (418) and Eve (419) are known."""
    stand.take(line("417", ref="00417"), line("418", ref="00418", name="Bob"), line("419", ref="00419", name="Eve"))
    return stand


JANE, BOB, EVE = line("417", ref="00417"), line("418", ref="00418", name="Bob"), line("419", ref="00419", name="Eve")


def news(stand: IntakeStand) -> list[str]:
    """What was logged since the fleet is known."""
    return stand.logged[3:]


def test_a_snapshot_that_shows_everybody_says_nothing(fleet: IntakeStand) -> None:
    assert fleet.take_snapshot("s1", JANE, BOB, EVE) == {}
    assert news(fleet) == []


def test_absence_is_noted_the_first_time_and_a_deletion_the_second_time_in_a_row(fleet: IntakeStand) -> None:
    assert fleet.take_snapshot("s1", JANE, BOB) == {"DriverMissed": 1}
    assert fleet.known("419").is_there
    assert fleet.take_snapshot("s2", JANE, BOB) == {"DriverDeleted": 1}
    assert not fleet.known("419").is_there
    assert fleet.take_snapshot("s3", JANE, BOB) == {}
    assert news(fleet) == ["DriverMissed 419", "DriverDeleted 419"]


def test_who_is_seen_in_between_has_to_be_absent_twice_again(fleet: IntakeStand) -> None:
    fleet.take_snapshot("s1", JANE, BOB)
    fleet.take_snapshot("s2", JANE, BOB, EVE)
    fleet.take_snapshot("s3", JANE, BOB)
    assert news(fleet) == ["DriverMissed 419", "DriverSeenAgain 419", "DriverMissed 419"]
    fleet.take_snapshot("s4", JANE, BOB)
    assert news(fleet)[3:] == ["DriverDeleted 419"]


@pytest.mark.parametrize("seen", [EVE, line("419", ref="00419", name="Eva"), line(ref="00419", name="Eve")])
def test_any_list_or_statement_that_shows_the_driver_counts_as_seen(fleet: IntakeStand, seen: PortalLine) -> None:
    fleet.take_snapshot("s1", JANE, BOB)
    fleet.take(seen)
    assert fleet.take_snapshot("s2", JANE, BOB) == {"DriverMissed": 1}
    assert fleet.known("419").is_there


def test_a_list_that_is_not_a_snapshot_says_nothing_of_who_is_absent(fleet: IntakeStand) -> None:
    fleet.take_snapshot("s1", JANE, BOB)
    for _ in range(2):
        fleet.take(JANE)
    assert news(fleet) == ["DriverMissed 419"]


def test_a_snapshot_may_come_in_parts(fleet: IntakeStand) -> None:
    for part in (JANE, BOB, EVE):
        fleet.take(part, snapshot="s1")
    assert fleet.finish("s1") == {}


def test_a_driver_may_be_in_two_parts(fleet: IntakeStand) -> None:
    for part in (JANE, BOB, line("417", ref="00417", name="Joan")):
        fleet.take(part, snapshot="s1")
    assert fleet.finish("s1") == {"DriverMissed": 1}
    assert news(fleet) == ["DriverUpdated 417", "DriverMissed 419"]


def test_a_snapshot_can_bring_changes_and_absences(fleet: IntakeStand) -> None:
    taken = fleet.take(line("417", ref="00417", name="Joan"), line("420"), snapshot="s1")
    assert dict(taken.changes) == {"DriverUpdated": 1, "DriverCreated": 1}
    assert fleet.finish("s1") == {"DriverMissed": 2}


@pytest.mark.parametrize("parts", [[], [()], [(), ()]])
def test_an_empty_snapshot_is_refused_and_says_nothing(fleet: IntakeStand, parts: list[tuple[()]]) -> None:
    for _ in range(2):
        for part in parts:
            fleet.take(*part, snapshot="s1")
        with pytest.raises(SnapshotRefused, match=EMPTY):
            fleet.finish("s1")
    assert news(fleet) == []


def test_a_snapshot_of_refused_lines_only_is_refused(fleet: IntakeStand) -> None:
    with pytest.raises(SnapshotRefused, match=EMPTY):
        fleet.finish("s1", JANE, BOB)
    assert news(fleet) == []


def test_a_refused_line_that_names_its_driver_is_not_an_absence(fleet: IntakeStand) -> None:
    for snapshot in ("s1", "s2"):
        fleet.take(JANE, snapshot=snapshot)
        assert fleet.finish(snapshot, line("418"), line(ref="00419")) == {}
    assert news(fleet) == []


def test_a_refused_line_that_names_its_driver_is_seen(fleet: IntakeStand) -> None:
    fleet.take_snapshot("s1", JANE, BOB)
    fleet.take(JANE, BOB, snapshot="s2")
    assert fleet.finish("s2", line("419")) == {"DriverSeenAgain": 1}
    assert fleet.take_snapshot("s3", JANE, BOB) == {"DriverMissed": 1}
    assert fleet.known("419").is_there


def test_a_driver_that_a_doubtful_reference_id_may_mean_is_not_absent(fleet: IntakeStand) -> None:
    fleet.take(line("420", ref="00419"))
    for snapshot in ("s1", "s2"):
        fleet.take(JANE, BOB, line(ref="00419"), snapshot=snapshot)
        assert fleet.finish(snapshot) == {}
    fleet.take(JANE, BOB, snapshot="s3")
    assert fleet.finish("s3", line(ref="00419")) == {}
    assert {fleet.known("419").missed, fleet.known("420").missed} == {False}


def test_a_refused_line_that_names_no_known_driver_is_harmless(fleet: IntakeStand) -> None:
    fleet.take(JANE, BOB, EVE, snapshot="s1")
    assert fleet.finish("s1", line("999"), line(ref="999"), line()) == {}
    assert set(fleet.everybody()) == {"417", "418", "419"}


def test_a_snapshot_that_was_never_finished_counts_for_nothing(fleet: IntakeStand) -> None:
    fleet.take(JANE, EVE, snapshot="killed")
    assert fleet.take_snapshot("s2", JANE, BOB) == {"DriverMissed": 1}
    fleet.take(JANE, snapshot="killed again")
    assert news(fleet) == ["DriverMissed 419"]


def test_what_a_killed_import_leaves_is_forgotten_and_what_goes_on_is_not(fleet: IntakeStand) -> None:
    killed = new_snapshot(fleet.now)
    fleet.take(JANE, snapshot=killed)
    fleet.wait(timedelta(days=2))
    going_on = new_snapshot(fleet.now)
    fleet.take(BOB, snapshot=going_on)
    assert fleet.intake.forget_unfinished_snapshots() == 1
    assert [(row.snapshot, row.driver) for row in fleet.store.select(SnapshotDriver)] == [(going_on, "418")]
    assert fleet.intake.forget_unfinished_snapshots() == 0
    fleet.take(JANE, EVE, snapshot=going_on)
    assert fleet.finish(going_on) == {}


def test_what_may_be_forgotten_by_now_does_not_count_as_the_whole(fleet: IntakeStand) -> None:
    snapshot = new_snapshot(fleet.now)
    fleet.take(JANE, snapshot=snapshot)
    fleet.wait(timedelta(days=1))
    for go_on in (lambda: fleet.take(BOB, snapshot=snapshot), lambda: fleet.finish(snapshot)):
        with pytest.raises(SnapshotRefused, match="more than 24 hours: import it again from the beginning"):
            go_on()
    assert news(fleet) == []


def test_nothing_is_forgotten_as_long_as_it_may_go_on(fleet: IntakeStand) -> None:
    snapshot = new_snapshot(fleet.now)
    fleet.take(JANE, BOB, snapshot=snapshot)
    fleet.wait(timedelta(hours=23))
    fleet.intake.forget_unfinished_snapshots()
    fleet.take(EVE, snapshot=snapshot)
    assert fleet.finish(snapshot) == {}


def test_no_two_snapshots_have_the_same_name(fleet: IntakeStand) -> None:
    assert new_snapshot(fleet.now) != new_snapshot(fleet.now)


def test_unfinished_snapshots_are_looked_for_once_an_hour() -> None:
    moments = [NOW, NOW + timedelta(minutes=59), NOW + timedelta(hours=1), NOW + timedelta(minutes=61)]
    looks: list[int] = []

    def forget() -> int:
        looks.append(1)
        return 3

    chore = Hourly(forget, iter(moments).__next__)
    assert [chore() for _ in moments] == [3, 0, 3, 0]
    assert len(looks) == 2


def test_two_snapshots_at_once_do_not_disturb_each_other(fleet: IntakeStand) -> None:
    fleet.take(JANE, snapshot="s1")
    assert fleet.take_snapshot("s2", JANE, BOB, EVE) == {}
    fleet.take(BOB, EVE, snapshot="s1")
    assert fleet.finish("s1") == {}


def test_a_finished_snapshot_leaves_nothing_behind_and_cannot_be_finished_again(fleet: IntakeStand) -> None:
    fleet.take_snapshot("s1", JANE, BOB)
    assert fleet.store.select(SnapshotDriver) == []
    with pytest.raises(SnapshotRefused, match=EMPTY):
        fleet.finish("s1")
    assert news(fleet) == ["DriverMissed 419"]


def test_a_snapshot_of_one_account_says_nothing_of_others(fleet: IntakeStand) -> None:
    other = AccountId("other")
    fleet.intake.state(other, PortalDriverId("500"), said(first_name="Ann"), source="api")
    for snapshot in ("s1", "s2"):
        fleet.intake.take_list(other, [line("501")], source=SOURCE, snapshot=snapshot)
        fleet.take_snapshot(snapshot, JANE, BOB, EVE)
        fleet.intake.finish_snapshot(other, source=SOURCE, snapshot=snapshot, refused=[])
    assert news(fleet) == ["DriverCreated 500", "DriverCreated 501", "DriverMissed 500", "DriverDeleted 500"]


def test_who_was_deleted_and_is_shown_again_is_created_again(fleet: IntakeStand) -> None:
    for snapshot in ("s1", "s2"):
        fleet.take_snapshot(snapshot, JANE, BOB)
    fleet.take_snapshot("s3", JANE, BOB, EVE)
    assert news(fleet) == ["DriverMissed 419", "DriverDeleted 419", "DriverCreated 419"]
    assert fleet.take_snapshot("s4", JANE, BOB) == {"DriverMissed": 1}


def test_a_deletion_that_the_portal_states_needs_no_second_absence(fleet: IntakeStand) -> None:
    fleet.take_snapshot("s1", JANE, BOB)
    fleet.intake.delete(ACCOUNT, PortalDriverId("419"), source="api")
    assert fleet.take_snapshot("s2", JANE, BOB) == {}
    assert news(fleet) == ["DriverMissed 419", "DriverDeleted 419"]


def test_a_fleet_of_many_pages_is_compared_whole(stand: IntakeStand) -> None:
    everybody = [line(f"{number:04}") for number in range(1_201)]
    stand.take_snapshot("s1", *everybody)
    assert stand.take_snapshot("s2", *everybody[300:]) == {"DriverMissed": 300}
    assert stand.take_snapshot("s3", *everybody[300:]) == {"DriverDeleted": 300}


@pytest.mark.parametrize("left", [4, 6])
def test_a_list_cut_in_half_deletes_no_driver_however_often_it_comes(stand: IntakeStand, left: int) -> None:
    everybody = [line(f"{number:02}") for number in range(12)]
    stand.take_snapshot("s1", *everybody)
    for snapshot in ("s2", "s3", "s4"):
        stand.take(*everybody[:left], snapshot=snapshot)
        with pytest.raises(SnapshotRefused, match=f"the list lacks {12 - left} of 12 drivers"):
            stand.finish(snapshot)
    assert len(stand.logged) == 12


def test_of_a_list_of_twelve_four_may_be_lacking(stand: IntakeStand) -> None:
    everybody = [line(f"{number:02}") for number in range(12)]
    stand.take_snapshot("s1", *everybody)
    assert stand.take_snapshot("s2", *everybody[4:]) == {"DriverMissed": 4}
    assert stand.take_snapshot("s3", *everybody[4:]) == {"DriverDeleted": 4}


def test_of_a_small_fleet_as_many_may_be_lacking_as_the_guard_lets_go_in_a_day(stand: IntakeStand) -> None:
    everybody = [line(f"{number:02}") for number in range(4)]
    stand.take_snapshot("s1", *everybody)
    assert stand.take_snapshot("s2", *everybody[3:]) == {"DriverMissed": 3}


def test_a_person_may_say_that_this_many_have_really_left(stand: IntakeStand) -> None:
    everybody = [line(f"{number:02}") for number in range(12)]
    stand.take_snapshot("s1", *everybody)
    for snapshot, change in (("s2", "DriverMissed"), ("s3", "DriverDeleted")):
        stand.take(*everybody[:2], snapshot=snapshot)
        taken = stand.intake.finish_snapshot(ACCOUNT, source=SOURCE, snapshot=snapshot, refused=[], may_lack_many=True)
        assert dict(taken.changes) == {change: 10}
