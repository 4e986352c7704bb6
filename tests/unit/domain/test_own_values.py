"""What a driver with a temporary key or value gets of its own: the desired one, else its former one, else nothing."""

from dataclasses import replace

from domain.claims import own_values
from domain.driver_link import DriverLink, in_sequence, replay
from domain.identity import Target
from domain.matching import UnreadableRecord, UnreadableRecords, identifier_in
from domain.profile import Profile
from tests.support.scenario import BOB, CAROL, DRIVERI, JANE, MOTIVE, Subject

MOVED: Profile = {**JANE, "driveri_driver_id": "D-8"}


def _aside(subject: Subject) -> DriverLink:
    """A link whose driver has a temporary key in Driveri, or a temporary RefID in Motive."""
    link = replay(subject.nothing, in_sequence(subject.nothing, subject.linked()))
    former = link.confirmed or {}
    if subject.target is Target.DRIVERI:
        return replace(link, key=link.temporary_key, former_key=link.key, former=former)
    return replace(link, former=former, confirmed={**former, "ref_id": link.temporary_key})


def test_a_key_is_the_desired_one_where_it_is_free_else_the_former_one_else_none_yet() -> None:
    link, desired = _aside(DRIVERI), DRIVERI.desired(MOVED, sequence=2)
    free = own_values(desired, link, DRIVERI.batch())
    assert free is not None
    assert free.key == "D-8"
    back = own_values(desired, link, DRIVERI.batch(claimed={"key:d-8": BOB}))
    assert back is not None
    assert back.key == "D-7"
    assert own_values(desired, link, DRIVERI.batch(claimed={"key:d-8": BOB, "key:d-7": CAROL})) is None


def test_a_field_is_the_desired_text_where_it_is_free_else_the_former_one_else_none_yet() -> None:
    link, desired = _aside(MOTIVE), MOTIVE.desired({**JANE, "ref_id": "00999"}, sequence=2)
    former = link.former["ref_id"]
    wanted, owned = (identifier_in(Target.MOTIVE, {"ref_id": text}, "ref_id") for text in ("00999", former))

    def found(*taken: str) -> str | None:
        values = own_values(desired, link, MOTIVE.batch(claimed=dict.fromkeys(taken, BOB)))
        return None if values is None else values.profile["ref_id"]

    assert found() == "00999"
    assert found(wanted) == former
    assert found(wanted, owned) is None


def test_a_value_is_not_free_while_a_deactivated_driver_of_driveri_or_an_active_one_has_it() -> None:
    link = _aside(DRIVERI)
    assert not DRIVERI.batch(DRIVERI.shown("D-8", active=False)).is_free(link, "key:d-8")
    assert not MOTIVE.batch(MOTIVE.shown("8")).is_free(link, "key:8")
    assert MOTIVE.batch(MOTIVE.shown("8", active=False)).is_free(link, "key:8")


def test_a_record_that_was_shown_twice_is_unreadable_once() -> None:
    known = UnreadableRecord(place="page 1", key="7", fields=("phone",), is_left_out=False)
    unknown = replace(known, key="")
    records = UnreadableRecords()
    records.add([known, unknown])
    records.add([replace(known, place="page 2"), unknown])
    assert len(records) == 2
    assert [*records] == [known, unknown]
