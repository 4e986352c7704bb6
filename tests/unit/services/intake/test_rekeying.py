"""A list that would give many drivers other identifiers waits for a person, as a mass delete does."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from domain.identity import PortalDriverId
from domain.ports import PortalLine
from services.intake.handlers import Judgement, ReKeyingHeld, Reviewed, SnapshotRefused, Taken
from tests.support.stated import said
from tests.unit.services.intake.intake_stand import ACCOUNT, SOURCE, IntakeStand

FLEET = tuple(str(number) for number in range(1, 9))


def driver(name: str, **fields: str) -> PortalLine:
    """A line about this driver."""
    return PortalLine(line=1, driver=PortalDriverId(name), profile=said(first_name="Jane", last_name="Doe", **fields))


@pytest.fixture
def fleet(stand: IntakeStand) -> IntakeStand:
    """Eight drivers with both identifiers."""
    stand.take(*(driver(each, ref_id=f"000{each}", driveri_driver_id=f"DRV-{each}") for each in FLEET))
    return stand


def renamed(*names: str, to: str = "NEW") -> list[PortalLine]:
    return [driver(each, driveri_driver_id=f"{to}-{each}") for each in names]


def judged(fleet: IntakeStand, lines: Sequence[PortalLine], approve: str | None = None) -> Judgement:
    """What is said of a list, as an import asks for it."""
    return judged_with_absent(fleet, lines, approve)[0]


def judged_with_absent(
    fleet: IntakeStand, lines: Sequence[PortalLine], approve: str | None = None, *, is_complete: bool = False
) -> tuple[Judgement, Taken]:
    """The same, and what would follow for the drivers that it lacks."""
    taken: Taken = fleet.intake.review(ACCOUNT, lines, source=SOURCE)
    reviewed = Reviewed(
        rekeyed=[(each.driver, each.after) for each in taken.differences if each.is_rekeying],
        new={each.driver for each in taken.differences if each.is_new},
        shown=taken.shown,
        approve=approve,
        is_complete=is_complete,
    )
    return fleet.intake.judge(ACCOUNT, reviewed, source=SOURCE)


def test_a_list_that_rekeys_many_is_held_and_nothing_of_it_is_stored(fleet: IntakeStand) -> None:
    end = fleet.store.log.end()
    judgement = judged(fleet, renamed(*FLEET[:4]))
    assert (judgement.is_held, judgement.rekeyed, judgement.known, judgement.limit) == (True, 4, 8, 3)
    with pytest.raises(ReKeyingHeld, match="would re-key 4 of 8 drivers, and 3 may be in a day"):
        fleet.take(*renamed(*FLEET[:4]))
    assert fleet.store.log.end() == end


def test_a_person_approves_exactly_the_set_that_was_seen(fleet: IntakeStand) -> None:
    seen = judged(fleet, renamed(*FLEET[:4])).digest
    assert judged(fleet, renamed(*FLEET[:5]), seen).is_held
    assert judged(fleet, renamed(*FLEET[:4], to="OTHER"), seen).is_held
    assert not judged(fleet, renamed(*FLEET[:4]), seen).is_held
    with pytest.raises(ReKeyingHeld):
        fleet.take(*renamed(*FLEET[:4], to="OTHER"))
    assert dict(fleet.take(*renamed(*FLEET[:4])).changes) == {"DriverUpdated": 4}


def test_an_approval_is_for_a_day_and_for_once(fleet: IntakeStand) -> None:
    seen = judged(fleet, renamed(*FLEET)).digest
    judged(fleet, renamed(*FLEET), seen)
    fleet.wait(timedelta(days=1))
    with pytest.raises(ReKeyingHeld):
        fleet.take(*renamed(*FLEET))
    judged(fleet, renamed(*FLEET), seen)
    fleet.take(*renamed(*FLEET))
    fleet.take(*renamed(*FLEET[:3], to="DRV"))
    with pytest.raises(ReKeyingHeld):
        fleet.take(*renamed(*FLEET))


def test_what_is_split_over_several_lists_counts_together_for_a_day(fleet: IntakeStand) -> None:
    for each in FLEET[:3]:
        assert not judged(fleet, renamed(each)).is_held
        fleet.take(*renamed(each))
    judgement = judged(fleet, renamed(FLEET[3]))
    assert (judgement.is_held, judgement.counted) == (True, 3)
    with pytest.raises(ReKeyingHeld):
        fleet.take(*renamed(FLEET[3]))
    fleet.wait(timedelta(days=1))
    assert not judged(fleet, renamed(FLEET[3])).is_held


def test_what_a_person_has_approved_does_not_count(fleet: IntakeStand) -> None:
    judged(fleet, renamed(*FLEET), judged(fleet, renamed(*FLEET)).digest)
    fleet.take(*renamed(*FLEET))
    assert judged(fleet, renamed(FLEET[0], to="DRV")).counted == 0


def test_a_list_in_which_everybody_is_new_though_others_were_known_is_held(fleet: IntakeStand) -> None:
    dressed = [driver(f'="{each}"', ref_id=f"R{each}") for each in FLEET]
    judgement = judged(fleet, dressed)
    assert (judgement.is_held, judgement.replaced, judgement.lacking) == (True, 8, 8)
    assert not judged(fleet, dressed, judgement.digest).is_held
    assert dict(fleet.take(*dressed).changes) == {"DriverCreated": 8}


def test_new_drivers_beside_the_known_ones_are_not_questioned(fleet: IntakeStand) -> None:
    assert not judged(fleet, [*(driver(each) for each in FLEET), *(driver(f"n{each}") for each in FLEET)]).is_held


def test_a_first_list_is_not_questioned(stand: IntakeStand) -> None:
    assert not judged(stand, [driver(each, ref_id=each) for each in FLEET]).is_held


def test_a_single_driver_who_is_stated_by_a_person_is_not_held(fleet: IntakeStand) -> None:
    for each in FLEET:
        change = fleet.intake.state(
            ACCOUNT, PortalDriverId(each), said(driveri_driver_id=f"NEW-{each}"), source="command line"
        )
        assert change == "DriverUpdated"


def test_a_complete_list_that_lacks_too_many_is_refused_before_anything_is_stored(fleet: IntakeStand) -> None:
    with pytest.raises(SnapshotRefused, match="the list lacks 6 of 8 drivers"):
        judged_with_absent(fleet, [driver(each) for each in FLEET[:2]], is_complete=True)
    _, absent = judged_with_absent(fleet, [driver(each) for each in FLEET[:6]], is_complete=True)
    assert dict(absent.changes) == {"DriverMissed": 2}
