"""What waits between the services: records in the log of one that the next has not consumed yet, and work in hand.

It is counted in the stores, so that a query does not block a service.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from domain.driver_link import Decision, DriverLink
from domain.identity import Target
from domain.outcomes import CallAnswered
from domain.portal import Change
from domain.store import Record, Store, Stream
from services.api.explanation_text import command, moment, named
from services.api.installation import Registered
from services.api.readiness import Hindrance
from services.api.schema import ResponseBody
from services.decider.read_models import LinkRow
from services.projector.read_models import BreakerRow, DeliveryRow
from services.projector.scans import ScanSchedule
from services.runtime.consumer import Consumed, PartitionOf
from services.runtime.context import Assignment, Clock, log_of

MOST = 500
"""Records of one log that are counted; what waits before them is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How much waits, of at most `MOST` records of each log: changes by account, the others by account and target."""

    changes: Mapping[str, int]
    decisions: Mapping[tuple[str, str], int]
    outcomes: Mapping[tuple[str, str], int]


def waiting(
    intake: Store, decider: Store, projectors: Mapping[Target, Store], *, partition_of: PartitionOf | None
) -> Waiting:
    """What waits; the number of queries does not grow with accounts or drivers. Raises `StoreFailed`.

    `partition_of` is the partition of an account in every stream; None where logs are read in place.
    """
    changes = [each.event for each in _unconsumed(decider, intake.log, partition_of)]
    decided: Counter[tuple[str, str]] = Counter()
    answered: Counter[tuple[str, str]] = Counter()
    for target, projector in projectors.items():
        decisions = [each.event for each in _unconsumed(projector, decider.log, partition_of)]
        answers = [each.event for each in _unconsumed(decider, projector.log, partition_of)]
        decided.update(
            (fact.account, fact.target) for fact in decisions if isinstance(fact, Decision) and fact.target == target
        )
        answered.update((fact.account, fact.target) for fact in answers if isinstance(fact, CallAnswered))
    return Waiting(
        changes=Counter(fact.account for fact in changes if isinstance(fact, Change)),
        decisions=decided,
        outcomes=answered,
    )


def _unconsumed(reader: Store, log: Stream, partition_of: PartitionOf | None) -> Sequence[Record]:
    """The last records of a log that its consumer has not consumed yet."""
    consumed = Consumed(reader, log_of(log.name), partition_of)
    return [record for record in log.read(max(log.end() - MOST, 0), MOST) if not consumed.has(record)]


def waits_of_change(change: Change | None, consumed: int) -> Hindrance | None:
    """That the last change of a driver waits: `consumed` is the sequence up to which the decider knows the driver."""
    if change is None or change.sequence <= consumed:
        return None
    sentence = (
        f"A change that the Portal stated at {moment(change.at)} waits undecided: the decider has not consumed it yet."
    )
    return Hindrance(sentence=sentence, advice=_advice("the decider"))


def waits_of_link(link: DriverLink, projector: Store) -> Hindrance | None:
    """That a decision for a link waits for the projector, or an outcome for the decider. Raises `StoreFailed`."""
    place, name = {"account": str(link.account), "driver": str(link.driver)}, named(link.target)
    rows = projector.select(DeliveryRow, place)
    if any(row.answers > link.answers for row in rows):
        sentence = f"{name} has answered, and the answer waits: the decider has not consumed it yet."
        return Hindrance(sentence=sentence, advice=_advice("the decider"))
    if link.pending is None:
        return None
    decided = link.pending.originator_version
    if any(row.version >= decided for row in rows):
        return None
    sentence = f"A decision of {moment(link.pending.at)} waits: {name}'s projector has not consumed it yet."
    return Hindrance(sentence=sentence, advice=_advice(f"{name}'s projector"))


def _advice(service: str) -> str:
    return (
        f"If that lasts, see that {service} runs and can reach Kafka where it needs it "
        f"({command('up')}, or {command('serve')} and its /ready)."
    )


class LeftToDo(ResponseBody):
    """Records to consume and work in hand, how much was recorded so far, and how many drivers are in sync."""

    left: int
    to_decide: int
    to_deliver: int
    recorded: int
    in_sync: Mapping[str, int]


def left_to_do(
    registry: Collection[Registered], stores: Mapping[str, Store], *, in_place: bool, clock: Clock
) -> LeftToDo:
    """How much these services have left to do, by their stores; the number of queries does not grow with accounts.

    `in_place` says that the services consume each other's logs where they are; else only work in hand is counted.
    One that an installation need not run keeps no driver from being in sync, and does not count.
    Raises `StoreFailed`.
    """
    logs = {each.log: stores[each.name].log for each in registry}
    left = Counter[bool]()
    for each in (each for each in registry if not each.is_optional):
        store, delivers = stores[each.name], each.target is not None
        consumed = (logs[name] for name in each.consumes if in_place)
        left[delivers] += sum(log.end() - store.position(log.name) for log in consumed)
        left[delivers] += sum(store.count(row, where).get((), 0) for row, where in each.to_do)
        if each.target:
            # The rosters that have to be read now, of accounts for which calls are made.
            stopped = {row.account for row in store.select(BreakerRow, {"is_open": True})}
            due = ScanSchedule(store, each.target, clock, Assignment()).due()
            left[delivers] += sum(coming.account not in stopped for coming in due)
    in_sync = stores["decider"].count(LinkRow, {"state": "in_sync"}, by=["target"])
    return LeftToDo(
        left=left.total(),
        to_decide=left[False],
        to_deliver=left[True],
        recorded=sum(log.end() for log in logs.values()),
        in_sync={str(target): count for (target,), count in in_sync.items()},
    )
