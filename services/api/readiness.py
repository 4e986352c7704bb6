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
    """Why nothing is decided or sent, and what a person could do about it; empty if only waiting helps."""

    sentence: str
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """How far an account has come with a target: its terms, the scans and reconciliations, and whether calls are made.

    `is_known`: the decider has taken the account over; `is_added`: somebody has added it.
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
        """Whether the roster was read whole under the account's present terms."""
        return self.scan is not None and self.scan.policy_generation == self.account.policy_generation.get(self.target)

    def hindrance(self) -> Hindrance | None:
        """What keeps decisions from being made; None when they are made."""
        if not self.is_known or not self.account.is_on:
            return self._off()
        name = named(self.target)
        if self.account.mode(self.target) is Mode.OFF:
            full = command("accounts mode", self.account.account, self.target, "full", "--as PERSON")
            advice = f"Say how far it may go: {full}."
            return Hindrance(sentence=f"The mode for {name} is off: nothing is decided or sent.", advice=advice)
        return None if self.is_scanned else self._unread()

    def stoppage(self) -> Hindrance | None:
        """What keeps calls from being made, whatever is decided; None when they are made."""
        if self.outage is None:
            return None
        since = moment(datetime.fromisoformat(self.outage.at))
        failure = f"{self.outage.reason}: {self.outage.detail}"
        sentence = (
            f"No calls are made to {named(self.target)} since {since} ({failure}): what is decided waits. "
            "Whether it answers is tried again by itself."
        )
        return Hindrance(sentence=sentence, advice=advice_on(failure, self.account.account, self.target))

    def _off(self) -> Hindrance:
        account = self.account
        if not self.is_known:
            return self._unknown()
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
            sentence = f"The services have not taken account {account} over yet: nothing is decided before they run."
            return Hindrance(sentence=sentence, advice=f"See that they run: {command('up')}, or {command('serve')}.")
        sentence = f"There is no account {account} yet: its drivers are kept in mind, nothing is decided."
        return Hindrance(sentence=sentence, advice=f"Add the account: {command('accounts add', account)}.")

    def _unread(self) -> Hindrance:
        name = named(self.target)
        if stoppage := self.stoppage():
            sentence = f"The roster of {name} is not read yet: nothing is decided. {stoppage.sentence}"
            return Hindrance(sentence=sentence, advice=stoppage.advice)
        if self.failure is None:
            sentence = f"The roster of {name} is being read: decisions follow as soon as it is complete."
            return Hindrance(sentence=sentence, advice="")
        since = moment(datetime.fromisoformat(self.failure.at))
        sentence = (
            f"The roster of {name} cannot be read since {since} ({self.failure.failure}): nothing is decided. "
            "It is tried again by itself."
        )
        return Hindrance(sentence=sentence, advice=advice_on(self.failure.failure, self.account.account, self.target))


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
