"""Parked links that are looked at again: what was refused is tried again, what waits for something else is not."""

import pytest

from domain import deciding
from domain.driver_link import (
    REFUSED,
    UNSETTLED,
    Confirmed,
    CreateDecided,
    LinkEvent,
    Parked,
    Refused,
    Released,
    in_sequence,
    replay,
)
from domain.identity import PortalDriverId
from domain.profile import Profile
from tests.support.scenario import BOB, DRIVERI, JANE, When, why

FIELDS = sorted(field for field in JANE if field not in ("ref_id", "driveri_driver_id"))
CREATED = DRIVERI.said(CreateDecided, why("ABSENT"), desired_key="D-7", fields=FIELDS)


def _refused(reason: str, parked: str) -> list[LinkEvent]:
    """A create that the target refused, and the link set aside for it."""
    return [
        CREATED,
        DRIVERI.fact(Refused, decision=1, reason=reason, detail="no"),
        DRIVERI.fact(Parked, reason=parked, detail="no", rationale={"trigger": "answer", "ref": "decision 1"}),
    ]


def _looked_at_again(profile: Profile = JANE) -> When:
    return lambda link, batch: deciding.look_again(DRIVERI.desired(profile), link, batch, DRIVERI.trigger())


@pytest.mark.parametrize(("reason", "parked"), [("invalid", REFUSED), ("exists", UNSETTLED)])
def test_what_the_target_refused_is_decided_just_so_again(reason: str, parked: str) -> None:
    then = [
        DRIVERI.fact(Released, reason=parked),
        DRIVERI.said(CreateDecided, why("ABSENT"), desired_key="D-7", fields=FIELDS, answers=1),
    ]
    DRIVERI.scenario(given=_refused(reason, parked), when=_looked_at_again(), then=then)


def test_a_refusal_that_has_passed_ends_the_parking_and_nothing_else() -> None:
    shown = DRIVERI.shown("D-7")
    given = [*_refused("invalid", REFUSED), *_confirmed_by_hand()]
    then = [DRIVERI.fact(Released, reason=REFUSED)]
    DRIVERI.scenario(given=given, batch=DRIVERI.batch(shown), when=_looked_at_again(), then=then)


def _confirmed_by_hand() -> list[LinkEvent]:
    """An earlier call took effect after all, and its answer came late."""
    return [DRIVERI.fact(Confirmed, decision=1, key="D-7", profile=DRIVERI.desired().profile)]


def test_a_driver_in_conflict_goes_on_waiting_while_the_identifier_is_held() -> None:
    batch = DRIVERI.batch(claimed={"key:d-7": BOB})
    DRIVERI.scenario(given=[_in_conflict(BOB)], batch=batch, when=_looked_at_again(), then=[])


def test_a_driver_in_conflict_goes_on_when_the_identifier_is_free() -> None:
    then = [
        DRIVERI.fact(Released, reason="conflict"),
        DRIVERI.said(CreateDecided, why("ABSENT"), desired_key="D-7", fields=FIELDS),
    ]
    DRIVERI.scenario(given=[_in_conflict(BOB)], when=_looked_at_again(), then=then)


def _in_conflict(holder: PortalDriverId) -> LinkEvent:
    return DRIVERI.fact(
        Parked,
        reason="conflict",
        detail=f"portal driver {holder} has claimed its id",
        waits_for="key:d-7",
        holder=holder,
        rationale=why("CONFLICT", conflict={"by": "id", "candidates": 0, "holder": holder}),
    )


def test_a_link_that_is_not_parked_is_left_alone() -> None:
    DRIVERI.scenario(given=[CREATED], when=_looked_at_again({**JANE, "first_name": "Janet"}), then=[])


def test_the_reason_of_the_last_refusal_stays_known_while_the_link_is_parked() -> None:
    link = replay(DRIVERI.nothing, in_sequence(DRIVERI.nothing, _refused("taken_elsewhere", REFUSED)))
    assert link.parked is not None
    assert link.refusal == "taken_elsewhere"
