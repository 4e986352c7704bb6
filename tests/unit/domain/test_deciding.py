"""Decisions beyond the table: made once, under which policy, and what counts as a difference."""

import pytest

from domain.account import Mode
from domain.driver_link import (
    REFUSED,
    UNSETTLED,
    Confirmed,
    CreateDecided,
    DriftFound,
    LinkDecided,
    Parked,
    Refused,
    ReinstateDecided,
    Released,
    RenameDecided,
    UpdateDecided,
)
from tests.support.scenario import BOB, DRIVERI, JANE, MOTIVE, why

SEEN = DRIVERI.shown("D-7")
FIELDS = ["email", "first_name", "last_name", "phone"]
CREATED = DRIVERI.said(CreateDecided, why("ABSENT"), desired_key="D-7", fields=FIELDS)
JANET = {**JANE, "first_name": "Janet"}
OTHER_EMAIL = {"email": "other@fleet.example"}


def test_a_decision_that_stands_is_not_said_again() -> None:
    DRIVERI.scenario(given=[CREATED], when=DRIVERI.wants(), then=[])


def test_a_newer_desired_takes_the_place_of_the_one_on_its_way() -> None:
    newer = DRIVERI.said(CreateDecided, why("ABSENT"), profile=JANET, desired_key="D-7", fields=FIELDS)
    DRIVERI.scenario(given=[CREATED], when=DRIVERI.wants(JANET), then=[newer])


def test_under_a_new_policy_the_same_decision_is_made_again() -> None:
    again = DRIVERI.said(CreateDecided, why("ABSENT"), desired_key="D-7", fields=FIELDS, policy_generation=2)
    DRIVERI.scenario(given=[CREATED], when=DRIVERI.wants(policy_generation=2), then=[again])


def test_what_observe_decides_is_what_full_would_do() -> None:
    observed = DRIVERI.said(CreateDecided, why("ABSENT", mode=Mode.OBSERVE), desired_key="D-7", fields=FIELDS)
    DRIVERI.scenario(given=[], when=DRIVERI.wants(mode=Mode.OBSERVE), then=[observed])


def test_an_update_on_its_way_is_called_back_when_the_portal_changes_back() -> None:
    reason = why("OUTDATED", linked=SEEN, found=SEEN)
    update, back = (
        DRIVERI.said(
            UpdateDecided, reason, profile=profile, key="D-7", desired_key="D-7", fields=["first_name"], answers=1
        )
        for profile in (JANET, JANE)
    )
    batch = DRIVERI.batch(SEEN)
    DRIVERI.scenario(given=[*DRIVERI.linked(), update], batch=batch, when=DRIVERI.wants(), then=[back])


def test_a_change_of_letter_case_alone_is_a_rename() -> None:
    lower = {**JANE, "driveri_driver_id": "d-7"}
    reason = why("RENAMED", linked=SEEN, found=SEEN)
    renamed = DRIVERI.said(RenameDecided, reason, profile=lower, key="D-7", desired_key="d-7", answers=1)
    batch = DRIVERI.batch(SEEN, claimed={"key:d-7": DRIVERI.driver})
    DRIVERI.scenario(given=DRIVERI.linked(), batch=batch, when=DRIVERI.wants(lower), then=[renamed])


def test_a_driver_found_in_another_letter_case_is_linked_as_it_is_written_there() -> None:
    found = DRIVERI.shown("d-7")
    linked = DRIVERI.said(LinkDecided, why("FOUND", found=found), desired_key="d-7", fields=["phone"])
    DRIVERI.scenario(given=[], batch=DRIVERI.batch(found), when=DRIVERI.wants(), then=[linked])


def test_a_blank_in_the_portal_says_nothing_about_the_target() -> None:
    silent = {name: text for name, text in JANE.items() if name not in ("email", "phone")}
    DRIVERI.scenario(given=DRIVERI.linked(), batch=DRIVERI.batch(SEEN), when=DRIVERI.wants(silent), then=[])


