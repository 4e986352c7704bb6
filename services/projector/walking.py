"""Walks of a target's roster: what differs from what was known is reported, then that the walk is complete."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict
from uuid import UUID

from domain.account import Account, Mode
from domain.failures import CallFailure
from domain.identity import AccountId, Key, Target, target_driver_stream, walk_stream
from domain.report import TargetDriverGone, TargetDriverSeen, WalkCompleted, WalkFailed
from domain.roster import TargetDriver
from domain.storing import Store, StoreConflict, Unit, Where
from services.accounts.read_models import AccountRow, to_account
from services.projector.breaker import Breakers, Sign
from services.projector.known import shown_after, unseen, unwalked, walk_after
from services.projector.read_models import RosterRow, WalkRow
from services.runtime.clock import Clock
from services.runtime.share import Share

_PAGE = 500


class WalkOrigin(TypedDict):
    """The fields that every report of a walk starts with."""

    originator_id: UUID
    originator_version: int
    at: datetime
    account: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """One walk of an account's roster, under the terms, and after the request, that asked for it."""

    account: AccountId
    terms: int
    request: int
    began: datetime


class Walks:
    """What a walk stores. A sighting older than an answer of the target to us says nothing new."""

    def __init__(self, store: Store, target: Target, clock: Clock, share: Share, breakers: Breakers) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._share = share
        self._breakers = breakers

    def due(self) -> list[Walk]:
        """The accounts of our share that get through, whose roster was not walked yet under their present terms."""
        turned_on, unreachable = self._store.select(AccountRow, {"is_on": True}), self._breakers.are_open()
        ours = [row for row in turned_on if self._share.has(row.account) and row.account not in unreachable]
        accounts = [to_account(row) for row in ours]
        walked = {row.account: row.terms for row in self._store.select(WalkRow)}
        return [
            Walk(
                account=account.account,
                terms=self._terms(account),
                request=account.sweeps.get(self._target, 0),
                began=self._clock(),
            )
            for account in accounts
            if account.mode(self._target) is not Mode.OFF and walked.get(account.account) != self._terms(account)
        ]

    def take_page(self, walk: Walk, page: Sequence[TargetDriver]) -> None:
        """Report what this page shows otherwise than it was known."""
        unit = Unit()
        where: Where = {"account": str(walk.account), "key": [seen.key for seen in page]}
        known = {row.key: row for row in self._store.select(RosterRow, where)}
        for seen in page:
            row = known.get(seen.key) or unseen(walk.account, seen.key)
            if row.at < walk.began.isoformat() and not _is_shown(row, seen):
                self._add_seen(unit, row, seen)
        if unit.events:
            self._commit(walk, unit)

    def complete(self, walk: Walk, seen: set[Key]) -> None:
        """Report who is there no more, and that the whole roster was read."""
        unit = Unit()
        for row in self._roster(walk.account):
            if row.is_there and row.key not in seen and row.at < walk.began.isoformat():
                self._add_gone(unit, row)
        last = self._walk_row(walk)
        origin = self._origin(walk.account, last.version + 1)
        completed = WalkCompleted(**origin, terms=walk.terms, drivers=len(seen), request=walk.request)
        unit.events.append(completed)
        unit.keep([walk_after(last, completed)])
        self._breakers.heed(unit, [self._sign(walk, None)])
        self._commit(walk, unit)

    def fail(self, walk: Walk, failure: CallFailure) -> bool:
        """Report that the roster cannot be read, unless that is known; whether it is news."""
        unit, row = Unit(), self._walk_row(walk)
        is_news = row.failure != failure.detail
        if is_news:
            origin = self._origin(walk.account, row.version + 1)
            failed = WalkFailed(**origin, terms=walk.terms, reason=str(failure.reason), detail=failure.detail)
            unit.events.append(failed)
            unit.keep([walk_after(row, failed)])
        self._breakers.heed(unit, [self._sign(walk, failure)])
        self._commit(walk, unit)
        return is_news

    def _commit(self, walk: Walk, unit: Unit) -> None:
        """Store what a walk saw; raises `StoreConflict` when the account has gone to another process meanwhile."""
        if not self._share.has(walk.account):
            raise StoreConflict(f"account {walk.account} is another process's now")
        self._store.commit(unit)

    def _add_seen(self, unit: Unit, row: RosterRow, seen: TargetDriver) -> None:
        fact = TargetDriverSeen(**self._sighting(row), key=row.key, active=seen.active, profile=dict(seen.profile))
        unit.events.append(fact)
        unit.keep([shown_after(row, fact)])

    def _add_gone(self, unit: Unit, row: RosterRow) -> None:
        fact = TargetDriverGone(**self._sighting(row), key=row.key)
        unit.events.append(fact)
        unit.keep([shown_after(row, fact)])

    def _sighting(self, row: RosterRow) -> WalkOrigin:
        origin = self._origin(AccountId(row.account), row.version + 1)
        origin["originator_id"] = target_driver_stream(AccountId(row.account), self._target, Key(row.key))
        return origin

    def _origin(self, account: AccountId, version: int) -> WalkOrigin:
        return {
            "originator_id": walk_stream(account, self._target),
            "originator_version": version,
            "at": self._clock(),
            "account": account,
            "target": str(self._target),
        }

    def _sign(self, walk: Walk, failure: CallFailure | None) -> Sign:
        return Sign(account=walk.account, subject=f"walk of {walk.began.isoformat()}", failure=failure)

    def _terms(self, account: Account) -> int:
        return account.terms.get(self._target, 0)

    def _walk_row(self, walk: Walk) -> WalkRow:
        rows = self._store.select(WalkRow, {"account": str(walk.account)})
        return rows[0] if rows else unwalked(walk.account)

    def _roster(self, account: AccountId) -> Iterator[RosterRow]:
        after: str | None = None
        where: Where = {"account": str(account)}
        while page := self._store.select(RosterRow, where, order_by="key", after=after, limit=_PAGE):
            yield from page
            after = page[-1].key


def _is_shown(row: RosterRow, seen: TargetDriver) -> bool:
    return row.is_there and (row.active, row.profile) == (seen.active, dict(seen.profile))
