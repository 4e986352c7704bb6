"""What there is to be decided, and how: each matter is about one link, as its wish stood then."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from domain import answering, holding
from domain.account import Account, DeletesApproved, DeletesJudged
from domain.case import Cause
from domain.deciding import decide
from domain.driver_link import DriverLink, LinkEvent
from domain.identity import Target
from domain.ledger import Ledger
from domain.report import CallAnswered
from domain.wish import Wish
from services.decider.desk import Deciding

Rule = Callable[[Wish, DriverLink, Ledger, Cause], tuple[LinkEvent, ...]]
"""How a link is decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """What makes us look at links again, be it in a sweep of this number, and how they are decided then."""

    kind: str
    ref: str = ""
    sweep: int = 0
    rule: Rule = decide


@dataclass(frozen=True, slots=True, kw_only=True)
class Matter:
    """One thing to be decided for one link: the wish as it stood then, and how it is decided."""

    wish: Wish
    deciding: Deciding


def cause_on(account: Account, target: Target, now: datetime, kind: str, ref: str, sweep: int = 0) -> Cause:
    """What leads to decisions on a target, under the account's present mode and terms."""
    terms = account.terms.get(target, 0)
    return Cause(at=now, kind=kind, ref=ref, mode=account.mode(target), terms=terms, sweep=sweep)


def to_matter(wish: Wish, cause: Cause, rule: Rule = decide) -> Matter:
    """The wish, to be decided by the rule."""
    return Matter(wish=wish, deciding=lambda link, ledger: rule(wish, link, ledger, cause))


def judging(event: DeletesJudged, wish: Wish, cause: Cause, hold: int) -> Deciding:
    """Carry out what a person said of a held delete."""

    def judge(link: DriverLink, ledger: Ledger) -> tuple[LinkEvent, ...]:
        if isinstance(event, DeletesApproved):
            return holding.approve(wish, link, ledger, cause, hold=hold, by=event.by, digest=event.digest)
        return holding.reject(link, cause, hold=hold, by=event.by, digest=event.digest)

    return judge


def recording(answer: CallAnswered, now: datetime) -> Deciding:
    """Record what the target answered."""
    return lambda link, ledger: answering.record(link, answer, now, ledger)
