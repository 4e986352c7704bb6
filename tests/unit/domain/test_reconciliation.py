"""What a reconciliation finds of a driver, and what its decisions keep of it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from domain.driver_link import (
    REFUSED,
    CreateDecided,
    DeleteDecided,
    DeleteHeld,
    DeleteRejected,
    DriftFound,
    LinkEvent,
    Parked,
    Rationale,
    UpdateDecided,
    in_sequence,
    replay,
)
from domain.guard import Guard
from domain.matching import ObservedDriver
from domain.reconciliation import Finding, finding_of, found_by
from domain.situations import Situation
from tests.support.scenario import AT, BOB, DRIVERI, JANE, Deciding, why

EARLIER = "2026-01-04T21:30:00+00:00"
OTHER_EMAIL = {"email": "other@fleet.example"}
FIELDS = sorted(DRIVERI.desired().profile)


def in_reconciliation(number: int, *, is_wanted: bool = True) -> Deciding:
    """When a reconciliation comes to the driver."""
    trigger = replace(DRIVERI.trigger(), reconciliation=number)
    return Deciding(desired=DRIVERI.desired(is_wanted=is_wanted), trigger=trigger)


def shown(**fields: str) -> ObservedDriver:
    """The linked driver, with these fields as another writer left them."""
    return replace(DRIVERI.shown("D-7", {**JANE, **fields}), seen_at=EARLIER)


def rationale(situation: str, reconciliation: int, *seen: ObservedDriver) -> Rationale:
    """Why a reconciliation decided something."""
    return {
        **why(situation, linked=seen[0] if seen else None, found=seen[0] if seen else None),
        "reconciliation": reconciliation,
    }


def drift(reconciliation: int, *fields: str, at_odds: Sequence[str] = (), decision: int = 1) -> LinkEvent:
    seen = shown(**dict.fromkeys(fields, "other@fleet.example"))
    return DRIVERI.fact(
        DriftFound,
        fields=list(fields),
        profile=dict.fromkeys(fields, "other@fleet.example"),
        decision=decision,
        first_seen=EARLIER,
        reconciliation=reconciliation,
        at_odds=list(at_odds),
        rationale=rationale("DRIFTED", reconciliation, seen),
    )


def test_drift_names_the_decision_that_expected_otherwise_and_since_when() -> None:
    seen = shown(**OTHER_EMAIL)
    update = DRIVERI.said(
        UpdateDecided, rationale("DRIFTED", 3, seen), key="D-7", desired_key="D-7", fields=["email"], answers=1
    )
    then = [drift(3, "email"), update]
    DRIVERI.scenario(given=DRIVERI.linked(), batch=DRIVERI.batch(seen), when=in_reconciliation(3), then=then)


def overridden(reconciliation: int, field: str) -> list[LinkEvent]:
    """A reconciliation found drift, and the target took the Portal's value over again."""
    update = DRIVERI.said(
        UpdateDecided, rationale("DRIFTED", reconciliation), key="D-7", desired_key="D-7", fields=[field], answers=1
    )
    return [drift(reconciliation, field), update, *DRIVERI.linked()[1:]]


@pytest.mark.parametrize(
    ("before", "field", "at_odds"),
    [(2, "email", ["email"]), (1, "email", []), (2, "last_name", []), (0, "email", [])],
    ids=["in the reconciliation before", "earlier than that", "in another field", "in no reconciliation"],
)
def test_two_writers_are_at_odds_where_a_field_drifts_in_two_successive_reconciliations(
    before: int, field: str, at_odds: list[str]
) -> None:
    seen = shown(**OTHER_EMAIL)
    link = replay(DRIVERI.nothing, in_sequence(DRIVERI.nothing, [*DRIVERI.linked(), *overridden(before, field)]))
    found, *_ = in_reconciliation(3)(link, DRIVERI.batch(seen))
    assert isinstance(found, DriftFound)
    assert (found.reconciliation, found.fields, found.at_odds) == (3, ["email"], at_odds)


def test_drift_that_no_reconciliation_found_has_no_number() -> None:
    seen = shown(**OTHER_EMAIL)
    link = replay(DRIVERI.nothing, in_sequence(DRIVERI.nothing, [*DRIVERI.linked(), *overridden(1, "email")]))
    found, *_ = DRIVERI.wants()(link, DRIVERI.batch(seen))
    assert isinstance(found, DriftFound)
    assert (found.reconciliation, found.at_odds, "reconciliation" in found.rationale) == (0, [], False)


