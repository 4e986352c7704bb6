"""One customer of the Portal: what it has agreed to, what people may ask of it, and the facts that follow."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import reduce
from typing import Final, TypedDict
from uuid import UUID

from domain.identity import AccountId, Target, account_stream
from domain.store import Event


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


class Role(StrEnum):
    """In what capacity somebody acts for an account.

    The account says who its Master User and its account manager are; the other roles are granted.
    """

    MASTER_USER = "master_user"
    ACCOUNT_MANAGER = "account_manager"
    APPROVER = "approver"
    OPERATOR = "operator"
    VIEWER = "viewer"
    ADMIN = "admin"


OPERATOR: Final = "operator"
"""The role of who runs the service, and their name where nothing else is known of them."""


class Removal(StrEnum):
    """How far the removal of an account is: its data is still there, or was erased."""

    NONE = ""
    REQUESTED = "requested"
    ERASED = "erased"


class NotPermitted(Exception):
    """A person asked for something that they, or the account, may not do; the message says what would help."""


@dataclass(frozen=True, kw_only=True)
class AccountEvent(Event):
    """A fact about an account: who did it, and in what role.

    `authenticated` is who proved to be there, where they asked in the name of `by`; empty where `by` did so. `note` is
    why, in their own words, if they gave a reason.
    """

    by: str
    role: str
    authenticated: str = ""
    note: str = ""


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
class MasterUserSet(AccountEvent, topic="Account.MasterUserSet"):
    """The Portal user who may turn synchronisation on and off from here on."""

    master_user: str


@dataclass(frozen=True, kw_only=True)
class AccountManagerSet(AccountEvent, topic="Account.AccountManagerSet"):
    """Who may let a Standard account turn synchronisation on from here on; empty: the account has none."""

    account_manager: str


@dataclass(frozen=True, kw_only=True)
class TierSet(AccountEvent, topic="Account.TierSet"):
    """What the customer has bought of the Portal from here on; synchronisation that is on stays on."""

    tier: str


class AccountRemoved(AccountEvent, topic="Account.AccountRemoved"):
    """The account is known here no longer: nothing is written from here on, and its data is going to be erased."""


@dataclass(frozen=True, kw_only=True)
class AccountErased(AccountEvent, topic="Account.AccountErased"):
    """Proof that no store of ours has anything of the account any more but this: it names no person.

    `events` and `rows` are how many of them were erased, by service. The account's id may be used again.
    """

    events: dict[str, int]
    rows: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class ErasureBegan(Event, topic="Account.ErasureBegan"):
    """What a log had of the account before this is being erased; so the positions of that are not given out again."""


@dataclass(frozen=True, kw_only=True)
class DeletesJudged(AccountEvent):
    """A person's word on held deletes: `holds` are pairs of portal driver id and version of the hold."""

    target: str
    digest: str
    holds: list[list[str | int]]


class DeletesApproved(DeletesJudged, topic="Account.DeletesApproved"):
    """Exactly these held deletes may go out, within a day from now."""


class DeletesRejected(DeletesJudged, topic="Account.DeletesRejected"):
    """Exactly these held deletes do not happen."""


@dataclass(frozen=True, kw_only=True)
class RetryRequested(AccountEvent, topic="Account.RetryRequested"):
    """A person wants parked links looked at again, as if their reasons were over: all that match; empty means any."""

    target: str
    driver: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ReconciliationRequested(AccountEvent, topic="Account.ReconciliationRequested"):
    """A person wants a reconciliation now: of all drivers, or of one, who is looked up by these keys.

    `plan` is the hash of what the person saw that the reconciliation would do: it does exactly that, or nothing;
    empty where it may do whatever follows.
    """

    target: str
    driver: str
    keys: list[str]
    plan: str


@dataclass(frozen=True, kw_only=True)
class UndoRequested(ReconciliationRequested, topic="Account.UndoRequested"):
    """A person wants decisions undone, exactly by the `plan` that they saw.

    Of `only` this driver, or of any if it is empty: the decision at this version of its link (`undo_decision`), those
    of a reconciliation by its number (`undo_reconciliation`), or all since a moment (`undo_since`, as RFC 3339).
    """

    only: str
    undo_decision: int
    undo_reconciliation: int
    undo_since: str


