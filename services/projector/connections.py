"""Who may begin calls now: as many as each account's pace has room for, in turns, with places left for newcomers."""

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Final, TypeVar

import structlog

from domain.failures import Reason, Rejected
from domain.identity import AccountId
from domain.ports import TargetDrivers
from domain.store import StoreFailed

T = TypeVar("T")

KEPT_FREE: Final = 4
"""Places that only accounts without a call under way get, one each: nobody's first load delays another's change."""

_log = structlog.get_logger()

Connecting = Callable[[AccountId], TargetDrivers | Rejected]
"""The target as one account reaches it, or why it cannot."""


class Connected:
    """A target as accounts reach it, with the room that it has for each of them."""

    def __init__(self, connect: Connecting) -> None:
        self._connect = connect
        self._reached: dict[AccountId, TargetDrivers] = {}

    def to(self, account: AccountId) -> TargetDrivers | Rejected:
        """The target as this account reaches it now, or why it cannot."""
        drivers = self._connected(account)
        if isinstance(drivers, Rejected):
            self._reached.pop(account, None)
        else:
            self._reached[account] = drivers
        return drivers

    def _connected(self, account: AccountId) -> TargetDrivers | Rejected:
        try:
            return self._connect(account)
        except StoreFailed:
            raise
        except Exception as failure:  # noqa: BLE001 - one account's trouble is its own, whatever it is
            _log.exception("account cannot be connected", account=account)
            detail = f"the account cannot be connected: unexpected {type(failure).__name__}; see the log"
            return Rejected(reason=Reason.NOT_CONFIGURED, detail=detail)

    def room(self, account: AccountId) -> int:
        """How many calls of this account may be under way; one is enough to learn that it cannot reach the target.

        Credentials are not looked up for it again: that is for whoever makes the calls.
        """
        drivers = self._reached.get(account) or self.to(account)
        return 1 if isinstance(drivers, Rejected) else drivers.slots()


def admitted(waiting: Mapping[AccountId, Sequence[T]], places: int, busy: Collection[AccountId]) -> list[T]:
    """Who of those that wait gets one of these places: of each account in turn the first, then the second, and so on.

    `busy` are the accounts that have calls under way.
    """
    first = [queue[0] for account, queue in waiting.items() if queue and account not in busy][:places]
    rest = [queue[account not in busy :] for account, queue in waiting.items()]
    others = (each for each in chain.from_iterable(zip_longest(*rest)) if each is not None)
    return first + [each for _, each in zip(range(places - len(first) - KEPT_FREE), others, strict=False)]
