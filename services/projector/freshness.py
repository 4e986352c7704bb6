"""Which target drivers were reported of while a roster, or one driver, is being read: that is newer than what is read.

The order of reports decides, never the clock. One process reports of an account at a time, and reads begin again with
a process, so what is newer is kept in memory.
"""

from collections.abc import Iterable
from weakref import WeakSet

from domain.event import Event
from services.projector.known import Sighting, keys_of


class Newer:
    """The target drivers of an account of whom others have reported since a read began."""

    def __init__(self) -> None:
        self._keys: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def add(self, keys: Iterable[str]) -> None:
        """Others have reported of these."""
        self._keys.update(keys)


class Freshness:
    """All reads that are under way; one that is given up needs no word of it."""

    def __init__(self) -> None:
        self._of: dict[str, WeakSet[Newer]] = {}

    def begin(self, account: str) -> Newer:
        """A read of this account begins."""
        newer = Newer()
        self._of.setdefault(account, WeakSet()).add(newer)
        return newer

    def note(self, events: Iterable[Event], by: Newer | None = None) -> None:
        """These are about to be stored; `by` is the read that they come from, if any."""
        for event in events:
            if isinstance(event, Sighting):
                for newer in self._others(event.account, by):
                    newer.add(keys_of(event))

    def _others(self, account: str, by: Newer | None) -> list[Newer]:
        return [newer for newer in self._of.get(account, ()) if newer is not by]
