"""What people ask of accounts, each as facts with who and when."""

from collections.abc import Callable, Iterable

from domain.account import Account, AccountEvent, apply
from domain.identity import AccountId, account_stream
from domain.requests import Request
from domain.storing import Store, Unit
from services.accounts.read_models import AccountRow, accounts_of, to_account, to_row
from services.runtime.alike import did_you_mean
from services.runtime.clock import Clock

Asking = Callable[[Request, Account], tuple[AccountEvent, ...]]


class UnknownAccount(Exception):
    """No such account; the message says how to see those that there are."""

    def __init__(self, account: str, names: Iterable[str] = ()) -> None:
        super().__init__(f"there is no account {account}{did_you_mean(account, names)}; see `driverlink accounts list`")


class Accounts:
    """The accounts service: owns the accounts and writes `accounts.v1`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def show(self, account: str) -> Account:
        """An account, by its id in any letter case; raises `UnknownAccount`."""
        return account_of(self._store, account)

    def all(self) -> list[Account]:
        """Every account, in the order of ids."""
        return accounts_in(self._store)

    def add(self, account: AccountId, by: str, asking: Asking) -> Account:
        """Make a new account known; raises `NotPermitted` when it is known already, in whatever letter case."""
        known = _found(self._store, account) or Account(account=account)
        return self._store_facts(known, asking(Request(by=by, at=self._clock()), known))

    def ask(self, account: str, by: str, asking: Asking) -> Account:
        """Do what a person asks of an account; raises `UnknownAccount` and `NotPermitted`."""
        known = self.show(account)
        return self._store_facts(known, asking(Request(by=by, at=self._clock()), known))

    def _store_facts(self, account: Account, facts: tuple[AccountEvent, ...]) -> Account:
        for fact in facts:
            account = apply(account, fact)
        unit = Unit(events=list(facts))
        unit.keep([to_row(account)])
        if facts:
            self._store.commit(unit)
        return account


def account_of(store: Store, account: str) -> Account:
    """An account of the accounts' store, by its id in any letter case; raises `UnknownAccount`."""
    found = _found(store, account)
    if found is None:
        names = store.count(AccountRow, by=["account"])
        raise UnknownAccount(account, (str(name) for (name,) in names))
    return found


def accounts_in(store: Store) -> list[Account]:
    """Every account of the accounts' store, in the order of ids."""
    return [to_account(row) for row in store.select(AccountRow, order_by="account")]


def _found(store: Store, account: str) -> Account | None:
    """The account of this id; where no row has it as it is written, its history tells how it is spelled."""
    known = accounts_of(store, [account])
    if account in known:
        return known[account]
    history = account_stream(AccountId(account))
    fact = next(iter(store.histories([history]).get(history, ())), None)
    return accounts_of(store, [fact.account]).get(fact.account) if fact else None
