"""What a sweep finds of a driver, and what its decisions keep of it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from domain.deciding import in_sequence
from domain.driver_link import (
    REFUSED,
    Because,
    CreateDecided,
    DeleteDecided,
    DeleteHeld,
    DeleteRejected,
    DriftFound,
    LinkEvent,
    Parked,
    UpdateDecided,
    replay,
)
from domain.guard import Guard
from domain.matching import TargetDriver
from domain.reconciliation import Finding, finding_of, found_by
from domain.situations import Situation
from tests.support.scenario import AT, BOB, DRIVERI, JANE, Deciding, why

EARLIER = "2026-01-04T21:30:00+00:00"
OTHER_EMAIL = {"email": "other@fleet.example"}
FIELDS = sorted(DRIVERI.wish().profile)


def in_sweep(number: int, *, is_wanted: bool = True) -> Deciding:
    """When a sweep comes to the driver."""
    cause = replace(DRIVERI.cause(), sweep=number)
    return Deciding(wish=DRIVERI.wish(is_wanted=is_wanted), cause=cause)


def shown(**fields: str) -> TargetDriver:
    """The linked driver, with these fields as somebody else wrote them."""
    return replace(DRIVERI.shown("D-7", {**JANE, **fields}), seen_at=EARLIER)


def because(situation: str, sweep: int, *seen: TargetDriver) -> Because:
    """Why a sweep decided something."""
    return {**why(situation, linked=seen[0] if seen else None, found=seen[0] if seen else None), "sweep": sweep}


def drift(sweep: int, *fields: str, at_odds: Sequence[str] = (), decision: int = 1) -> LinkEvent:
    seen = shown(**dict.fromkeys(fields, "other@fleet.example"))
    return DRIVERI.fact(
        DriftFound,
        fields=list(fields),
        profile=dict.fromkeys(fields, "other@fleet.example"),
        decision=decision,
        first_seen=EARLIER,
        sweep=sweep,
        at_odds=list(at_odds),
        because=because("DRIFTED", sweep, seen),
    )


def test_drift_tells_which_decision_expected_otherwise_and_since_when() -> None:
    seen = shown(**OTHER_EMAIL)
    update = DRIVERI.said(
        UpdateDecided, because("DRIFTED", 3, seen), key="D-7", wished_key="D-7", fields=["email"], answers=1
    )
    then = [drift(3, "email"), update]
    DRIVERI.scenario(given=DRIVERI.linked(), ledger=DRIVERI.ledger(seen), when=in_sweep(3), then=then)


def overridden(sweep: int, field: str) -> list[LinkEvent]:
    """A sweep found drift, and the target took the Portal's value over again."""
    update = DRIVERI.said(
        UpdateDecided, because("DRIFTED", sweep), key="D-7", wished_key="D-7", fields=[field], answers=1
    )
    return [drift(sweep, field), update, *DRIVERI.linked()[1:]]


@pytest.mark.parametrize(
    ("before", "field", "at_odds"),
    [(2, "email", ["email"]), (1, "email", []), (2, "last_name", []), (0, "email", [])],
    ids=["in the sweep before", "earlier than that", "in another field", "in no sweep"],
)
def test_two_writers_are_at_odds_where_a_field_drifts_in_two_successive_sweeps(
    before: int, field: str, at_odds: list[str]
) -> None:
    seen = shown(**OTHER_EMAIL)
    link = replay(DRIVERI.nothing, in_sequence(DRIVERI.nothing, [*DRIVERI.linked(), *overridden(before, field)]))
    found, *_ = in_sweep(3)(link, DRIVERI.ledger(seen))
    assert isinstance(found, DriftFound)
    assert (found.sweep, found.fields, found.at_odds) == (3, ["email"], at_odds)


def test_drift_that_no_sweep_found_has_no_number() -> None:
    seen = shown(**OTHER_EMAIL)
    link = replay(DRIVERI.nothing, in_sequence(DRIVERI.nothing, [*DRIVERI.linked(), *overridden(1, "email")]))
    found, *_ = DRIVERI.wants()(link, DRIVERI.ledger(seen))
    assert isinstance(found, DriftFound)
    assert (found.sweep, found.at_odds, "sweep" in found.because) == (0, [], False)


