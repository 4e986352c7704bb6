"""For how long a token is used, whatever is said of it."""

import math

import pytest

from adapters.http.oauth import LONGEST_LIFE, LONGEST_MARGIN, UNSTATED_LIFE, to_token

NOW = 1_767_268_800.0


@pytest.mark.parametrize("ends_at", [NOW - 1, 0.0, -1e300, NOW, math.nan, -math.inf])
def test_a_token_that_is_said_to_have_ended_is_used_for_a_minute(ends_at: float) -> None:
    token = to_token("t", ends_at, NOW)
    assert token.ends_at == NOW + UNSTATED_LIFE
    assert token.renew_at > NOW


@pytest.mark.parametrize("ends_at", [1e300, math.inf, NOW * 1000])
def test_a_token_that_is_said_to_last_for_ever_is_renewed_all_the_same(ends_at: float) -> None:
    assert to_token("t", ends_at, NOW).renew_at == NOW + LONGEST_LIFE - LONGEST_MARGIN
