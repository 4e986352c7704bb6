"""A user who was another portal driver's is this one's only if nothing speaks against it being the same person."""

import pytest

from domain.driver_link import LinkDecided, Parked, ReinstateDecided
from domain.identity import Key, PortalDriverId, Target
from domain.matching import STILL_THERE, UNPROVEN, ObservedDriver, speaks_against
from domain.profile import Profile
from tests.support.scenario import MOTIVE, why
from tests.support.simulation import Simulation
from tests.support.standing import Standing, standing

LEAVER = PortalDriverId("leaver")
LICENCE, OTHER_LICENCE = (("licence_number", "L-1"), ("licence_state", "CO")), (("licence_number", "L-2"),)
REF, OTHER_REF = (("ref_id", "R-1"),), (("ref_id", "R-2"),)
EMAIL, OTHER_EMAIL = (("email", "a@fleet.example"),), (("email", "b@fleet.example"),)
HIRED: Profile = dict((*LICENCE, *REF, *EMAIL))

SAME, OTHER, NONE = "same", "other", "none"
_SHOWN = {
    "licence": {SAME: LICENCE, OTHER: (*LICENCE, *OTHER_LICENCE), NONE: ()},
    "ref": {SAME: REF, OTHER: OTHER_REF, NONE: ()},
    "email": {SAME: EMAIL, OTHER: OTHER_EMAIL, NONE: ()},
}
_LICENCES_DIFFER, _REFS_DIFFER, _EMAILS_DIFFER = (
    "the licences are different",
    "the RefIDs are different",
    "the e-mails are different",
)
TABLE = [
    # licence, RefID, e-mail of the user, as compared with the driver's; what speaks against it
    *((SAME, ref, email, "") for ref in (SAME, OTHER, NONE) for email in (SAME, OTHER, NONE)),
    *((OTHER, ref, email, _LICENCES_DIFFER) for ref in (SAME, OTHER, NONE) for email in (SAME, OTHER, NONE)),
    *((NONE, OTHER, email, _REFS_DIFFER) for email in (SAME, OTHER, NONE)),
    (NONE, SAME, OTHER, _EMAILS_DIFFER),
    (NONE, NONE, OTHER, _EMAILS_DIFFER),
    (NONE, SAME, SAME, ""),
    (NONE, SAME, NONE, ""),
    (NONE, NONE, SAME, UNPROVEN),
    (NONE, NONE, NONE, UNPROVEN),
]


def _user(shown: Profile, *, of: str = LEAVER, active: bool = False) -> ObservedDriver:
    return ObservedDriver(key=Key("501"), active=active, profile={**shown, "portal_driver_id": of})


@pytest.mark.parametrize(("licence", "ref", "email", "against"), TABLE)
def test_each_row_of_the_table_of_identifiers(licence: str, ref: str, email: str, against: str) -> None:
    user = _user(dict((*_SHOWN["licence"][licence], *_SHOWN["ref"][ref], *_SHOWN["email"][email])))
    assert speaks_against(MOTIVE.desired(HIRED), user, []) == against


@pytest.mark.parametrize(("licence", "ref", "email", "against"), TABLE)
def test_what_the_portal_does_not_state_is_as_little_known_as_what_the_user_lacks(
    licence: str, ref: str, email: str, against: str
) -> None:
    stated = dict((*_SHOWN["licence"][licence], *_SHOWN["ref"][ref], *_SHOWN["email"][email]))
    assert speaks_against(MOTIVE.desired(stated), _user(HIRED), []) == against


@pytest.mark.parametrize(("licence", "ref", "email", "_against"), TABLE)
def test_a_driver_that_the_portal_has_keeps_its_user(licence: str, ref: str, email: str, _against: str) -> None:
    user = _user(dict((*_SHOWN["licence"][licence], *_SHOWN["ref"][ref], *_SHOWN["email"][email])))
    assert speaks_against(MOTIVE.desired(HIRED), user, [LEAVER]) == STILL_THERE


@pytest.mark.parametrize("of", ["jane", "JANE", ""])
def test_nothing_speaks_against_a_user_of_the_driver_itself_or_without_external_id(of: str) -> None:
    shown = dict((*LICENCE, *OTHER_LICENCE, *OTHER_REF, *EMAIL))
    assert speaks_against(MOTIVE.desired(HIRED), _user(shown, of=of), []) == ""


