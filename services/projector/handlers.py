"""What a projector makes of the streams that it follows."""

from collections.abc import Callable, Iterable, Sequence

from domain.account import SweepRequested
from domain.driver_link import LinkEvent
from domain.event import Event
from domain.identity import Target
from domain.storing import Store, Unit
from services.accounts.read_models import keep_accounts
from services.projector.known import wished_after
from services.projector.read_models import LookUp, StartedCall, Task, WishedRow, drivers_of, place_of
from services.runtime.clock import Clock
from services.runtime.share import Share


class Wishes:
    """Takes over accounts and decisions: of each link only the newest decision counts.

    `heed` is told of the accounts with which something has changed.
    """

    def __init__(
        self,
        store: Store,
        target: Target,
        clock: Clock,
        share: Share,
        heed: Callable[[Iterable[str]], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._share = share
        self._heed = heed

    def on_accounts(self, events: Sequence[tuple[int, Event]]) -> Unit:
        """Take over accounts, for their terms, and for whom to look up."""
        facts = [event for _, event in events]
        self._heed(fact.account for fact in facts)
        unit = keep_accounts(self._store, facts)
        unit.keep(_to_look_up(fact) for fact in facts if isinstance(fact, SweepRequested) and self._is_look_up(fact))
        return unit

    def on_decisions(self, events: Sequence[tuple[int, Event]]) -> Unit:
        """Keep the newest decision of each link; a link that is set aside or ended has nothing to carry out."""
        unit = keep_wished(self._target, (event for _, event in events))
        places = {(event.account, event.driver): at for at, event in events if isinstance(event, LinkEvent)}
        wished = (row for row in unit.rows.values() if isinstance(row, WishedRow) and row.is_open)
        unit.keep([_task(row.account, row.driver, places[row.account, row.driver]) for row in wished])
        return unit

    def resume(self) -> None:
        """See to it that every call of our share that was started is settled, those on the ladder when it is time."""
        unit = Unit()
        started = [call for call in self._store.select(StartedCall) if self._share.has(call.account)]
        known = {place_of(task) for task in self._store.select(Task, drivers_of(map(place_of, started)))}
        unit.keep(_task(call.account, call.driver) for call in started if place_of(call) not in known)
        self._store.commit(unit)

    def _is_look_up(self, requested: SweepRequested) -> bool:
        return bool(requested.driver) and requested.target == self._target


def _task(account: str, driver: str, place: int = 0) -> Task:
    """A link's order that is due at once: whatever the clock says, in the order of the log."""
    return Task(account=account, driver=driver, not_before=f"{place:020}", deferred=0)


def _to_look_up(requested: SweepRequested) -> LookUp:
    return LookUp(
        account=requested.account,
        driver=requested.driver,
        request=requested.originator_version,
        keys=requested.keys,
    )


def keep_wished(target: Target, events: Iterable[Event]) -> Unit:
    """The rows of what is wished of this target after these events."""
    unit = Unit()
    for event in events:
        if isinstance(event, LinkEvent) and event.target == target and (row := wished_after(event)):
            unit.keep([row])
    return unit
