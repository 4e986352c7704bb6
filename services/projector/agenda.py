"""When each account's roster has to be walked next, kept in memory, and looked up where something has changed."""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile

from domain.account import Account, Mode
from domain.identity import AccountId, Target
from domain.schedule import next_sweep
from domain.storing import Store
from services.accounts.read_models import AccountRow, to_account
from services.projector.known import unwalked
from services.projector.read_models import WalkRow
from services.runtime.clock import Clock
from services.runtime.share import Share


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Coming:
    """A walk that is to come: before all daily ones, where somebody waits for it; then by the moment."""

    is_daily: bool
    moment: datetime
    account: AccountId
    terms: int
    request: int


class Agenda:
    """The walks to come of the accounts of our share, in order.

    All of them are looked up at first, and then only those of accounts of which `heed` was told; so thousands of
    accounts cost nothing while nothing happens.
    """

    def __init__(self, store: Store, target: Target, clock: Clock, share: Share) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._share = share
        self._changed: set[str] | None = None
        self._in_order: list[Coming] = []
        self._of: dict[str, Coming] = {}

    def heed(self, accounts: Iterable[str]) -> None:
        """Something may have changed with these accounts."""
        if self._changed is not None:
            self._changed.update(accounts)

    def look_anew(self) -> None:
        """Other accounts may be ours, and somebody else may have walked meanwhile."""
        self._changed = None

    @property
    def has_changed(self) -> bool:
        """Whether something has to be looked up before it is known what is due."""
        return self._changed is None or bool(self._changed)

    def due(self) -> Iterator[Coming]:
        """The walks whose time has come, those first that are to be first."""
        self._look()
        now = self._clock()
        return takewhile(lambda coming: coming.moment <= now, self._in_order)

    def next_moment(self) -> datetime | None:
        """When the next walk becomes due that is not due yet, as far as was looked up."""
        now = self._clock()
        return next((coming.moment for coming in self._in_order if coming.moment > now), None)

    def _look(self) -> None:
        """Look up what has changed since the last time."""
        if not self.has_changed:
            return
        changed, self._changed = self._changed, set()
        found = self._found(changed)
        if changed is None:
            self._in_order = sorted(found)
            self._of = {coming.account: coming for coming in found}
            return
        for account in changed & self._of.keys():
            del self._in_order[bisect_left(self._in_order, self._of.pop(account))]
        for coming in found:
            self._of[coming.account] = coming
            insort(self._in_order, coming)

    def _found(self, accounts: Collection[str] | None) -> list[Coming]:
        """The walks to come of these accounts, or of all, by one query for each kind of thing."""
        where = {} if accounts is None else {"account": sorted(accounts)}
        turned_on = [
            row for row in self._store.select(AccountRow, {**where, "is_on": True}) if self._share.has(row.account)
        ]
        walked = {row.account: row for row in self._store.select(WalkRow, where)} if turned_on else {}
        accounts_on = [account for row in turned_on if (account := to_account(row)).mode(self._target) is not Mode.OFF]
        return [self._coming(account, walked.get(account.account)) for account in accounts_on]

    def _coming(self, account: Account, walked: WalkRow | None) -> Coming:
        last, name = walked or unwalked(account.account), account.account
        terms, request = account.terms.get(self._target, 0), account.sweeps.get(self._target, 0)
        is_daily = bool(last.at) and last.terms == terms and last.request >= request
        moment = self._daily(account, last) if is_daily else self._clock()
        return Coming(is_daily=is_daily, moment=moment, account=name, terms=terms, request=request)

    def _daily(self, account: Account, last: WalkRow) -> datetime:
        # A clock that was put right can have been far ahead at the last walk.
        after = min(datetime.fromisoformat(last.at), self._clock())
        return next_sweep(account.account, self._target, account.sweep_at, after)
