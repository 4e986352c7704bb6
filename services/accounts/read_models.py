"""The accounts as a table; every service that follows `accounts.v1` keeps it in its own store."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from domain.account import Account, AccountEvent, Mode, Tier, apply
from domain.event import Event
from domain.identity import AccountId, Target
from domain.storing import Row, Store, Unit


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
    terms: dict[str, int]
    sweeps: dict[str, int]
    plans: dict[str, str]
    sweep_at: str


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
        terms={Target(target): version for target, version in row.terms.items()},
        sweeps={Target(target): version for target, version in row.sweeps.items()},
        plans={Target(target): plan for target, plan in row.plans.items()},
        sweep_at=row.sweep_at,
    )


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
        terms={str(target): version for target, version in account.terms.items()},
        sweeps={str(target): version for target, version in account.sweeps.items()},
        plans={str(target): plan for target, plan in account.plans.items()},
        sweep_at=account.sweep_at,
    )


def accounts_of(store: Store, ids: Iterable[str]) -> dict[str, Account]:
    """These accounts, as far as they are known, by one query."""
    wanted = sorted(set(ids))
    found = store.select(AccountRow, {"account": wanted}) if wanted else []
    return {row.account: to_account(row) for row in found}


def keep_accounts(store: Store, events: Iterable[Event]) -> Unit:
    """The rows of the accounts after these facts."""
    facts = [event for event in events if isinstance(event, AccountEvent)]
    accounts = accounts_of(store, (fact.account for fact in facts))
    for fact in facts:
        known = accounts.get(fact.account) or Account(account=AccountId(fact.account))
        accounts[fact.account] = apply(known, fact)
    unit = Unit()
    unit.keep(to_row(account) for account in accounts.values())
    return unit
