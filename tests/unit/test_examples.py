"""A law meets the same examples wherever it is tried."""

from hypothesis.internal.conjecture.providers import HypothesisProvider


def test_examples_do_not_depend_on_which_modules_are_loaded() -> None:
    assert len(HypothesisProvider(None)._local_constants) == 0
