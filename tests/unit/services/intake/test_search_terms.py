"""By what drivers are found is the same live and rebuilt, and no more than what is stated now and every id ever."""

from pathlib import Path

import pytest

from domain.identity import PortalDriverId
from domain.ports import PortalLine
from domain.profile import StatedProfile
from domain.store import Event
from services.intake.read_models import SearchTerm, project_known_drivers
from services.runtime.read_models import Rows
from tests.unit.services.intake.intake_stand import ACCOUNT, SOURCE, IntakeStand

STATED = (
    {"first_name": "Mary Ann", "last_name": "Roe Doe", "ref_id": "R1", "email": "Mary@fleet.test"},
    {"first_name": "Mary", "last_name": "Doe", "ref_id": "R2", "email": "Mary@fleet.test"},
    None,
    {"first_name": "Jo", "last_name": "Poe", "ref_id": "R2"},
    {"first_name": " ".join("abcdefghijkl"), "last_name": "z", "ref_id": "R3"},
)
"""What the Portal states of one driver, one statement after the other; None: it is deleted."""


def after(path: Path, statements: int) -> IntakeStand:
    """Intake after so many of these."""
    stand = IntakeStand(path)
    for profile in STATED[:statements]:
        if profile is None:
            stand.intake.delete(ACCOUNT, PortalDriverId("P1"), source=SOURCE)
        else:
            stand.take(PortalLine(line=1, driver=PortalDriverId("P1"), profile=StatedProfile(fields=profile)))
    return stand


def terms(stand: IntakeStand) -> list[tuple[str, str]]:
    return sorted((row.field, row.term) for row in stand.store.select(SearchTerm))


def test_a_driver_is_found_by_what_is_stated_now_and_every_id_ever(tmp_path: Path) -> None:
    stand = after(tmp_path / "intake", 2)
    assert terms(stand) == [
        ("driver", "p1"),
        ("email", "mary@fleet.test"),
        ("name", "doe"),
        ("name", "mary doe"),
        ("ref_id", "r1"),
        ("ref_id", "r2"),
    ]
    stand.close()


def test_one_who_comes_back_is_found_by_nothing_that_was_stated_before_but_ids(tmp_path: Path) -> None:
    stand = after(tmp_path / "intake", 4)
    assert {term for field, term in terms(stand) if field in {"name", "email"}} == {"jo poe", "poe"}
    assert {term for field, term in terms(stand) if field == "ref_id"} == {"r1", "r2"}
    stand.close()


def test_a_name_of_many_words_is_found_by_the_first_ten(tmp_path: Path) -> None:
    stand = after(tmp_path / "intake", 5)
    assert [term[0] for field, term in terms(stand) if field == "name"] == [*"abcdefghij"]
    stand.close()


@pytest.mark.parametrize("statements", range(1, len(STATED) + 1))
@pytest.mark.parametrize("together", [1, 2, 10])
def test_live_and_rebuilt_are_the_same_however_the_log_is_divided(
    tmp_path: Path, statements: int, together: int
) -> None:
    stand = after(tmp_path / "intake", statements)
    events: list[tuple[int, Event]] = [
        (each.position, each.event) for each in stand.store.log.read(0, 100) if each.event
    ]
    rows = Rows(lambda _kind, _keys: ())
    for start in range(0, len(events), together):
        project_known_drivers(events[start : start + together], rows)
    made = {key: row for kind, changed in rows.changes() if kind is SearchTerm for key, row in changed.items() if row}
    assert sorted(made.values(), key=repr) == sorted(stand.store.select(SearchTerm), key=repr)
    stand.close()
