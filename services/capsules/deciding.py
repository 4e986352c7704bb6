"""Decides again what was decided for the driver of a capsule: by the real decider, each time in the state of then.

Everything else is taken as it was: what was decided for other drivers, what the targets showed, and what they answered.
So one decision that comes out otherwise does not make all that follow it differ, and the first step that differs is the
one to look at. Of the guard's account-wide figures a decision has what counted then.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final

from domain.account import DeletesJudged
from domain.driver_link import DriverLink, LinkEvent
from domain.guard import WINDOW, DeleteLimit
from domain.identity import Target
from domain.outcomes import (
    CallAnswered,
    DriverLookedUp,
    HintedDriverGone,
    HintedDriverSeen,
    ObservedDriverGone,
    ObservedDriverSeen,
    ReportOrigin,
)
from domain.portal import Change
from domain.profile import is_erased
from domain.rules import RULES
from domain.store import Event, Store
from services.api.as_of import projections, take
from services.capsules.capsule import Capsule, Facts
from services.decider.batch import load_links
from services.decider.handlers import Decider
from services.decider.order import BatchRow, Chore
from services.decider.read_models import DeleteRow
from services.runtime.context import ACCOUNTS, CHANGES, DECISIONS, OUTCOMES, Assignment, outcomes_of

_ABOUT_DRIVERS: Final = CallAnswered | DriverLookedUp
_HINTED: Final = HintedDriverSeen | HintedDriverGone


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedDecision:
    """What followed for the driver from one batch: then, and now.

    `work` is the log that was consumed, or the work in hand that was done; `inputs` are what was consumed. `untried`
    says why it was not decided again; empty where it was.
    """

    at: datetime
    work: str
    inputs: Sequence[Event]
    then: Sequence[LinkEvent]
    now: Sequence[LinkEvent]
    untried: str = ""

    @property
    def is_equal(self) -> bool:
        """Whether the same is decided now."""
        return bool(self.untried) or [*map(meaning_of, self.then)] == [*map(meaning_of, self.now)]


def meaning_of(fact: LinkEvent) -> dict[str, Any]:
    """What two facts have in common that say the same: words for people, and figures of the guard, do not count."""
    state = {name: value for name, value in vars(fact).items() if name not in ("originator_id", "at", "detail")}
    if "rationale" in state:
        state["rationale"] = {name: value for name, value in state["rationale"].items() if name != "guard"}
    return {"type": fact.TOPIC, **state}


ERASED: Final = "the driver was erased since, so nothing is left to decide by"


def _erased_until(capsule: Capsule) -> datetime:
    """Until when nothing personal is left of the driver; long ago where it was never erased."""
    own = [
        each for facts in capsule.facts.values() for _, each in facts if getattr(each, "driver", "") == capsule.driver
    ]
    gone = [each.at for each in own if is_erased(getattr(each, "profile", None)) or each.TOPIC.endswith("Erased")]
    return max(gone, default=datetime.min.replace(tzinfo=UTC))


class DecidingAgain:
    """Runs the facts of a capsule, in their order, through a decider in an empty store."""

    def __init__(self, capsule: Capsule, scratch: Store) -> None:
        self._capsule = capsule
        self._scratch = scratch
        self._projects = projections(scratch)
        self._now = datetime.min.replace(tzinfo=UTC)
        self._accounts: list[tuple[int, Event]] = []
        self._erased_until = _erased_until(capsule)
        self._decided: dict[datetime, list[tuple[int, LinkEvent]]] = defaultdict(list)
        for at, fact in capsule.facts.get(DECISIONS, ()):
            if isinstance(fact, LinkEvent):
                self._decided[fact.at].append((at, fact))

    def steps(self) -> Iterator[ReplayedDecision]:
        """Each batch from which something followed, or would now. Raises `StoreFailed`."""
        for at, batches in groupby(self._batches(), key=lambda each: datetime.fromisoformat(each.at)):
            self._now = at
            of_moment = [*batches]
            if at <= self._erased_until:
                yield from self._erased(of_moment)
                continue
            for batch in of_moment:
                yield from self._handled(batch, is_last=batch is of_moment[-1])
            yield from self._left(at)
        for at in sorted(self._decided):
            self._now = at
            yield from self._left(at)

    def _erased(self, batches: Sequence[BatchRow]) -> Iterator[ReplayedDecision]:
        """Take what cannot be decided again, since nothing personal is left of it."""
        for batch in batches:
            self._take(batch.work, self._facts_of(batch))
        for step in self._left(self._now):
            yield replace(step, untried=ERASED)

    def _facts_of(self, batch: BatchRow) -> Facts:
        handled = {*batch.handled}
        return [each for each in self._capsule.facts.get(batch.work, ()) if each[0] in handled]

    def accounts(self) -> Facts:
        """The account's facts that are taken so far."""
        return self._accounts

    def link(self, target: Target) -> DriverLink:
        """The driver's link as it is after the steps so far. Raises `StoreFailed`."""
        place = (self._capsule.account, target, self._capsule.driver)
        return load_links(self._scratch, [place])[place[:2]][self._capsule.driver]

    def _batches(self) -> list[BatchRow]:
        """The batches in order; facts of which it is not known when they were handled come by the time."""
        known = {(each.work, at) for each in self._capsule.batches for at in each.handled}
        rest = [
            BatchRow(
                account=self._capsule.account,
                number=int(event.at.timestamp() * 1_000_000),
                work=log,
                target="",
                at=event.at.isoformat(),
                handled=[at],
            )
            for log, facts in self._capsule.facts.items()
            for at, event in facts
            if log != DECISIONS and (log, at) not in known
        ]
        return sorted([*self._capsule.batches, *rest], key=lambda each: each.number)

    def _handled(self, batch: BatchRow, *, is_last: bool) -> Iterator[ReplayedDecision]:
        # Of batches at the same moment, each has as many facts of then as are decided now, and the last has the rest.
        facts = self._facts_of(batch)
        given = [(at, told) for at, event in facts for told in self._without_others(event)]
        inputs = [event for _, event in given if self._starts_something(event)]
        if not inputs and not self._is_own_work(batch):
            self._take(batch.work, facts)
            self._take_others(self._now)
            return
        then, now = list[LinkEvent](), list[LinkEvent]()
        # A batch decides target after target, and what it decides for others in between counts.
        silent = [target for target in _targets_of(batch) if self._next(self._now, target) is None]
        early = [target for target in silent if self._decide(batch, given, target)]
        for target in self._in_order(batch):
            self._take_others(self._now)
            ours = self._decide(batch, given, target)
            then += self._take_own(self._now, None if is_last else len(ours), target)
            now += ours
        if early:
            # It is not stored at which point in the batch nothing was decided: neither before nor after, if it differs.
            self._take_others(self._now)
            now += [each for target in early for each in self._decide(batch, given, target)]
        # What the decider reads of its store is from before the batch, so the batch is taken after it.
        self._take(batch.work, facts)
        if then or now:
            yield ReplayedDecision(at=self._now, work=batch.work, inputs=inputs, then=then, now=now)

    def _in_order(self, batch: BatchRow) -> list[str]:
        """The targets for which something was decided for the driver at this moment, as they came."""
        own = (each.target for _, each in self._decided[self._now] if self._is_own(each, ""))
        return [target for target in dict.fromkeys(own) if target in _targets_of(batch)]

    def _without_others(self, event: Event) -> Iterator[Event]:
        """What the decider is given of a fact: of an answer about another driver only what it shows of the target."""
        if not isinstance(event, Change | _ABOUT_DRIVERS) or event.driver == self._capsule.driver:
            yield event
        elif isinstance(event, CallAnswered):
            yield from _shown_by(event)

    def _starts_something(self, event: Event) -> bool:
        """Whether the decider decides something for the driver by this, or may."""
        if isinstance(event, DeletesJudged | _HINTED):
            return True
        return isinstance(event, Change | _ABOUT_DRIVERS) and event.driver == self._capsule.driver

    def _is_own_work(self, batch: BatchRow) -> bool:
        """Whether this is work in hand that was done for the driver."""
        if batch.work == Chore.LOOKS:
            return self._capsule.driver in batch.handled
        first = self._next(self._now, batch.target) if batch.work in (Chore.RECONCILIATION, Chore.RETRY) else None
        trigger = getattr(first, "rationale", {}).get("trigger") if first else ""
        return trigger in (None, "scan" if batch.work == Chore.RECONCILIATION else batch.handled[0])

    def _decide(self, batch: BatchRow, given: Facts, target: str) -> list[LinkEvent]:
        """What the decider decides for the driver on a target now; nothing of it is stored."""
        rules = replace(RULES, delete_limit=self._limit(target))
        decider = Decider(self._scratch, lambda: self._now, Assignment(), rules)
        events: Sequence[Event]
        if batch.work in OUTCOMES:
            events = decider.on_reports(given).events
        elif batch.work == CHANGES:
            events = decider.on_changes(given).events
        elif batch.work == ACCOUNTS:
            events = decider.on_accounts([(at, self._own_holds(event)) for at, event in given]).events
        else:
            events = self._do(decider, batch)
        return [each for each in events if isinstance(each, LinkEvent) and self._is_own(each, target)]

    def _do(self, decider: Decider, batch: BatchRow) -> Sequence[Event]:
        """What doing this work for the driver comes to."""
        link = (self._capsule.account, Target(batch.target), self._capsule.driver)
        if batch.work == Chore.LOOKS:
            return decider.would_decide(link, "freed", "", 0).events
        if batch.work == Chore.RETRY:
            kind, ref = map(str, batch.handled)
            return decider.would_decide(link, kind, ref, 0).events
        first = self._next(self._now, batch.target)
        rationale: Mapping[str, Any] = getattr(first, "rationale", {})
        number = int(rationale.get("reconciliation", 0))
        return decider.would_decide(link, "scan", str(rationale.get("ref", "")), number).events

    def _own_holds(self, event: Event) -> Event:
        """A person's word on held deletes, as far as it is about this driver."""
        if not isinstance(event, DeletesJudged):
            return event
        return replace(event, holds=[hold for hold in event.holds if hold[0] == self._capsule.driver])

    def _limit(self, target: str) -> DeleteLimit:
        """The limit that leaves as much room for deletes as there was: the account's other drivers are not here."""
        first = self._next(self._now, target)
        figures = getattr(first, "rationale", {}).get("guard") if first else None
        if first is None or figures is None:
            return RULES.delete_limit
        where = {"account": first.account, "target": first.target}
        since = (self._now - WINDOW).isoformat()
        here = len(self._scratch.select(DeleteRow, where, order_by="at", after=since))
        room = 0 if figures["held"] else max(0, figures["limit"] - figures["deleted"])
        return DeleteLimit(fewest=here + room, percent=0)

    def _next(self, at: datetime, target: str) -> LinkEvent | None:
        """The next fact that was decided for the driver at this moment, and is not taken yet; one that says why."""
        own = [each for _, each in self._decided[at] if self._is_own(each, target)]
        return next((each for each in own if getattr(each, "rationale", None)), own[0] if own else None)

    def _is_own(self, fact: LinkEvent, target: str) -> bool:
        return fact.driver == self._capsule.driver and target in ("", fact.target)

    def _take_others(self, at: datetime) -> None:
        """Take what was decided for others at this moment, up to what was decided for the driver."""
        waiting = self._decided[at]
        while waiting and not self._is_own(waiting[0][1], ""):
            self._take(DECISIONS, [waiting.pop(0)])

    def _take_own(self, at: datetime, most: int | None, target: str) -> list[LinkEvent]:
        """Take what was decided for the driver at this moment, at most so many facts."""
        taken: list[LinkEvent] = []
        waiting = self._decided[at]
        while waiting and (most is None or len(taken) < most):
            is_own = self._is_own(waiting[0][1], target)
            if not is_own and self._is_own(waiting[0][1], ""):
                break
            place = waiting.pop(0)
            self._take(DECISIONS, [place])
            if is_own:
                taken.append(place[1])
        return taken

    def _left(self, at: datetime) -> Iterator[ReplayedDecision]:
        """What was decided at this moment, and is not now."""
        left = self._decided.pop(at, [])
        then = [fact for _, fact in left if self._is_own(fact, "")]
        self._take(DECISIONS, left)
        if then:
            yield ReplayedDecision(at=at, work=DECISIONS, inputs=(), then=then, now=())

    def _take(self, log: str, facts: Facts) -> None:
        if log == ACCOUNTS:
            self._accounts += facts
        if facts:
            take(self._scratch, self._projects[log], facts)


def _targets_of(batch: BatchRow) -> list[str]:
    """The targets that a batch can decide something for."""
    named = batch.target or next((str(each) for each in Target if outcomes_of(each) == batch.work), "")
    return [named] if named else [*map(str, Target)]


def _shown_by(answer: CallAnswered) -> Iterator[Event]:
    """What an answer shows of target drivers, as a scan would report it."""
    origin: ReportOrigin = {
        "originator_id": answer.originator_id,
        "originator_version": answer.originator_version,
        "at": answer.at,
        "account": answer.account,
        "target": answer.target,
    }
    if answer.left:
        yield ObservedDriverGone(**origin, key=answer.left)
    if answer.key:
        yield ObservedDriverSeen(**origin, key=answer.key, active=answer.active, profile=answer.profile)