def test_a_link_keeps_what_the_last_sweep_decided_whatever_comes_after() -> None:
    link = replay(DRIVERI.nothing, in_sequence(DRIVERI.nothing, [*DRIVERI.linked(), *overridden(4, "email")]))
    later = DRIVERI.said(UpdateDecided, why("OUTDATED"), key="D-7", wished_key="D-7", fields=["phone"], answers=2)
    link = replay(link, in_sequence(link, [later]))
    assert isinstance(link.swept, UpdateDecided)
    assert link.swept.because.get("sweep") == 4
    assert found_by(link.swept) is Finding.DRIFTED
    assert link.drift is not None
    assert link.drift.fields == ["email"]


CREATED = DRIVERI.said(CreateDecided, because("ABSENT", 1), wished_key="D-7", fields=FIELDS)
HELD = DRIVERI.fact(DeleteHeld, key="D-7", because=because("ORPHANED", 1))
REJECTED = DRIVERI.fact(DeleteRejected, hold=3, by="ann", digest="d")
DELETED = DRIVERI.said(DeleteDecided, why("GONE"), key="D-7", wished_key=None, profile={}, answers=1)


def parked(reason: str) -> LinkEvent:
    return DRIVERI.fact(Parked, reason=reason, detail="", because=because("CONTESTED", 1))


@pytest.mark.parametrize(
    ("facts", "is_wanted", "finding"),
    [
        ([CREATED], True, Finding.ABSENT),
        (DRIVERI.linked(), True, Finding.IN_STEP),
        ([*DRIVERI.linked(), drift(1, "email"), *overridden(1, "email")[1:2]], True, Finding.DRIFTED),
        ([*DRIVERI.linked(), HELD], False, Finding.HELD),
        ([*DRIVERI.linked(), HELD, REJECTED], False, Finding.KEPT),
        ([*DRIVERI.linked(), DELETED], False, Finding.ORPHANED),
        ([parked("contested")], True, Finding.CONTESTED),
        ([parked("unkeyed")], True, Finding.UNKEYED),
        ([parked("mode")], False, Finding.PARKED),
        ([parked(REFUSED)], True, Finding.PARKED),
        ([], True, Finding.ENDED),
        ([], False, None),
    ],
    ids=lambda value: str(value) if isinstance(value, Finding | bool) else "",
)
def test_a_sweep_finds_where_a_driver_stands(
    facts: list[LinkEvent], finding: Finding | None, *, is_wanted: bool
) -> None:
    link = replay(DRIVERI.nothing, in_sequence(DRIVERI.nothing, facts))
    assert finding_of(link, is_wanted=is_wanted) is finding


UNDECIDED = {Situation.IN_STEP, Situation.UNKEYED, Situation.UNSEEN, Situation.STRAY, Situation.UNLINKED}
"""Situations in which nothing is decided that a target could carry out."""


@pytest.mark.parametrize("situation", sorted(set(Situation) - UNDECIDED))
def test_every_situation_with_a_decision_is_a_finding(situation: Situation) -> None:
    decided = DRIVERI.said(UpdateDecided, because(situation, 1), wished_key="D-7", fields=[])
    assert isinstance(decided, UpdateDecided)
    expected = {Situation.GONE: "orphaned"}.get(situation, situation.lower())
    assert found_by(decided) == expected


def test_a_parked_and_a_held_link_keep_the_sweep_that_set_them_aside() -> None:
    guard = Guard(staying=1, held=1)
    link = replay(DRIVERI.nothing, in_sequence(DRIVERI.nothing, DRIVERI.linked()))
    ledger = DRIVERI.ledger(shown(), guard=guard)
    held = replay(link, in_sweep(5, is_wanted=False)(link, ledger))
    contested = DRIVERI.ledger(claimed={"key:d-7": BOB})
    set_aside = replay(DRIVERI.nothing, in_sweep(6)(DRIVERI.nothing, contested))
    assert [each.swept and (each.swept.because.get("sweep"), each.swept.at) for each in (held, set_aside)] == [
        (5, AT),
        (6, AT),
    ]
