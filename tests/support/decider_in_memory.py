"""The decider without a store: one account's links on one target, decided as the service decides them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial

from domain import deciding, outcomes
from domain.account import Mode, UndoScope
from domain.claims import Batch
from domain.deciding import decide
from domain.driver_link import (
    Decision,
    DeleteApproved,
    DeleteDecided,
    DeleteRejected,
    DriverLink,
    LinkEvent,
    Undone,
    replay,
)
from domain.guard import WINDOW, Guard, digest_of_holds
from domain.identity import AccountId, Key, PortalDriverId, Target
from domain.matching import DesiredDriver, ObservedDriver, Roster, key_identifier, to_desired
from domain.outcomes import CallAnswered, Outcome
from domain.portal import Change, DriverDeleted
from domain.situations import Trigger
from domain.undoing import Former, NotUndone, former_of

ACCOUNT = AccountId("fleet-1")

Deciding = Callable[[DriverLink, Batch], tuple[LinkEvent, ...]]


class DeciderInMemory:
    """Keeps the Portal's desired states, the links, what was last seen of the target, and everything it said."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.mode = Mode.OFF
        self.policy_generation = 0
        self.desired_drivers: dict[PortalDriverId, DesiredDriver] = {}
        self.links: dict[PortalDriverId, DriverLink] = {}
        self.log: list[LinkEvent] = []
        self.batch = Batch(target)
        self._scanned = 0
        self._roster: dict[str, ObservedDriver] = {}
        self._deleted: dict[PortalDriverId, datetime] = {}
        self._freed: set[str] = set()

    @property
    def is_ready(self) -> bool:
        """Whether decisions are made now: sync is on, and the roster was scanned under the present terms."""
        return self.mode is not Mode.OFF and self._scanned == self.policy_generation

    @property
    def holds(self) -> dict[PortalDriverId, int]:
        """The deletes that wait for a person: the version of each link's hold."""
        return {driver: link.held.originator_version for driver, link in self.links.items() if link.held}

    def link(self, driver: PortalDriverId) -> DriverLink:
        """A driver's link as it stands now."""
        return self.links.get(driver) or DriverLink(account=ACCOUNT, target=self.target, driver=driver)

    def take_policy_generation(self, mode: Mode) -> None:
        """The account has other terms from here on."""
        self.mode = mode
        self.policy_generation += 1

    def take_changes(self, changes: Iterable[Change], at: datetime) -> None:
        """Keep what the Portal wants, whether sync is on or off, and decide each change."""
        for change in changes:
            driver = PortalDriverId(change.driver)
            desired = to_desired(
                ACCOUNT,
                self.target,
                driver,
                sequence=change.sequence,
                profile=change.profile,
                is_wanted=not isinstance(change, DriverDeleted),
            )
            self.desired_drivers[driver] = desired
            self._decide(driver, "change", str(change.sequence), at)
        self._look_again(at)

    def take_answer(self, report: CallAnswered, at: datetime) -> None:
        """Correct the roster by an answer, record it on its link, and decide again."""
        if report.left:
            self._roster.pop(key_identifier(self.target, Key(report.left)), None)
        if report.key:
            seen = ObservedDriver(key=Key(report.key), active=report.active, profile=report.profile)
            self._roster[key_identifier(self.target, seen.key)] = seen
        driver = PortalDriverId(report.driver)
        self._carry_out(driver, lambda link, batch: outcomes.record(link, batch, report, at), at)
        if report.outcome != Outcome.DEFERRED:
            self._decide(driver, "answer", str(report.decision), at)
        self._look_again(at)

    def take_scan(self, shown: Sequence[ObservedDriver], at: datetime) -> None:
        """Know the whole roster, and decide every desired state again."""
        self._roster = {key_identifier(self.target, driver.key): driver for driver in shown}
        self._scanned = self.policy_generation
        for driver in self.desired_drivers:
            self._decide(driver, "scan", "1", at)
        self._look_again(at)

    def judge(self, holds: Mapping[PortalDriverId, int], at: datetime, *, is_approved: bool) -> None:
        """A person approves or rejects exactly these held deletes."""
        name = digest_of_holds(self.target, holds.items())
        trigger = self._trigger("approval", name, at)
        for driver, hold in holds.items():
            self._carry_out(
                driver, _judging(self.desired_drivers[driver], trigger, hold, name, is_approved=is_approved), at
            )
        self._look_again(at)

    def retry(self, at: datetime) -> None:
        """A person wants everybody who is parked looked at again."""
        for driver in sorted(self.links if self.is_ready else ()):
            desired, trigger = self.desired_drivers[driver], self._trigger("retry", "1", at)
            self._carry_out(driver, _retrying(desired, trigger), at)
        self._look_again(at)

    def undo(self, at: datetime, scope: UndoScope | None = None) -> None:
        """A person wants what is in scope undone; where nothing is said, the last decision about each driver."""
        trigger = self._trigger("undo", "2", at)
        for driver in sorted(self.links if self.is_ready else ()):
            desired, history = self.desired_drivers[driver], [each for each in self.log if each.driver == driver]
            decided = [each.originator_version for each in history if isinstance(each, Decision | Undone)]
            wanted = scope or UndoScope(by="ann", decision=decided[-1] if decided else 1)
            if wanted.driver not in ("", driver):
                continue
            former = former_of(self.link(driver), history, wanted, desired.sequence)
            if former is not None:
                self._carry_out(driver, _undoing(desired, trigger, former), at)
        self._look_again(at)

    def _trigger(self, kind: str, ref: str, at: datetime) -> Trigger:
        return Trigger(at=at, kind=kind, ref=ref, mode=self.mode, policy_generation=self.policy_generation)

    def _decide(self, driver: PortalDriverId, kind: str, ref: str, at: datetime) -> None:
        if self.is_ready:
            desired, trigger = self.desired_drivers[driver], self._trigger(kind, ref, at)
            self._carry_out(driver, lambda link, batch: decide(desired, link, batch, trigger), at)

    def _carry_out(self, driver: PortalDriverId, deciding: Deciding, at: datetime) -> None:
        self.batch.roster = Roster(self.target, self._roster.values())
        self.batch.guard = self._guard(at)
        self.batch.wanted = {driver for driver, desired in self.desired_drivers.items() if desired.is_wanted}
        link = self.link(driver)
        self._take_over(link, deciding(link, self.batch))

    def _take_over(self, link: DriverLink, events: tuple[LinkEvent, ...]) -> None:
        is_counted = link.driver in self.batch.guard.deleted
        after = replay(link, events)
        self._freed |= self.batch.record(link, after, events)
        self.links[link.driver] = after
        self.log.extend(events)
        for event in events:
            if isinstance(event, DeleteDecided) and event.key and not is_counted:
                self._deleted[link.driver] = event.at

    def _look_again(self, at: datetime) -> None:
        while self._freed or self.batch.dispossessed:
            freed, losers = frozenset(self._freed), frozenset(self.batch.dispossessed)
            self._freed.clear()
            self.batch.dispossessed.clear()
            for driver in sorted(self.links):
                if self.is_ready and (self.links[driver].waits_for in freed or driver in losers):
                    desired, trigger = self.desired_drivers[driver], self._trigger("freed", "", at)
                    self._carry_out(driver, _looking_at_freed(desired, trigger), at)

    def _guard(self, at: datetime) -> Guard:
        return Guard(
            staying=sum(link.is_staying for link in self.links.values()),
            deleted=frozenset(driver for driver, when in self._deleted.items() if at - when < WINDOW),
            held=len(self.holds),
        )


def _looking_at_freed(desired: DesiredDriver, trigger: Trigger) -> Deciding:
    return lambda link, batch: deciding.look_at_freed(desired, link, batch, trigger)


def _retrying(desired: DesiredDriver, trigger: Trigger) -> Deciding:
    return lambda link, batch: deciding.look_again(desired, link, batch, trigger)


def _undoing(desired: DesiredDriver, trigger: Trigger, former: Former | NotUndone | Undone) -> Deciding:
    return partial(deciding.undo, desired, trigger=trigger, former=former, by="ann")


def _judging(desired: DesiredDriver, trigger: Trigger, hold: int, name: str, *, is_approved: bool) -> Deciding:
    verdict = DeleteApproved if is_approved else DeleteRejected
    return partial(deciding.judge, desired, trigger=trigger, verdict=verdict, hold=hold, by="ann", digest=name)
