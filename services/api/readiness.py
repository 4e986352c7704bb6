"""Whether decisions are made for an account on a target now, and if not, why not and what would help."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from domain.account import Account, Mode, Tier
from domain.failures import OF_CREDENTIALS
from domain.identity import AccountId, Target
from domain.store import Store, Where
from services.accounts.handlers import accounts_of
from services.api.explanation_text import command, moment, named
from services.decider.read_models import OutageRow, ReconciliationRow, RosterScanRow, ScanFailureRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Hindrance:
    """Why nothing goes on, and what a person could do about it; empty if only waiting helps."""

    sentence: str
    advice: str

    def __str__(self) -> str:
        return f"{self.sentence} {self.advice}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """How far an account has come with a target: its policy, scans and reconciliations, and whether calls are made.

    `is_known`: the decider knows the account; `is_added`: the account was added.
    """

    target: Target
    account: Account
    is_known: bool
    scan: RosterScanRow | None
    failure: ScanFailureRow | None
    outage: OutageRow | None = None
    is_added: bool = False
    reconciliation: ReconciliationRow | None = None

    @property
    def is_scanned(self) -> bool:
        """Whether the roster was read whole under the account's present policy generation."""
        return self.scan is not None and self.scan.policy_generation == self.account.policy_generation.get(self.target)

    def hindrance(self) -> Hindrance | None:
        """What keeps decisions from being made; None when they are made."""
        name = named(self.target)
        if not self.is_known or not self.account.is_on:
            return self._off() if self.is_known else self._unknown()
        if self.account.mode(self.target) is Mode.OFF:
            full = command("accounts mode", self.account.account, self.target, "full", "--as PERSON")
            advice = f"Say how far it may go: {full}."
            return Hindrance(sentence=f"The mode for {name} is off: nothing is decided or sent.", advice=advice)
        if self.is_scanned:
            return None
        if stoppage := self.stoppage():
            sentence = f"The roster of {name} is not read yet: nothing is decided. {stoppage.sentence}"
            return Hindrance(sentence=sentence, advice=stoppage.advice)
        if unread := self.unread(": nothing is decided. It is tried again automatically."):
            return unread
        sentence = f"The roster of {name} is being read: decisions follow as soon as it is complete."
        return Hindrance(sentence=sentence, advice="")

    def stoppage(self) -> Hindrance | None:
        """What keeps calls from being made, whatever is decided; None when they are made."""
        if self.outage is None:
            return None
        since = moment(datetime.fromisoformat(self.outage.at))
        failure = f"{self.outage.reason}: {self.outage.detail}"
        sentence = (
            f"No calls are made to {named(self.target)} since {since} ({failure}): what is decided waits. "
            "Whether it answers is tried again automatically."
        )
        return Hindrance(sentence=sentence, advice=advice_on(failure, self.account.account, self.target))

    def unread(self, consequence: str) -> Hindrance | None:
        """That the roster cannot be read, and what follows from it; None when it can be."""
        if self.failure is None:
            return None
        since, failure = moment(datetime.fromisoformat(self.failure.at)), self.failure.failure
        sentence = f"The roster of {named(self.target)} cannot be read since {since} ({failure}){consequence}"
        return Hindrance(sentence=sentence, advice=advice_on(failure, self.account.account, self.target))

    def _off(self) -> Hindrance:
        account = self.account
        turn_on = command("sync on", account.account, "--as PERSON")
        advice = f"The Master User, {account.master_user}, can turn it on: {turn_on}."
        if account.tier is Tier.STANDARD and not account.is_allowed:
            allow = command("accounts allow", account.account, "--as PERSON")
            manager = f"The account manager, {account.account_manager}, has to allow it on the Standard tier: {allow}."
            advice = f"{manager} {advice}"
        return Hindrance(sentence="Sync Drivers is off: nothing is decided or sent.", advice=advice)

    def _unknown(self) -> Hindrance:
        account = self.account.account
        if self.is_added:
            sentence = f"The services do not know account {account} yet: nothing is decided before they run."
            return Hindrance(sentence=sentence, advice=f"See that they run: {command('up')}, or {command('serve')}.")
        sentence = f"There is no account {account} yet: its drivers are kept in mind, nothing is decided."
        return Hindrance(sentence=sentence, advice=f"Add the account: {command('accounts add', account)}.")


def hindrance_of_reconciliation(readiness: Readiness) -> Hindrance | None:
    """Why a reconciliation would come to nothing now: nothing is synchronised there, or no calls are made."""
    if readiness.account.mode(readiness.target) is Mode.OFF:
        return readiness.hindrance()
    return readiness.stoppage()


def advice_on(failure: str, account: str, target: str) -> str:
    """What a person could do about a call or scan that failed, by the reason with which the failure begins."""
    is_of_credentials = failure.partition(":")[0] in OF_CREDENTIALS
    return f"Check the credentials: {command('accounts connect', account, target)}." if is_of_credentials else ""


def readiness_of(decider: Store, account: str) -> dict[Target, Readiness]:
    """How far an account has come with each target. Raises `StoreFailed`."""
    return readiness_of_all(decider, accounts_of(decider, [account]).values(), {"account": account})(account)


def readiness_of_all(
    decider: Store, accounts: Iterable[Account], where: Where
) -> Callable[[str], dict[Target, Readiness]]:
    """How far these accounts, whose rows these are, have come with each target, by one query for each kind of row.

    Raises `StoreFailed`.
    """
    known = {str(each.account): each for each in accounts}
    scans = {(row.account, row.target): row for row in decider.select(RosterScanRow, where)}
    failures = {(row.account, row.target): row for row in decider.select(ScanFailureRow, where)}
    outages = {(row.account, row.target): row for row in decider.select(OutageRow, where)}
    reconciliations = {(row.account, row.target): row for row in decider.select(ReconciliationRow, where)}

    def of(account: str) -> dict[Target, Readiness]:
        return {
            target: Readiness(
                target=target,
                account=known.get(account) or Account(account=AccountId(account)),
                is_known=account in known,
                scan=scans.get((account, target)),
                failure=failures.get((account, target)),
                outage=outages.get((account, target)),
                reconciliation=reconciliations.get((account, target)),
            )
            for target in Target
        }

    return of
