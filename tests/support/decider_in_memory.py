"""The decider without a store: one account's links on one target, decided as the service decides them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from domain import deciding
from domain.account import Mode
from domain.claims import Ledger
from domain.deciding import decide
from domain.driver_link import DeleteDecided, DriverLink, LinkEvent, replay
from domain.guard import WINDOW, Guard, digest
from domain.identity import AccountId, Key, PortalDriverId, Target
from domain.matching import Roster, TargetDriver, Wish, key_mark, to_wish
from domain.outcomes import CallAnswered, Outcome
from domain.portal import Change, DriverDeleted
from domain.situations import Cause

ACCOUNT = AccountId("fleet-1")

Deciding = Callable[[DriverLink, Ledger], tuple[LinkEvent, ...]]


class DeciderInMemory:
    """Keeps the Portal's wishes, the links, what was last seen of the target, and everything it said."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.mode = Mode.OFF
        self.terms = 0
        self.wishes: dict[PortalDriverId, Wish] = {}
        self.links: dict[PortalDriverId, DriverLink] = {}
        self.log: list[LinkEvent] = []
        self.ledger = Ledger(target)
        self._walked = 0
        self._roster: dict[str, TargetDriver] = {}
        self._deleted: dict[PortalDriverId, datetime] = {}
        self._freed: set[str] = set()

    @property
    def is_ready(self) -> bool:
        """Whether decisions are made now: sync is on, and the roster was walked under the present terms."""
        return self.mode is not Mode.OFF and self._walked == self.terms

    @property
    def holds(self) -> dict[PortalDriverId, int]:
        """The deletes that wait for a person: the version of each link's hold."""
        return {driver: link.held.originator_version for driver, link in self.links.items() if link.held}

    def link(self, driver: PortalDriverId) -> DriverLink:
        """A driver's link as it stands now."""
        return self.links.get(driver) or DriverLink(account=ACCOUNT, target=self.target, driver=driver)

    def take_terms(self, mode: Mode) -> None:
        """The account has other terms from here on."""
        self.mode = mode
        self.terms += 1

    def take_changes(self, changes: Iterable[Change], at: datetime) -> None:
        """Keep what the Portal wants, whether sync is on or off, and decide each change."""
        for change in changes:
            driver = PortalDriverId(change.driver)
            wish = to_wish(
                ACCOUNT,
                self.target,
                driver,
                sequence=change.sequence,
                profile=change.profile,
                is_wanted=not isinstance(change, DriverDeleted),
            )
            self.wishes[driver] = wish
            self._decide(driver, "change", str(change.sequence), at)
        self._look_again(at)

    def take_answer(self, report: CallAnswered, at: datetime) -> None:
        """Correct the roster by an answer, record it on its link, and decide again."""
        if report.left:
            self._roster.pop(key_mark(self.target, Key(report.left)), None)
        if report.key:
            seen = TargetDriver(key=Key(report.key), active=report.active, profile=report.profile)
            self._roster[key_mark(self.target, seen.key)] = seen
        driver = PortalDriverId(report.driver)
        self._carry_out(driver, lambda link, ledger: deciding.record(link, report, at, ledger), at)
        if report.outcome != Outcome.DEFERRED:
            self._decide(driver, "answer", str(report.decision), at)
        self._look_again(at)

    def take_walk(self, shown: Sequence[TargetDriver], at: datetime) -> None:
        """Know the whole roster, and decide every wish again."""
        self._roster = {key_mark(self.target, driver.key): driver for driver in shown}
        self._walked = self.terms
        for driver in self.wishes:
            self._decide(driver, "walk", "1", at)
        self._look_again(at)

    def judge(self, holds: Mapping[PortalDriverId, int], at: datetime, *, is_approved: bool) -> None:
        """A person approves or rejects exactly these held deletes."""
        name = digest(self.target, holds.items())
        cause = self._cause("approval", name, at)
        for driver, hold in holds.items():
            self._carry_out(driver, _judging(self.wishes[driver], cause, hold, name, is_approved=is_approved), at)
        self._look_again(at)

    def retry(self, at: datetime) -> None:
        """A person wants everybody who is parked looked at again."""
        for driver in sorted(self.links if self.is_ready else ()):
            wish, cause = self.wishes[driver], self._cause("retry", "1", at)
            self._carry_out(driver, _retrying(wish, cause), at)
        self._look_again(at)

    def _cause(self, kind: str, ref: str, at: datetime) -> Cause:
        return Cause(at=at, kind=kind, ref=ref, mode=self.mode, terms=self.terms)

    def _decide(self, driver: PortalDriverId, kind: str, ref: str, at: datetime) -> None:
        if self.is_ready:
            wish, cause = self.wishes[driver], self._cause(kind, ref, at)
            self._carry_out(driver, lambda link, ledger: decide(wish, link, ledger, cause), at)

    def _carry_out(self, driver: PortalDriverId, deciding: Deciding, at: datetime) -> None:
        self.ledger.roster = Roster(self.target, self._roster.values())
        self.ledger.guard = self._guard(at)
        self.ledger.wanted = {driver for driver, wish in self.wishes.items() if wish.is_wanted}
        link = self.link(driver)
        self._take_over(link, deciding(link, self.ledger))

    def _take_over(self, link: DriverLink, events: tuple[LinkEvent, ...]) -> None:
        is_counted = link.driver in self.ledger.guard.deleted
        after = replay(link, events)
        self._freed |= self.ledger.record(link, after, events)
        self.links[link.driver] = after
        self.log.extend(events)
        for event in events:
            if isinstance(event, DeleteDecided) and event.key and not is_counted:
                self._deleted[link.driver] = event.at

    def _look_again(self, at: datetime) -> None:
        while self._freed or self.ledger.dispossessed:
            freed, losers = frozenset(self._freed), frozenset(self.ledger.dispossessed)
            self._freed.clear()
            self.ledger.dispossessed.clear()
            for driver in sorted(self.links):
                if self.is_ready and (self.links[driver].waits_for in freed or driver in losers):
                    wish, cause = self.wishes[driver], self._cause("freed", "", at)
                    self._carry_out(driver, _looking_at_freed(wish, cause), at)

    def _guard(self, at: datetime) -> Guard:
        staying = [link for link in self.links.values() if link.is_live and not isinstance(link.pending, DeleteDecided)]
        return Guard(
            staying=len(staying),
            deleted=frozenset(driver for driver, when in self._deleted.items() if at - when < WINDOW),
            held=len(self.holds),
        )


def _looking_at_freed(wish: Wish, cause: Cause) -> Deciding:
    return lambda link, ledger: deciding.look_at_freed(wish, link, ledger, cause)


def _retrying(wish: Wish, cause: Cause) -> Deciding:
    return lambda link, ledger: deciding.look_again(wish, link, ledger, cause)


def _judging(wish: Wish, cause: Cause, hold: int, name: str, *, is_approved: bool) -> Deciding:
    if is_approved:
        return lambda link, ledger: deciding.approve(wish, link, ledger, cause, hold=hold, by="ann", digest=name)
    return lambda link, _: deciding.reject(link, cause, hold=hold, by="ann", digest=name)
