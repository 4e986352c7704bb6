"""A driver that is looked at again has the reason, and who asked for it."""

import pytest

from domain.failures import Reason, Rejected
from domain.identity import Target
from tests.unit.services.api.fleet import JANE, Fleet

MOTIVE = Target.MOTIVE


@pytest.fixture
def refused(fleet: Fleet) -> Fleet:
    """Driver 1 is in sync, and Motive has refused driver 2."""
    fleet.start("1")
    fleet.state("2", **{**JANE, "driveri_driver_id": "D2", "ref_id": "R2"})
    (decision,) = fleet.pending(MOTIVE)
    fleet.answer(MOTIVE, decision, Rejected(reason=Reason.INVALID, detail="no"))
    return fleet


def retry(fleet: Fleet, target: Target | None = None, driver: str = "", reason: str = "") -> None:
    fleet.ask("bob", lambda person, known: person.retry(known, target=target, driver=driver, reason=reason))


def test_a_decision_of_a_retry_shows_where_it_was_requested(refused: Fleet) -> None:
    retry(refused)
    assert refused.facts("motive", "2")[-2:] == [
        "No longer set aside as refused.",
        "Motive is to get a new driver.",
    ]
    assert refused.why("motive", 5, "2")[0] == "Trigger: somebody asked to look at it again (account 3)."


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, "bob (account manager) asked to look again at who is set aside on any target."),
        (
            {"target": MOTIVE, "reason": "invalid"},
            "bob (account manager) asked to look again at who is set aside (invalid) on Motive.",
        ),
        (
            {"driver": "2"},
            "bob (account manager) asked to look again at driver 2, where set aside on any target.",
        ),
    ],
)
def test_a_retry_is_shown_for_the_drivers_that_it_concerned(refused: Fleet, asked: dict[str, str], told: str) -> None:
    retry(refused, **asked)  # type: ignore[arg-type]
    assert refused.facts("account", "2")[-1] == told
    assert told not in refused.facts("account", "1")


def test_a_retry_for_one_driver_is_shown_although_it_had_no_effect(refused: Fleet) -> None:
    retry(refused, driver="1")
    assert refused.facts("account", "1")[-1].startswith("bob (account manager) asked to look again at driver 1")


def test_what_was_given_up_is_not_blamed_on_the_portal(refused: Fleet) -> None:
    retry(refused)
    (decision,) = refused.pending(MOTIVE)
    refused.give_up(MOTIVE, decision, Reason.DOWN)
    standing = refused.state_on(MOTIVE, "2")
    assert standing.sentence.endswith("Motive did not do it: given up after 6 tries.")
    assert refused.facts("motive", "2")[-2:] == [
        "Motive did not do it (down): given up after 6 tries.",
        "Set aside until Motive answers again, or somebody asks for another try.",
    ]
    assert standing.advice == (
        "See whether Motive works for others of the account, and have it tried again: "
        "`driverlink issues retry acme --driver 2 --as PERSON`."
    )


def test_what_is_tried_after_an_outage_says_so(refused: Fleet) -> None:
    retry(refused)
    (decision,) = refused.pending(MOTIVE)
    refused.give_up(MOTIVE, decision, Reason.DOWN)
    refused.close_breaker(MOTIVE)
    assert refused.why("motive", 9, "2")[0] == "Trigger: Motive answers again."