def test_a_licence_is_the_same_with_other_blanks_hyphens_and_capitals() -> None:
    user = _user({"licence_number": "l 1", "licence_state": "co", **dict(OTHER_REF)})
    assert speaks_against(MOTIVE.desired(HIRED), user, []) == ""


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize("identifier", [REF, EMAIL])
def test_a_user_that_was_another_driver_is_a_conflict_that_names_that_driver(
    identifier: tuple[tuple[str, str], ...], *, active: bool
) -> None:
    user = _user(dict((*LICENCE, *OTHER_LICENCE, *identifier)), active=active)
    kind = "RefID" if identifier is REF else "e-mail"
    conflict = {"by": kind, "candidates": 1, "former": LEAVER, "against": _LICENCES_DIFFER}
    parked = MOTIVE.fact(
        Parked,
        reason="conflict",
        detail=f"the user with its {kind} was portal driver leaver, and the licences are different",
        waits_for="key:501",
        holder=LEAVER,
        rationale=why("CONFLICT", found=user, conflict=conflict),
    )
    MOTIVE.scenario(given=[], batch=MOTIVE.batch(user), when=MOTIVE.wants(HIRED), then=[parked])


@pytest.mark.parametrize("active", [True, False])
def test_the_same_person_under_another_portal_id_keeps_the_user(*, active: bool) -> None:
    user = _user(dict((*LICENCE, *OTHER_REF, *OTHER_EMAIL)), active=active)
    fact, situation = (LinkDecided, "FOUND") if active else (ReinstateDecided, "DORMANT")
    fields = ["email", "portal_driver_id", "ref_id"]
    said = MOTIVE.said(fact, why(situation, found=user), profile=HIRED, desired_key="501", fields=fields)
    MOTIVE.scenario(given=[], batch=MOTIVE.batch(user), when=MOTIVE.wants(HIRED), then=[said])


def test_the_own_external_id_beats_all_weaker_identifiers_of_others() -> None:
    own = ObservedDriver(key=Key("502"), active=True, profile={"portal_driver_id": "jane"})
    user = _user(HIRED, active=True)
    fields = sorted(HIRED)
    said = MOTIVE.said(LinkDecided, why("FOUND", found=own), profile=HIRED, desired_key="502", fields=fields)
    MOTIVE.scenario(given=[], batch=MOTIVE.batch(own, user), when=MOTIVE.wants(HIRED), then=[said])


def _hire(simulation: Simulation, driver: str, **stated: str) -> PortalDriverId:
    simulation.state(PortalDriverId(driver), {"first_name": driver, "last_name": "Doe", **stated})
    simulation.run()
    return PortalDriverId(driver)


def test_a_new_hire_with_the_e_mail_address_of_a_leaver_does_not_become_the_leavers_user() -> None:
    simulation = Simulation(Target.MOTIVE)
    simulation.scan()
    leaver = _hire(simulation, "p1", ref_id="R-1", email="cab7@fleet.example", phone="303-555-0142")
    simulation.delete(leaver)
    simulation.run()
    (before,) = simulation.target.scan()
    hired = _hire(simulation, "p2", ref_id="R-2", email="cab7@fleet.example")
    simulation.settle()
    assert simulation.target.scan() == [before]
    parked = simulation.decider.links[hired].parked
    assert parked is not None
    assert parked.detail == "the user with its e-mail was portal driver p1, and the RefIDs are different"


@pytest.mark.parametrize("first", ["p1", "p2"])
def test_in_any_order_the_user_goes_to_the_driver_of_its_external_id(first: str) -> None:
    simulation = Simulation(Target.MOTIVE)
    shown = {"portal_driver_id": "p1", "ref_id": "R-2", "email": "two@fleet.example"}
    simulation.target.put(ObservedDriver(key=Key("1"), active=True, profile=shown))
    stated = {"p1": {"ref_id": "R-1", "email": "one@fleet.example"}, "p2": {"ref_id": "R-2"}}
    for driver in (first, "p2" if first == "p1" else "p1"):
        simulation.state(PortalDriverId(driver), {"first_name": driver, "last_name": "Doe", **stated[driver]})
    simulation.settle()
    assert simulation.decider.links[PortalDriverId("p1")].key == "1"
    assert [standing(simulation, PortalDriverId(driver)) for driver in ("p1", "p2")] == [Standing.IN_SYNC] * 2
    assert simulation.decider.links[PortalDriverId("p2")].key == "2"
