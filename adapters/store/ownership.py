"""Which partitions a store owns: whoever took one over last may write, and nobody else.

The table `owners` tells of each partition its generation, which is how often it was taken over.
"""

from collections.abc import Collection
from typing import Any

from domain.storing import StoreConflict

CREATE_OWNERS = "CREATE TABLE IF NOT EXISTS owners (partition BIGINT PRIMARY KEY, generation BIGINT NOT NULL)"

_TAKE_OVER = (
    "INSERT INTO owners (partition, generation) SELECT taken, 1 FROM unnest(%b::bigint[]) AS taken "
    "ON CONFLICT (partition) DO UPDATE SET generation = owners.generation + 1 RETURNING partition, generation"
)
_LOOK = "SELECT partition, generation FROM owners WHERE partition = ANY(%b) ORDER BY partition FOR SHARE"


class Ownership:
    """The partitions of one store, with the generations in which it took them over. Cursors give rows as tuples."""

    def __init__(self) -> None:
        self._generations: dict[int, int] = {}

    def take_over(self, cursor: Any, partitions: Collection[int]) -> dict[int, int]:  # noqa: ANN401 - of any row type
        """The new generations, not owned yet; waits until whoever owned these partitions has ended its commits."""
        cursor.execute(_TAKE_OVER, [sorted(set(partitions))])
        return dict(cursor.fetchall())

    def add(self, generations: dict[int, int]) -> None:
        """Own these partitions too, in these generations."""
        self._generations.update(generations)

    def remove(self, partitions: Collection[int]) -> None:
        """Own these partitions no longer."""
        for partition in partitions:
            self._generations.pop(partition, None)

    def look(self, cursor: Any) -> None:  # noqa: ANN401 - of any row type
        """Ask for the generations of all that is owned, and let nobody take it over until the transaction ends."""
        cursor.execute(_LOOK, [sorted(self._generations)], prepare=True)

    def check(self, cursor: Any) -> None:  # noqa: ANN401 - of any row type
        """Raise `StoreConflict` unless `look` found what is owned."""
        found = dict(cursor.fetchall())
        lost = sorted(each for each, generation in self._generations.items() if found.get(each) != generation)
        if lost:
            raise StoreConflict(f"somebody else has taken over the partitions {', '.join(map(str, lost))}")
