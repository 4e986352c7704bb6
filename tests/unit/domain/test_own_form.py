"""What a target shows in a form of its own is not drift: it is known from the answer, or when it is first shown."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from domain.driver_link import Confirmed, CreateDecided, DriftFound, LinkEvent, Rationale, UpdateDecided
from domain.matching import ObservedDriver
from domain.outcomes import Outcome
from domain.profile import is_own_form
from tests.support.scenario import DRIVERI, JANE, Deciding, why

OWNED = dict(DRIVERI.desired().profile)
READABLE = ["email", "first_name", "last_name"]
CREATED = DRIVERI.said(CreateDecided, why("ABSENT"), desired_key="D-7", fields=sorted(OWNED))
SEEN = DRIVERI.shown("D-7")


def _shown(**changed: str) -> ObservedDriver:
    return DRIVERI.shown("D-7", {**JANE, **changed})


def _confirmed(decision: int = 1, *, unlike: Sequence[str] = (), unseen: Sequence[str] = (), **own: str) -> LinkEvent:
    profile = {**OWNED, **own}
    return DRIVERI.fact(
        Confirmed, decision=decision, key="D-7", profile=profile, unlike=list(unlike), unseen=list(unseen)
    )


def _updated(**changed: str) -> LinkEvent:
    profile = {**JANE, **changed}
    return DRIVERI.said(
        UpdateDecided,
        why("OUTDATED"),
        profile=profile,
        key="D-7",
        desired_key="D-7",
        fields=sorted(changed),
        answers=1,
    )


@pytest.mark.parametrize(
    ("text", "shown", "expected"),
    [
        ("ab 12-3", "AB123", True),
        ("van Damme", "Van Damme", True),
        ("van Damme", "Van", False),
        ("Doe", "", False),
        ("-", ".", False),
        ("", "", False),
    ],
)
def test_an_own_form_differs_in_capitals_blanks_and_punctuation_only(text: str, shown: str, expected: object) -> None:
    assert is_own_form(text, shown) is expected


def test_what_was_written_and_not_shown_is_unseen_as_far_as_it_can_be_read() -> None:
    when = DRIVERI.answered(1, Outcome.CONFIRMED, SEEN, is_shown=False)
    DRIVERI.scenario(given=[CREATED], when=when, then=[_confirmed(unseen=READABLE)])


def test_an_update_that_is_not_shown_leaves_only_its_own_fields_unseen() -> None:
    given = [CREATED, _confirmed(), _updated(email="other@fleet.example")]
    when = DRIVERI.answered(3, Outcome.CONFIRMED, SEEN, is_shown=False)
    then = [_confirmed(3, unseen=["email"], email="other@fleet.example")]
    DRIVERI.scenario(given=given, when=when, then=then)


def test_what_is_unseen_stays_so_until_the_driver_is_shown() -> None:
    given = [CREATED, _confirmed(unseen=["last_name"]), _updated(email="other@fleet.example")]
    not_shown = DRIVERI.answered(3, Outcome.CONFIRMED, SEEN, is_shown=False)
    still_unseen = _confirmed(3, unseen=["email", "last_name"], email="other@fleet.example")
    DRIVERI.scenario(given=given, when=not_shown, then=[still_unseen])
    shown = DRIVERI.answered(3, Outcome.CONFIRMED, _shown(email="other@fleet.example"))
    DRIVERI.scenario(given=given, when=shown, then=[_confirmed(3, email="other@fleet.example")])


def test_a_known_own_form_is_kept_without_a_look_while_the_value_is_the_same() -> None:
    given = [CREATED, _confirmed(unlike=["last_name"]), _updated(email="other@fleet.example")]
    when = DRIVERI.answered(3, Outcome.CONFIRMED, SEEN, is_shown=False)
    then = [_confirmed(3, unlike=["last_name"], unseen=["email"], email="other@fleet.example")]
    DRIVERI.scenario(given=given, when=when, then=then)


def test_the_own_form_of_a_value_that_was_written_since_is_unseen() -> None:
    given = [CREATED, _confirmed(unlike=["last_name"]), _updated(last_name="Roe")]
    when = DRIVERI.answered(3, Outcome.CONFIRMED, SEEN, is_shown=False)
    DRIVERI.scenario(given=given, when=when, then=[_confirmed(3, unseen=["last_name"], last_name="Roe")])


def test_a_known_own_form_is_unseen_after_an_answer_to_an_unknown_decision_that_shows_nothing() -> None:
    given = [CREATED, _confirmed(unlike=["last_name"])]
    seen = _shown(last_name="Roe")
    when = DRIVERI.answered(9, Outcome.CONFIRMED, seen, is_shown=False)
    then = [DRIVERI.fact(Confirmed, decision=9, key="D-7", profile=dict(seen.profile), unseen=["last_name"])]
    DRIVERI.scenario(given=given, when=when, then=then)


@pytest.mark.parametrize(("last_name", "unlike"), [("DOE", ["last_name"]), ("Other", []), ("Doe", [])])
def test_an_answer_that_shows_what_was_unseen_knows_its_own_form_and_leaves_other_values_to_be_mended(
    last_name: str, unlike: list[str]
) -> None:
    given = [CREATED, _confirmed(unseen=["last_name"]), _updated(email="other@fleet.example")]
    seen = _shown(last_name=last_name, email="other@fleet.example")
    then = [_confirmed(3, unlike=unlike, email="other@fleet.example")]
    DRIVERI.scenario(given=given, when=DRIVERI.answered(3, Outcome.CONFIRMED, seen), then=then)


def test_an_own_form_of_what_was_unseen_is_not_drift() -> None:
    given = [CREATED, _confirmed(unseen=["last_name"])]
    shown = _shown(last_name="D.O.E")
    DRIVERI.scenario(given=given, batch=DRIVERI.batch(shown), when=DRIVERI.wants(), then=[])


def _drifted(
    shown: ObservedDriver, *, reconciliation: int, at_odds: Sequence[str], decision: int = 1
) -> list[LinkEvent]:
    rationale: Rationale = {**why("DRIFTED", linked=shown, found=shown), "reconciliation": reconciliation}
    drift = DRIVERI.fact(
        DriftFound,
        fields=["last_name"],
        profile={"last_name": shown.profile["last_name"]},
        rationale=rationale,
        decision=decision,
        reconciliation=reconciliation,
        at_odds=list(at_odds),
    )
    update = DRIVERI.said(
        UpdateDecided,
        rationale,
        key="D-7",
        desired_key="D-7",
        fields=["last_name"],
        answers=1 if reconciliation == 1 else 2,
    )
    return [drift, update]


def _reconciled(reconciliation: int) -> Deciding:
    return replace(DRIVERI.wants(), trigger=replace(DRIVERI.trigger(), reconciliation=reconciliation))


def test_an_own_form_of_a_value_that_was_seen_is_drift() -> None:
    shown = _shown(last_name="DOE")
    then = _drifted(shown, reconciliation=1, at_odds=[])
    DRIVERI.scenario(given=[CREATED, _confirmed()], batch=DRIVERI.batch(shown), when=_reconciled(1), then=then)


def test_another_value_in_the_place_of_what_was_unseen_is_drift() -> None:
    shown = _shown(last_name="Do")
    then = _drifted(shown, reconciliation=1, at_odds=[])
    given = [CREATED, _confirmed(unseen=["last_name"])]
    DRIVERI.scenario(given=given, batch=DRIVERI.batch(shown), when=_reconciled(1), then=then)


@pytest.mark.parametrize(
    ("reconciliation", "unseen", "at_odds"),
    [(2, [], ["last_name"]), (2, ["last_name"], []), (3, [], [])],
    ids=["in two reconciliations in a row", "our value was not seen in between", "not in the one before"],
)
def test_a_field_is_at_odds_that_drifts_in_two_reconciliations_in_a_row_with_our_value_seen_in_between(
    reconciliation: int, unseen: list[str], at_odds: list[str]
) -> None:
    shown = _shown(last_name="Other")
    given = [CREATED, _confirmed(), *_drifted(shown, reconciliation=1, at_odds=[]), _confirmed(4, unseen=unseen)]
    then = _drifted(shown, reconciliation=reconciliation, at_odds=at_odds, decision=4)
    DRIVERI.scenario(given=given, batch=DRIVERI.batch(shown), when=_reconciled(reconciliation), then=then)
