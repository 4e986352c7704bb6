"""Which orders are due: newer than what is confirmed, under the account's present terms, fairly between accounts.

What a projector makes of the streams that it follows.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice

from domain.account import Account, Mode, ReconciliationRequested
from domain.driver_link import DeleteDecided, LinkEvent
from domain.event import Event
from domain.identity import AccountId, PortalDriverId, Target
from domain.store import Store, Unit
from services.accounts.handlers import accounts_of, keep_accounts
from services.projector.breaker import Breakers
from services.projector.connections import admitted
from services.projector.known import desired_after
from services.projector.read_models import (
    DecisionRow,
    DeliveryRow,
    LookUp,
    Order,
    StartedCall,
    Task,
    drivers_of,
    from_json,
    place_of,
)
from services.runtime.context import Assignment, Clock

MOST_ACCOUNTS = 32
"""Accounts that are served in one round; the next round goes on behind them."""

_STEP = timedelta(seconds=30)
"""By how much a clock has to go back before that is taken for a clock that was put right."""

_LONGEST_WAIT = timedelta(days=1, hours=3)
"""What waits for longer than this was put off by a clock that was ahead: the longest step, and what it is spread by."""

_WAIT_FOR_TERMS = timedelta(seconds=1)

Driver = tuple[AccountId, PortalDriverId]
"""Which link is meant, on the projector's own target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is due for one link: an order to carry out, or one that was started to settle, or first this, then that."""

    driver: Driver
    order: Order | None = None
    started: Order | None = None

    @property
    def answered(self) -> Order:
        """The order that the next answer is about."""
        order = self.started or self.order
        if order is None:
            raise ValueError("a job without an order")
        return order


class Standing(StrEnum):
    """Whether an order may be carried out now."""

    DUE = "due"
    VOID = "void"
    AHEAD = "ahead"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Due:
    """A task with all that is known of its link."""

    task: Task
    account: Account
    desired: Order | None
    started: Order | None
    answers: int

    @property
    def driver(self) -> Driver:
        return AccountId(self.task.account), PortalDriverId(self.task.driver)


