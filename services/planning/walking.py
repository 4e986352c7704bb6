"""A walk that only a rehearsal hears of: read by the projector's own walker, noted down in the scratch store."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from domain.identity import Key
from domain.roster import TargetDriver, UnreadableRecords
from services.planning.rehearsal import Rehearsal
from services.projector.known import unseen
from services.projector.read_models import RosterRow
from services.projector.walking import Walk


class RehearsedWalk:
    """What the walker notes down; `drivers` is how many it has read."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self.drivers = 0
        self._rehearsal = rehearsal

    def expected(self, _: Walk) -> int:
        """Nobody has been decided about here."""
        return 0

    def last_event(self) -> int:
        """Nobody else notes anything down here."""
        return 0

    def take_page(self, _: Walk, page: Sequence[TargetDriver]) -> int:
        """These are shown; none counts as known, so that everybody who is lacking is looked for."""
        self._rehearsal.take_seen(page)
        self.drivers += len(page)
        return 0

    def is_nobody_lacking(self, _walk: Walk, _as_known: int, _last_event: int) -> bool:
        """Cannot be told at once."""
        return False

    def tell_progress(self, walk: Walk, drivers: int) -> None:
        """Whoever waits looks at `drivers`."""

    def known(self, walk: Walk, after: str | None) -> Sequence[RosterRow]:
        """A page of the drivers whom the decider knows, behind this key."""
        return [
            replace(unseen(walk.account, row.key), is_there=True, active=row.active)
            for row in self._rehearsal.known(after)
        ]

    def take_gone(self, _: Walk, keys: Sequence[Key]) -> None:
        """These are there no more."""
        self._rehearsal.take_gone(keys)

    def complete(self, walk: Walk, seen: Collection[Key], unreadable: UnreadableRecords) -> None:
        """The rehearsal decides when all is in place."""
