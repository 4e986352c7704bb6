"""Row numbers in order, below labels: a page is a slice and a lookup is one step, however many drivers there are."""

from bisect import bisect_left, insort
from collections.abc import Hashable, Sequence
from collections.abc import Set as AbstractSet


class Shelves:
    """For each label the numbers of the rows that carry it, ascending."""

    def __init__(self) -> None:
        self._shelves: dict[Hashable, list[int]] = {}

    def on(self, label: Hashable) -> Sequence[int]:
        """The numbers below this label, ascending; to be read at once, not kept."""
        return self._shelves.get(label, ())

    def move(self, number: int, leaving: AbstractSet[Hashable], entering: AbstractSet[Hashable]) -> None:
        """Take a row from the labels it had to the labels it has now."""
        for label in leaving - entering:
            self._take(label, number)
        for label in entering - leaving:
            insort(self._shelves.setdefault(label, []), number)

    def _take(self, label: Hashable, number: int) -> None:
        shelf = self._shelves[label]
        del shelf[bisect_left(shelf, number)]
        if not shelf:
            del self._shelves[label]
