"""What concerns one driver in the logs, told fact by fact."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from domain.account import DeletesJudged, RetryRequested, SweepRequested
from domain.driver_link import LinkEvent
from domain.event import Event
from domain.identity import PortalDriverId
from domain.portal import PortalDriver, apply
from services.asking.answers import Answer
from services.asking.telling import account as telling_account
from services.asking.telling import link as telling_link
from services.asking.telling import portal as telling_portal
from services.asking.telling.because import reasons
from services.asking.telling.past import Past

Hold = tuple[str, int]
"""A held delete of one driver: on which target, and at which version of the link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Answer):
    """One fact of a story: `where` is a target, `portal` or `account`, and `version` the fact's number there.

    `why` holds a sentence for each ground of a decision; empty for facts that need none.
    """

    at: datetime
    where: str
    version: int
    fact: str
    why: tuple[str, ...] = ()


def portal_entries(known: PortalDriver, facts: Iterable[Event]) -> Iterator[Entry]:
    """What the Portal stated of the driver."""
    for fact in facts:
        yield _entry(fact, "portal", telling_portal.told(fact, known))
        known = apply(known, fact)


def link_entries(past: Past, facts: Iterable[LinkEvent]) -> Iterator[Entry]:
    """What was decided for the driver on one target, and what became of it."""
    for fact in facts:
        yield _entry(fact, fact.target, telling_link.told(fact, past), reasons(fact, past))
        past = past.after(fact)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heeded:
    """What came of people's words for one driver: its judged holds, and by their versions the retries that it met."""

    holds: Collection[Hold]
    retries: Collection[int]


def account_entries(facts: Iterable[Event], driver: PortalDriverId, heeded: Heeded) -> Iterator[Entry]:
    """What happened to the account: its terms, and what was asked for that concerns this driver and is not told yet."""
    for fact in facts:
        said = _told_of_account(fact, driver, heeded)
        if said:
            yield _entry(fact, "account", said)


def _told_of_account(fact: Event, driver: PortalDriverId, heeded: Heeded) -> str:
    match fact:
        case DeletesJudged():
            holds = {(fact.target, int(hold)) for judged, hold in fact.holds if judged == driver}
            return telling_account.told_in_vain(fact) if holds.difference(heeded.holds) else ""
        case RetryRequested() if fact.driver != driver and fact.originator_version not in heeded.retries:
            return ""
        case SweepRequested() if fact.driver != driver:
            return ""
    return telling_account.told(fact)


def _entry(fact: Event, where: str, said: str, why: tuple[str, ...] = ()) -> Entry:
    return Entry(at=fact.at, where=where, version=fact.originator_version, fact=said, why=why)
