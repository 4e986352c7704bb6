"""Deliveries: the newest decision of each link, on its way to the target.

`DesiredDrivers` keeps what the streams bring; `DueDeliveries` picks what is due, fairly between accounts, and stores
that an attempt starts before any of its calls is made.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import chain, islice, zip_longest
from typing import Final, TypeVar

from domain.account import Account, Mode, ReconciliationRequested
from domain.driver_link import DeleteDecided, LinkEvent
from domain.identity import AccountId, PortalDriverId, Target
from domain.store import Event, Store, Unit
from services.accounts.handlers import accounts_of, keep_accounts
from services.projector.breaker import Breakers
from services.projector.calls import Attempt, Driver
from services.projector.read_models import (
    AnswerCount,
    Delivery,
    DueDelivery,
    LookUp,
    NewestDecision,
    StartedAttempt,
    drivers_of,
    from_json,
    newest_after,
    place_of,
)
from services.runtime.context import Assignment, Clock

T = TypeVar("T")

RESERVED_SLOTS: Final = 4
"""Slots for accounts without a call under way, one each: no account's first load delays another account's change."""

MOST_ACCOUNTS = 32
"""Accounts that are served in one round; the next round goes on behind them."""

_CLOCK_STEP = timedelta(seconds=30)
"""A clock that goes back by more than this was wrong before, and is right now."""

_LONGEST_WAIT = timedelta(days=1, hours=3)
"""A delivery that waits for longer was put off by a clock that was ahead: the longest backoff and its spread."""

_WAIT_FOR_POLICY = timedelta(seconds=1)


class DeliveryState(StrEnum):
    """Whether a delivery may be carried out: void ones never, those ahead once their policy generation is known."""

    DUE = "due"
    VOID = "void"
    AHEAD = "ahead"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """A due delivery with everything that is stored about its link."""

    due: DueDelivery
    account: Account
    newest: Delivery | None
    started: Delivery | None
    answers: int

    def state(self, target: Target) -> DeliveryState:
        """Whether the newest decision may be carried out under the account's present policy generation and mode."""
        delivery = self.newest
        if delivery is None or delivery.answers < self.answers:
            return DeliveryState.VOID
        policy_generation = self.account.policy_generation.get(target, 0)
        if delivery.policy_generation != policy_generation:
            return DeliveryState.AHEAD if delivery.policy_generation > policy_generation else DeliveryState.VOID
        mode = self.account.mode(target)
        # A delete without a key has nothing to delete on the target.
        is_delete = delivery.fact == DeleteDecided.TOPIC and delivery.key is not None
        is_allowed = mode is Mode.FULL or (mode is Mode.UPSERT and not is_delete)
        return DeliveryState.DUE if is_allowed else DeliveryState.VOID


