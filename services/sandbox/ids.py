"""Ids that a sandbox gives: each once, so that nobody is ever taken for somebody else."""

from typing import Final

_BEGINNING: Final = 1_767_225_600_000
"""The first moment of 2026, in milliseconds since the epoch."""

_PER_MILLISECOND: Final = 10
"""No sandbox gives as many ids in a millisecond."""


def ids_from(at: int) -> int:
    """The first id of a process that starts at this moment: above all that earlier processes have given."""
    return max(at - _BEGINNING, 0) * _PER_MILLISECOND


class Ids:
    """Whole numbers, ascending: none comes again, neither after a deletion nor after a seeding."""

    def __init__(self, first: int) -> None:
        self._next = first

    def __iter__(self) -> "Ids":
        return self

    def __next__(self) -> int:
        given = self._next
        self._next += 1
        return given

    def leave_out(self, number: int) -> None:
        """Give no number up to this one."""
        self._next = max(self._next, number + 1)
