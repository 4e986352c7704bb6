"""The target as each account reaches it, and how the slots for calls are shared between accounts."""

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Final, TypeVar

import structlog

from domain.failures import Reason, Rejected
from domain.identity import AccountId
from domain.ports import TargetDrivers
from domain.store import StoreFailed

T = TypeVar("T")

RESERVED_SLOTS: Final = 4
"""Slots for accounts without a call under way, one each: no account's first load delays another account's change."""

_log = structlog.get_logger()

Connecting = Callable[[AccountId], TargetDrivers | Rejected]
"""The target as one account reaches it, or why it cannot."""


class Connected:
    """A target as accounts reach it, with the slots that it has for each of them."""

    def __init__(self, connect: Connecting) -> None:
        self._connect = connect
        self._reached: dict[AccountId, TargetDrivers] = {}

    def to(self, account: AccountId) -> TargetDrivers | Rejected:
        """The target as this account reaches it now, or why it cannot. Raises `StoreFailed`."""
        try:
            drivers = self._connect(account)
        except StoreFailed:
            raise
        except Exception as failure:  # noqa: BLE001 - one account's trouble is its own, whatever it is
            _log.exception("account cannot be connected", account=account)
            detail = f"the account cannot be connected: unexpected {type(failure).__name__}; see the log"
            drivers = Rejected(reason=Reason.NOT_CONFIGURED, detail=detail)
        if isinstance(drivers, Rejected):
            self._reached.pop(account, None)
        else:
            self._reached[account] = drivers
        return drivers

    def slots(self, account: AccountId) -> int:
        """How many calls of this account may be under way; one is enough to learn that it cannot reach the target.

        Only `to` looks its credentials up again.
        """
        drivers = self._reached.get(account) or self.to(account)
        return 1 if isinstance(drivers, Rejected) else drivers.slots()


def fill_slots(waiting: Mapping[AccountId, Sequence[T]], slots: int, busy: Collection[AccountId]) -> list[T]:
    """What to start in these slots: of each account in turn the first, then the second, and so on.

    `busy` are the accounts that have calls under way.
    """
    first = [queue[0] for account, queue in waiting.items() if queue and account not in busy][:slots]
    rest = [queue[account not in busy :] for account, queue in waiting.items()]
    others = (each for each in chain.from_iterable(zip_longest(*rest)) if each is not None)
    return first + [each for _, each in zip(range(slots - len(first) - RESERVED_SLOTS), others, strict=False)]
