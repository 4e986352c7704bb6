"""Row numbers in order, below labels: a page is a slice and a lookup is one step, however many drivers there are."""

from bisect import bisect_left, insort
from collections.abc import Hashable, Sequence
from collections.abc import Set as AbstractSet


class Shelves:
    """For each label the numbers of the rows that carry it, ascending."""

    def __init__(self) -> None:
        self._shelves: dict[Hashable, list[int] | int] = {}
        """Most labels have one number only, and a list of one takes ten times the memory of a number."""

    def on(self, label: Hashable) -> Sequence[int]:
        """The numbers below this label, ascending; to be read at once, not kept."""
        shelf = self._shelves.get(label, ())
        return (shelf,) if isinstance(shelf, int) else shelf

    def move(self, number: int, leaving: AbstractSet[Hashable], entering: AbstractSet[Hashable]) -> None:
        """Take a row from the labels it had to the labels it has now."""
        for label in leaving - entering:
            self._take(label, number)
        for label in entering - leaving:
            self._put(label, number)

    def _put(self, label: Hashable, number: int) -> None:
        shelf = self._shelves.get(label)
        if shelf is None:
            self._shelves[label] = number
        elif isinstance(shelf, int):
            self._shelves[label] = sorted((shelf, number))
        else:
            insort(shelf, number)

    def _take(self, label: Hashable, number: int) -> None:
        shelf = self._shelves[label]
        if isinstance(shelf, int):
            del self._shelves[label]
            return
        del shelf[bisect_left(shelf, number)]
        if not shelf:
            del self._shelves[label]