class Jobs:
    """Takes jobs out of the tasks in hand.

    `room` is how many calls of an account may be under way. `is_held_up`: more was due the last time than was taken,
    so that there is something to take as soon as a call ends.
    """

    def __init__(
        self,
        store: Store,
        target: Target,
        clock: Clock,
        share: Assignment,
        room: Callable[[AccountId], int],
        breakers: Breakers,
    ) -> None:
        self._store = store
        self.target = target
        self._clock = clock
        self._assignment = share
        self._room = room
        self._breakers = breakers
        self._served = ""
        self._latest = clock()
        self._stopped: Mapping[str, str] = {}
        self.is_held_up = False

    def look_anew(self) -> None:
        """Keep to the limits that a target set before we began: until when an account's refused calls have to wait.

        Nothing else has to wait without having failed.
        """
        self._treat_as_now(after=self._clock() + _LONGEST_WAIT)
        now = self._clock().isoformat()
        waiting = self._store.select(Task, {"deferred": 0}, order_by="not_before", after=now)
        self._stopped = {task.account: task.not_before for task in waiting}

    def take(self, places: int, busy: Collection[Driver]) -> list[Job]:
        """The jobs that are due, at most so many; that they start is stored before anybody learns of them."""
        unit, now = Unit(), self._put_right()
        taken = [self._to_job(unit, due, now) for due in self._due(places, busy, now)]
        if unit.rows or unit.removed:
            self._store.commit(unit)
        return [job for job in taken if job]

    def _put_right(self) -> datetime:
        """The present moment; where the clock was ahead and is right again, whatever waits by its old time is due."""
        now, latest = self._clock(), self._latest
        self._latest = now
        if latest - now > _STEP:
            self._treat_as_now(after=now)
            self._stopped = {}
        return now

    def _treat_as_now(self, after: datetime) -> None:
        """What waits until after this moment is due now."""
        now, unit = self._clock().isoformat(), Unit()
        waiting = self._store.select(Task, order_by="not_before", after=after.isoformat())
        unit.keep(replace(task, not_before=now) for task in waiting if self._assignment.has(task.account))
        if unit.rows:
            self._store.commit(unit)

    def is_due(self, job: Job) -> bool:
        """Whether a job that was taken may still be carried out."""
        account, driver = job.driver
        (due,) = self._with_orders([Task(account=account, driver=driver, not_before="", deferred=0)])
        is_desired = due.desired is not None and job.order is not None and due.desired.decision == job.order.decision
        return is_desired and self._standing(due) is Standing.DUE and account not in self._breakers.are_open()

    def _to_job(self, unit: Unit, due: _Due, now: datetime) -> Job | None:
        standing = self._standing(due)
        if standing is Standing.AHEAD:
            unit.keep([replace(due.task, not_before=(now + _WAIT_FOR_TERMS).isoformat())])
        order = due.desired if standing is Standing.DUE else None
        if due.started:
            is_same = order is not None and order.decision == due.started.decision
            return Job(driver=due.driver, order=order if is_same else None, started=due.started)
        if order is None:
            if standing is Standing.VOID:
                unit.remove(Task, {"account": due.task.account, "driver": due.task.driver})
            return None
        unit.keep([StartedCall(account=due.task.account, driver=due.task.driver, body=order.to_json())])
        return Job(driver=due.driver, order=order)

    def _standing(self, due: _Due) -> Standing:
        order = due.desired
        if order is None or order.answers < due.answers:
            return Standing.VOID
        policy_generation = due.account.policy_generation.get(self.target, 0)
        if order.policy_generation != policy_generation:
            return Standing.AHEAD if order.policy_generation > policy_generation else Standing.VOID
        mode = due.account.mode(self.target)
        is_allowed = mode is Mode.FULL or (mode is Mode.UPSERT and not _deletes(order))
        return Standing.DUE if is_allowed else Standing.VOID

    def _due(self, places: int, busy: Collection[Driver], now: datetime) -> list[_Due]:
        under_way = _by_account(busy)
        in_turn = sorted(self._due_accounts(now), key=under_way.__contains__)
        rooms = ((name, self._room(name) - len(under_way.get(name, ()))) for name in in_turn)
        chosen = islice(((name, room) for name, room in rooms if room > 0), MOST_ACCOUNTS)
        waiting = self._waiting({name: min(room, places) for name, room in chosen}, under_way, now.isoformat())
        tasks = admitted(waiting, places, under_way)
        self.is_held_up = len(waiting) < len(in_turn) or len(tasks) < sum(map(len, waiting.values()))
        self._served = [self._served, *dict.fromkeys(task.account for task in tasks)][-1]
        return self._with_orders(tasks) if tasks else []

    def _due_accounts(self, now: datetime) -> list[AccountId]:
        """The accounts of our share that get through and have something due, first those behind the last one served."""
        first = self._store.least(Task, "not_before", by=["account"])
        due = sorted(AccountId(str(name)) for (name,), moment in first.items() if str(moment) <= now.isoformat())
        stopped = {
            *self._breakers.are_open(),
            *(name for name, until in self._stopped.items() if until > now.isoformat()),
        }
        reachable = [name for name in due if self._assignment.has(name) and name not in stopped]
        return sorted(reachable, key=lambda name: name <= self._served)

    def _waiting(
        self, most: Mapping[AccountId, int], under_way: Mapping[AccountId, Collection[PortalDriverId]], moment: str
    ) -> dict[AccountId, list[Task]]:
        """Of each of these accounts the tasks that are due and not under way, at most so many."""
        limits = {str(name): limit + len(under_way.get(name, ())) for name, limit in most.items()}
        waiting: dict[AccountId, list[Task]] = {name: [] for name in most}
        for task in self._store.first(Task, "account", limits, order_by="not_before"):
            name = AccountId(task.account)
            if task.driver not in under_way.get(name, ()) and task.not_before <= moment:
                waiting[name].append(task)
        return {name: tasks[: most[name]] for name, tasks in waiting.items()}

    def _with_orders(self, tasks: Sequence[Task]) -> list[_Due]:
        """The tasks with all that is known of their links, by one query for each kind of thing."""
        accounts = accounts_of(self._store, (task.account for task in tasks))
        where = drivers_of((task.account, task.driver) for task in tasks)
        desired = {place_of(row): from_json(row.body) for row in self._store.select(DecisionRow, where) if row.is_open}
        started = {place_of(row): from_json(row.body) for row in self._store.select(StartedCall, where)}
        answers = {place_of(row): row.answers for row in self._store.select(DeliveryRow, where)}
        return [
            _Due(
                task=task,
                account=accounts.get(task.account) or Account(account=AccountId(task.account)),
                desired=desired.get(place_of(task)),
                started=started.get(place_of(task)),
                answers=answers.get(place_of(task), 0),
            )
            for task in tasks
        ]


