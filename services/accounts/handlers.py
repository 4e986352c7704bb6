"""The accounts: what people ask of them, and the table that every consumer of `accounts.v1` keeps of them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from itertools import islice
from typing import Any, ClassVar, Final

from domain.account import (
    Account,
    AccountEvent,
    Mode,
    NotPermitted,
    Removal,
    Request,
    Role,
    Tier,
    UndoScope,
    WantedAccount,
    apply,
    replay,
)
from domain.identity import AccountId, Target, account_stream
from domain.store import Event, Row, Store, Unit, Where
from services.runtime.context import ACCOUNTS, Clock
from services.runtime.read_models import Events, ReadModel, Rows, projected

AccountChange = Callable[[Request, Account], tuple[AccountEvent, ...]]
"""What a person asks of an account, by one of the methods of `Request`."""


_MOST_COMPARED = 2000
"""Names that are compared, so that a slip of the pen costs little."""


def did_you_mean(text: str, names: Iterable[str]) -> str:
    """`; did you mean x or y?`, by the names that are most alike in any letter case; empty if none is."""
    known = {name.casefold(): name for name in islice(names, _MOST_COMPARED)}
    alike = [known[each] for each in get_close_matches(text.casefold()[:200], known, 3)]
    return f"; did you mean {' or '.join(alike)}?" if alike else ""


class UnknownAccount(Exception):
    """No such account; the message says how to see those that there are."""

    def __init__(self, account: str, names: Iterable[str] = ()) -> None:
        super().__init__(f"there is no account {account}{did_you_mean(account, names)}; see `driverlink accounts list`")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDifference:
    """What an account is, and what it has to be; a `refusal` says why it cannot be that."""

    before: Account
    facts: tuple[AccountEvent, ...] = ()
    refusal: str = ""

    @property
    def after(self) -> Account:
        """What it is after that."""
        return replay(self.before, self.facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who asks something of an account, as `Request` has it, before it is known when."""

    by: str
    role: Role | None = None
    authenticated: str = ""
    note: str = ""


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

    def add(self, account: AccountId, by: str | Asker, change: AccountChange) -> Account:
        """Make a new account known; raises `NotPermitted` when it is known already, in whatever letter case."""
        known = find_account(self._store, account) or Account(account=account)
        return self._store_facts(known, change(self._request(by), known))

    def ask(self, account: str, by: str | Asker, change: AccountChange) -> Account:
        """Do what a person asks of an account; raises `UnknownAccount` and `NotPermitted`."""
        known = self.show(account)
        return self._store_facts(known, change(self._request(by), known))

    def _request(self, by: str | Asker) -> Request:
        asker = Asker(by=by) if isinstance(by, str) else by
        return Request(
            by=asker.by, at=self._clock(), role=asker.role, authenticated=asker.authenticated, note=asker.note
        )

    def differences(self, wanted: Mapping[AccountId, WantedAccount], by: str | Asker) -> list[AccountDifference]:
        """What makes these accounts what is wanted of them, in their order; nothing is stored."""
        known = accounts_of(self._store, wanted)
        unknown = {account_stream(name): name for name in wanted if name not in known}
        for stream, history in self._store.histories(unknown).items():
            if history:
                spelled = history[0].account
                known[unknown[stream]] = accounts_of(self._store, [spelled])[spelled]
        request, found = self._request(by), list[AccountDifference]()
        for name, each in wanted.items():
            before = known.get(name) or Account(account=name)
            try:
                found.append(AccountDifference(before=before, facts=request.bring_to(before, each)))
            except NotPermitted as refused:
                found.append(AccountDifference(before=before, refusal=str(refused)))
        return found

    def bring_to(self, wanted: Mapping[AccountId, WantedAccount], by: str | Asker) -> list[AccountDifference]:
        """Make these accounts what is wanted of them, in one transaction.

        Nothing is stored where one of them is refused.
        """
        found = self.differences(wanted, by)
        unit = Unit()
        for each in found:
            if each.facts:
                unit.events += each.facts
                unit.keep([to_row(each.after)])
        if unit.events and not any(each.refusal for each in found):
            self._store.commit(unit)
        return found

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
    found = find_account(store, account)
    if found is None or not found.is_known:
        names = store.count(AccountRow, KNOWN, by=["account"])
        raise UnknownAccount(account, (str(name) for (name,) in names))
    return found


