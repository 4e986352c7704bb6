"""What every service is given: the clock, the names of the logs, and the accounts that its process works for."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime

from domain.identity import Target
from domain.store import StoreConflict

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)


ACCOUNTS = "accounts.v1"
CHANGES = "portal.driver-changes.v1"
DECISIONS = "driver-links.decisions.v1"
WEBHOOKS = "webhooks.v1"


def outcomes_of(target: Target) -> str:
    """The log of a target's projector."""
    return f"targets.outcomes.v1.{target}"


OUTCOMES = tuple(map(outcomes_of, Target))


def log_of(stream: str) -> str:
    """The log of a stream, which is named epoch/log/partition, or log/partition where it is read in place."""
    return stream.split("/")[-2]


def position_of(stream: str) -> str:
    """Under which name is kept how far a stream's part of its log was consumed: log/partition, in any epoch."""
    return "/".join(stream.split("/")[-2:])


class Assignment:
    """The accounts whose partition is assigned to this process; embedded there is one partition, always assigned."""

    def __init__(self, partition_of: Callable[[str], int] = lambda _: 0, held: Collection[int] = (0,)) -> None:
        self._partition_of = partition_of
        self.held = frozenset(held)

    def hold(self, partitions: Collection[int]) -> None:
        """Work for the accounts of these partitions only."""
        self.held = frozenset(partitions)

    def has(self, account: str) -> bool:
        """Whether this process works for the account."""
        return self._partition_of(account) in self.held

    def check(self, account: str) -> None:
        """Raise `StoreConflict` when the account has gone to another process."""
        if not self.has(account):
            raise StoreConflict(f"account {account} is another process's now")
