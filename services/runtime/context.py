"""The time, as a role: the only place where services learn it.

The names of the logs by which services speak to each other; each is a topic where Kafka carries it.

Which accounts a process works for: all of them, or those of the partitions that it holds.
"""

from collections.abc import Callable, Collection
from datetime import UTC, datetime

from domain.identity import Target

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The present moment."""
    return datetime.now(UTC)


ACCOUNTS = "accounts.v1"
CHANGES = "portal.driver-changes.v1"
DECISIONS = "driver-links.decisions.v1"


def outcomes_of(target: Target) -> str:
    """The log of a target's projector."""
    return f"targets.outcomes.v1.{target}"


OUTCOMES = tuple(map(outcomes_of, Target))

LOGS = (ACCOUNTS, CHANGES, DECISIONS, *OUTCOMES)


def log_of(stream: str) -> str:
    """The log that a stream (epoch/log/partition) is of."""
    return stream.split("/")[1]


class Assignment:
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
