"""Whether those whom a target's list lacks are gone, or the list is not whole though it was answered well."""

from collections.abc import Sequence
from typing import Final

from domain.identity import Key

MOST_LACKING: Final = 10
"""So many active drivers may be lacking in any list that shows somebody."""

MOST_SAMPLED: Final = 50
"""So many of those who are lacking are looked up at most."""


def is_doubtful(*, shown: int, known: int, lacking: int) -> bool:
    """Whether a list that shows so many, and lacks so many of the active drivers last known, has to be doubted.

    It lacks more than a third of them, or shows nobody at all.
    """
    if not shown:
        return lacking > 0
    return lacking > MOST_LACKING and lacking * 3 > known


def sample(keys: Sequence[Key]) -> Sequence[Key]:
    """Some of these keys, evenly spread over them, and the same each time; all, where they are few."""
    ordered = sorted(keys)
    taken = min(len(ordered), MOST_SAMPLED)
    return [ordered[place * len(ordered) // taken] for place in range(taken)]
