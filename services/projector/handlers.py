"""What a projector makes of the streams that it follows."""

from collections.abc import Iterable, Sequence

from domain.driver_link import LinkEvent
from domain.event import Event
from domain.identity import Target
from domain.storing import Store, Unit
from services.accounts.read_models import keep_accounts
from services.projector.known import wished_after
from services.projector.read_models import StartedCall, Task, WishedRow
from services.runtime.clock import Clock
from services.runtime.share import Share


class Wishes:
    """Takes over accounts and decisions: of each link only the newest decision counts."""

    def __init__(self, store: Store, target: Target, clock: Clock, share: Share) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._share = share

    def on_accounts(self, events: Sequence[tuple[int, Event]]) -> Unit:
        """Take over accounts, for their terms."""
        return keep_accounts(self._store, (event for _, event in events))

    def on_decisions(self, events: Sequence[tuple[int, Event]]) -> Unit:
        """Keep the newest decision of each link; a link that is set aside or ended has nothing to carry out."""
        unit = keep_wished(self._target, (event for _, event in events))
        wished = (row for row in unit.rows.values() if isinstance(row, WishedRow) and row.is_open)
        unit.keep([self._task(row.account, row.driver) for row in wished])
        return unit

    def resume(self) -> None:
        """See to it that every call of our share that was started is settled."""
        unit, started = Unit(), self._store.select(StartedCall)
        unit.keep(self._task(call.account, call.driver) for call in started if self._share.has(call.account))
        self._store.commit(unit)

    def _task(self, account: str, driver: str) -> Task:
        return Task(account=account, driver=driver, not_before=self._clock().isoformat(), deferred=0)


def keep_wished(target: Target, events: Iterable[Event]) -> Unit:
    """The rows of what is wished of this target after these events."""
    unit = Unit()
    for event in events:
        if isinstance(event, LinkEvent) and event.target == target and (row := wished_after(event)):
            unit.keep([row])
    return unit
