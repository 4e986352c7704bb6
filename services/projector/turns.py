"""Whose turn it is: how the slots for calls are shared between accounts."""

from collections.abc import Collection, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Final, TypeVar

from domain.identity import AccountId

T = TypeVar("T")

RESERVED_SLOTS: Final = 4
"""Slots for accounts without a call under way, one each: no account's first load delays another account's change."""


class Turns:
    """The accounts with deliveries that are due now, in turn, and those whose first one is due at a later moment.

    It may name an account that has none any more, but leaves out none that has some: each commit of a delivery that is
    due adds its account. So a look at what is due asks for a few accounts, however many there are. Moments are texts
    that sort as they follow each other.
    """

    def __init__(self) -> None:
        self._ready: dict[AccountId, None] = {}
        self._later: dict[AccountId, str] = {}
        self._earliest = ""

    def add(self, account: AccountId, due: str, now: str) -> None:
        """A delivery of this account is due from this moment on."""
        if account in self._ready:
            return
        if due <= now:
            self._later.pop(account, None)
            self._ready[account] = None
        elif due < self._later.get(account, "~"):
            self._later[account] = due
            self._earliest = min(self._earliest or due, due)

    def is_ready(self, account: AccountId) -> bool:
        """Whether this account has deliveries that are due."""
        return account in self._ready

    def ready(self, now: str) -> Collection[AccountId]:
        """The accounts with deliveries that are due, those that were served last at the end."""
        if self._earliest and self._earliest <= now:
            for account in [account for account, due in self._later.items() if due <= now]:
                del self._later[account]
                self._ready[account] = None
            self._earliest = min(self._later.values(), default="")
        return self._ready.keys()

    def next_moment(self) -> str:
        """When the next account has a delivery that is due, that has none now; empty where there is none."""
        return self._earliest

    def served(self, account: AccountId) -> None:
        """A delivery of this account is started: it comes behind all others."""
        if account in self._ready:
            del self._ready[account]
            self._ready[account] = None

    def rests(self, account: AccountId, due: str) -> None:
        """Nothing more of this account is due before this moment; empty where nothing is."""
        self._ready.pop(account, None)
        if due:
            self._later[account] = due
            self._earliest = min(self._earliest or due, due)


def fill_slots(waiting: Mapping[AccountId, Sequence[T]], slots: int, busy: Collection[AccountId]) -> list[T]:
    """What to start in these slots: of each account in turn the first, then the second, and so on.

    `busy` are the accounts that have calls under way.
    """
    first = [queue[0] for account, queue in waiting.items() if queue and account not in busy][:slots]
    rest = [queue[account not in busy :] for account, queue in waiting.items()]
    others = (each for each in chain.from_iterable(zip_longest(*rest)) if each is not None)
    return first + [each for _, each in zip(range(slots - len(first) - RESERVED_SLOTS), others, strict=False)]
