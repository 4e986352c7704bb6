"""Which accounts a process works for: all of them, or those of the partitions that it holds."""

from collections.abc import Callable, Collection


class Share:
    """The accounts whose partition is held; at first everybody is of one partition, and that one is held."""

    def __init__(self, partition_of: Callable[[str], int] = lambda _: 0, held: Collection[int] = (0,)) -> None:
        self._partition_of = partition_of
        self.held = frozenset(held)

    def hold(self, partitions: Collection[int]) -> None:
        """Work for the accounts of these partitions, and for no others."""
        self.held = frozenset(partitions)

    def has(self, account: str) -> bool:
        """Whether this process works for the account."""
        return self._partition_of(account) in self.held