def accounts_in(store: Store) -> list[Account]:
    """Every account of the accounts' store, in the order of ids."""
    return [to_account(row) for row in store.select(AccountRow, KNOWN, order_by="account")]


def find_account(store: Store, account: str) -> Account | None:
    """The account of this id; where no row has it as it is written, its history says how it is spelled."""
    known = accounts_of(store, [account])
    if account in known:
        return known[account]
    history = account_stream(AccountId(account))
    fact = next(iter(store.histories([history]).get(history, ())), None)
    return accounts_of(store, [fact.account]).get(fact.account) if fact else None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow(Row):
    """An account as it is now."""

    TABLE: ClassVar[str] = "accounts"
    KEY: ClassVar[tuple[str, ...]] = ("account",)

    account: str
    version: int
    tier: str
    master_user: str
    account_manager: str
    is_allowed: bool
    is_on: bool
    modes: dict[str, str]
    policy_generation: dict[str, int]
    reconciliations: dict[str, int]
    plans: dict[str, str]
    undos: dict[str, dict[str, str | int]]
    reconcile_at: str
    removal: str = ""


KNOWN: Final[Where] = {"removal": ""}
"""The rows of accounts that were not removed."""


def to_account(row: AccountRow) -> Account:
    """The account that a row stands for."""
    return Account(
        account=AccountId(row.account),
        version=row.version,
        tier=Tier(row.tier),
        master_user=row.master_user,
        account_manager=row.account_manager,
        is_allowed=row.is_allowed,
        is_on=row.is_on,
        modes={Target(target): Mode(mode) for target, mode in row.modes.items()},
        policy_generation={Target(target): version for target, version in row.policy_generation.items()},
        reconciliations={Target(target): version for target, version in row.reconciliations.items()},
        plans={Target(target): plan for target, plan in row.plans.items()},
        undos={Target(target): to_scope(undo) for target, undo in row.undos.items()},
        reconcile_at=row.reconcile_at,
        removal=Removal(row.removal),
    )


def to_scope(undo: Mapping[str, Any]) -> UndoScope:
    """What is to be undone, as a row has it."""
    return UndoScope(**undo)


def to_row(account: Account) -> AccountRow:
    """The row that stands for an account."""
    return AccountRow(
        account=account.account,
        version=account.version,
        tier=str(account.tier),
        master_user=account.master_user,
        account_manager=account.account_manager,
        is_allowed=account.is_allowed,
        is_on=account.is_on,
        modes={str(target): str(mode) for target, mode in account.modes.items()},
        policy_generation={str(target): version for target, version in account.policy_generation.items()},
        reconciliations={str(target): version for target, version in account.reconciliations.items()},
        plans={str(target): plan for target, plan in account.plans.items()},
        undos={str(target): asdict(undo) for target, undo in account.undos.items()},
        reconcile_at=account.reconcile_at,
        removal=str(account.removal),
    )


def accounts_of(store: Store, ids: Iterable[str]) -> dict[str, Account]:
    """These accounts, as far as they are known, by one query."""
    wanted = sorted(set(ids))
    found = store.select(AccountRow, {"account": wanted}) if wanted else []
    return {row.account: to_account(row) for row in found}


def keep_accounts(store: Store, events: Iterable[Event]) -> Unit:
    """The rows of the accounts after these facts."""
    return projected(store, project_accounts, [(0, event) for event in events])


def project_accounts(events: Events, rows: Rows) -> None:
    """The accounts after these facts, as every service keeps them that consumes them."""
    facts = [event for _, event in events if isinstance(event, AccountEvent)]
    rows.load(AccountRow, ((fact.account,) for fact in facts))
    accounts: dict[str, Account] = {}
    for fact in facts:
        if fact.account not in accounts:
            row = rows.get(AccountRow, fact.account)
            accounts[fact.account] = to_account(row) if row else Account(account=AccountId(fact.account))
        accounts[fact.account] = apply(accounts[fact.account], fact)
    for account in accounts.values():
        rows.put(to_row(account))


READ_MODELS = (ReadModel(tables=(AccountRow,), projections=lambda _: {ACCOUNTS: project_accounts}),)
"""What a service keeps of the accounts, be it their own or another one."""
