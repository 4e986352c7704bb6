"""Deletes go through the guard: what is held, who decides on it, and what the mode lets out."""

from functools import partial

import pytest

from domain.account import Mode
from domain.deciding import judge
from domain.driver_link import (
    REFUSED,
    Confirmed,
    DeleteApproved,
    DeleteDecided,
    DeleteHeld,
    DeleteRecalled,
    DeleteRejected,
    HoldJudged,
    LinkEvent,
    Parked,
    Rationale,
    Refused,
    Released,
    UpdateDecided,
)
from domain.guard import Guard
from domain.identity import PortalDriverId
from tests.support.scenario import BOB, CAROL, DRIVERI, JANE, Deciding, When, why

SEEN = DRIVERI.shown("D-7")
DAVE = PortalDriverId("dave")
FULL = Guard(staying=10, deleted=frozenset({BOB, CAROL, DAVE}))
"""A guard that has let three deletes through, which is its limit."""


def _guarded(*, held: int = 0, deleted: int = 3, mode: Mode = Mode.FULL) -> Rationale:
    return {**why("ORPHANED", linked=SEEN, mode=mode), "guard": {"limit": 3, "deleted": deleted, "held": held}}


HELD = DRIVERI.fact(DeleteHeld, sequence=1, key="D-7", rationale=_guarded())
LINKED_AND_HELD = [*DRIVERI.linked(), HELD]
HOLD = 3
"""The version of the hold in that history."""

PARKED_BY_MODE = DRIVERI.fact(
    Parked,
    reason="mode",
    detail="the mode upsert lets no deletes out",
    rationale=why("ORPHANED", linked=SEEN, mode=Mode.UPSERT),
)


def _deleted(guard: Rationale, **rest: object) -> LinkEvent:
    return DRIVERI.said(DeleteDecided, guard, key="D-7", desired_key=None, profile={}, answers=1, **rest)


def _judges(deciding: Deciding, verdict: type[HoldJudged], *, hold: int) -> When:
    return partial(
        judge, deciding.desired, trigger=deciding.trigger, verdict=verdict, hold=hold, by="ann", digest="c0ffee"
    )


def _approves(deciding: Deciding, *, hold: int) -> When:
    return _judges(deciding, DeleteApproved, hold=hold)


def _rejects(*, hold: int) -> When:
    return _judges(DRIVERI.deleted(), DeleteRejected, hold=hold)


def test_a_delete_beyond_the_limit_is_held() -> None:
    batch = DRIVERI.batch(SEEN, guard=FULL)
    DRIVERI.scenario(given=DRIVERI.linked(), batch=batch, when=DRIVERI.deleted(), then=[HELD])
    assert batch.guard.held == 1


def test_a_delete_after_a_held_one_is_held_although_the_limit_is_not_reached() -> None:
    held = DRIVERI.fact(DeleteHeld, key="D-7", rationale=_guarded(held=1, deleted=0))
    batch = DRIVERI.batch(SEEN, guard=Guard(staying=10, held=1))
    DRIVERI.scenario(given=DRIVERI.linked(), batch=batch, when=DRIVERI.deleted(), then=[held])


def test_a_held_delete_stays_held_whatever_the_guard_says_later() -> None:
    DRIVERI.scenario(
        given=LINKED_AND_HELD, batch=DRIVERI.batch(SEEN, guard=Guard(staying=10)), when=DRIVERI.deleted(), then=[]
    )


def test_a_delete_on_its_way_stays_decided_when_the_guard_fills_up() -> None:
    given = [*DRIVERI.linked(), _deleted(_guarded(deleted=0))]
    DRIVERI.scenario(given=given, batch=DRIVERI.batch(SEEN, guard=FULL), when=DRIVERI.deleted(), then=[])


def test_a_delete_that_was_never_sent_goes_through_the_guard_again_under_a_new_policy() -> None:
    given = [*DRIVERI.linked(), _deleted(_guarded(deleted=0, mode=Mode.OBSERVE))]
    batch = DRIVERI.batch(SEEN, guard=FULL)
    DRIVERI.scenario(given=given, batch=batch, when=DRIVERI.deleted(policy_generation=2), then=[HELD])


def test_a_refused_delete_is_neither_tried_again_nor_held() -> None:
    given = [
        *DRIVERI.linked(),
        _deleted(_guarded(deleted=0)),
        DRIVERI.fact(Refused, decision=3, reason="invalid", detail="no"),
        DRIVERI.fact(Parked, reason=REFUSED, detail="no", rationale={"trigger": "answer", "ref": "decision 3"}),
    ]
    DRIVERI.scenario(given=given, batch=DRIVERI.batch(SEEN, guard=FULL), when=DRIVERI.deleted(), then=[])


def test_a_driver_who_comes_back_in_step_recalls_its_held_delete() -> None:
    batch = DRIVERI.batch(SEEN, guard=Guard(staying=10, held=1))
    recalled = DRIVERI.fact(DeleteRecalled)
    DRIVERI.scenario(given=LINKED_AND_HELD, batch=batch, when=DRIVERI.wants(), then=[recalled])
    assert batch.guard.held == 0


def test_a_driver_who_comes_back_changed_recalls_its_held_delete_first() -> None:
    janet = {**JANE, "first_name": "Janet"}
    update = DRIVERI.said(
        UpdateDecided,
        why("OUTDATED", linked=SEEN, found=SEEN),
        profile=janet,
        key="D-7",
        desired_key="D-7",
        fields=["first_name"],
        answers=1,
    )
    then = [DRIVERI.fact(DeleteRecalled), update]
    DRIVERI.scenario(given=LINKED_AND_HELD, batch=DRIVERI.batch(SEEN), when=DRIVERI.wants(janet), then=then)


