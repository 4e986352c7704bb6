"""By other rules, the same drivers are matched and as many are deleted as those rules say."""

from dataclasses import replace

from domain.guard import DeleteLimit, Guard
from domain.identity import Target
from domain.matching import to_desired
from domain.profile import EMAIL, EXTERNAL_ID, SPECS
from domain.rules import RULES, Rules
from tests.support.scenario import ACCOUNT, JANE, MOTIVE


def test_the_rules_in_force_are_the_specs_and_the_greater_of_three_deletes_and_five_percent() -> None:
    assert Rules(specs=SPECS, delete_limit=DeleteLimit(fewest=3, percent=5)) == RULES


def test_by_another_limit_a_guard_lets_another_number_of_deletes_through() -> None:
    rule = DeleteLimit(fewest=2, percent=10)
    assert [Guard(staying=links, rule=rule).limit for links in (0, 29, 30)] == [2, 2, 3]


def test_by_other_specs_a_driver_is_matched_by_their_identifiers_in_their_order() -> None:
    spec = replace(SPECS[Target.MOTIVE], matched_by=(EMAIL, EXTERNAL_ID))
    desired = to_desired(
        ACCOUNT,
        Target.MOTIVE,
        MOTIVE.driver,
        sequence=1,
        profile=JANE,
        is_wanted=True,
        specs={**SPECS, Target.MOTIVE: spec},
    )
    assert desired.identifiers == ("email:588115dc7db11265e326ed97", "portal:jane"), "the e-mail only by its digest"
