"""Hints: a target says that one of its drivers has changed, which is then read once and reported if it differs.

A hint is no more than that: a false one would cause one read.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from domain.account import Mode
from domain.failures import CallFailure, Rejected, doubled
from domain.identity import AccountId, Key, Target
from domain.matching import ObservedDriver
from domain.store import Store, Unit
from services.accounts.handlers import accounts_of
from services.projector.breaker import Breakers, EndedCall
from services.projector.read_models import Hint
from services.projector.roster import Freshness, Newer, RosterReports
from services.runtime.context import Assignment, Clock

MOST_HINTS: Final = 10_000
"""Hints of an account that wait; of more the daily reconciliation finds what has changed."""

_MOST_TRIES = 5


class Hints:
    """Which drivers are to be read because of hints, and what reading one stores."""

    def __init__(
        self,
        store: Store,
        target: Target,
        clock: Clock,
        assignment: Assignment,
        breakers: Breakers,
        freshness: Freshness,
    ) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._assignment = assignment
        self._breakers = breakers
        self._freshness = freshness
        self._reports = RosterReports(store, target, clock)
        self._put_off: dict[str, tuple[datetime, timedelta]] = {}

    def keep(self, account: AccountId, keys: Collection[Key]) -> int:
        """Keep hints about these drivers, many about one as one; how many there was no room for."""
        unit, at = Unit(), self._clock().isoformat()
        room = MOST_HINTS - self._store.count(Hint, {"account": account}).get((), 0)
        wanted = list(dict.fromkeys(keys))
        unit.keep(Hint(account=account, key=key, mark=f"{at}/{uuid4().hex}") for key in wanted[: max(0, room)])
        self._store.commit(unit)
        return max(0, len(wanted) - max(0, room))

    def due(self, busy: Collection[AccountId], most: int) -> list[Hint]:
        """Up to this many hints: the oldest of each of our accounts that is not busy and whose breaker is closed."""
        if most <= 0:
            return []
        first = self._store.least(Hint, "mark", by=["account"])
        stopped = {*busy, *self._breakers.open_accounts()} if first else set()
        marks = {
            (str(account), str(mark))
            for (account,), mark in first.items()
            if account not in stopped and self._assignment.has(str(account)) and not self._has_to_wait(str(account))
        }
        found = self._store.among(Hint, ("account", "mark"), marks) if marks else []
        return sorted(found, key=lambda row: row.mark)[:most]

    def begin(self, row: Hint) -> Newer | None:
        """Begin to keep what is reported meanwhile; None if nothing of the account is synchronised."""
        account = accounts_of(self._store, [row.account]).get(row.account)
        if account is None or account.mode(self._target) is Mode.OFF:
            self._end(Unit(), row)
            return None
        return self._freshness.begin(row.account)

    def report(self, row: Hint, driver: ObservedDriver | None, newer: Newer) -> None:
        """Report the driver where it differs from what was known; nothing where it does not."""
        unit, account = Unit(), AccountId(row.account)
        if driver is not None:
            self._reports.add_seen(unit, account, [driver], newer, is_hinted=True)
        else:
            self._reports.add_gone(unit, account, [Key(row.key)], newer, is_hinted=True)
        self._breakers.record(unit, [EndedCall(account=account, subject=row.key, failure=None)])
        self._put_off.pop(row.account, None)
        self._end(unit, row)

    def fail(self, row: Hint, failure: CallFailure) -> None:
        """Let the driver be read again later; after some tries, or a refusal, not before the next scan."""
        unit = Unit()
        self._breakers.record(unit, [EndedCall(account=AccountId(row.account), subject=row.key, failure=failure)])
        wait = timedelta(seconds=doubled(row.tries))
        self._put_off[row.account] = self._clock() + wait, wait
        if row.tries + 1 < _MOST_TRIES and not isinstance(failure, Rejected):
            unit.keep([replace(row, tries=row.tries + 1)])
            self._commit(unit, row)
        else:
            self._end(unit, row)

    def _has_to_wait(self, account: str) -> bool:
        moment, wait = self._put_off.get(account, (None, timedelta()))
        # A clock that was put right can have been far ahead.
        return moment is not None and self._clock() < moment <= self._clock() + wait

    def _end(self, unit: Unit, row: Hint) -> None:
        """Another hint that has come meanwhile stays: it has another mark."""
        unit.remove(Hint, {"account": row.account, "key": row.key, "mark": row.mark})
        self._commit(unit, row)

    def _commit(self, unit: Unit, row: Hint) -> None:
        """Raises `StoreConflict` when the account has gone to another process meanwhile."""
        self._assignment.check(row.account)
        self._freshness.note(unit.events)
        self._breakers.commit(unit)
