"""What an answer of the target adds to the link, and that the same `decide` then answers again."""

import pytest

from domain.deciding import decide
from domain.driver_link import (
    REFUSED,
    UNSETTLED,
    Confirmed,
    CreateDecided,
    Deferred,
    DeleteDecided,
    DeleteHeld,
    LinkDecided,
    LinkEvent,
    Parked,
    Rationale,
    Refused,
    ReinstateDecided,
    RenameDecided,
    UpdateDecided,
    in_sequence,
    replay,
)
from domain.identity import Key
from domain.matching import ObservedDriver
from domain.outcomes import MOST_CORRECTIONS, Outcome
from tests.support.scenario import BOB, DRIVERI, JANE, MOTIVE, Subject, why

SEEN = DRIVERI.shown("D-7")
OWNED = dict(DRIVERI.desired().profile)
FIELDS = sorted(OWNED)
CREATED = DRIVERI.said(CreateDecided, why("ABSENT"), desired_key="D-7", fields=FIELDS)
LATER = {**JANE, "driveri_driver_id": "D-8"}
SUPERSEDING = DRIVERI.said(CreateDecided, why("ABSENT"), profile=LATER, desired_key="D-8", fields=FIELDS)


def _rationale_of(decision: int) -> Rationale:
    return {"trigger": "answer", "ref": f"decision {decision}"}


def test_a_confirmed_decision_makes_the_link_live() -> None:
    confirmed = DRIVERI.fact(Confirmed, decision=1, key="D-7", profile=OWNED)
    DRIVERI.scenario(given=[CREATED], when=DRIVERI.answered(1, Outcome.CONFIRMED, SEEN), then=[confirmed])


def test_a_late_answer_confirms_what_was_decided_then() -> None:
    confirmed = DRIVERI.fact(Confirmed, decision=1, key="D-7", profile=OWNED)
    given = [CREATED, SUPERSEDING]
    DRIVERI.scenario(given=given, when=DRIVERI.answered(1, Outcome.CONFIRMED, SEEN), then=[confirmed])


def test_after_a_late_answer_the_superseding_decision_is_said_again_as_what_it_is_now() -> None:
    given = [CREATED, SUPERSEDING, DRIVERI.fact(Confirmed, decision=1, key="D-7", profile=OWNED)]
    reason = why("RENAMED", linked=SEEN)
    renamed = DRIVERI.said(RenameDecided, reason, profile=LATER, key="D-7", desired_key="D-8", answers=1)
    DRIVERI.scenario(given=given, batch=DRIVERI.batch(SEEN), when=DRIVERI.wants(LATER), then=[renamed])


def test_an_answer_to_a_decision_that_is_not_known_confirms_what_was_seen() -> None:
    confirmed = DRIVERI.fact(Confirmed, decision=9, key="D-7", profile=dict(SEEN.profile))
    DRIVERI.scenario(given=[], when=DRIVERI.answered(9, Outcome.CONFIRMED, SEEN), then=[confirmed])


def test_a_field_that_we_wrote_and_the_target_shows_otherwise_is_its_own_way() -> None:
    seen = DRIVERI.shown("D-7", {**JANE, "last_name": "DOE"})
    confirmed = DRIVERI.fact(Confirmed, decision=1, key="D-7", profile=OWNED, unlike=["last_name"])
    DRIVERI.scenario(given=[CREATED], when=DRIVERI.answered(1, Outcome.CONFIRMED, seen), then=[confirmed])


def _updated(subject: Subject, key: str, field: str) -> LinkEvent:
    return subject.said(UpdateDecided, why("OUTDATED"), key=key, desired_key=key, fields=[field], answers=1)


def test_a_field_that_we_did_not_write_and_the_target_shows_otherwise_stays_to_be_mended() -> None:
    given = [*MOTIVE.linked(key="501"), _updated(MOTIVE, "501", "phone")]
    seen = MOTIVE.shown("501", {**JANE, "email": "other@fleet.example"})
    confirmed = MOTIVE.fact(Confirmed, decision=3, key="501", profile=dict(MOTIVE.desired().profile))
    MOTIVE.scenario(given=given, when=MOTIVE.answered(3, Outcome.CONFIRMED, seen), then=[confirmed])