def test_a_held_driver_who_is_gone_from_the_target_ends_without_a_person() -> None:
    then = [DRIVERI.fact(DeleteRecalled), DRIVERI.fact(Confirmed, decision=0, key=None, profile={})]
    DRIVERI.scenario(given=LINKED_AND_HELD, when=DRIVERI.deleted(), then=then)


def test_approval_lets_exactly_this_hold_out_past_the_guard() -> None:
    then = [
        DRIVERI.fact(DeleteApproved, hold=HOLD, by="ann", digest="c0ffee"),
        _deleted(_guarded(held=1)),
    ]
    batch = DRIVERI.batch(SEEN, guard=Guard(staying=10, deleted=FULL.deleted, held=1))
    when = _approves(DRIVERI.deleted(), hold=HOLD)
    DRIVERI.scenario(given=LINKED_AND_HELD, batch=batch, when=when, then=then)
    assert (batch.guard.held, len(batch.guard.deleted)) == (0, 4)


def test_approval_of_another_version_of_the_hold_does_nothing() -> None:
    when = _approves(DRIVERI.deleted(), hold=HOLD + 1)
    DRIVERI.scenario(given=LINKED_AND_HELD, batch=DRIVERI.batch(SEEN), when=when, then=[])


def test_approval_of_a_recalled_hold_does_nothing() -> None:
    given = [*LINKED_AND_HELD, DRIVERI.fact(DeleteRecalled)]
    when = _approves(DRIVERI.deleted(), hold=HOLD)
    DRIVERI.scenario(given=given, batch=DRIVERI.batch(SEEN), when=when, then=[])


def test_approval_does_nothing_to_a_driver_who_is_wanted_again() -> None:
    when = _approves(DRIVERI.wants(), hold=HOLD)
    DRIVERI.scenario(given=LINKED_AND_HELD, batch=DRIVERI.batch(SEEN), when=when, then=[])


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.OBSERVE, Mode.UPSERT])
def test_approval_does_nothing_where_the_mode_lets_no_deletes_out(mode: Mode) -> None:
    when = _approves(DRIVERI.deleted(mode=mode), hold=HOLD)
    DRIVERI.scenario(given=LINKED_AND_HELD, batch=DRIVERI.batch(SEEN), when=when, then=[])


REJECTED = DRIVERI.fact(DeleteRejected, hold=HOLD, by="ann", digest="c0ffee")


def test_rejection_of_the_hold_is_recorded() -> None:
    batch = DRIVERI.batch(SEEN, guard=Guard(staying=10, held=1))
    DRIVERI.scenario(given=LINKED_AND_HELD, batch=batch, when=_rejects(hold=HOLD), then=[REJECTED])
    assert batch.guard.held == 0


@pytest.mark.parametrize("given", [DRIVERI.linked(), LINKED_AND_HELD])
def test_rejection_of_what_is_not_held_does_nothing(given: list[LinkEvent]) -> None:
    DRIVERI.scenario(given=given, batch=DRIVERI.batch(SEEN), when=_rejects(hold=HOLD + 1), then=[])


def test_after_a_rejection_the_driver_stays_for_this_deletion() -> None:
    given = [*LINKED_AND_HELD, REJECTED]
    DRIVERI.scenario(given=given, batch=DRIVERI.batch(SEEN), when=DRIVERI.deleted(), then=[])


def test_a_driver_who_comes_back_voids_the_rejection_of_its_delete() -> None:
    given = [*LINKED_AND_HELD, REJECTED]
    recalled = DRIVERI.fact(DeleteRecalled)
    DRIVERI.scenario(given=given, batch=DRIVERI.batch(SEEN), when=DRIVERI.wants(), then=[recalled])


def test_a_later_deletion_is_not_what_was_rejected() -> None:
    given = [*LINKED_AND_HELD, REJECTED]
    reason: Rationale = {**_guarded(deleted=0), "ref": "3"}
    when = DRIVERI.deleted(sequence=3)
    DRIVERI.scenario(given=given, batch=DRIVERI.batch(SEEN), when=when, then=[_deleted(reason, sequence=3)])


def test_the_mode_upsert_parks_a_delete() -> None:
    when = DRIVERI.deleted(mode=Mode.UPSERT)
    DRIVERI.scenario(given=DRIVERI.linked(), batch=DRIVERI.batch(SEEN), when=when, then=[PARKED_BY_MODE])


def test_the_mode_full_releases_a_delete_that_upsert_parked() -> None:
    given = [*DRIVERI.linked(), PARKED_BY_MODE]
    then = [DRIVERI.fact(Released, reason="mode"), _deleted(_guarded(deleted=0), policy_generation=2)]
    DRIVERI.scenario(given=given, batch=DRIVERI.batch(SEEN), when=DRIVERI.deleted(policy_generation=2), then=then)


def test_the_mode_upsert_calls_back_a_delete_on_its_way() -> None:
    given = [*DRIVERI.linked(), _deleted(_guarded(deleted=0))]
    when = DRIVERI.deleted(mode=Mode.UPSERT, policy_generation=2)
    DRIVERI.scenario(given=given, batch=DRIVERI.batch(SEEN), when=when, then=[PARKED_BY_MODE])


def test_the_guard_counts_what_one_batch_decides() -> None:
    batch = DRIVERI.batch(SEEN, guard=Guard(staying=10, deleted=frozenset({BOB, CAROL})))
    gone = _deleted(_guarded(deleted=2))
    DRIVERI.scenario(given=DRIVERI.linked(), batch=batch, when=DRIVERI.deleted(), then=[gone])
    assert batch.guard.deleted == {BOB, CAROL, DRIVERI.driver}