def test_a_link_keeps_what_the_last_reconciliation_decided_whatever_comes_after() -> None:
    link = replay(DRIVERI.nothing, in_sequence(DRIVERI.nothing, [*DRIVERI.linked(), *overridden(4, "email")]))
    later = DRIVERI.said(UpdateDecided, why("OUTDATED"), key="D-7", desired_key="D-7", fields=["phone"], answers=2)
    link = replay(link, in_sequence(link, [later]))
    assert isinstance(link.reconciled, UpdateDecided)
    assert link.reconciled.rationale.get("reconciliation") == 4
    assert found_by(link.reconciled) is Finding.DRIFTED
    assert link.drift is not None
    assert link.drift.fields == ["email"]


CREATED = DRIVERI.said(CreateDecided, rationale("ABSENT", 1), desired_key="D-7", fields=FIELDS)
HELD = DRIVERI.fact(DeleteHeld, key="D-7", rationale=rationale("ORPHANED", 1))
REJECTED = DRIVERI.fact(DeleteRejected, hold=3, by="ann", digest="d")
DELETED = DRIVERI.said(DeleteDecided, why("GONE"), key="D-7", desired_key=None, profile={}, answers=1)


def parked(reason: str) -> LinkEvent:
    return DRIVERI.fact(Parked, reason=reason, detail="", rationale=rationale("CONFLICT", 1))


@pytest.mark.parametrize(
    ("facts", "is_wanted", "finding"),
    [
        ([CREATED], True, Finding.ABSENT),
        (DRIVERI.linked(), True, Finding.IN_SYNC),
        ([*DRIVERI.linked(), drift(1, "email"), *overridden(1, "email")[1:2]], True, Finding.DRIFTED),
        ([*DRIVERI.linked(), HELD], False, Finding.HELD),
        ([*DRIVERI.linked(), HELD, REJECTED], False, Finding.KEPT),
        ([*DRIVERI.linked(), DELETED], False, Finding.ORPHANED),
        ([parked("conflict")], True, Finding.CONFLICT),
        ([parked("unkeyed")], True, Finding.UNKEYED),
        ([parked("mode")], False, Finding.PARKED),
        ([parked(REFUSED)], True, Finding.PARKED),
        ([], True, Finding.ENDED),
        ([], False, None),
    ],
    ids=lambda value: str(value) if isinstance(value, Finding | bool) else "",
)
def test_a_reconciliation_finds_where_a_driver_stands(
    facts: list[LinkEvent], finding: Finding | None, *, is_wanted: bool
) -> None:
    link = replay(DRIVERI.nothing, in_sequence(DRIVERI.nothing, facts))
    assert finding_of(link, is_wanted=is_wanted) is finding


UNDECIDED = {Situation.IN_SYNC, Situation.UNKEYED, Situation.UNSEEN, Situation.UNMANAGED, Situation.UNLINKED}
"""Situations in which nothing is decided that a target could carry out."""


@pytest.mark.parametrize("situation", sorted(set(Situation) - UNDECIDED))
def test_every_situation_with_a_decision_is_a_finding(situation: Situation) -> None:
    decided = DRIVERI.said(UpdateDecided, rationale(situation, 1), desired_key="D-7", fields=[])
    assert isinstance(decided, UpdateDecided)
    expected = {Situation.GONE: "orphaned"}.get(situation, situation.lower())
    assert found_by(decided) == expected


def test_a_parked_and_a_held_link_keep_the_reconciliation_that_set_them_aside() -> None:
    guard = Guard(staying=1, held=1)
    link = replay(DRIVERI.nothing, in_sequence(DRIVERI.nothing, DRIVERI.linked()))
    batch = DRIVERI.batch(shown(), guard=guard)
    held = replay(link, in_reconciliation(5, is_wanted=False)(link, batch))
    conflict = DRIVERI.batch(claimed={"key:d-7": BOB})
    set_aside = replay(DRIVERI.nothing, in_reconciliation(6)(DRIVERI.nothing, conflict))
    assert [
        each.reconciled and (each.reconciled.rationale.get("reconciliation"), each.reconciled.at)
        for each in (held, set_aside)
    ] == [
        (5, AT),
        (6, AT),
    ]
