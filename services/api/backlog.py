"""What waits between the services: records in the log of one that the next has not consumed yet, and work in hand.

It is counted from the stores alone, so that a query does not block a service.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from domain.driver_link import Decision, DriverLink
from domain.identity import Target
from domain.outcomes import CallAnswered
from domain.portal import Change
from domain.store import Record, Row, Store, Stream
from services.api.explanation_text import command, moment, named
from services.decider.read_models import LinkRow, Look, RetryRow, RunningReconciliation
from services.projector.read_models import AnswerCount, BreakerRow, DueDelivery, LookUp, NewestDecision
from services.projector.scans import ScanSchedule
from services.runtime.consumer import version_of, watermarks
from services.runtime.context import ACCOUNTS, CHANGES, DECISIONS, OUTCOMES, Assignment, Clock, log_of

MOST = 500
"""Records of one log that are counted; what waits before them is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """What waits for one driver on one target: a sentence, and what a person could do where it lasts."""

    sentence: str
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How much waits, of at most `MOST` records of each log: changes by account, the others by account and target."""

    changes: Mapping[str, int]
    decisions: Mapping[tuple[str, str], int]
    outcomes: Mapping[tuple[str, str], int]


def waiting(intake: Store, decider: Store, projectors: Mapping[Target, Store], *, may_repeat: bool) -> Waiting:
    """What waits, by a number of queries that no number of accounts or drivers changes. Raises `StoreFailed`.

    `may_repeat` says that the services follow each other by streams in which records may come twice, or late.
    """
    changes = [each.event for each in _untaken(decider, intake.log, may_repeat=may_repeat)]
    decided: Counter[tuple[str, str]] = Counter()
    answered: Counter[tuple[str, str]] = Counter()
    for target, projector in projectors.items():
        decisions = [each.event for each in _untaken(projector, decider.log, may_repeat=may_repeat)]
        answers = [each.event for each in _untaken(decider, projector.log, may_repeat=may_repeat)]
        decided.update(
            (fact.account, fact.target) for fact in decisions if isinstance(fact, Decision) and fact.target == target
        )
        answered.update((fact.account, fact.target) for fact in answers if isinstance(fact, CallAnswered))
    return Waiting(
        changes=Counter(fact.account for fact in changes if isinstance(fact, Change)),
        decisions=decided,
        outcomes=answered,
    )


def _untaken(reader: Store, log: Stream, *, may_repeat: bool) -> Sequence[Record]:
    """The last records of a log, as far as who follows it has not taken them over."""
    start = max(log.end() - MOST, 0)
    if not may_repeat:
        return log.read(max(start, reader.position(log.name)), MOST)
    records = [record for record in log.read(start, MOST) if record.event]
    heard = watermarks(reader, records)
    return [record for record in records if version_of(record)[1] > heard.get(version_of(record)[0], 0)]


def waits_of_change(change: Change | None, taken_over: int) -> Waits | None:
    """That the last change of a driver waits: `taken_over` is the sequence up to which the decider knows the driver."""
    if change is None or change.sequence <= taken_over:
        return None
    sentence = (
        f"A change that the Portal stated at {moment(change.at)} waits undecided: the decider has not taken it over."
    )
    return Waits(sentence=sentence, advice=_advice("the decider"))


def waits_of_link(link: DriverLink, projector: Store) -> Waits | None:
    """That a decision for a link waits for the projector, or an outcome for the decider. Raises `StoreFailed`."""
    place, name = {"account": str(link.account), "driver": str(link.driver)}, named(link.target)
    if any(row.answers > link.answers for row in projector.select(AnswerCount, place)):
        sentence = f"{name} has answered, and the answer waits: the decider has not taken it over."
        return Waits(sentence=sentence, advice=_advice("the decider"))
    if link.pending is None:
        return None
    decided = link.pending.originator_version
    if any(row.body["decision"] >= decided for row in projector.select(NewestDecision, place)):
        return None
    sentence = f"A decision of {moment(link.pending.at)} waits: {name}'s projector has not taken it over."
    return Waits(sentence=sentence, advice=_advice(f"{name}'s projector"))


def _advice(service: str) -> str:
    return (
        f"If that lasts, see that {service} runs and can reach Kafka where it needs it "
        f"({command('up')}, or {command('serve')} and its /ready)."
    )


_FOLLOWED_BY_THE_DECIDER = (ACCOUNTS, CHANGES, *OUTCOMES)
_FOLLOWED_BY_PROJECTORS = (ACCOUNTS, DECISIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftToDo:
    """Records to take over and work in hand, how much was recorded so far, and how many drivers are in sync."""

    left: int
    to_decide: int
    to_deliver: int
    recorded: int
    in_sync: Mapping[str, int]


def left_to_do(
    logs: Collection[Stream], decider: Store, projectors: Mapping[Target, Store], *, in_place: bool, clock: Clock
) -> LeftToDo:
    """By a number of queries that no number of accounts or drivers changes. Raises `StoreFailed`.

    `in_place` says that the services follow each other's logs where they are; else only work in hand is counted.
    """
    read = logs if in_place else ()
    to_decide = _behind(decider, read, _FOLLOWED_BY_THE_DECIDER) + _in_hand(
        decider, Look, RunningReconciliation, RetryRow
    )
    to_deliver = sum(
        _behind(store, read, _FOLLOWED_BY_PROJECTORS)
        + _in_hand(store, DueDelivery, LookUp)
        + _scans_due(store, target, clock)
        for target, store in projectors.items()
    )
    in_sync = decider.count(LinkRow, {"state": "in_sync"}, by=["target"])
    return LeftToDo(
        left=to_decide + to_deliver,
        to_decide=to_decide,
        to_deliver=to_deliver,
        recorded=sum(log.end() for log in logs),
        in_sync={str(target): count for (target,), count in in_sync.items()},
    )


def _behind(store: Store, logs: Collection[Stream], followed: Collection[str]) -> int:
    """How many records of the logs that it follows a service has not taken over yet."""
    return sum(log.end() - store.position(log.name) for log in logs if log_of(log.name) in followed)


def _in_hand(store: Store, *work: type[Row]) -> int:
    return sum(sum(store.count(row).values()) for row in work)


def _scans_due(store: Store, target: Target, clock: Clock) -> int:
    """The rosters that have to be read now, of accounts for which calls are made."""
    stopped = {row.account for row in store.select(BreakerRow, {"is_open": True})}
    due = ScanSchedule(store, target, clock, Assignment()).due()
    return sum(coming.account not in stopped for coming in due)
