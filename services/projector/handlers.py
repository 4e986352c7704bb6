"""What a projector makes of the streams that it follows."""

from collections.abc import Sequence

from domain.driver_link import Decision, DeleteHeld, LinkEvent, Parked
from domain.event import Event
from domain.identity import Target
from domain.storing import Store, Unit
from services.accounts.read_models import keep_accounts
from services.projector.read_models import StartedCall, Task, WishedRow, to_order
from services.runtime.clock import Clock


class Wishes:
    """Takes over accounts and decisions: of each link only the newest decision counts."""

    def __init__(self, store: Store, target: Target, clock: Clock) -> None:
        self._store = store
        self._target = target
        self._clock = clock

    def on_accounts(self, events: Sequence[tuple[int, Event]]) -> Unit:
        """Take over accounts, for their terms."""
        return keep_accounts(self._store, (event for _, event in events))

    def on_decisions(self, events: Sequence[tuple[int, Event]]) -> Unit:
        """Keep the newest decision of each link; a link that is parked or held has nothing to carry out."""
        unit = Unit()
        for _, event in events:
            if isinstance(event, LinkEvent) and event.target == self._target:
                self._keep(unit, event)
        return unit

    def resume(self) -> None:
        """See to it that every call that was started is settled."""
        unit = Unit()
        unit.keep(self._task(call.account, call.driver) for call in self._store.select(StartedCall))
        self._store.commit(unit)

    def _keep(self, unit: Unit, event: LinkEvent) -> None:
        if isinstance(event, Decision):
            order = to_order(event).to_json()
            unit.keep([WishedRow(account=event.account, driver=event.driver, is_open=True, body=order)])
            unit.keep([self._task(event.account, event.driver)])
        elif isinstance(event, Parked | DeleteHeld):
            unit.keep([WishedRow(account=event.account, driver=event.driver, is_open=False, body={})])

    def _task(self, account: str, driver: str) -> Task:
        return Task(account=account, driver=driver, not_before=self._clock().isoformat(), deferred=0)
