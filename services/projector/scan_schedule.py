"""The scan schedule: when each account's roster has to be scanned next, kept in memory."""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile

from domain.account import Account, Mode
from domain.identity import AccountId, Target
from domain.reconciliation import next_reconciliation
from domain.store import Store
from services.accounts.handlers import AccountRow, to_account
from services.projector.known import unscanned
from services.projector.read_models import ScanRow
from services.runtime.context import Assignment, Clock


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ScheduledScan:
    """A scan to come: those that a person or a change of the account waits for before all daily ones, then by time."""

    is_daily: bool
    moment: datetime
    account: AccountId
    policy_generation: int
    request: int


class ScanSchedule:
    """The scans to come of our accounts, in order.

    All accounts are looked up at first, then only those that `look_up_again` names, so thousands of accounts cost
    nothing while nothing happens.
    """

    def __init__(self, store: Store, target: Target, clock: Clock, assignment: Assignment) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._assignment = assignment
        self._changed: set[str] | None = None
        self._in_order: list[ScheduledScan] = []
        self._by_account: dict[str, ScheduledScan] = {}

    def look_up_again(self, accounts: Iterable[str]) -> None:
        """Something may have changed with these accounts."""
        if self._changed is not None:
            self._changed.update(accounts)

    def reload(self) -> None:
        """Look up all accounts again: other ones may be ours, and another process may have scanned meanwhile."""
        self._changed = None

    @property
    def has_changed(self) -> bool:
        """Whether something has to be looked up before it is known what is due."""
        return self._changed is None or bool(self._changed)

    def due(self) -> Iterator[ScheduledScan]:
        """The scans whose time has come, in order."""
        if self.has_changed:
            self._look_up()
        now = self._clock()
        return takewhile(lambda scheduled: scheduled.moment <= now, self._in_order)

    def next_moment(self) -> datetime | None:
        """When the next scan becomes due that is not due yet, as far as was looked up."""
        now = self._clock()
        return next((scheduled.moment for scheduled in self._in_order if scheduled.moment > now), None)

    def _look_up(self) -> None:
        changed, self._changed = self._changed, set()
        found = self._scheduled(changed)
        if changed is None:
            self._in_order = sorted(found)
            self._by_account = {scheduled.account: scheduled for scheduled in found}
            return
        for account in changed & self._by_account.keys():
            del self._in_order[bisect_left(self._in_order, self._by_account.pop(account))]
        for scheduled in found:
            self._by_account[scheduled.account] = scheduled
            insort(self._in_order, scheduled)

    def _scheduled(self, accounts: Collection[str] | None) -> list[ScheduledScan]:
        """The scans to come of these accounts, or of all, by one query for each table."""
        where = {} if accounts is None else {"account": sorted(accounts)}
        rows = self._store.select(AccountRow, {**where, "is_on": True})
        ours = [to_account(row) for row in rows if self._assignment.has(row.account)]
        scanned = {row.account: row for row in self._store.select(ScanRow, where)} if ours else {}
        return [
            self._next_scan(account, scanned.get(account.account) or unscanned(account.account))
            for account in ours
            if account.mode(self._target) is not Mode.OFF
        ]

    def _next_scan(self, account: Account, last: ScanRow) -> ScheduledScan:
        policy_generation = account.policy_generation.get(self._target, 0)
        request = account.reconciliations.get(self._target, 0)
        is_daily = bool(last.at) and last.policy_generation == policy_generation and last.request >= request
        moment = self._clock()
        if is_daily:
            # A clock that was put right can have been far ahead at the last scan.
            after = min(datetime.fromisoformat(last.at), moment)
            moment = next_reconciliation(account.account, self._target, account.reconcile_at, after)
        return ScheduledScan(
            is_daily=is_daily,
            moment=moment,
            account=account.account,
            policy_generation=policy_generation,
            request=request,
        )
