"""One customer of the Portal, what it has agreed to, and who decided it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import reduce
from uuid import UUID

from domain.event import Event
from domain.identity import AccountId, Target, account_stream


class Tier(StrEnum):
    """What the customer has bought of the Portal."""

    STANDARD = "standard"
    PRO = "pro"
    ENTERPRISE = "enterprise"


class Mode(StrEnum):
    """How far the synchronisation with one target may go."""

    OFF = "off"
    OBSERVE = "observe"
    UPSERT = "upsert"
    FULL = "full"

    @property
    def is_writing(self) -> bool:
        """Whether calls that write are sent."""
        return self in (Mode.UPSERT, Mode.FULL)


class Role(StrEnum):
    """In what capacity a person acts for an account."""

    MASTER_USER = "master_user"
    ACCOUNT_MANAGER = "account_manager"


class NotPermitted(Exception):
    """A person asked for something that they, or the account, may not do; the message says what would help."""


@dataclass(frozen=True, kw_only=True)
class AccountEvent(Event):
    """A fact about an account: who did it, and in what role."""

    by: str
    role: str


@dataclass(frozen=True, kw_only=True)
class AccountAdded(AccountEvent, topic="Account.AccountAdded"):
    """The account is known here; synchronisation is off."""

    tier: str
    master_user: str
    account_manager: str
    modes: dict[str, str]


class SyncAllowed(AccountEvent, topic="Account.SyncAllowed"):
    """The account manager lets a Standard account turn synchronisation on."""


class SyncTurnedOn(AccountEvent, topic="Account.SyncTurnedOn"):
    """The Master User ticked Sync Drivers."""


class SyncTurnedOff(AccountEvent, topic="Account.SyncTurnedOff"):
    """Sync Drivers was unticked: nothing is written from here on."""


@dataclass(frozen=True, kw_only=True)
class ModeSet(AccountEvent, topic="Account.ModeSet"):
    """How far the synchronisation with one target may go from here on."""

    target: str
    mode: str


@dataclass(frozen=True, kw_only=True)
class DeletesJudged(AccountEvent):
    """A person's word on held deletes: `holds` are pairs of portal driver id and version of the hold."""

    target: str
    digest: str
    holds: list[list[str | int]]


class DeletesApproved(DeletesJudged, topic="Account.DeletesApproved"):
    """Exactly these held deletes may go out, within a day from now."""


class DeletesRejected(DeletesJudged, topic="Account.DeletesRejected"):
    """Exactly these held deletes shall not happen."""


@dataclass(frozen=True, kw_only=True)
class RetryRequested(AccountEvent, topic="Account.RetryRequested"):
    """A person wants parked links looked at again, as if their reasons were over: all that match; empty means any."""

    target: str
    driver: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class SweepRequested(AccountEvent, topic="Account.SweepRequested"):
    """A person wants a sweep now: of everybody, or of one driver, who is looked up by these keys.

    `plan` is the hash of what the person saw that the sweep would do: it does exactly that, or nothing; empty where
    it may do whatever follows.
    """

    target: str
    driver: str
    keys: list[str]
    plan: str


@dataclass(frozen=True, kw_only=True)
class SweepTimeSet(AccountEvent, topic="Account.SweepTimeSet"):
    """The time of day, as HH:MM in UTC, at which the account's daily sweeps begin; empty for one of its own."""

    sweep_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One customer of the Portal: a fleet.

    `terms` tells per target at which version of the account its present terms (opt-in and mode) began: a decision
    made under older terms is void. `sweeps` tells per target at which version a sweep of everybody was last requested,
    and `plans` by which plan it has to go, unless sync was turned off, or the mode set, since. `sweep_at` is the time
    of day, in UTC, of the daily sweeps.
    """

    account: AccountId
    version: int = 0
    tier: Tier = Tier.STANDARD
    master_user: str = ""
    account_manager: str = ""
    is_allowed: bool = False
    is_on: bool = False
    modes: Mapping[Target, Mode] = field(default_factory=dict)
    terms: Mapping[Target, int] = field(default_factory=dict)
    sweeps: Mapping[Target, int] = field(default_factory=dict)
    plans: Mapping[Target, str] = field(default_factory=dict)
    sweep_at: str = ""

    @property
    def id(self) -> UUID:
        """The id of this account's history."""
        return account_stream(self.account)

    def mode(self, target: Target) -> Mode:
        """How far synchronisation with this target may go now."""
        return self.modes.get(target, Mode.OFF) if self.is_on else Mode.OFF

    def role_of(self, person: str) -> Role:
        """In what capacity this person acts; raises `NotPermitted` for a stranger."""
        roles = {self.account_manager: Role.ACCOUNT_MANAGER, self.master_user: Role.MASTER_USER}
        if not person or person not in roles:
            raise NotPermitted(
                f"{person or 'nobody'} is neither the Master User nor the account manager of {self.account}"
            )
        return roles[person]


def apply(account: Account, event: Event) -> Account:
    """The account after this fact."""
    match event:
        case AccountAdded():
            account = replace(
                account,
                tier=Tier(event.tier),
                master_user=event.master_user,
                account_manager=event.account_manager,
                modes={Target(target): Mode(mode) for target, mode in event.modes.items()},
            )
        case SyncAllowed():
            account = replace(account, is_allowed=True)
        case SyncTurnedOn() | SyncTurnedOff():
            is_on, terms = isinstance(event, SyncTurnedOn), dict.fromkeys(Target, event.originator_version)
            account = replace(account, is_on=is_on, terms=terms, plans=account.plans if is_on else {})
        case ModeSet():
            target = Target(event.target)
            account = replace(
                account,
                modes={**account.modes, target: Mode(event.mode)},
                terms={**account.terms, target: event.originator_version},
                plans={each: plan for each, plan in account.plans.items() if each != target},
            )
        case SweepRequested() | SweepTimeSet():
            account = _with_sweeps(account, event)
    return replace(account, version=event.originator_version)


def _with_sweeps(account: Account, event: SweepRequested | SweepTimeSet) -> Account:
    if isinstance(event, SweepTimeSet):
        return replace(account, sweep_at=event.sweep_at)
    if event.driver:
        return account
    target = Target(event.target)
    sweeps = {**account.sweeps, target: event.originator_version}
    return replace(account, sweeps=sweeps, plans={**account.plans, target: event.plan})


def replay(start: Account, events: Iterable[Event]) -> Account:
    """The account after all these facts."""
    return reduce(apply, events, start)