class DueDeliveries:
    """Starts attempts for the deliveries that are due.

    `slots` is how many calls of an account may be under way. `is_held_up`: the last time, more was due than was taken,
    so there is something to take as soon as a call ends.
    """

    def __init__(
        self,
        store: Store,
        target: Target,
        clock: Clock,
        assignment: Assignment,
        slots: Callable[[AccountId], int],
        breakers: Breakers,
    ) -> None:
        self._store = store
        self.target = target
        self._clock = clock
        self._assignment = assignment
        self._slots = slots
        self._breakers = breakers
        self._last_served = ""
        self._latest = clock()
        self._limited: Mapping[str, str] = {}
        self.is_held_up = False

    def reload(self) -> None:
        """Keep to the rate limits that a target set before we began: until when an account's calls have to wait.

        Only a delivery that was refused by a rate limit waits without having failed.
        """
        self._make_due(after=self._clock() + _LONGEST_WAIT)
        now = self._clock().isoformat()
        waiting = self._store.select(DueDelivery, {"deferred": 0}, order_by="not_before", after=now)
        self._limited = {due.account: due.not_before for due in waiting}

    def take(self, slots: int, busy: Collection[Driver]) -> list[Attempt]:
        """Start at most `slots` attempts; that they start is stored before they are returned."""
        unit, now, latest = Unit(), self._clock(), self._latest
        self._latest = now
        if latest - now > _CLOCK_STEP:
            # The clock was ahead, and is right again: what waits by the old time is due.
            self._make_due(after=now)
            self._limited = {}
        attempts = [self._start(unit, each, now) for each in self._load(self._choose(slots, busy, now))]
        if unit.rows or unit.removed:
            self._store.commit(unit)
        return [attempt for attempt in attempts if attempt]

    def is_due(self, attempt: Attempt) -> bool:
        """Whether the calls of an attempt may still be made: its decision is the newest, and is allowed."""
        account, driver = attempt.driver
        (loaded,) = self._load([DueDelivery(account=account, driver=driver, not_before="", deferred=0)])
        is_newest = loaded.newest is not None and loaded.newest.decision == attempt.delivery.decision
        is_ready = is_newest and attempt.is_due and loaded.state(self.target) is DeliveryState.DUE
        return is_ready and account not in self._breakers.open_accounts()

    def _make_due(self, after: datetime) -> None:
        """Make the deliveries that wait until after this moment due now."""
        now, unit = self._clock().isoformat(), Unit()
        waiting = self._store.select(DueDelivery, order_by="not_before", after=after.isoformat())
        unit.keep(replace(due, not_before=now) for due in waiting if self._assignment.has(due.account))
        if unit.rows:
            self._store.commit(unit)

    def _start(self, unit: Unit, loaded: _Loaded, now: datetime) -> Attempt | None:
        place = {"account": loaded.due.account, "driver": loaded.due.driver}
        driver = AccountId(loaded.due.account), PortalDriverId(loaded.due.driver)
        state, newest = loaded.state(self.target), loaded.newest
        if state is DeliveryState.AHEAD:
            unit.keep([replace(loaded.due, not_before=(now + _WAIT_FOR_POLICY).isoformat())])
        is_due = newest is not None and state is DeliveryState.DUE
        if loaded.started:
            is_same = is_due and newest is not None and newest.decision == loaded.started.decision
            return Attempt(driver=driver, delivery=loaded.started, was_started=True, is_due=is_same)
        if newest is not None and is_due:
            unit.keep([StartedAttempt(**place, body=newest.to_json())])
            return Attempt(driver=driver, delivery=newest)
        if state is DeliveryState.VOID:
            unit.remove(DueDelivery, place)
        return None

    def _choose(self, slots: int, busy: Collection[Driver], now: datetime) -> list[DueDelivery]:
        """The deliveries to start now, in turn between accounts, those without a call under way first."""
        under_way: dict[AccountId, set[PortalDriverId]] = {}
        for account, driver in busy:
            under_way.setdefault(account, set()).add(driver)
        first, moment = self._store.least(DueDelivery, "not_before", by=["account"]), now.isoformat()
        due = sorted(AccountId(str(name)) for (name,), not_before in first.items() if str(not_before) <= moment)
        limited = (name for name, until in self._limited.items() if until > moment)
        stopped = {*self._breakers.open_accounts(), *limited}
        ours = [name for name in due if self._assignment.has(name) and name not in stopped]
        # Those behind the last one that was served come first.
        accounts = sorted(ours, key=lambda name: (name in under_way, name <= self._last_served))
        free = ((account, self._slots(account) - len(under_way.get(account, ()))) for account in accounts)
        chosen = islice(((account, number) for account, number in free if number > 0), MOST_ACCOUNTS)
        waiting = self._waiting({account: min(number, slots) for account, number in chosen}, under_way, now)
        taken = fill_slots(waiting, slots, under_way)
        self.is_held_up = len(waiting) < len(accounts) or len(taken) < sum(map(len, waiting.values()))
        if taken:
            self._last_served = [*dict.fromkeys(due.account for due in taken)][-1]
        return taken

    def _waiting(
        self, most: Mapping[AccountId, int], under_way: Mapping[AccountId, Collection[PortalDriverId]], now: datetime
    ) -> dict[AccountId, list[DueDelivery]]:
        """Of each of these accounts at most this many deliveries that are due and not under way."""
        limits = {str(name): limit + len(under_way.get(name, ())) for name, limit in most.items()}
        waiting: dict[AccountId, list[DueDelivery]] = {name: [] for name in most}
        moment = now.isoformat()
        for due in self._store.first(DueDelivery, "account", limits, order_by="not_before"):
            name = AccountId(due.account)
            if due.driver not in under_way.get(name, ()) and due.not_before <= moment:
                waiting[name].append(due)
        return {name: found[: most[name]] for name, found in waiting.items()}

    def _load(self, deliveries: Sequence[DueDelivery]) -> list[_Loaded]:
        """What is stored about the links of these deliveries, by one query for each table."""
        if not deliveries:
            return []
        accounts = accounts_of(self._store, (due.account for due in deliveries))
        where = drivers_of(map(place_of, deliveries))
        rows = self._store.select(NewestDecision, where)
        newest = {place_of(row): from_json(row.body) for row in rows if row.is_open}
        started = {place_of(row): from_json(row.body) for row in self._store.select(StartedAttempt, where)}
        answers = {place_of(row): row.answers for row in self._store.select(AnswerCount, where)}
        return [
            _Loaded(
                due=due,
                account=accounts.get(due.account) or Account(account=AccountId(due.account)),
                newest=newest.get(place_of(due)),
                started=started.get(place_of(due)),
                answers=answers.get(place_of(due), 0),
            )
            for due in deliveries
        ]


