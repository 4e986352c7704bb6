"""How many drivers a list may lack before it is not believed: it may be cut, filtered, or read with few rights."""

from dataclasses import dataclass
from typing import Final

_SHARE: Final = 1 / 3


@dataclass(slots=True, kw_only=True)
class Tally:
    """How many drivers a list should have shown, and how many of those it lacks."""

    known: int = 0
    lacking: int = 0

    def count(self, *, is_shown: bool) -> None:
        """One more who is known."""
        self.known += 1
        self.lacking += not is_shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The share of the known drivers that a list may lack; so many may always be lacking."""

    share: float
    always: int

    def covers(self, tally: Tally) -> bool:
        """Whether the list lacks no more than this."""
        return tally.lacking <= max(self.always, self.share * tally.known)


OF_AN_EXPORT: Final = Allowance(share=_SHARE, always=3)
"""Somebody says that an export is complete: of a small fleet it may lack as many as the guard lets go in a day."""

OF_A_READING: Final = Allowance(share=_SHARE, always=1)
"""Nobody looks at what the API answers, and what it shows depends on rights."""

UNLIMITED: Final = Allowance(share=1.0, always=0)
"""A person has said that it is so."""
