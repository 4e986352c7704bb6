"""When a list that lacks drivers is doubted, and which drivers are looked up then."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.identity import Key
from domain.reconciliation import MOST_SAMPLED, is_doubtful, sample


@pytest.mark.parametrize(
    ("shown", "known", "lacking", "expected"),
    [
        (0, 0, 0, False),
        (0, 1, 1, True),
        (5, 5, 0, False),
        (1, 11, 10, False),
        (1, 12, 11, True),
        (22, 33, 11, False),
        (21, 33, 12, True),
        (200, 300, 100, False),
        (199, 300, 101, True),
    ],
)
def test_a_list_that_is_empty_or_lacks_more_than_a_third_and_more_than_ten_is_doubted(
    shown: int, known: int, lacking: int, *, expected: bool
) -> None:
    assert is_doubtful(shown=shown, known=known, lacking=lacking) is expected


@given(st.lists(st.integers(0, 10_000), unique=True))
def test_a_sample_is_of_different_keys_as_many_as_there_may_be(numbers: list[int]) -> None:
    keys = [Key(f"K{number}") for number in numbers]
    chosen = sample(keys)
    assert len({*chosen} & {*keys}) == len(chosen) == min(len(keys), MOST_SAMPLED)


@given(st.lists(st.integers(0, 500), unique=True))
def test_a_sample_does_not_depend_on_the_order(numbers: list[int]) -> None:
    keys = [Key(f"K{number}") for number in numbers]
    assert sample(keys) == sample(keys[::-1])


def test_a_sample_is_spread_over_all() -> None:
    keys = [Key(f"{number:04}") for number in range(1000)]
    assert sample(keys) == [Key(f"{number:04}") for number in range(0, 1000, 20)]