def _deletes(order: Order) -> bool:
    """Whether a driver is deleted; what is only withdrawn has nothing there that could be."""
    return order.fact == DeleteDecided.TOPIC and order.key is not None


def _by_account(busy: Collection[Driver]) -> Mapping[AccountId, set[PortalDriverId]]:
    found: dict[AccountId, set[PortalDriverId]] = {}
    for account, driver in busy:
        found.setdefault(account, set()).add(driver)
    return found


class DesiredDrivers:
    """Takes over accounts and decisions: of each link only the newest decision counts.

    `heed` is told of the accounts with which something has changed.
    """

    def __init__(
        self,
        store: Store,
        target: Target,
        clock: Clock,
        share: Assignment,
        heed: Callable[[Iterable[str]], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._assignment = share
        self._heed = heed

    def on_accounts(self, events: Sequence[tuple[int, Event]]) -> Unit:
        """Take over accounts, for their terms, and for whom to look up."""
        facts = [event for _, event in events]
        self._heed(fact.account for fact in facts)
        unit = keep_accounts(self._store, facts)
        unit.keep(
            _to_look_up(fact) for fact in facts if isinstance(fact, ReconciliationRequested) and self._is_look_up(fact)
        )
        return unit

    def on_decisions(self, events: Sequence[tuple[int, Event]]) -> Unit:
        """Keep the newest decision of each link; a link that is set aside or ended has nothing to carry out."""
        unit = keep_desired(self._target, (event for _, event in events))
        places = {(event.account, event.driver): at for at, event in events if isinstance(event, LinkEvent)}
        desired = (row for row in unit.rows.values() if isinstance(row, DecisionRow) and row.is_open)
        unit.keep([_task(row.account, row.driver, places[row.account, row.driver]) for row in desired])
        return unit

    def resume(self) -> None:
        """See to it that every call of our share that was started is settled.

        Those on the backoff schedule when it is time.
        """
        unit = Unit()
        started = [call for call in self._store.select(StartedCall) if self._assignment.has(call.account)]
        known = {place_of(task) for task in self._store.select(Task, drivers_of(map(place_of, started)))}
        unit.keep(_task(call.account, call.driver) for call in started if place_of(call) not in known)
        self._store.commit(unit)

    def _is_look_up(self, requested: ReconciliationRequested) -> bool:
        return bool(requested.driver) and requested.target == self._target


def _task(account: str, driver: str, place: int = 0) -> Task:
    """A link's order that is due at once: whatever the clock says, in the order of the log."""
    return Task(account=account, driver=driver, not_before=f"{place:020}", deferred=0)


def _to_look_up(requested: ReconciliationRequested) -> LookUp:
    return LookUp(
        account=requested.account,
        driver=requested.driver,
        request=requested.originator_version,
        keys=requested.keys,
    )


def keep_desired(target: Target, events: Iterable[Event]) -> Unit:
    """The rows of what is desired of this target after these events."""
    unit = Unit()
    for event in events:
        if isinstance(event, LinkEvent) and event.target == target and (row := desired_after(event)):
            unit.keep([row])
    return unit
