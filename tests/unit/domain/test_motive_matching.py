"""In Motive a driver is matched by its identifiers, the strongest first, and never by its name."""

import pytest

from domain.driver_link import Confirmed, CreateDecided, LinkDecided, Parked, ReinstateDecided, UpdateDecided
from domain.identity import Key, PortalDriverId
from domain.matching import ObservedDriver, identifiers
from tests.support.scenario import BOB, JANE, MOTIVE, why

PERSON = {**JANE, "licence_number": "L-9971", "licence_state": "CO"}
BY_MARK = {
    "external id": {"portal_driver_id": "jane"},
    "RefID": {"ref_id": "0042"},
    "e-mail": {"email": "JANE@fleet.example"},
    "licence": {"licence_number": "l-9971", "licence_state": "co"},
}
"""What a user shows that matches by one identifier only, the strongest first."""

DRIVERID = "driverid:d-7"
WITHOUT_DRIVERID = {name: text for name, text in JANE.items() if name != "driveri_driver_id"}


def _user(key: str, shown: dict[str, str], *, active: bool = True) -> ObservedDriver:
    return ObservedDriver(key=Key(key), active=active, profile=shown)


def _differing(user: ObservedDriver) -> list[str]:
    desired = MOTIVE.desired(PERSON).profile
    return sorted(name for name in desired if desired[name].casefold() != user.profile.get(name, "").casefold())


@pytest.mark.parametrize("identifier", ["external id", "RefID", "e-mail"])
def test_a_user_that_matches_by_one_identifier_is_adopted(identifier: str) -> None:
    user = _user("501", BY_MARK[identifier])
    reason = why("FOUND", found=user)
    linked = MOTIVE.said(LinkDecided, reason, profile=PERSON, desired_key="501", fields=_differing(user))
    MOTIVE.scenario(given=[], batch=MOTIVE.batch(user), when=MOTIVE.wants(PERSON), then=[linked])


def test_a_user_with_the_licence_number_and_state_is_adopted() -> None:
    user = _user("501", {"licence_number": "L-9971", "licence_state": "CO"})
    reason = why("FOUND", found=user)
    linked = MOTIVE.said(LinkDecided, reason, profile=PERSON, desired_key="501", fields=_differing(user))
    MOTIVE.scenario(given=[], batch=MOTIVE.batch(user), when=MOTIVE.wants(PERSON), then=[linked])


@pytest.mark.parametrize("strongest", range(len(BY_MARK) - 1))
def test_a_stronger_identifier_goes_before_all_weaker_ones(strongest: int) -> None:
    batch = MOTIVE.batch(
        *(_user(str(501 + rank), shown) for rank, shown in list(enumerate(BY_MARK.values()))[strongest:])
    )
    match = batch.roster.match(MOTIVE.desired(PERSON).identifiers)
    assert match is not None
    assert [user.key for user in match.candidates] == [str(501 + strongest)]


def test_drivers_are_not_matched_by_name() -> None:
    namesake = _user("501", {"first_name": "Jane", "last_name": "Doe", "phone": "303-555-0142"})
    created = MOTIVE.said(
        CreateDecided, why("ABSENT"), profile=PERSON, desired_key=None, fields=sorted(MOTIVE.desired(PERSON).profile)
    )
    MOTIVE.scenario(given=[], batch=MOTIVE.batch(namesake), when=MOTIVE.wants(PERSON), then=[created])


def test_half_a_licence_is_not_an_identifier() -> None:
    assert MOTIVE.desired({"licence_number": "L-9971"}).identifiers == ("portal:jane",)
    assert identifiers(MOTIVE.target, None, {"licence_state": "CO"}) == ()


@pytest.mark.parametrize(("identifier", "shown"), BY_MARK.items())
def test_two_candidates_are_a_conflict_whatever_weaker_identifiers_say(identifier: str, shown: dict[str, str]) -> None:
    twins = [_user("501", {**shown, "last_name": "Doe"}), _user("502", shown, active=False)]
    batch = MOTIVE.batch(*twins)
    match = batch.roster.match(MOTIVE.desired(PERSON).identifiers)
    assert match is not None
    parked = MOTIVE.fact(
        Parked,
        reason="conflict",
        detail=f"2 target drivers have its {identifier}",
        waits_for=match.identifier,
        rationale=why("CONFLICT", conflict={"by": identifier, "candidates": 2}),
    )
    MOTIVE.scenario(given=[], batch=batch, when=MOTIVE.wants(PERSON), then=[parked])


def test_a_deactivated_user_is_reactivated_not_doubled() -> None:
    former = _user("501", {"ref_id": "0042", "portal_driver_id": "jane-before"}, active=False)
    fields = sorted(name for name in MOTIVE.desired().profile if name != "ref_id")
    back = MOTIVE.said(ReinstateDecided, why("DORMANT", found=former), desired_key="501", fields=fields)
    MOTIVE.scenario(given=[], batch=MOTIVE.batch(former), when=MOTIVE.wants(), then=[back])


