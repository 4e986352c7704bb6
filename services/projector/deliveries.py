"""Deliveries: the newest decision of each link, on its way to the target.

That a call starts is stored before the call is made: in the transaction that takes its decision over where a slot is
free and nothing older of the account waits, else together with the outcomes of the calls that gave their slots back.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import chain, zip_longest
from math import inf
from operator import attrgetter
from typing import Final, TypeVar

import structlog

from domain.account import Account, Mode, ReconciliationRequested
from domain.driver_link import DeleteDecided, LinkErased, RenameDecided
from domain.failures import CLASSES, MOST_TRIES, CallFailure, FailureClass, Park, Reason, Rejected, Retry, after_failure
from domain.identity import AccountId, Key, Target, delivery_stream, link_stream
from domain.matching import ObservedDriver
from domain.outcomes import CallAnswered, Outcome
from domain.ports import Done, Exists, Missing, TargetDrivers
from domain.store import FILLED, Event, Store, StoreConflict, StoreFailed, Unit
from services.accounts.handlers import accounts_of, keep_accounts
from services.projector.breaker import Breakers, EndedCall
from services.projector.calls import Attempt, Connected, OutcomeUnknown, Result, Withdrawn, failure_of
from services.projector.erasing import ErasedDrivers
from services.projector.read_models import (
    FIRST_OF_ALL,
    DeliveryRow,
    Driver,
    LookUp,
    RosterRow,
    as_seen,
    at_once,
    project_decisions,
    project_roster,
    reported,
)
from services.projector.scans import Freshness
from services.runtime.context import Assignment, Clock
from services.runtime.read_models import kept_rows, projected, to_unit
from services.runtime.service import own_trouble

T = TypeVar("T")

MOST_CALLS = 256
"""Calls under way at a time, over all accounts."""

MOST_ACCOUNTS = 32
"""Accounts that are served in one round; the next round goes on behind them."""

_CLOCK_STEP: Final = timedelta(seconds=30)
"""A clock that goes back by more than this was wrong before, and is right now."""

_LONGEST_WAIT: Final = timedelta(days=1, hours=3)
"""A delivery that waits for longer was put off by a clock that was ahead: the longest backoff and its spread."""

_WAIT_FOR_POLICY: Final = timedelta(seconds=1)

Begin = Callable[[Sequence[tuple[Attempt, TargetDrivers | Rejected]]], None]
"""Makes the calls of attempts whose start is stored, each with the target as its account reaches it."""

_log = structlog.get_logger()


class DeliveryState(StrEnum):
    """Whether a delivery may be carried out: void ones never, those ahead once their policy generation is known."""

    DUE = "due"
    VOID = "void"
    AHEAD = "ahead"


def state_of(row: DeliveryRow, account: Account, target: Target) -> DeliveryState:
    """Whether a link's newest decision may be carried out under the account's present policy generation and mode."""
    delivery = row.newest
    if delivery is None or delivery.answers < row.answers:
        return DeliveryState.VOID
    policy_generation = account.policy_generation.get(target, 0)
    if delivery.policy_generation != policy_generation:
        return DeliveryState.AHEAD if delivery.policy_generation > policy_generation else DeliveryState.VOID
    mode = account.mode(target)
    # A delete without a key has nothing to delete on the target.
    is_delete = delivery.fact == DeleteDecided.TOPIC and delivery.key is not None
    is_allowed = mode is Mode.FULL or (mode is Mode.UPSERT and not is_delete)
    return DeliveryState.DUE if is_allowed else DeliveryState.VOID


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


class Outcomes:
    """What follows from the results of one target's attempts."""

    def __init__(self, store: Store, target: Target, clock: Clock, breakers: Breakers, freshness: Freshness) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._breakers = breakers
        self._freshness = freshness

    def add(self, unit: Unit, results: Sequence[tuple[Attempt, Result]]) -> None:
        """Put into the unit what follows from these results, apart from those that are stored already.

        It has to be committed by `Breakers.commit`.
        """
        if not results:
            return
        known = self._store.among(DeliveryRow, DeliveryRow.KEY, [attempt.driver for attempt, _ in results])
        rows, ended = {row.place: row for row in known}, list[EndedCall]()
        for attempt, result in results:
            row = rows.get(attempt.driver)
            # A commit can have worked without our hearing so: what does not count as started any more is stored.
            if row is None or row.started != attempt.delivery.decision:
                continue
            (account, driver), failure = attempt.driver, failure_of(result)
            if not isinstance(result, Withdrawn):
                ended.append(EndedCall(account=account, subject=driver, failure=failure, is_delivery=True))
            if failure is None:
                row, outcome = self._end(row, attempt, result)
            else:
                is_unknown = isinstance(result, OutcomeUnknown) or CLASSES[failure.reason] is FailureClass.UNKNOWN
                row, outcome = self._fail(row, attempt, failure, is_unknown=is_unknown)
            if outcome is not None:
                unit.events.append(outcome)
                row = reported(row, outcome)
            unit.keep([row])
        unit.add(projected(self._store, project_roster, [(0, event) for event in unit.events]))
        self._breakers.record(unit, ended)
        self._freshness.note(unit.events)

    def _end(self, row: DeliveryRow, attempt: Attempt, result: Result) -> tuple[DeliveryRow, CallAnswered | None]:
        """The outcome of an attempt that did not fail; None: what was started had no effect, and is not due."""
        if result is None:
            return replace(row, started=0, started_body={}, due=FIRST_OF_ALL if row.body else ""), None
        row, delivery = replace(row, started=0, started_body={}, due="", tries=0), attempt.delivery
        match result:
            case Done(seen=seen, is_shown=is_shown):
                is_rename = delivery.fact == RenameDecided.TOPIC and delivery.key != seen.key
                left = delivery.key if is_rename else None
                return row, self._answered(row, attempt, Outcome.CONFIRMED, seen, left=left, is_shown=is_shown)
            case Exists(seen=seen):
                return row, self._answered(row, attempt, Outcome.EXISTS, self._as_reported(attempt, seen))
            case Missing(key=key):
                return row, self._answered(row, attempt, Outcome.MISSING, left=key)
            case _:
                return row, self._answered(row, attempt, Outcome.CONFIRMED)

    def _fail(
        self, row: DeliveryRow, attempt: Attempt, failure: CallFailure, *, is_unknown: bool
    ) -> tuple[DeliveryRow, CallAnswered | None]:
        """Try again later, or give up; only the first failure in a row is reported, and a rate limit never is.

        `is_unknown`: the call may have taken effect, so it still counts as started and is read back, even later.
        """
        (account, driver), tries = attempt.driver, row.tries
        if not is_unknown:
            row = replace(row, started=0, started_body={})
        is_alone = self._breakers.is_alone(account, driver, failure)
        if is_alone:
            detail = f"refused for this driver only, while other calls are answered: {failure.detail}"
            failure = replace(failure, detail=detail)
        match after_failure(failure, tries, link_stream(account, self._target, driver), is_alone=is_alone):
            case Park(detail=detail):
                row = replace(row, due="", tries=MOST_TRIES if row.started else 0)
                return row, self._answered(row, attempt, Outcome.REFUSED, reason=failure.reason, detail=detail)
            case Retry(after=after, tries=following):
                moment = (self._clock() + timedelta(seconds=after)).isoformat()
                row = replace(row, due=moment, tries=following)
        if tries or CLASSES[failure.reason] is FailureClass.RATE_LIMITED:
            return row, None
        return row, self._answered(row, attempt, Outcome.DEFERRED, reason=failure.reason, detail=failure.detail)

    def _as_reported(self, attempt: Attempt, seen: ObservedDriver) -> ObservedDriver:
        """The driver that is there already, without its profile where that was erased."""
        known = self._store.select(RosterRow, {"account": str(attempt.driver[0]), "key": seen.key})
        return replace(seen, profile=as_seen(known[0], seen.profile)) if known else seen

    def _answered(
        self,
        row: DeliveryRow,
        attempt: Attempt,
        outcome: Outcome,
        seen: ObservedDriver | None = None,
        *,
        left: Key | None = None,
        is_shown: bool = True,
        reason: str = "",
        detail: str = "",
    ) -> CallAnswered:
        account, driver = attempt.driver
        return CallAnswered(
            originator_id=delivery_stream(account, self._target, driver),
            originator_version=row.reports + 1,
            at=self._clock(),
            account=account,
            target=str(self._target),
            driver=driver,
            decision=attempt.delivery.decision,
            outcome=str(outcome),
            key=seen.key if seen else None,
            active=seen.active if seen else False,
            profile=dict(seen.profile) if seen else {},
            left=left,
            reason=str(reason),
            detail=detail,
            is_shown=is_shown,
            exchanges=[each.to_json() for each in attempt.exchanges],
        )


