"""What people ask of accounts, each as facts with who and when."""

from collections.abc import Callable

from domain.account import Account, AccountEvent, apply
from domain.identity import AccountId
from domain.requests import Request
from domain.storing import Store, Unit
from services.accounts.read_models import AccountRow, accounts_of, to_account, to_row
from services.runtime.clock import Clock

Asking = Callable[[Request, Account], tuple[AccountEvent, ...]]


class UnknownAccount(Exception):
    """No such account; the message says how to see those that there are."""

    def __init__(self, account: str) -> None:
        super().__init__(f"there is no account {account}; see `driverlink accounts list`")


class Accounts:
    """The accounts service: owns the accounts and writes `accounts.v1`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def show(self, account: str) -> Account:
        """An account; raises `UnknownAccount`."""
        found = accounts_of(self._store, [account])
        if account not in found:
            raise UnknownAccount(account)
        return found[account]

    def all(self) -> list[Account]:
        """Every account, in the order of ids."""
        return [to_account(row) for row in self._store.select(AccountRow, order_by="account")]

    def add(self, account: AccountId, by: str, asking: Asking) -> Account:
        """Make a new account known; raises `NotPermitted` when it is known already."""
        known = accounts_of(self._store, [account]).get(account) or Account(account=account)
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
