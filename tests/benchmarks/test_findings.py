from dataclasses import replace

import pytest

from tests.benchmarks.budgets import Bound, Budget
from tests.benchmarks.findings import Finding, to_json
from tests.benchmarks.first_load import to_finding


def finding(ours: float, bound: Bound, beside: float | None = None) -> Finding:
    return Finding(what="decider", ours=ours, unit="decisions a second", budget=Budget(bound, 12.0), beside=beside)


@pytest.mark.parametrize(
    ("measured", "bound", "is_met"),
    [
        (12.0, Bound.AT_LEAST, True),
        (11.9, Bound.AT_LEAST, False),
        (12.0, Bound.AT_MOST, True),
        (12.1, Bound.AT_MOST, False),
        (11.9, Bound.UNDER, True),
        (12.0, Bound.UNDER, False),
    ],
)
def test_a_budget_is_met_on_the_right_side_only(measured: float, bound: Bound, is_met: bool) -> None:  # noqa: FBT001 - what is told apart
    assert finding(measured, bound).is_met is is_met


def test_a_budget_is_about_the_ratio_to_what_stands_beside() -> None:
    assert finding(240.0, Bound.AT_LEAST, beside=20.0).is_met
    assert not finding(240.0, Bound.AT_LEAST, beside=21.0).is_met


def test_what_is_judged_by_nothing_meets_no_budget() -> None:
    assert not replace(finding(240.0, Bound.AT_LEAST, beside=20.0), is_judged=False).is_met


def test_one_missed_budget_is_visible_to_scripts() -> None:
    met, missed = finding(13.0, Bound.AT_LEAST), finding(11.0, Bound.AT_LEAST)
    assert to_json([met])["met"] is True
    told = to_json([met, missed])
    assert told["met"] is False
    assert [each["met"] for each in told["findings"]] == [True, False]


@pytest.mark.parametrize(
    ("rates", "is_met"),
    [
        ({2_000: 100.0, 20_000: 76.0}, True),
        ({2_000: 100.0, 20_000: 74.0}, False),
        ({2_000: 74.0, 20_000: 100.0}, False),
        ({2_000: 100.0, 20_000: 130.0, 100_000: 80.0}, False),
    ],
    ids=["alike", "large is slow", "small is slow", "one of three is slow"],
)
def test_a_first_load_is_as_quick_for_each_driver_however_many_there_are(
    rates: dict[int, float],
    is_met: bool,  # noqa: FBT001 - what is told apart
) -> None:
    assert to_finding(rates, {}).is_met is is_met
