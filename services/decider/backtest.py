"""A backtest: the real history of one account, decided again by other rules, by the real decider in a scratch store.

The decider gets the same batches in the same order, so that by the rules in force it decides the very same. What the
targets answered, and showed, is taken as it was as long as a link is decided as it was. From its first other decision
on, a link goes a way of its own: then a target that does what it is asked to do answers in place of the real one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from heapq import merge
from typing import Any, Final
from uuid import UUID

from domain.account import AccountAdded, Mode, ModeSet
from domain.driver_link import Confirmed, Decision, DeleteDecided, DriverLink, Explained, LinkErased, LinkEvent, Parked
from domain.identity import AccountId, PortalDriverId, Target, delivery_stream, link_stream
from domain.outcomes import CallAnswered, Outcome
from domain.reconciliation import PlanStep, step_after
from domain.rules import RULES, Rules
from domain.store import Event, MendedRecord, Record, Store, Stream, Unit, pages
from services.decider import reconciliations
from services.decider.batch import load_links
from services.decider.handlers import Decider
from services.decider.order import BatchRow, Chore
from services.decider.read_models import LinkRow, Look, RetryRow, RunningReconciliation
from services.runtime.consumer import Consumed, PartitionOf, to_resubmission
from services.runtime.context import ACCOUNTS, CHANGES, OUTCOMES, Assignment

_PAGE: Final = 200
_MOST_ROUNDS: Final = 20
"""How often a target answers what was decided by its last answer, before the history goes on."""

Modes = Mapping[Target, Mode]
"""The modes that targets are to have had all the time."""

Place = tuple[Target, PortalDriverId]
"""A link of the account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Otherwise:
    """A link's first decision that would have been another one.

    `trigger` is what started it. `decided` is what was really decided, and `would_be` what would have been; None for
    nothing.
    """

    at: datetime
    target: str
    driver: str
    trigger: str
    decided: PlanStep | None
    would_be: PlanStep | None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Where the history of an account is: the decider's store, and by name the logs that it consumes.

    `partition_of` is the partition of an account where Kafka carries the logs.
    """

    decider: Store
    logs: Mapping[str, Stream]
    partition_of: PartitionOf | None = None


class Backtest:
    """Decides the history of one account again.

    `unordered` counts the events from before the order of batches was stored: they are taken in the order of time.
    `erased` counts links whose drivers were erased: what was decided for them is not compared.
    """

    def __init__(
        self,
        scratch: Store,
        history: History,
        account: AccountId,
        *,
        rules: Rules = RULES,
        modes: Modes | None = None,
    ) -> None:
        self.unordered = 0
        self.erased = 0
        self._scratch = scratch
        self._history = history
        self._account = account
        self._modes = modes or {}
        self._now = datetime.min.replace(tzinfo=UTC)
        self._decider = Decider(scratch, lambda: self._now, Assignment(), rules)
        self._handlers = {
            ACCOUNTS: self._decider.on_accounts,
            CHANGES: self._decider.on_changes,
            **dict.fromkeys(OUTCOMES, self._decider.on_reports),
        }
        self._end = history.decider.log.end()
        self._compared = 0
        self._mended = {(row.log, row.log_position): row for row in history.decider.select(MendedRecord)}
        self._parted: set[Place] = set()
        self._found: list[Otherwise] = []

    def batches(self) -> int:
        """How many batches there are. Raises `StoreFailed`."""
        return sum(self._history.decider.count(BatchRow, {"account": self._account}).values())

    def run(self) -> Iterator[list[Otherwise]]:
        """Handle a batch with each step, in the end compare the links page by page: what was otherwise in it.

        Raises `StoreFailed`.
        """
        for log, record in self._before_any_batch():
            self.unordered += 1
            if record.event:
                self._now = record.event.at
                self._consume(log, [record])
                self._do_chores(reconcile=True)
                yield self._judged()
        decider, where = self._history.decider, {"account": str(self._account)}
        for page in pages(decider, BatchRow, where, ("number", "work", "target")):
            for row in page:
                self._now = datetime.fromisoformat(row.at)
                self._handle(row)
                yield self._judged()
        for links in pages(decider, LinkRow, where, ("target", "driver")):
            for link in links:
                self._compare((Target(link.target), PortalDriverId(link.driver)), is_over=True)
            yield self._taken()

    def _taken(self) -> list[Otherwise]:
        found, self._found = self._found, []
        return found

    def _handle(self, row: BatchRow) -> None:
        if row.work in self._handlers:
            self._consume(row.work, self._records(row.work, [int(position) for position in row.handled]))
        else:
            self._do(Chore(row.work), row.target, [str(each) for each in row.handled])

    def _consume(self, log: str, records: Iterable[Record]) -> None:
        events = [(each.log_position, self._as_asked(each.event)) for each in records if each.event]
        batch = [(position, event) for position, event in events if not self._is_void(event)]
        if batch:
            self._scratch.commit(self._handlers[log](batch))

    def _as_asked(self, event: Event) -> Event:
        """The event under the modes that are asked about."""
        if isinstance(event, AccountAdded):
            return replace(event, modes={**event.modes, **{str(each): str(mode) for each, mode in self._modes.items()}})
        if isinstance(event, ModeSet) and (mode := self._modes.get(Target(event.target))):
            return replace(event, mode=str(mode))
        return event

    def _is_void(self, event: Event) -> bool:
        """Whether this is the answer to a decision that was not made here."""
        if not isinstance(event, CallAnswered):
            return False
        place = Target(event.target), PortalDriverId(event.driver)
        if not self._is_own(place):
            stream = link_stream(self._account, *place)
            if len(self._scratch.histories([stream]).get(stream, ())) < event.decision:
                self._compare(place, is_over=True)
        return self._is_own(place)

    def _is_own(self, place: Place) -> bool:
        """Whether a link goes its own way, so that the real answers are not for it."""
        return place in self._parted or place[0] in self._modes

    def _do(self, chore: Chore, target: str, handled: Sequence[str]) -> None:
        """Do the work that the decider did then, where there is such work here."""
        place = {"account": str(self._account), "target": target}
        if chore is Chore.LOOKS:
            if looks := self._scratch.select(Look, {**place, "driver": handled}):
                self._decider.look_at(looks)
        elif chore is Chore.RETRY:
            if retries := self._scratch.select(RetryRow, {**place, "trigger": handled[0], "ref": handled[1]}):
                self._decider.try_again(retries)
        else:
            for work in self._scratch.select(RunningReconciliation, place):
                self._go_on(chore, work)

    def _go_on(self, chore: Chore, work: RunningReconciliation) -> None:
        unit = Unit()
        match chore:
            case Chore.PLAN_KEPT:
                unit.keep([replace(work, plan="")])
            case Chore.PLAN_REFUSED | Chore.DROPPED:
                unit = reconciliations.refused(self._scratch, work, plan=work.plan, would_be="", now=self._now)
            case _:
                self._decider.go_on([work])
                return
        self._scratch.commit(unit)

    def _do_chores(self, *, reconcile: bool = False) -> None:
        """Do all work in hand, in no order that is known."""
        if reconcile:
            planned = self._scratch.select(RunningReconciliation)
            unit = Unit()
            unit.keep(replace(work, plan="") for work in planned if work.plan)
            self._scratch.commit(unit)
        while self._decider.look_again() + self._decider.retry() + (self._decider.reconcile() if reconcile else 0):
            pass

    def _judged(self) -> list[Otherwise]:
        """Compare what the last batch decided, and let targets answer what the real ones were not asked."""
        for _ in range(_MOST_ROUNDS):
            if self._modes or self._parted:
                self._do_chores()
            decided = self._new()
            for place in decided:
                self._compare(place)
            answers = [*self._answers([place for place in decided if self._is_own(place)])]
            if not answers:
                break
            self._scratch.commit(self._decider.on_reports([(0, answer) for answer in answers]))
        return self._taken()

    def _new(self) -> list[Place]:
        """The links of which something was decided since the last look."""
        found: dict[Place, None] = {}
        while page := self._scratch.log.read(self._compared, _PAGE):
            self._compared = page[-1].position
            facts = (record.event for record in page)
            found |= {
                (Target(each.target), PortalDriverId(each.driver)): None
                for each in facts
                if isinstance(each, LinkEvent)
            }
        return [*found]

    def _compare(self, place: Place, *, is_over: bool = False) -> None:
        """Note the first decision of a link that would have been another one.

        What was really decided further on counts only where the history `is_over`, up to the decision in question.
        """
        if place in self._parted:
            return
        stream = link_stream(self._account, *place)
        here = [each for each in self._scratch.histories([stream]).get(stream, ()) if isinstance(each, Explained)]
        real = self._real(stream)
        if real is None:
            # What the Portal stated of the driver is gone, so nothing can be decided by it again.
            self._parted.add(place)
            self.erased += 1
            return
        both = zip(here, real, strict=False)
        at = next((number for number, (ours, theirs) in enumerate(both) if _meaning(ours) != _meaning(theirs)), None)
        if at is None:
            at = min(len(here), len(real))
            if at == len(here) and (at == len(real) or not is_over):
                return
        would_be, decided = (each[at] if at < len(each) else None for each in (here, real))
        self._parted.add(place)
        self._found.append(_otherwise(decided, would_be))

    def _real(self, stream: UUID) -> list[Explained] | None:
        """What was really decided for a link, up to the end of the history; None where its driver was erased."""
        records = self._history.decider.records([stream]).get(stream, ())
        if any(isinstance(each.event, LinkErased) for each in records):
            return None
        return [each.event for each in records if each.position <= self._end and isinstance(each.event, Explained)]

    def _answers(self, places: Sequence[Place]) -> Iterator[CallAnswered]:
        """What targets answer that do what they are asked to do, to links that go their own way."""
        found = load_links(self._scratch, ((self._account, *place) for place in places)) if places else {}
        for links in found.values():
            for link in links.values():
                if link.pending and link.pending.rationale.get("mode") in (Mode.UPSERT, Mode.FULL):
                    yield self._answer(link, link.pending)

    def _answer(self, link: DriverLink, decision: Decision) -> CallAnswered:
        is_there = not isinstance(decision, DeleteDecided)
        key = decision.desired_key or link.key or (self._real_key(link) if is_there else None)
        return CallAnswered(
            originator_id=delivery_stream(link.account, link.target, link.driver),
            originator_version=1,
            at=self._now,
            account=link.account,
            target=link.target,
            driver=link.driver,
            decision=decision.originator_version,
            outcome=Outcome.CONFIRMED,
            key=key,
            active=is_there,
            profile=decision.profile if is_there else {},
            left=link.key if link.key != key else None,
            reason="",
            detail="",
        )

    def _real_key(self, link: DriverLink) -> str:
        """The key that the target really gave to a driver; where it gave none, one that nobody else has."""
        facts = self._history.decider.histories([link.id]).get(link.id, ())
        keys = [each.key for each in facts if isinstance(each, Confirmed) and each.key]
        return keys[0] if keys else f"of-{link.driver}"

    def _records(self, log: str, positions: Sequence[int]) -> Iterator[Record]:
        """The records at these positions of a log, as they were handled."""
        found, after, stream = dict[int, Record](), min(positions) - 1, self._history.logs[log]
        while after < max(positions) and (page := stream.read(after, _PAGE)):
            found |= {each.position: each for each in page}
            found = {position: found[position] for position in positions if position in found}
            after = page[-1].position
        return (self._as_handled(log, found[position]) for position in positions if position in found)

    def _as_handled(self, log: str, record: Record) -> Record:
        mended = self._mended.get((log, record.position))
        return self._history.logs[log].again(to_resubmission(mended)) if mended else record

    def _before_any_batch(self) -> Iterator[tuple[str, Record]]:
        """What was consumed before the order of batches was stored, by log, in the order of time."""
        first = {log: self._first(log) for log in self._handlers}
        added = [*self._records(ACCOUNTS, [first[ACCOUNTS]])] if first[ACCOUNTS] else []
        if added and added[0].event and added[0].event.originator_version == 1:
            return iter(())
        logs = [self._read(log, end) for log, end in first.items()]
        return merge(*logs, key=lambda each: each[1].event.at if each[1].event else self._now)

    def _first(self, log: str) -> int:
        """The position of the first event in a log of which it is stored when it was handled; 0 for none."""
        where = {"account": str(self._account), "work": log}
        rows = self._history.decider.select(BatchRow, where, order_by="number", limit=1)
        return min((int(position) for row in rows for position in row.handled), default=0)

    def _read(self, log: str, end: int) -> Iterator[tuple[str, Record]]:
        """What there is of the account in a log before this position; where it is 0, all that was consumed."""
        consumed = Consumed(self._history.decider, log, self._history.partition_of)
        is_ours, after, stream = partial(_is_about, self._account), 0, self._history.logs[log]
        while page := stream.read(after, _PAGE):
            for record in filter(is_ours, page):
                if record.position >= end if end else not consumed.has(record):
                    return
                yield log, record
            after = page[-1].position


def _is_about(account: AccountId, record: Record) -> bool:
    return account.encode() in record.body and record.event is not None and record.event.account == account


def _meaning(fact: Explained) -> tuple[Any, ...]:
    """What two facts have in common that decide the same: times, versions and figures of the guard do not count."""
    if isinstance(fact, Decision):
        situation = fact.rationale["situation"]
        return type(fact), situation, fact.key, fact.desired_key, fact.profile, fact.fields, fact.waits_for
    if isinstance(fact, Parked):
        return type(fact), fact.reason, fact.waits_for, fact.holder
    return type(fact), getattr(fact, "key", None), getattr(fact, "profile", None)


def _otherwise(decided: Explained | None, would_be: Explained | None) -> Otherwise:
    fact = decided or would_be
    assert fact is not None  # noqa: S101 - one of them is there
    started = (decided if decided and (not would_be or decided.at <= would_be.at) else would_be) or fact
    rationale = started.rationale
    return Otherwise(
        at=started.at,
        target=started.target,
        driver=started.driver,
        trigger=f"{rationale.get('trigger', '')} {rationale.get('ref', '')}".strip(),
        decided=step_after(None, decided) if decided else None,
        would_be=step_after(None, would_be) if would_be else None,
    )