class DesiredDrivers:
    """Keeps accounts and decisions: of each link only the newest decision counts.

    `on_changed` learns which accounts have changed.
    """

    def __init__(
        self,
        store: Store,
        target: Target,
        clock: Clock,
        assignment: Assignment,
        on_changed: Callable[[Iterable[str]], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._assignment = assignment
        self._on_changed = on_changed

    def on_accounts(self, events: Sequence[tuple[int, Event]]) -> Unit:
        """Keep the accounts, for their policy generations, and the drivers that people asked to look up."""
        facts = [event for _, event in events]
        self._on_changed(fact.account for fact in facts)
        unit = keep_accounts(self._store, facts)
        unit.keep(
            LookUp(account=fact.account, driver=fact.driver, request=fact.originator_version, keys=fact.keys)
            for fact in facts
            if isinstance(fact, ReconciliationRequested) and fact.driver and fact.target == self._target
        )
        return unit

    def on_decisions(self, events: Sequence[tuple[int, Event]]) -> Unit:
        """Keep the newest decision of each link; a link that is parked or has ended has nothing to deliver."""
        unit, positions = Unit(), dict[tuple[str, str], int]()
        for at, event in events:
            if isinstance(event, LinkEvent):
                positions[event.account, event.driver] = at
                if event.target == self._target and (row := newest_after(event)):
                    unit.keep([row])
        newest = [row for row in unit.rows.values() if isinstance(row, NewestDecision) and row.is_open]
        unit.keep(_due_at_once(*place_of(row), positions[place_of(row)]) for row in newest)
        return unit

    def resume(self) -> None:
        """Make sure that every attempt of our accounts that was started is read back.

        Those on the backoff schedule are read back when it is time.
        """
        unit = Unit()
        started = [row for row in self._store.select(StartedAttempt) if self._assignment.has(row.account)]
        known = {place_of(due) for due in self._store.select(DueDelivery, drivers_of(map(place_of, started)))}
        unit.keep(_due_at_once(row.account, row.driver) for row in started if place_of(row) not in known)
        self._store.commit(unit)


def _due_at_once(account: str, driver: str, position: int = 0) -> DueDelivery:
    """A delivery that is due at once: in the order of the log, whatever the clock says."""
    return DueDelivery(account=account, driver=driver, not_before=f"{position:020}", deferred=0)


def fill_slots(waiting: Mapping[AccountId, Sequence[T]], slots: int, busy: Collection[AccountId]) -> list[T]:
    """What to start in these slots: of each account in turn the first, then the second, and so on.

    `busy` are the accounts that have calls under way.
    """
    first = [queue[0] for account, queue in waiting.items() if queue and account not in busy][:slots]
    rest = [queue[account not in busy :] for account, queue in waiting.items()]
    others = (each for each in chain.from_iterable(zip_longest(*rest)) if each is not None)
    return first + [each for _, each in zip(range(slots - len(first) - RESERVED_SLOTS), others, strict=False)]
