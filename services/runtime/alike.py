"""Names that a person may have meant by one that is unknown."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

_MOST_COMPARED = 2000
"""Names that are compared, so that a slip of the pen costs nobody much."""


def did_you_mean(text: str, names: Iterable[str]) -> str:
    """`; did you mean x or y?`, by the names that are most alike in any letter case; empty if none is."""
    known = {name.casefold(): name for name in islice(names, _MOST_COMPARED)}
    alike = [known[each] for each in get_close_matches(text.casefold()[:200], known, 3)]
    return f"; did you mean {' or '.join(alike)}?" if alike else ""