@dataclass(frozen=True, kw_only=True)
class ReconciliationTimeSet(AccountEvent, topic="Account.ReconciliationTimeSet"):
    """The time of day, as HH:MM in UTC, at which the account's daily reconciliations begin.

    Empty for one of its own.
    """

    reconcile_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoScope:
    """Which decisions a person wants undone on a target, as `UndoRequested` has it, and who that is."""

    by: str
    driver: str = ""
    decision: int = 0
    reconciliation: int = 0
    since: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One customer of the Portal: a fleet.

    `policy_generation` is per target the version of the account at which its present policy (opt-in and mode) began: a
    decision made under an older policy is void. `reconciliations` is per target the version at which a reconciliation
    of every driver was last requested, and `plans` by which plan it has to go, unless sync was turned off, or the mode
    set, since; `undos` are the targets where it only undoes something. `reconcile_at` is the time of day, in UTC, of
    the daily reconciliations.
    """

    account: AccountId
    version: int = 0
    tier: Tier = Tier.STANDARD
    master_user: str = ""
    account_manager: str = ""
    is_allowed: bool = False
    is_on: bool = False
    modes: Mapping[Target, Mode] = field(default_factory=dict)
    policy_generation: Mapping[Target, int] = field(default_factory=dict)
    reconciliations: Mapping[Target, int] = field(default_factory=dict)
    plans: Mapping[Target, str] = field(default_factory=dict)
    undos: Mapping[Target, UndoScope] = field(default_factory=dict)
    reconcile_at: str = ""
    removal: Removal = Removal.NONE

    @property
    def is_known(self) -> bool:
        """Whether there is such an account: it was added, and not removed since."""
        return self.version > 0 and self.removal is Removal.NONE

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
                f"{person or 'an unnamed person'} is neither the Master User nor the account manager of {self.account}"
            )
        return roles[person]


def apply(account: Account, event: Event) -> Account:
    """The account after this fact."""
    account = _after_setting(_after_coming_or_going(account, event), event)
    match event:
        case SyncAllowed():
            account = replace(account, is_allowed=True)
        case SyncTurnedOn() | SyncTurnedOff():
            is_on, policy_generation = isinstance(event, SyncTurnedOn), dict.fromkeys(Target, event.originator_version)
            account = replace(
                account,
                is_on=is_on,
                policy_generation=policy_generation,
                plans=account.plans if is_on else {},
                undos=account.undos if is_on else {},
            )
        case ModeSet():
            target = Target(event.target)
            account = replace(
                account,
                modes={**account.modes, target: Mode(event.mode)},
                policy_generation={**account.policy_generation, target: event.originator_version},
                plans={each: plan for each, plan in account.plans.items() if each != target},
                undos={each: undo for each, undo in account.undos.items() if each != target},
            )
        case ReconciliationRequested() if not event.driver:
            target = Target(event.target)
            reconciliations = {**account.reconciliations, target: event.originator_version}
            plans = {**account.plans, target: event.plan}
            undos = {each: undo for each, undo in account.undos.items() if each != target}
            if isinstance(event, UndoRequested):
                undos[target] = scope_of(event)
            account = replace(account, reconciliations=reconciliations, plans=plans, undos=undos)
    return replace(account, version=event.originator_version)


def scope_of(event: UndoRequested) -> UndoScope:
    """What a person wants undone."""
    return UndoScope(
        by=event.by,
        driver=event.only,
        decision=event.undo_decision,
        reconciliation=event.undo_reconciliation,
        since=event.undo_since,
    )


def _after_coming_or_going(account: Account, event: Event) -> Account:
    """The account as it begins, and what is left of it once it is removed or erased."""
    match event:
        case AccountAdded():
            return Account(
                account=account.account,
                tier=Tier(event.tier),
                master_user=event.master_user,
                account_manager=event.account_manager,
                modes={Target(target): Mode(mode) for target, mode in event.modes.items()},
            )
        case AccountRemoved():
            generation = dict.fromkeys(Target, event.originator_version)
            return Account(account=account.account, policy_generation=generation, removal=Removal.REQUESTED)
        case AccountErased():
            return Account(account=account.account, removal=Removal.ERASED)
    return account


def _after_setting(account: Account, event: Event) -> Account:
    """The account with what this fact sets, apart from policies."""
    match event:
        case MasterUserSet():
            return replace(account, master_user=event.master_user)
        case AccountManagerSet():
            return replace(account, account_manager=event.account_manager)
        case TierSet():
            return replace(account, tier=Tier(event.tier))
        case ReconciliationTimeSet():
            return replace(account, reconcile_at=event.reconcile_at)
    return account


def replay(start: Account, events: Iterable[Event]) -> Account:
    """The account after all these facts."""
    return reduce(apply, events, start)


MOST_HOLDS = 1000
"""Held deletes that one fact names, so that no record grows with the fleet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedAccount:
    """What an account has to be like: None, and targets that are not named, mean as it is.

    A new account is Pro, and observes its targets, where nothing else is wanted.
    """

    tier: Tier | None = None
    master_user: str | None = None
    account_manager: str | None = None
    modes: Mapping[Target, Mode] = field(default_factory=dict)
    reconcile_at: str | None = None


