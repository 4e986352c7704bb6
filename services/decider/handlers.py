"""The decider: what it makes of each stream that it consumes, and the work that it has in hand."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import chain
from typing import TypeVar

from domain import deciding, outcomes
from domain.account import Account, DeletesApproved, DeletesJudged, Mode, RetryRequested
from domain.claims import Batch, Decide
from domain.driver_link import UNDONE, DeleteApproved, DeleteRejected, DriverLink, LinkEvent, replay, unlinked
from domain.failures import CLASSES, FailureClass
from domain.guard import has_expired
from domain.identity import AccountId, Key, PortalDriverId, Target, link_stream
from domain.matching import DesiredDriver, claims, key_identifier
from domain.outcomes import (
    BreakerClosed,
    CallAnswered,
    DriverLookedUp,
    HintedDriverGone,
    HintedDriverSeen,
    ObservedDriverErased,
    ReportEvent,
    RosterScanned,
)
from domain.rules import RULES, Rules
from domain.situations import Trigger
from domain.store import FILLED, Event, Row, Store, Unit, Value, Where, pages
from domain.undoing import Former, former_of
from services.accounts.handlers import AccountRow, accounts_of, keep_accounts, to_account, to_scope
from services.decider import reconciliations
from services.decider.batch import RosterChanges, decide_batch, looks_at_claimants
from services.decider.erasing import forget, to_erasure
from services.decider.order import BatchOrder, Chore
from services.decider.read_models import (
    ClaimRow,
    DesiredRow,
    LinkRow,
    Look,
    Place,
    RetryRow,
    RosterScanRow,
    RunningReconciliation,
    desired_of,
    project_desired_drivers,
    project_outages,
    project_scans,
    rows_among,
)
from services.runtime.context import ACCOUNTS, CHANGES, Assignment, Clock, outcomes_of
from services.runtime.forgetting import Forgetting, Forgotten
from services.runtime.read_models import kept_rows, projected, to_unit
from services.runtime.service import Backoff

Work = TypeVar("Work", Look, RunningReconciliation, RetryRow)

Rule = Callable[[DesiredDriver, DriverLink, Batch, Trigger], tuple[LinkEvent, ...]]
"""How a link is decided."""

LinkDecision = tuple[DesiredDriver, Decide]
"""One thing to decide for one link: the desired state as it stood then, and how the link is decided."""

_Hinted = HintedDriverSeen | HintedDriverGone

_OF_WORK: Mapping[str, Rule] = {
    "freed": deciding.look_at_freed,
    "retry": deciding.look_again,
    "reached": deciding.look_again,
}
"""The rules of the triggers that do not just decide."""

_PAGE = 500

_TOGETHER = 10
"""Pieces of work that are read together, where the next one to go on with is looked for."""


class Decider:
    """The decider service: the only place where decisions are made; writes `driver-links.decisions.v1`."""

    def __init__(self, store: Store, clock: Clock, assignment: Assignment, rules: Rules = RULES) -> None:
        self._store = store
        self._clock = clock
        self._assignment = assignment
        self._rules = rules
        self.order = BatchOrder()
        self.forgetting = Forgetting(store, assignment)
        self._nothing_waits: dict[type[Row], frozenset[int]] = {}
        self._behind: dict[type[Row], str] = {}
        self._went_on = dict.fromkeys(Target, "")
        self._no_plans: frozenset[int] | None = None
        self._backoff = Backoff(clock)

    def on_accounts(self, events: Sequence[tuple[int, Event]]) -> Unit:
        """Store accounts; carry out what people decided about held deletes."""
        now, facts = self._clock(), [event for _, event in events]
        unit = keep_accounts(self._store, facts)
        accounts = {row.account: to_account(row) for row in unit.rows.values() if isinstance(row, AccountRow)}
        unit.keep(retries(facts))
        unit.keep(reconciliations.bound(self._store, facts))
        judged = [event for event in facts if isinstance(event, DeletesJudged)]
        self._decide(unit, self._judgements(judged, accounts, now), now)
        self.order.consumed(unit, ACCOUNTS, events, now)
        return unit

    def on_changes(self, events: Sequence[tuple[int, Event]]) -> Unit:
        """Keep what the Portal wants, whether sync is on or off; decide each change where it is.

        Nothing follows from a change whose sequence is not above the last one of its driver. A driver that was erased
        is forgotten wherever it is.
        """
        now, known = self._clock(), kept_rows(self._store)
        rows = project_desired_drivers(events, known)
        unit = to_unit(known.changes())
        accounts = accounts_of(self._store, (row.account for row in rows))
        ready = self._ready(accounts)
        decisions = [
            (desired_of(row, target, self._rules), to_erasure(self._store, row, target, now))
            if row.erased
            else _by_rule(
                deciding.decide,
                desired_of(row, target, self._rules),
                _trigger(accounts[row.account], target, now, "change", str(row.sequence)),
            )
            for row in rows
            for target in Target
            if row.erased or (AccountId(row.account), target) in ready
        ]
        for row in rows:
            if row.erased:
                forget(self._store, unit, row)
                self.forgetting.look_again()
        self._decide(unit, decisions, now)
        self.order.consumed(unit, CHANGES, events, now)
        return unit

    def on_reports(self, events: Sequence[tuple[int, Event]]) -> Unit:
        """Store what the targets showed; record each answer on its link, and decide again."""
        now = self._clock()
        reports = [event for _, event in events if isinstance(event, ReportEvent)]
        rosters = RosterChanges(self._store, events)
        unit = rosters.unit
        unit.add(projected(self._store, project_scans, events))
        unit.add(projected(self._store, project_outages, events))
        if scans := [event for event in reports if isinstance(event, RosterScanned)]:
            unit.keep(reconciliations.begun(self._store, scans))
        unit.keep(retries(reports))
        for event in (each for each in reports if isinstance(each, ObservedDriverErased)):
            unit.keep([Forgotten(account=event.account, driver=event.driver or event.key)])
            self.forgetting.look_again()
        answers = [event for event in reports if isinstance(event, CallAnswered)]
        hinted = [event for event in reports if isinstance(event, _Hinted)]
        decided = [event for event in reports if isinstance(event, CallAnswered | _Hinted)]
        changes = (
            rosters if len(decided) == len(events) else RosterChanges(self._store, [(0, each) for each in decided])
        )
        unit.keep(looks_at_claimants(self._store, changes))
        looked_up = (
            self._again(
                [(AccountId(event.account), Target(event.target), event.driver)],
                now,
                "reconciliation",
                str(event.request),
            )
            for event in reports
            if isinstance(event, DriverLookedUp) and not event.reason
        )
        decisions = chain(self._answers(answers, now), *looked_up, *(self._hinted(event, now) for event in hinted))
        self._decide(unit, decisions, now, rosters)
        if reports:
            self.order.consumed(unit, outcomes_of(Target(reports[0].target)), events, now)
        return unit

    def look_again(self) -> int:
        """Decide links for which something came free; how many."""
        looks = self._next_in_hand(Look, _PAGE)
        done = self._backoff.confine(looks, self.look_at) if looks else 0
        self._behind[Look] = looks[-1].account if looks else ""
        return done

    def look_at(self, looks: Sequence[Look]) -> int:
        """Decide these links for which something came free; how many."""
        unit, now, looked_at = Unit(), self._clock(), defaultdict[tuple[str, str], list[str]](list)
        for look in looks:
            unit.remove(Look, {"account": look.account, "target": look.target, "driver": look.driver})
            looked_at[look.account, look.target].append(look.driver)
        places = [(AccountId(look.account), Target(look.target), look.driver) for look in looks]
        self._decide(unit, self._again(places, now, "freed", rule=deciding.look_at_freed), now)
        self.order.done(unit, Chore.LOOKS, ((*place, drivers) for place, drivers in looked_at.items()), now)
        self._store.commit(unit)
        return len(looks)

    def would_decide(self, link: tuple[AccountId, Target, str], kind: str, ref: str, reconciliation: int) -> Unit:
        """What doing work in hand of this kind for one link alone comes to; nothing is stored."""
        unit, now = Unit(), self._clock()
        rule = _OF_WORK.get(kind, deciding.decide)
        self._decide(unit, self._again([link], now, kind, ref, reconciliation, rule=rule), now)
        return unit

    def reconcile(self) -> int:
        """Decide the next page of a running reconciliation, or end it behind the last page; how many drivers.

        The targets alternate, and on each the accounts, so that a large fleet does not hold up the others. One with a
        plan cannot go on before that is compared, and one that knows more of its account than we do has to wait.
        """
        if self._nothing_waits.get(RunningReconciliation) is self._assignment.held:
            return 0
        for target, behind in [*self._went_on.items()]:
            for works in self._in_hand(RunningReconciliation, behind, _TOGETHER, {"target": str(target), "plan": ""}):
                known = accounts_of(self._store, (work.account for work in works))
                going_on = (work for work in works if not reconciliations.is_ahead(work, known.get(work.account)))
                if work := next(going_on, None):
                    del self._went_on[target]
                    self._went_on[target] = work.account
                    return self._backoff.confine([work], self.go_on)
        self._next_in_hand(RunningReconciliation, _TOGETHER)  # Remembers whether there is any at all.
        return 0

    def go_on(self, works: Sequence[RunningReconciliation]) -> int:
        """Decide the next page of the one reconciliation that is given, or end it; how many drivers."""
        (work,) = works
        account, target, now = (
            accounts_of(self._store, [work.account])[work.account],
            Target(work.target),
            self._clock(),
        )
        if (account.account, target) not in self._ready({work.account: account}):
            return self._end(reconciliations.dropped(self._store, work, account, now), work, now)
        where = {"account": work.account}
        if work.undo and work.undo["driver"]:
            where["driver"] = str(work.undo["driver"])
        page = self._store.select(DesiredRow, where, order_by="position", after=work.after, limit=_PAGE)
        if not page:
            return self._end(reconciliations.completed(self._store, work, now), work, now)
        unit, places = Unit(), [(account.account, target, row.driver) for row in page]
        if work.undo:
            undone = self._decide(unit, self._undoings(work, page, account, now), now)
            events = [event for batch in undone.values() for event in batch.events]
            unit.keep([reconciliations.undone(work, page, events)])
        else:
            decisions = self._again(places, now, "scan", str(work.scan), work.reconciliation)
            (batch,) = self._decide(unit, decisions, now).values()
            unit.keep([reconciliations.counted(work, page, batch.links)])
        self.order.done(unit, Chore.RECONCILIATION, [(work.account, work.target, ())], now)
        self._store.commit(unit)
        return len(page)

    def _undoings(
        self, work: RunningReconciliation, page: Sequence[DesiredRow], account: Account, now: datetime
    ) -> Iterator[LinkDecision]:
        """Undo what of these drivers is in scope, as far as it can be."""
        target, scope = Target(work.target), to_scope(work.undo or {})
        trigger = _trigger(account, target, now, "undo", str(work.request), work.reconciliation)
        ids = {link_stream(account.account, target, PortalDriverId(row.driver)): row for row in page}
        for stream, history in self._store.histories(ids).items():
            row, facts = ids[stream], [event for event in history if isinstance(event, LinkEvent)]
            desired = desired_of(row, target, self._rules)
            link = replay(unlinked(account.account, target, desired.driver), facts)
            former = former_of(link, facts, scope, desired.sequence)
            if former is not None:
                # The batch has to know who has what the driver would get back, too.
                brought = claims(target, Key(former.key), former.profile) if isinstance(former, Former) else frozenset()
                keys = [former.back_to] if isinstance(former, Former) and former.back_to else []
                wanted = (*desired.identifiers, *sorted(brought), *(key_identifier(target, key) for key in keys))
                yield (
                    replace(desired, identifiers=wanted),
                    partial(deciding.undo, desired, trigger=trigger, former=former, by=scope.by),
                )

    def _end(self, unit: Unit, work: RunningReconciliation, now: datetime) -> int:
        """Store the end of a reconciliation."""
        self.order.done(unit, Chore.RECONCILIATION, [(work.account, work.target, ())], now)
        self._store.commit(unit)
        return 1

    def retry(self) -> int:
        """Look again at the next page of parked links that are to be retried; how many."""
        in_hand = self._next_in_hand(RetryRow, _TOGETHER)
        if not in_hand:
            return 0
        self._behind[RetryRow] = in_hand[0].account
        return self._backoff.confine(in_hand[:1], self.try_again)

    def try_again(self, works: Sequence[RetryRow]) -> int:
        """Look again at the next page of parked links of the one retry that is given; how many."""
        (work,) = works
        unit, now = Unit(), self._clock()
        where: dict[str, str | Collection[Value]] = {
            "account": work.account,
            "target": work.target,
            "reason": work.reasons or FILLED,
        }
        if work.driver:
            where["driver"] = work.driver
        page = self._store.select(LinkRow, where, order_by="driver", after=work.after, limit=_PAGE)
        if page:
            unit.keep([replace(work, after=page[-1].driver)])
        else:
            unit.remove(RetryRow, {column: getattr(work, column) for column in work.KEY})
        # What a person undid comes back only where it is asked for by name.
        is_named = bool(work.driver or work.reasons)
        places = [
            (AccountId(row.account), Target(row.target), row.driver) for row in page if is_named or row.reason != UNDONE
        ]
        self._decide(unit, self._again(places, now, work.trigger, work.ref, rule=deciding.look_again), now)
        self.order.done(unit, Chore.RETRY, [(work.account, work.target, (work.trigger, work.ref))], now)
        self._store.commit(unit)
        return len(page) or 1

    def planned_accounts(self) -> list[str]:
        """The accounts assigned to us that have a running reconciliation with a plan."""
        held = self._assignment.held
        if self._no_plans is held:
            return []
        in_hand = self._store.count(RunningReconciliation, by=["account", "plan"])
        planned = sorted({str(account) for account, plan in in_hand if plan and self._assignment.has(str(account))})
        self._no_plans = None if planned else held
        return planned

    def _next_in_hand(self, work: type[Work], limit: int) -> list[Work]:
        """The next page of work of this kind.

        Only we add such work, so once there is none, there is none until we add some, or until the assignment changes.
        """
        held = self._assignment.held
        if self._nothing_waits.get(work) is held:
            return []
        found = next(self._in_hand(work, self._behind.get(work, ""), limit), [])
        if not found and not self._backoff.is_any_left(work):
            self._nothing_waits[work] = held
        return found

    def _in_hand(self, work: type[Work], behind: str, limit: int, where: Where | None = None) -> Iterator[list[Work]]:
        """The work that is assigned to us and may be done now, going round by the names of accounts from behind one.

        A page is what is ours of at most `limit` rows.
        """
        for start in dict.fromkeys((behind, "")):
            for page in pages(self._store, work, where or {}, "account", after=start, limit=limit):
                assigned = (row for row in page if self._assignment.has(row.account))
                if ours := [row for row in assigned if not self._backoff.has_to_wait(work, row.account)]:
                    yield ours

    def _judgements(
        self, judged: Iterable[DeletesJudged], accounts: Mapping[str, Account], now: datetime
    ) -> Iterator[LinkDecision]:
        for event in judged:
            is_approved = isinstance(event, DeletesApproved)
            if is_approved and has_expired(event.at, now):
                continue
            target = Target(event.target)
            trigger = _trigger(accounts[event.account], target, now, "approval", event.digest)
            holds = {str(driver): int(hold) for driver, hold in event.holds}
            for row in self._desired_drivers((event.account, driver) for driver in holds):
                desired = desired_of(row, target, self._rules)
                yield (
                    desired,
                    partial(
                        deciding.judge,
                        desired,
                        trigger=trigger,
                        verdict=DeleteApproved if is_approved else DeleteRejected,
                        hold=holds[row.driver],
                        by=event.by,
                        digest=event.digest,
                    ),
                )

    def _answers(self, answers: Sequence[CallAnswered], now: datetime) -> Iterator[LinkDecision]:
        accounts = accounts_of(self._store, (answer.account for answer in answers))
        ready = self._ready(accounts)
        rows = self._desired_drivers((answer.account, answer.driver) for answer in answers)
        desired_drivers = {(row.account, row.driver): row for row in rows}
        for answer in answers:
            target = Target(answer.target)
            desired = desired_of(desired_drivers[answer.account, answer.driver], target, self._rules)
            yield desired, partial(outcomes.record, report=answer, at=now)
            if (AccountId(answer.account), target) in ready:
                trigger = _trigger(accounts[answer.account], target, now, "answer", str(answer.decision))
                yield _by_rule(deciding.decide, desired, trigger)

    def _hinted(self, event: _Hinted, now: datetime) -> Iterator[LinkDecision]:
        """Decide the drivers who have claimed an identifier of this target driver, as after a scan."""
        place = AccountId(event.account), Target(event.target)
        profile = event.profile if isinstance(event, HintedDriverSeen) else {}
        claimed = rows_among(self._store, ClaimRow, "identifier", {place: claims(place[1], Key(event.key), profile)})
        drivers = dict.fromkeys(row.driver for row in claimed[place])
        return self._again([(*place, driver) for driver in drivers], now, "hint", event.key)

    def _again(
        self,
        drivers: Sequence[tuple[AccountId, Target, str]],
        now: datetime,
        kind: str,
        ref: str = "",
        reconciliation: int = 0,
        *,
        rule: Rule = deciding.decide,
    ) -> Iterator[LinkDecision]:
        """Decide these drivers by the rule, in the order in which the Portal stated them, where decisions are made."""
        accounts = accounts_of(self._store, (account for account, _, _ in drivers))
        rows = sorted(
            self._desired_drivers((account, driver) for account, _, driver in drivers), key=lambda row: row.position
        )
        for account, target in sorted(self._ready(accounts)):
            wanted = {driver for name, each, driver in drivers if (name, each) == (account, target)}
            trigger = _trigger(accounts[account], target, now, kind, ref, reconciliation)
            for row in rows:
                if row.account == account and row.driver in wanted:
                    yield _by_rule(rule, desired_of(row, target, self._rules), trigger)

    def _desired_drivers(self, drivers: Iterable[tuple[str, str]]) -> list[DesiredRow]:
        """What the Portal last stated of these drivers, each named with its account, by one query."""
        wanted = sorted(set(drivers))
        return self._store.among(DesiredRow, ("account", "driver"), wanted) if wanted else []

    def _ready(self, accounts: Mapping[str, Account]) -> set[Place]:
        """Where decisions are made now: sync is on, and the roster was scanned under the present policy generation."""
        scans = self._store.select(RosterScanRow, {"account": sorted(accounts)}) if accounts else []
        scanned = {(scan.account, scan.target): scan.policy_generation for scan in scans}
        return {
            (AccountId(name), target)
            for name, account in accounts.items()
            for target in Target
            if account.mode(target) is not Mode.OFF and scanned.get((name, target)) == account.policy_generation[target]
        }

    def _decide(
        self,
        unit: Unit,
        decisions: Iterable[LinkDecision],
        now: datetime,
        rosters: RosterChanges | None = None,
    ) -> Mapping[Place, Batch]:
        """Decide these as one batch, and remember the work that the unit adds."""
        batches = decide_batch(self._store, unit, decisions, now, rosters, self._rules.delete_limit)
        kinds = {kind for kind, _ in unit.rows}
        for work in kinds & self._nothing_waits.keys():
            del self._nothing_waits[work]
        if RunningReconciliation in kinds and any(
            isinstance(row, RunningReconciliation) and row.plan for row in unit.rows.values()
        ):
            self._no_plans = None
        return batches


def _trigger(account: Account, target: Target, now: datetime, kind: str, ref: str, reconciliation: int = 0) -> Trigger:
    """What starts decisions on a target, under the account's present mode and policy generation."""
    return Trigger(
        at=now,
        kind=kind,
        ref=ref,
        mode=account.mode(target),
        policy_generation=account.policy_generation.get(target, 0),
        reconciliation=reconciliation,
    )


def _by_rule(rule: Rule, desired: DesiredDriver, trigger: Trigger) -> LinkDecision:
    return desired, lambda link, batch: rule(desired, link, batch, trigger)


_NOT_FINAL = [str(reason) for reason, kind in CLASSES.items() if kind is not FailureClass.FINAL]
"""Reasons that are not about the driver, and may be over when the target answers again."""


def retries(events: Iterable[Event]) -> Iterator[RetryRow]:
    """What people request, for each target, and what was given up while no calls were made, as work in hand."""
    for event in events:
        if isinstance(event, RetryRequested):
            for target in [event.target] if event.target else Target:
                yield RetryRow(
                    account=event.account,
                    target=str(target),
                    trigger="retry",
                    ref=str(event.originator_version),
                    driver=event.driver,
                    reasons=[event.reason] if event.reason else [],
                    after="",
                )
        elif isinstance(event, BreakerClosed):
            yield RetryRow(
                account=event.account,
                target=event.target,
                trigger="reached",
                ref="",
                driver="",
                reasons=_NOT_FINAL,
                after="",
            )
