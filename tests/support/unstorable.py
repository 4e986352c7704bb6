"""Failures whose words no store takes, as if an adapter had let them through: failures clean their own."""

from typing import TypeVar

from domain.failures import Rejected, Unavailable

Failure = TypeVar("Failure", Rejected, Unavailable)

UNSTORABLE = "no \ud800"
"""Words that no store takes."""


def uncleaned(failure: Failure) -> Failure:
    """The same failure with such words."""
    object.__setattr__(failure, "detail", UNSTORABLE)
    return failure