def test_a_field_stays_the_targets_own_way_while_others_are_written() -> None:
    given = [*MOTIVE.linked(key="501", unlike=["last_name"]), _updated(MOTIVE, "501", "phone")]
    seen = MOTIVE.shown("501", {**JANE, "last_name": "DOE"})
    owned = dict(MOTIVE.desired().profile)
    confirmed = MOTIVE.fact(Confirmed, decision=3, key="501", profile=owned, unlike=["last_name"])
    MOTIVE.scenario(given=given, when=MOTIVE.answered(3, Outcome.CONFIRMED, seen), then=[confirmed])


@pytest.mark.parametrize("seen", [None, ObservedDriver(key=Key("D-7"), active=False, profile={})])
def test_a_confirmed_delete_ends_the_link(seen: ObservedDriver | None) -> None:
    gone = DRIVERI.said(DeleteDecided, why("ORPHANED"), key="D-7", desired_key=None, profile={}, answers=1)
    ended = DRIVERI.fact(Confirmed, decision=3, key=None, profile={})
    given = [*DRIVERI.linked(), gone]
    DRIVERI.scenario(given=given, when=DRIVERI.answered(3, Outcome.CONFIRMED, seen), then=[ended])


def test_a_target_that_is_not_there_defers_and_changes_nothing_else() -> None:
    deferred = DRIVERI.fact(Deferred, decision=1, reason="down", detail="503")
    when = DRIVERI.answered(1, Outcome.DEFERRED, reason="down", detail="503")
    DRIVERI.scenario(given=[CREATED], when=when, then=[deferred])
    DRIVERI.scenario(given=[CREATED, deferred], when=DRIVERI.wants(), then=[])


def test_a_refusal_parks_with_the_targets_reason() -> None:
    then = [
        DRIVERI.fact(Refused, decision=1, reason="invalid", detail="no"),
        DRIVERI.fact(Parked, reason=REFUSED, detail="no", rationale=_rationale_of(1)),
    ]
    when = DRIVERI.answered(1, Outcome.REFUSED, reason="invalid", detail="no")
    DRIVERI.scenario(given=[CREATED], when=when, then=then)


def test_a_refusal_of_what_was_superseded_does_not_park() -> None:
    refused = DRIVERI.fact(Refused, decision=1, reason="invalid", detail="no")
    when = DRIVERI.answered(1, Outcome.REFUSED, reason="invalid", detail="no")
    DRIVERI.scenario(given=[CREATED, SUPERSEDING], when=when, then=[refused])


def test_a_late_refusal_leaves_a_held_delete_held() -> None:
    held = DRIVERI.fact(DeleteHeld, key="D-7", rationale=why("ORPHANED"))
    given = [*DRIVERI.linked(), _updated(DRIVERI, "D-7", "email"), held]
    refused = DRIVERI.fact(Refused, decision=3, reason="invalid", detail="no")
    when = DRIVERI.answered(3, Outcome.REFUSED, reason="invalid", detail="no")
    DRIVERI.scenario(given=given, when=when, then=[refused])
    DRIVERI.scenario(given=[*given, refused], batch=DRIVERI.batch(SEEN), when=DRIVERI.deleted(), then=[])


def test_a_create_of_what_exists_is_decided_again_as_adoption() -> None:
    refused = DRIVERI.fact(Refused, decision=1, reason="exists", detail="")
    DRIVERI.scenario(given=[CREATED], when=DRIVERI.answered(1, Outcome.EXISTS, SEEN), then=[refused])
    reason = why("FOUND", found=SEEN)
    linked = DRIVERI.said(LinkDecided, reason, desired_key="D-7", fields=["phone"], answers=1)
    given = [CREATED, refused]
    DRIVERI.scenario(given=given, batch=DRIVERI.batch(SEEN), when=DRIVERI.wants(), then=[linked])


def test_a_create_of_what_is_deleted_there_is_decided_again_as_reinstatement() -> None:
    dormant = DRIVERI.shown("D-7", active=False)
    refused = DRIVERI.fact(Refused, decision=1, reason="exists", detail="")
    back = DRIVERI.said(ReinstateDecided, why("DORMANT", found=dormant), desired_key="D-7", fields=["phone"], answers=1)
    given = [CREATED, refused]
    DRIVERI.scenario(given=given, batch=DRIVERI.batch(dormant), when=DRIVERI.wants(), then=[back])