class Deliveries:
    """Keeps accounts and decisions, starts what is due, and stores the outcomes; all in the service's thread.

    `store` may answer from memory, `database` never does. `on_changed` learns which accounts have changed. No attempt
    is started before `begin_by` has said who makes its calls.
    """

    def __init__(
        self,
        store: Store,
        target: Target,
        clock: Clock,
        assignment: Assignment,
        *,
        database: Store,
        connected: Connected,
        breakers: Breakers,
        outcomes: Outcomes,
        erased: ErasedDrivers,
        on_changed: Callable[[Iterable[str]], None] = lambda _: None,
        most_calls: int = MOST_CALLS,
    ) -> None:
        self.target = target
        self.under_way: set[Driver] = set()
        self.most_calls = most_calls
        self._store = store
        self._database = database
        self._clock = clock
        self._assignment = assignment
        self._connected = connected
        self._breakers = breakers
        self._outcomes = outcomes
        self._erased = erased
        self._on_changed = on_changed
        self._begin: Begin | None = None
        self._wake: Callable[[], None] = lambda: None
        self._turns = Turns()
        self._marked: list[tuple[DeliveryRow, Attempt]] = []
        self._limited: Mapping[str, str] = {}
        self._resumed_for: frozenset[int] | None = None
        self._latest = clock()
        self._free_in = inf

    @property
    def is_held_up(self) -> bool:
        """Whether more is due than was started, as far as is known."""
        return bool(self._turns.ready(self._now()))

    def begin_by(self, begin: Begin | None, wake: Callable[[], None] = lambda: None) -> None:
        """Start attempts from now on, and let `begin` make their calls; None: start no more.

        `wake` is called when there is more to start than could be begun at once.
        """
        self._begin, self._wake = begin, wake

    def on_accounts(self, events: Sequence[tuple[int, Event]]) -> Unit:
        """Keep the accounts, for their policy generations, and the drivers that people asked to look up."""
        facts = [event for _, event in events]
        self._on_changed(fact.account for fact in facts)
        unit = keep_accounts(self._store, facts)
        unit.keep(
            LookUp(account=fact.account, driver=fact.driver, request=fact.originator_version, keys=fact.keys)
            for fact in facts
            if isinstance(fact, ReconciliationRequested) and fact.driver and fact.target == self.target
        )
        return unit

    def on_decisions(self, events: Sequence[tuple[int, Event]]) -> Unit:
        """Keep the newest decision of each link, and that its call starts, as far as slots are free."""
        rows = kept_rows(self._store)
        project_decisions(self.target, events, rows, self._due_after)
        unit = to_unit(rows.changes())
        self._erased.forget(unit, [event for _, event in events if isinstance(event, LinkErased)])
        changed = [row for row in unit.rows.values() if isinstance(row, DeliveryRow)]
        self._start_at_once(unit, sorted(changed, key=attrgetter("due")))
        return unit

    def on_stored(self, unit: Unit) -> None:
        """Begin the calls whose start was stored with a batch, and see to what else became due."""
        if self._settle(unit):
            self._wake()

    def turn(self, results: Sequence[tuple[Attempt, Result]]) -> float:
        """Store these results, and that what is due next starts, in one transaction.

        Returns in how many seconds something can be started though no call ends, infinite where nothing can.
        A result that cannot be stored parks its own driver. Raises `StoreConflict`, when accounts have gone to another
        process, and `StoreFailed`.
        """
        self._check_clock()
        if self._resumed_for != self._assignment.held:
            self.resume()
        self._store_safely(results)
        now = self._clock()
        moments = [*self._limited.values(), self._turns.next_moment()]
        waits = [(datetime.fromisoformat(each) - now).total_seconds() for each in moments if each > now.isoformat()]
        return min([self._free_in, *waits])

    def abandon(self, drivers: Collection[Driver]) -> None:
        """These calls were cancelled: they count as started, and are read back when they are resumed."""
        self.under_way.difference_update(drivers)

    def look_again(self, account: AccountId) -> None:
        """Something of this account may be due that was not."""
        self._turns.add(account, FIRST_OF_ALL, self._now())
        self._wake()

    def resume(self) -> None:
        """Learn what is due for our accounts, and what was started for them and has to be read back.

        What is on the backoff schedule is read back when it is time.
        """
        held, now, unit = self._assignment.held, self._now(), Unit()
        for row in self._database.select(DeliveryRow, {"started": FILLED}):
            if not row.due and row.place not in self.under_way and self._assignment.has(row.account):
                unit.keep([replace(row, due=FIRST_OF_ALL, tries=row.tries % MOST_TRIES)])
        if unit.rows:
            self._store.commit(unit)
        self._make_due(after=self._clock() + _LONGEST_WAIT)
        # Only a delivery that was refused by a rate limit waits without having failed.
        unfailed = self._database.select(DeliveryRow, {"due": FILLED, "tries": 0}, order_by="due", after=now)
        self._limited = {row.account: row.due for row in unfailed}
        self._turns = Turns()
        for (name,), due in self._database.least(DeliveryRow, "due", {"due": FILLED}, by=["account"]).items():
            if self._assignment.has(str(name)):
                self._turns.add(AccountId(str(name)), str(due), now)
        self._resumed_for = held

    def is_due(self, attempt: Attempt) -> bool:
        """Whether the calls of an attempt may be made again: its decision is the newest, and is allowed.

        What is known in memory may be out of date: the store itself says that the account is ours, and what is due.
        """
        account, driver = attempt.driver
        if not self._assignment.has(account):
            return False
        try:
            self._database.commit(Unit())
        except StoreConflict:
            return False
        rows = self._database.select(DeliveryRow, {"account": str(account), "driver": str(driver)})
        known = accounts_of(self._database, [account]).get(account) or Account(account=account)
        is_newest = any(row.newest and row.newest.decision == attempt.delivery.decision for row in rows)
        is_ready = is_newest and attempt.is_due and state_of(rows[0], known, self.target) is DeliveryState.DUE
        return is_ready and account not in self._breakers.open_accounts()

    def _due_after(self, row: DeliveryRow, at: int) -> DeliveryRow:
        """A link that has another decision, or none, since this position: when that is due."""
        if row.place in self.under_way or not (row.body or row.started):
            return replace(row, due="")
        return replace(row, due=at_once(at), tries=0) if row.body else row

    def _start_at_once(self, unit: Unit, rows: Iterable[DeliveryRow]) -> None:
        """Put into the unit that the calls of these links start, of accounts for which nothing older waits."""
        self._marked.clear()
        if self._begin is None or self._resumed_for != self._assignment.held:
            return
        slots, busy = self.most_calls - len(self.under_way), Counter(account for account, _ in self.under_way)
        are_others_ready = bool(self._turns.ready(self._now()))
        waiting: dict[AccountId, list[DeliveryRow]] = {}
        for row in rows:
            if row.due:
                waiting.setdefault(row.place[0], []).append(row)
        for account, queue in waiting.items():
            is_last = self._turns.is_ready(account) or (are_others_ready and account in busy)
            waiting[account] = [] if is_last else queue[: max(0, self._room(account, busy[account]))]
        self._start(unit, fill_slots(waiting, slots, busy))

    def _store_safely(self, results: Sequence[tuple[Attempt, Result]]) -> None:
        """Store results and starts; where that fails unexpectedly, each result alone, and its reason at last."""
        try:
            self._commit(results)
        except (StoreConflict, StoreFailed):
            raise
        except Exception as failure:
            if not results:
                raise
            if len(results) > 1:
                for result in results:
                    self._store_safely([result])
                return
            ((attempt, _),) = results
            _log.error("answer cannot be stored", account=attempt.driver[0], trouble=type(failure).__name__)
            detail = f"the answer of {self.target} cannot be stored ({type(failure).__name__})"
            with own_trouble("answer is given up", account=attempt.driver[0]):
                self._commit([(attempt, Rejected(reason=Reason.INVALID, detail=detail))])
            self.under_way.discard(attempt.driver)

    def _commit(self, results: Sequence[tuple[Attempt, Result]]) -> None:
        unit, ended = Unit(), {attempt.driver for attempt, _ in results}
        self._marked.clear()
        try:
            self._outcomes.add(unit, results)
            if self._begin is not None and self._resumed_for is not None:
                self._start(unit, self._choose(self.under_way - ended))
            if unit.rows or unit.events:
                self._breakers.commit(unit)
        except BaseException:
            # What was taken out of the turns is still due.
            self._resumed_for = None
            raise
        self.under_way -= ended
        self._settle(unit)

    def _settle(self, unit: Unit) -> bool:
        """Begin the calls whose start is stored now; whether anything is due that was not started."""
        begun = [attempt for row, attempt in self._marked if unit.rows.get((DeliveryRow, row.place)) is row]
        self._marked.clear()
        now, due = self._now(), [row for row in unit.rows.values() if isinstance(row, DeliveryRow) and row.due]
        for row in due:
            self._turns.add(AccountId(row.account), row.due, now)
        if begun and self._begin:
            self.under_way.update(attempt.driver for attempt in begun)
            reached = {account: self._connected.to(account) for account in {attempt.driver[0] for attempt in begun}}
            self._begin([(attempt, reached[attempt.driver[0]]) for attempt in begun])
        return bool(due)

    def _start(self, unit: Unit, rows: Sequence[DeliveryRow]) -> None:
        """Put into the unit that the calls of these links start, or that they may not be made."""
        accounts, now = accounts_of(self._store, (row.account for row in rows)), self._clock()
        for row in rows:
            account = accounts.get(row.account) or Account(account=AccountId(row.account))
            after, attempt = self._started(row, account, now)
            unit.keep([after])
            if attempt:
                self._marked.append((after, attempt))

    def _started(self, row: DeliveryRow, account: Account, now: datetime) -> tuple[DeliveryRow, Attempt | None]:
        state, newest, started = state_of(row, account, self.target), row.newest, row.started_delivery
        is_due = newest is not None and state is DeliveryState.DUE
        if started:
            is_same = is_due and newest is not None and newest.decision == started.decision
            attempt = Attempt(driver=row.place, delivery=started, was_started=True, is_due=is_same)
            return replace(row, due=""), attempt
        if newest is not None and is_due:
            row = replace(row, due="", started=newest.decision, started_body={})
            return row, Attempt(driver=row.place, delivery=newest)
        if state is DeliveryState.AHEAD:
            return replace(row, due=(now + _WAIT_FOR_POLICY).isoformat()), None
        return replace(row, due="", tries=0), None

    def _choose(self, under_way: Collection[Driver]) -> list[DeliveryRow]:
        """The deliveries to start now, in turn between accounts, those without a call under way first."""
        now, slots, busy = self._now(), self.most_calls - len(under_way), Counter(account for account, _ in under_way)
        self._free_in = inf
        room = self._rooms(slots, busy)
        if not room:
            return []
        due: dict[AccountId, list[DeliveryRow]] = {account: [] for account in room}
        later: dict[AccountId, str] = {}
        for row in self._first_due(room, busy):
            account = AccountId(row.account)
            if row.due > now:
                later.setdefault(account, row.due)
            elif row.place not in self.under_way:
                due[account].append(row)
        chosen = fill_slots({account: rows[: room[account]] for account, rows in due.items()}, slots, busy)
        started = Counter(row.place[0] for row in chosen)
        for account, rows in due.items():
            if len(rows) == started[account]:
                self._turns.rests(account, later.get(account, ""))
            elif started[account]:
                self._turns.served(account)
                wait = self._connected.free_in(account, busy[account] + started[account] + 1)
                # 0: the account has slots left, so only the end of another call lets it go on.
                self._free_in = min(self._free_in, wait or inf)
        return chosen

    def _first_due(self, room: Mapping[AccountId, int], busy: Mapping[AccountId, int]) -> list[DeliveryRow]:
        """What is due first of each account: what it has room for, and one more, to know when the next one is due."""
        most = {str(account): free + 1 for account, free in room.items()}
        found = self._database.first(DeliveryRow, "account", most, order_by="due")
        if any(row.place in self.under_way for row in found):
            # Hardly ever: what is due and under way hides what is behind it.
            most = {str(account): free + busy[account] + 1 for account, free in room.items()}
            found = self._database.first(DeliveryRow, "account", most, order_by="due")
        return found

    def _rooms(self, slots: int, busy: Mapping[AccountId, int]) -> dict[AccountId, int]:
        """The accounts that have their turn now, each with how many of its calls may be started."""
        ready = self._turns.ready(self._now())
        # The reserved slots are for accounts without a call under way.
        others = (account for account in ready if account in busy and slots > RESERVED_SLOTS)
        room: dict[AccountId, int] = {}
        for account in chain((account for account in ready if account not in busy), others):
            if slots <= 0 or len(room) == MOST_ACCOUNTS:
                break
            if (free := self._room(account, busy.get(account, 0))) > 0:
                room[account] = min(free, slots)
        return room

    def _room(self, account: AccountId, busy: int) -> int:
        """How many more calls of an account may be started, given how many are under way."""
        is_limited = self._limited.get(account, "") > self._now()
        if is_limited or account in self._breakers.open_accounts() or not self._assignment.has(account):
            return 0
        free = self._connected.slots(account) - busy
        if free <= 0:
            self._free_in = min(self._free_in, self._connected.free_in(account, busy + 1))
        return free

    def _check_clock(self) -> None:
        """Where the clock was ahead, and is right again, what waits by the old time is due."""
        now, latest = self._clock(), self._latest
        self._latest = now
        if latest - now > _CLOCK_STEP:
            self._make_due(after=now)
            self._limited = {}

    def _make_due(self, after: datetime) -> None:
        """Make the deliveries that wait until after this moment due now."""
        now, unit = self._now(), Unit()
        waiting = self._database.select(DeliveryRow, {"due": FILLED}, order_by="due", after=after.isoformat())
        unit.keep(replace(row, due=now) for row in waiting if self._assignment.has(row.account))
        if unit.rows:
            self._store.commit(unit)
            self._settle(unit)

    def _now(self) -> str:
        return self._clock().isoformat()