def test_a_phone_or_email_that_the_portal_spells_otherwise_now_is_a_change() -> None:
    spelt = {**JANE, "phone": "+52 (303) 555 0142", "email": "Jane@Fleet.example"}
    reason = why("OUTDATED", linked=SEEN, found=SEEN)
    update = DRIVERI.said(
        UpdateDecided, reason, profile=spelt, key="D-7", desired_key="D-7", fields=["email", "phone"], answers=1
    )
    DRIVERI.scenario(given=DRIVERI.linked(), batch=DRIVERI.batch(SEEN), when=DRIVERI.wants(spelt), then=[update])


def test_a_changed_phone_is_known_from_what_we_last_stated() -> None:
    changed = {**JANE, "phone": "303-555-0199"}
    reason = why("OUTDATED", linked=SEEN, found=SEEN)
    update = DRIVERI.said(
        UpdateDecided, reason, profile=changed, key="D-7", desired_key="D-7", fields=["phone"], answers=1
    )
    batch = DRIVERI.batch(SEEN)
    DRIVERI.scenario(given=DRIVERI.linked(), batch=batch, when=DRIVERI.wants(changed), then=[update])


def test_half_a_licence_is_not_sent() -> None:
    half = {**JANE, "licence_number": "L-9971", "licence_state": "CO"}
    DRIVERI.scenario(given=[], when=DRIVERI.wants(half), then=[CREATED])


def test_a_whole_licence_is_sent_whole() -> None:
    whole = {**JANE, "licence_number": "L-9971", "licence_state": "CO", "licence_country": "US"}
    fields = sorted([*FIELDS, "licence_country", "licence_number", "licence_state"])
    created = DRIVERI.said(CreateDecided, why("ABSENT"), profile=whole, desired_key="D-7", fields=fields)
    DRIVERI.scenario(given=[], when=DRIVERI.wants(whole), then=[created])


def test_what_the_target_writes_in_its_own_way_is_not_drift() -> None:
    shown = DRIVERI.shown("D-7", {**JANE, "last_name": "DOE"})
    given = DRIVERI.linked(unlike=["last_name"])
    DRIVERI.scenario(given=given, batch=DRIVERI.batch(shown), when=DRIVERI.wants(), then=[])


def test_drift_in_another_field_is_still_found() -> None:
    shown = DRIVERI.shown("D-7", {**JANE, "last_name": "DOE", "email": "other@fleet.example"})
    reason = why("DRIFTED", linked=shown, found=shown)
    then = [
        DRIVERI.fact(DriftFound, fields=["email"], profile=OTHER_EMAIL, rationale=reason),
        DRIVERI.said(UpdateDecided, reason, key="D-7", desired_key="D-7", fields=["email"], answers=1),
    ]
    given = DRIVERI.linked(unlike=["last_name"])
    DRIVERI.scenario(given=given, batch=DRIVERI.batch(shown), when=DRIVERI.wants(), then=then)


REFUSED_CREATE = [
    CREATED,
    DRIVERI.fact(Refused, decision=1, reason="invalid", detail="no"),
    DRIVERI.fact(Parked, reason=REFUSED, detail="no", rationale={"trigger": "answer", "ref": "decision 1"}),
]


def test_what_was_refused_is_not_tried_again_just_so() -> None:
    DRIVERI.scenario(given=REFUSED_CREATE, when=DRIVERI.wants(), then=[])


@pytest.mark.parametrize(("profile", "policy_generation"), [(JANET, 1), (JANE, 2)])
def test_another_desired_state_or_policy_releases_what_was_refused(
    profile: dict[str, str], policy_generation: int
) -> None:
    then = [
        DRIVERI.fact(Released, reason=REFUSED),
        DRIVERI.said(
            CreateDecided,
            why("ABSENT"),
            profile=profile,
            desired_key="D-7",
            fields=FIELDS,
            answers=1,
            policy_generation=policy_generation,
        ),
    ]
    DRIVERI.scenario(given=REFUSED_CREATE, when=DRIVERI.wants(profile, policy_generation=policy_generation), then=then)