def test_an_update_of_what_is_missing_is_decided_again_as_creation() -> None:
    given = [*DRIVERI.linked(), _updated(DRIVERI, "D-7", "email")]
    refused = DRIVERI.fact(Refused, decision=3, reason="missing", detail="")
    DRIVERI.scenario(given=given, when=DRIVERI.answered(3, Outcome.MISSING), then=[refused])
    created = DRIVERI.said(CreateDecided, why("MISSING"), key="D-7", desired_key="D-7", fields=FIELDS, answers=2)
    DRIVERI.scenario(given=[*given, refused], when=DRIVERI.wants(), then=[created])


def test_a_driver_that_another_link_has_got_meanwhile_is_not_linked_twice() -> None:
    batch = DRIVERI.batch(SEEN, claimed={"key:d-7": BOB}, linked={"key:d-7": BOB})
    refused = DRIVERI.fact(Refused, decision=1, reason="exists", detail="")
    when = DRIVERI.answered(1, Outcome.CONFIRMED, SEEN)
    DRIVERI.scenario(given=[CREATED], batch=batch, when=when, then=[refused])


def test_a_driver_that_another_only_desires_is_linked_and_claimed() -> None:
    batch = DRIVERI.batch(SEEN, claimed={"key:d-7": BOB})
    confirmed = DRIVERI.fact(Confirmed, decision=1, key="D-7", profile=OWNED)
    when = DRIVERI.answered(1, Outcome.CONFIRMED, SEEN)
    DRIVERI.scenario(given=[CREATED], batch=batch, when=when, then=[confirmed])
    assert batch.holder("key:d-7") == DRIVERI.driver


def _corrected(times: int) -> list[LinkEvent]:
    """So many creates, each answered by the news that the roster was wrong."""
    facts: list[LinkEvent] = []
    for answers in range(times):
        facts.append(DRIVERI.said(CreateDecided, why("ABSENT"), desired_key="D-7", fields=FIELDS, answers=answers))
        facts.append(DRIVERI.fact(Refused, decision=len(facts), reason="exists", detail=""))
    return facts


def test_a_target_that_never_is_as_it_said_parks_for_a_person() -> None:
    given = _corrected(MOST_CORRECTIONS - 1)
    last = DRIVERI.said(CreateDecided, why("ABSENT"), desired_key="D-7", fields=FIELDS, answers=MOST_CORRECTIONS - 1)
    decision = len(given) + 1
    then = [
        DRIVERI.fact(Refused, decision=decision, reason="exists", detail=""),
        DRIVERI.fact(
            Parked,
            reason=UNSETTLED,
            detail="driveri said 5 times in a row that it is not as it had said before",
            rationale=_rationale_of(decision),
        ),
    ]
    when = DRIVERI.answered(decision, Outcome.EXISTS, SEEN)
    DRIVERI.scenario(given=[*given, last], when=when, then=then)


def test_after_a_person_has_looked_corrections_are_counted_from_zero() -> None:
    unsettled = DRIVERI.fact(Parked, reason=UNSETTLED, detail="", rationale=_rationale_of(1))
    link = replay(DRIVERI.nothing, in_sequence(DRIVERI.nothing, [*_corrected(MOST_CORRECTIONS), unsettled]))
    assert (link.corrections, link.answers) == (0, MOST_CORRECTIONS)


def test_an_end_that_we_only_saw_does_not_count_as_an_answer() -> None:
    ended = DRIVERI.fact(Confirmed, decision=0, key=None, profile={})
    link = replay(DRIVERI.nothing, in_sequence(DRIVERI.nothing, [*DRIVERI.linked(), ended]))
    assert (link.answers, link.is_live) == (1, False)


def test_what_a_parked_driver_waits_for_survives_the_answer_to_a_withdrawal() -> None:
    withdrawn = DRIVERI.said(DeleteDecided, why("ORPHANED"), desired_key=None, profile={})
    parked = DRIVERI.fact(
        Parked, reason="conflict", detail="", waits_for="key:d-7", holder=BOB, rationale=why("CONFLICT")
    )
    ended = DRIVERI.fact(Confirmed, decision=2, key=None, profile={})
    link = replay(DRIVERI.nothing, in_sequence(DRIVERI.nothing, [CREATED, withdrawn, parked, ended]))
    assert link.waits_for == "key:d-7"
    batch = DRIVERI.batch(claimed={"key:d-7": BOB})
    assert decide(DRIVERI.desired(), link, batch, DRIVERI.trigger()) == ()