class AccountOrigin(TypedDict):
    """The fields that every fact about an account starts with."""

    originator_id: UUID
    originator_version: int
    at: datetime
    account: str
    by: str
    role: str
    authenticated: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Something that a person asks of an account, at a moment. Each answer is the facts that follow; none is a no-op.

    `role` is one that was granted to the person and lets them ask this, where neither the Master User nor the account
    manager has to; `authenticated` and `note` are those of the facts.
    Every method raises `NotPermitted` when the person or the account may not do it.
    """

    by: str
    at: datetime
    role: Role | None = None
    authenticated: str = ""
    note: str = ""

    def add(
        self, account: Account, *, tier: Tier, master_user: str, account_manager: str, modes: Mapping[Target, Mode]
    ) -> tuple[AccountEvent, ...]:
        """Make the account known, with synchronisation off."""
        if account.removal is Removal.REQUESTED:
            raise NotPermitted(
                f"{account.account} was removed, and its data is not erased yet: restart `driverlink up`, or run "
                "`driverlink erase`"
            )
        if account.is_known:
            raise NotPermitted(f"account {account.account} exists already; see `driverlink accounts show`")
        added = AccountAdded(
            **self._origin(account, self.role or OPERATOR),
            tier=tier,
            master_user=master_user,
            account_manager=account_manager,
            modes={str(target): str(mode) for target, mode in modes.items()},
        )
        _check_people(apply(account, added))
        return (added,)

    def bring_to(self, account: Account, wanted: WantedAccount) -> tuple[AccountEvent, ...]:
        """Make the account what is wanted, a new one too; nothing follows for one that is so already."""
        facts: tuple[AccountEvent, ...] = ()
        if not account.is_known:
            if not wanted.master_user:
                raise NotPermitted(f"{account.account} is new: say who its Master User is")
            facts = self.add(
                account,
                tier=wanted.tier or Tier.PRO,
                master_user=wanted.master_user,
                account_manager=wanted.account_manager or "",
                modes={**dict.fromkeys(Target, Mode.OBSERVE), **wanted.modes},
            )
        after = replay(account, facts)
        role = self._as_staff(account)
        changes: tuple[tuple[object, object, type[AccountEvent], dict[str, str]], ...] = (
            (wanted.tier, after.tier, TierSet, {"tier": str(wanted.tier)}),
            (wanted.master_user, after.master_user, MasterUserSet, {"master_user": wanted.master_user or ""}),
            (
                wanted.account_manager,
                after.account_manager,
                AccountManagerSet,
                {"account_manager": wanted.account_manager or ""},
            ),
            *(
                (mode, after.modes.get(target, Mode.OFF), ModeSet, {"target": str(target), "mode": str(mode)})
                for target, mode in wanted.modes.items()
            ),
            (
                wanted.reconcile_at,
                after.reconcile_at,
                ReconciliationTimeSet,
                {"reconcile_at": wanted.reconcile_at or ""},
            ),
        )
        for want, now, kind, fields in changes:
            if want is not None and want != now:
                facts = (*facts, kind(**self._origin(after, role), **fields))
                after = apply(after, facts[-1])
        _check_people(after)
        return facts

    def remove(self, account: Account) -> tuple[AccountEvent, ...]:
        """Know the account no longer, and erase its data: the word of its account manager, or of an operator."""
        return (AccountRemoved(**self._origin(account, self._as_staff(account))),)

    def allow(self, account: Account) -> tuple[AccountEvent, ...]:
        """Let a Standard account turn synchronisation on: the account manager's word."""
        if self.by != account.account_manager or not self.by:
            raise NotPermitted(
                f"only the account manager of {account.account} can allow Sync Drivers on its tier; an admin does it "
                "in their name (`--as USER`)"
            )
        return () if account.is_allowed else (SyncAllowed(**self._origin(account, Role.ACCOUNT_MANAGER)),)

    def turn_on(self, account: Account) -> tuple[AccountEvent, ...]:
        """Tick Sync Drivers: the Master User's word."""
        role = self._as_master_user(account)
        if account.tier is Tier.STANDARD and not account.is_allowed:
            raise NotPermitted(
                f"{account.account} is on the Standard tier: its account manager must allow Sync Drivers first "
                "(`driverlink accounts allow`)"
            )
        return () if account.is_on else (SyncTurnedOn(**self._origin(account, role)),)

    def turn_off(self, account: Account) -> tuple[AccountEvent, ...]:
        """Untick Sync Drivers: the Master User's word."""
        role = self._as_master_user(account)
        return (SyncTurnedOff(**self._origin(account, role)),) if account.is_on else ()

    def set_mode(self, account: Account, target: Target, mode: Mode) -> tuple[AccountEvent, ...]:
        """Say how far synchronisation with a target may go."""
        role = self.role or account.role_of(self.by)
        if account.modes.get(target, Mode.OFF) is mode:
            return ()
        return (ModeSet(**self._origin(account, role), target=target, mode=mode),)

    def judge(
        self,
        account: Account,
        verdict: type[DeletesJudged],
        *,
        target: Target,
        digest: str,
        holds: list[list[str | int]],
    ) -> tuple[AccountEvent, ...]:
        """Approve or reject exactly the held deletes that the person saw, in facts of a bounded size."""
        role = self.role or account.role_of(self.by)
        facts = [
            verdict(
                **self._origin(account, role), target=target, digest=digest, holds=holds[start : start + MOST_HOLDS]
            )
            for start in range(0, len(holds), MOST_HOLDS)
        ]
        return tuple(replace(fact, originator_version=account.version + step) for step, fact in enumerate(facts, 1))

    def retry(self, account: Account, *, target: Target | None, driver: str, reason: str) -> tuple[AccountEvent, ...]:
        """Look again at the parked links of this target, driver and reason; None and empty mean any."""
        role = self.role or account.role_of(self.by)
        return (RetryRequested(**self._origin(account, role), target=target or "", driver=driver, reason=reason),)

    def reconciliation(
        self, account: Account, target: Target, *, driver: str = "", keys: Sequence[str] = (), plan: str = ""
    ) -> tuple[AccountEvent, ...]:
        """Reconcile all drivers on this target now, or one, looked up by these keys; by a plan, if one is named."""
        role = self.role or account.role_of(self.by)
        if account.mode(target) is Mode.OFF:
            raise NotPermitted(
                f"nothing of {account.account} is synchronised with {target}, so there is no reconciliation"
            )
        requested = ReconciliationRequested(
            **self._origin(account, role), target=target, driver=driver, keys=list(keys), plan=plan
        )
        return (requested,)

    def go_by(self, account: Account, plans: Mapping[Target, str]) -> tuple[AccountEvent, ...]:
        """Reconcile these targets, each by the plan of this hash; where sync is off, turn it on for that.

        The requests come first: a consumer that reads that sync is on then knows what each first reconciliation
        has to go by. Turning it on reconciles every target whose mode is not off, so then none of them may lack a plan.
        """
        in_use = [target for target in Target if account.modes.get(target, Mode.OFF) is not Mode.OFF]
        if not account.is_on and (unplanned := [each for each in in_use if each not in plans]):
            raise NotPermitted(
                f"turning Sync Drivers on for {account.account} reconciles {' and '.join(unplanned)} too, which this "
                "plan leaves out: make one of all targets, or set that mode to off first (`driverlink accounts mode`)"
            )
        facts: tuple[AccountEvent, ...] = ()
        asked = replace(account, is_on=True)
        for target, plan in plans.items():
            requested = self.reconciliation(asked, target, plan=plan)
            asked, facts = replay(asked, requested), (*facts, *requested)
        return facts if account.is_on else (*facts, *self.turn_on(replace(asked, is_on=False)))

    def undo(self, account: Account, plans: Mapping[Target, str], scope: UndoScope) -> tuple[AccountEvent, ...]:
        """Undo what is in scope on these targets, each by the plan of this hash."""
        role = self.role or account.role_of(self.by)
        facts: tuple[AccountEvent, ...] = ()
        for target, plan in plans.items():
            mode = account.mode(target)
            if mode in (Mode.OFF, Mode.OBSERVE):
                raise NotPermitted(
                    f"nothing of {account.account} is sent to {target} ({'mode observe' if account.is_on else 'off'}), "
                    "so nothing can be undone there; see `driverlink accounts show`"
                )
            asked = UndoRequested(
                **self._origin(account, role),
                target=target,
                driver="",
                keys=[],
                plan=plan,
                only=scope.driver,
                undo_decision=scope.decision,
                undo_reconciliation=scope.reconciliation,
                undo_since=scope.since,
            )
            account, facts = apply(account, asked), (*facts, asked)
        return facts

    def set_reconciliation_time(self, account: Account, reconcile_at: str) -> tuple[AccountEvent, ...]:
        """Say at which time of day, HH:MM in UTC, daily reconciliations begin; empty for one of the account's own."""
        role = self.role or account.role_of(self.by)
        if account.reconcile_at == reconcile_at:
            return ()
        return (ReconciliationTimeSet(**self._origin(account, role), reconcile_at=reconcile_at),)

    def _as_staff(self, account: Account) -> str:
        """The role of who sets up accounts: the account manager, or an operator; a Master User cannot."""
        if self.by == account.account_manager and self.by:
            return Role.ACCOUNT_MANAGER
        if self.by == account.master_user:
            raise NotPermitted(
                f"the Master User of {account.account} cannot remove it, or change its tier or its people: ask "
                "its account manager, or who runs the service"
            )
        if self.authenticated:
            raise NotPermitted(
                f"{self.by} is not the account manager of {account.account}, so this cannot be done in that name: "
                "leave out `--as` to do it in your own"
            )
        return self.role or OPERATOR

    def _as_master_user(self, account: Account) -> Role:
        if self.by != account.master_user or not self.by:
            raise NotPermitted(
                f"only the Master User of {account.account} can turn Sync Drivers on or off; an admin does it in their "
                "name (`--as USER`)"
            )
        return Role.MASTER_USER

    def _origin(self, account: Account, role: str) -> AccountOrigin:
        return {
            "originator_id": account.id,
            "originator_version": account.version + 1,
            "at": self.at,
            "account": account.account,
            "by": self.by,
            "role": role,
            "authenticated": self.authenticated,
            "note": self.note,
        }


def _check_people(account: Account) -> None:
    """Raise `NotPermitted` where this account would lack the people who are needed to turn sync on."""
    if not account.master_user:
        raise NotPermitted(f"{account.account} needs a Master User, who alone can turn Sync Drivers on")
    if account.tier is Tier.STANDARD and not account.account_manager:
        raise NotPermitted(
            f"{account.account} is on the Standard tier, where only its account manager can allow Sync Drivers: "
            "say who that is (`--account-manager`)"
        )
