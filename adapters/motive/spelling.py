"""Under which name a company's users take external ids, as found out by what became of them.

The integration guide calls them `external_ids`, the reference `external_ids_attributes`, and what a target does with
the name that it does not know is not stated: it may refuse it, or answer well and leave the external ids alone.
"""

import re
from typing import Final, Literal

from domain.failures import Rejected

Spelling = Literal["external_ids", "external_ids_attributes"]

EDIT: Final[Spelling] = "external_ids"
"""What the integration guide calls them where a user is edited."""

CREATE: Final[Spelling] = "external_ids_attributes"
"""What the reference calls them where a user is made; the guide makes none."""

_OTHER: Final[dict[Spelling, Spelling]] = {
    "external_ids": "external_ids_attributes",
    "external_ids_attributes": "external_ids",
}
_TAKEN: Final = re.compile(r"\b(taken|already|in use|exists?|duplicate|unique)\b", re.IGNORECASE)


class Spelled:
    """The name that is used for one kind of call: the one that is stated for it, until the other is known to work.

    It is kept for as long as the account is connected. After a restart it is found out again, which costs one call.
    """

    def __init__(self, stated: Spelling) -> None:
        self._name = stated

    @property
    def name(self) -> Spelling:
        """The name to use first."""
        return self._name

    def has_worked(self, name: Spelling) -> None:
        """Use this name from now on."""
        self._name = name

    def has_failed(self, name: Spelling) -> None:
        """Use the other name from now on."""
        self._name = other_than(name)


def other_than(name: Spelling) -> Spelling:
    """The name to try once where this one does not work."""
    return _OTHER[name]


def may_be_of_form(words: str) -> bool:
    """Whether a refusal in these words can be about how a write is put, and not about a value that somebody has."""
    return not _TAKEN.search(words)


def both_refused(first: Rejected, other: Spelling, second: Rejected) -> Rejected:
    """What did not work under one name, and the refusal under the other if it says something else."""
    if first.detail == second.detail:
        return first
    return Rejected(reason=second.reason, detail=f"{first.detail}; with {other}: {second.detail}")
