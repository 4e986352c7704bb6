"""What a target shows in its own form is not drift, and is not written again."""

from collections.abc import Callable

import pytest

from domain.driver_link import DriftFound
from domain.failures import Reason, Unavailable
from domain.identity import Key, Target
from tests.support.stepped_services import ACME, SteppedServices, person

LICENCE = {"licence_number": "ab 12-3", "licence_state": "CO", "licence_country": "US"}
FORMS: dict[str, Callable[[str, str], str]] = {
    "capitals without blanks": lambda field, text: "".join(text.split()).upper() if field == "licence_number" else text,
    "capitalised names": lambda field, text: text.title() if field.endswith("_name") else text,
    "small e-mails": lambda field, text: text.lower() if field == "email" else text,
    "phones in groups": lambda field, text: f"({text[:3]}) {text[3:]}" if field == "phone" else text,
    "cut": lambda field, text: text[:5] if field in ("licence_number", "last_name") else text,
}


def _stated(**changed: str) -> dict[str, str]:
    mixed = {"first_name": "jan ole", "last_name": "van DAMME", "email": "Jan.Ole@fleet.test", "phone": "3035550142"}
    return person(1, **{**mixed, **LICENCE, **changed})


def _reconciliation(fleet: SteppedServices, times: int = 1) -> None:
    for _ in range(times):
        fleet.wait(hours=24)
        fleet.run()


def _drifts(fleet: SteppedServices, target: Target) -> list[DriftFound]:
    return [event for event in fleet.decided(target) if isinstance(event, DriftFound)]


def _writes(fleet: SteppedServices, target: Target) -> int:
    return len([call for call in fleet.twins[ACME, target].called if not call.startswith(("find", "scan"))])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("changed", [{"first_name": "jan"}, {"licence_number": "cd 45-6"}, {"last_name": "de BEER jr"}])
def test_a_target_that_shows_its_own_form_is_in_step_and_written_to_at_most_once_more(
    fleet: SteppedServices, form: str, changed: dict[str, str]
) -> None:
    for target in Target:
        fleet.twins[ACME, target].drivers.own_way = FORMS[form]
    fleet.add()
    fleet.state("p1", _stated())
    fleet.run()
    _reconciliation(fleet, 2)
    fleet.state("p1", _stated(**changed))
    fleet.run()
    _reconciliation(fleet, 2)
    before = {target: (_writes(fleet, target), len(_drifts(fleet, target))) for target in Target}
    _reconciliation(fleet, 3)
    for target, (written, drifted) in before.items():
        assert (_writes(fleet, target), len(_drifts(fleet, target))) == (written, drifted)
        assert [drift.at_odds for drift in _drifts(fleet, target) if drift.at_odds] == []
        assert drifted == 0 or form == "cut"


def test_an_own_form_survives_a_later_write_of_another_field(fleet: SteppedServices) -> None:
    fleet.twins[ACME, Target.DRIVERI].drivers.own_way = FORMS["capitals without blanks"]
    fleet.add()
    fleet.state("p1", _stated())
    fleet.run()
    fleet.state("p1", _stated(first_name="joe"))
    fleet.run()
    assert fleet.link("p1").unlike == ("licence_number",)
    _reconciliation(fleet, 2)
    assert _drifts(fleet, Target.DRIVERI) == []


@pytest.mark.parametrize("target", Target)
def test_a_second_writer_is_still_found_where_two_values_were_seen(fleet: SteppedServices, target: Target) -> None:
    fleet.add()
    fleet.state("p1", _stated())
    fleet.run()
    for _ in range(2):
        fleet.twins[ACME, target].drivers.edit_by_hand(0, {"last_name": "Other"})
        _reconciliation(fleet)
    assert [drift.at_odds for drift in _drifts(fleet, target)] == [[], ["last_name"]]


def test_what_cannot_be_read_back_is_not_at_odds(fleet: SteppedServices) -> None:
    fleet.add()
    fleet.state("p1", _stated())
    fleet.run()
    link = fleet.link("p1")
    assert (link.unseen, link.key) == ((), Key("D1"))
    fleet.state("p1", _stated(last_name="Roe"))
    fleet.run()
    assert fleet.link("p1").unseen == ("last_name",)


def test_no_field_is_at_odds_where_our_own_value_was_not_seen_in_between(fleet: SteppedServices) -> None:
    twin = fleet.twins[ACME, Target.DRIVERI]
    twin.drivers.own_way = FORMS["cut"]
    fleet.add()
    fleet.state("p1", _stated())
    fleet.run()
    twin.blind = Unavailable(reason=Reason.DOWN, detail="no driver can be looked up")
    fleet.state("p1", _stated(last_name="de BEER jr"))
    fleet.run()
    _reconciliation(fleet, 3)
    drifted = [(drift.fields, drift.at_odds) for drift in _drifts(fleet, Target.DRIVERI)]
    assert drifted == [(["last_name"], [])] * 3


@pytest.mark.parametrize("target", Target)
def test_eight_licences_that_are_shown_in_capitals_without_blanks_are_left_alone(
    fleet: SteppedServices, target: Target
) -> None:
    fleet.twins[ACME, target].drivers.own_way = FORMS["capitals without blanks"]
    fleet.add()
    for change in ("", "+1 303 555 0142"):
        for number in range(1, 9):
            fleet.state(f"p{number}", person(number, phone=change, **{**LICENCE, "licence_number": f"ab 12-{number}"}))
        fleet.run()
    before = _writes(fleet, target)
    _reconciliation(fleet, 3)
    assert (_writes(fleet, target), _drifts(fleet, target)) == (before, [])