def test_a_refused_driver_keeps_its_claim_until_it_desires_something_else() -> None:
    moved = {**JANE, "driveri_driver_id": "D-8"}
    conflict = {"by": "id", "candidates": 0, "holder": BOB}
    batch = DRIVERI.batch(claimed={"key:d-7": DRIVERI.driver, "key:d-8": BOB})
    then = [
        DRIVERI.fact(Released, reason=REFUSED),
        DRIVERI.fact(
            Parked,
            reason="conflict",
            detail="portal driver bob has claimed its id",
            waits_for="key:d-8",
            holder=BOB,
            rationale=why("CONFLICT", conflict=conflict),
        ),
    ]
    DRIVERI.scenario(given=REFUSED_CREATE, batch=batch, when=DRIVERI.wants(moved), then=then)
    assert batch.holder("key:d-7") is None


def test_drift_of_a_driver_whose_update_was_refused_is_not_said_again() -> None:
    drifted = DRIVERI.shown("D-7", {**JANE, "email": "other@fleet.example"})
    reason = why("DRIFTED", linked=drifted, found=drifted)
    given = [
        *DRIVERI.linked(),
        DRIVERI.fact(DriftFound, fields=["email"], profile=OTHER_EMAIL, rationale=reason),
        DRIVERI.said(UpdateDecided, reason, key="D-7", desired_key="D-7", fields=["email"], answers=1),
        DRIVERI.fact(Refused, decision=4, reason="invalid", detail="no"),
        DRIVERI.fact(Parked, reason=REFUSED, detail="no", rationale={"trigger": "answer", "ref": "decision 4"}),
    ]
    DRIVERI.scenario(given=given, batch=DRIVERI.batch(drifted), when=DRIVERI.wants(), then=[])


UNSETTLED_CREATE = [
    CREATED,
    DRIVERI.fact(Refused, decision=1, reason="exists", detail=""),
    DRIVERI.fact(Parked, reason=UNSETTLED, detail="look", rationale={"trigger": "answer", "ref": "decision 1"}),
]


def test_what_does_not_settle_waits_for_the_next_change_of_the_portal() -> None:
    DRIVERI.scenario(given=UNSETTLED_CREATE, when=DRIVERI.wants(), then=[])
    then = [
        DRIVERI.fact(Released, reason=UNSETTLED),
        DRIVERI.said(
            CreateDecided,
            {**why("ABSENT"), "ref": "2"},
            sequence=2,
            desired_key="D-7",
            fields=FIELDS,
            answers=1,
        ),
    ]
    DRIVERI.scenario(given=UNSETTLED_CREATE, when=DRIVERI.wants(sequence=2), then=then)


def test_a_parked_driver_is_released_when_nothing_is_left_to_do() -> None:
    parked = DRIVERI.fact(Parked, reason="unkeyed", detail="", rationale=why("UNKEYED"))
    released = DRIVERI.fact(Released, reason="unkeyed")
    given = [*DRIVERI.linked(), parked]
    DRIVERI.scenario(given=given, batch=DRIVERI.batch(SEEN), when=DRIVERI.wants(), then=[released])


def test_a_driver_deleted_while_parked_is_released() -> None:
    parked = DRIVERI.fact(Parked, reason="unkeyed", detail="", rationale=why("UNKEYED"))
    DRIVERI.scenario(given=[parked], when=DRIVERI.deleted(), then=[DRIVERI.fact(Released, reason="unkeyed")])


def test_a_motive_driver_that_the_roster_lacks_is_looked_for_by_its_identifiers() -> None:
    created = MOTIVE.said(
        CreateDecided,
        why("MISSING"),
        key="501",
        desired_key=None,
        fields=sorted(MOTIVE.desired().profile),
        answers=1,
    )
    MOTIVE.scenario(given=MOTIVE.linked(key="501"), when=MOTIVE.wants(), then=[created])


def test_a_driver_who_returns_after_the_end_of_its_link_is_reinstated() -> None:
    dormant = DRIVERI.shown("D-7", active=False)
    given = [*DRIVERI.linked(), DRIVERI.fact(Confirmed, decision=0, key=None, profile={})]
    reason = why("DORMANT", found=dormant)
    back = DRIVERI.said(ReinstateDecided, reason, desired_key="D-7", fields=["phone"], answers=1)
    DRIVERI.scenario(given=given, batch=DRIVERI.batch(dormant), when=DRIVERI.wants(), then=[back])
