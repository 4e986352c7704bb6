import pytest

from tests.benchmarks.findings import Bound, Finding, to_json


def finding(measured: float, budget: float, bound: Bound) -> Finding:
    return Finding(what="decider", measured=measured, budget=budget, bound=bound, unit="times")


@pytest.mark.parametrize(
    ("measured", "bound", "is_met"),
    [
        (12.0, Bound.AT_LEAST, True),
        (11.9, Bound.AT_LEAST, False),
        (11.9, Bound.UNDER, True),
        (12.0, Bound.UNDER, False),
    ],
)
def test_a_budget_is_met_on_the_right_side_only(measured: float, bound: Bound, is_met: bool) -> None:  # noqa: FBT001 - what is told apart
    assert finding(measured, 12.0, bound).is_met is is_met


def test_one_missed_budget_is_visible_to_scripts() -> None:
    met, missed = finding(13.0, 12.0, Bound.AT_LEAST), finding(11.0, 12.0, Bound.AT_LEAST)
    assert to_json([met])["met"] is True
    told = to_json([met, missed])
    assert told["met"] is False
    assert [each["met"] for each in told["findings"]] == [True, False]