def test_a_user_that_another_link_has_is_a_conflict() -> None:
    user = _user("501", {"email": "jane@fleet.example"})
    conflict = {"by": "id", "candidates": 0, "holder": BOB}
    parked = MOTIVE.fact(
        Parked,
        reason="conflict",
        detail="portal driver bob has claimed its id",
        waits_for="key:501",
        holder=BOB,
        rationale=why("CONFLICT", found=user, conflict=conflict),
    )
    batch = MOTIVE.batch(user, claimed={"key:501": BOB})
    MOTIVE.scenario(given=[], batch=batch, when=MOTIVE.wants(), then=[parked])


def test_a_linked_driver_is_not_looked_for_again() -> None:
    own, other = MOTIVE.shown("501"), _user("502", {"ref_id": "0042"})
    MOTIVE.scenario(given=MOTIVE.linked(key="501"), batch=MOTIVE.batch(own, other), when=MOTIVE.wants(), then=[])


def test_a_driverid_that_another_portal_driver_has_is_left_out_for_now() -> None:
    created = MOTIVE.said(
        CreateDecided,
        why("ABSENT"),
        profile=WITHOUT_DRIVERID,
        desired_key=None,
        fields=sorted(MOTIVE.desired(WITHOUT_DRIVERID).profile),
        waits_for=DRIVERID,
    )
    MOTIVE.scenario(given=[], batch=MOTIVE.batch(claimed={DRIVERID: BOB}), when=MOTIVE.wants(), then=[created])


def test_a_deactivated_user_without_a_link_gives_its_driverid_up() -> None:
    former = _user("502", {"driveri_driver_id": "d-7"}, active=False)
    fields = sorted(MOTIVE.desired().profile)
    created = MOTIVE.said(CreateDecided, why("ABSENT"), desired_key=None, fields=fields)
    MOTIVE.scenario(given=[], batch=MOTIVE.batch(former), when=MOTIVE.wants(), then=[created])


@pytest.mark.parametrize(("active", "linked"), [(True, None), (False, {"key:502": BOB})])
def test_a_driverid_that_another_user_carries_is_left_out_for_now(
    *, active: bool, linked: dict[str, PortalDriverId] | None
) -> None:
    former = _user("502", {"driveri_driver_id": "d-7"}, active=active)
    created = MOTIVE.said(
        CreateDecided,
        why("ABSENT"),
        profile=WITHOUT_DRIVERID,
        desired_key=None,
        fields=sorted(MOTIVE.desired(WITHOUT_DRIVERID).profile),
        waits_for=DRIVERID,
    )
    MOTIVE.scenario(given=[], batch=MOTIVE.batch(former, linked=linked), when=MOTIVE.wants(), then=[created])


def test_a_driverid_that_the_adopted_user_carries_is_its_own() -> None:
    user = _user("501", {"ref_id": "0042", "driveri_driver_id": "D-7"})
    fields = sorted(MOTIVE.desired().profile.keys() - user.profile.keys())
    linked = MOTIVE.said(LinkDecided, why("FOUND", found=user), desired_key="501", fields=fields)
    MOTIVE.scenario(given=[], batch=MOTIVE.batch(user), when=MOTIVE.wants(), then=[linked])


def test_a_driverid_comes_back_when_it_is_free() -> None:
    own = MOTIVE.shown("501", WITHOUT_DRIVERID)
    created, confirmed = MOTIVE.linked(WITHOUT_DRIVERID, key="501")
    reason = why("OUTDATED", linked=own, found=own)
    update = MOTIVE.said(UpdateDecided, reason, key="501", desired_key="501", fields=["driveri_driver_id"], answers=1)
    MOTIVE.scenario(given=[created, confirmed], batch=MOTIVE.batch(own), when=MOTIVE.wants(), then=[update])


def test_a_driverid_that_the_portal_moved_to_another_is_taken_away() -> None:
    own = MOTIVE.shown("501")
    reason = why("OUTDATED", linked=own, found=own)
    update = MOTIVE.said(
        UpdateDecided,
        reason,
        profile=WITHOUT_DRIVERID,
        key="501",
        desired_key="501",
        fields=["driveri_driver_id"],
        answers=1,
    )
    when = MOTIVE.wants(WITHOUT_DRIVERID)
    MOTIVE.scenario(given=MOTIVE.linked(key="501"), batch=MOTIVE.batch(own), when=when, then=[update])


def test_a_driver_in_step_says_so_when_it_begins_to_wait_for_a_driverid() -> None:
    own = MOTIVE.shown("501", WITHOUT_DRIVERID)
    batch = MOTIVE.batch(own, claimed={DRIVERID: BOB})
    reason = why("OUTDATED", linked=own, found=own)
    waiting = MOTIVE.said(
        UpdateDecided,
        reason,
        profile=WITHOUT_DRIVERID,
        key="501",
        desired_key="501",
        answers=1,
        waits_for=DRIVERID,
    )
    given = MOTIVE.linked(WITHOUT_DRIVERID, key="501")
    MOTIVE.scenario(given=given, batch=batch, when=MOTIVE.wants(), then=[waiting])
    confirmed = MOTIVE.fact(Confirmed, decision=3, key="501", profile=dict(MOTIVE.desired(WITHOUT_DRIVERID).profile))
    MOTIVE.scenario(given=[*given, waiting, confirmed], batch=batch, when=MOTIVE.wants(), then=[])
