"""How much the services have to do still, from their stores alone, so that no service waits for whoever asks."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from domain.identity import Target
from domain.storing import Row, Store, Stream
from services.asking.answers import Answer
from services.decider.read_models import CatchUp, LinkRow, Look, Retry
from services.projector.agenda import Agenda
from services.projector.read_models import BreakerRow, LookUp, Task
from services.runtime.clock import Clock
from services.runtime.logs import ACCOUNTS, CHANGES, DECISIONS, REPORTS, log_of
from services.runtime.share import Share

_FOLLOWED_BY_THE_DECIDER = (ACCOUNTS, CHANGES, *REPORTS)
_FOLLOWED_BY_PROJECTORS = (ACCOUNTS, DECISIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftToDo(Answer):
    """Records to take over and work in hand, how much was recorded so far, and how many drivers are in step."""

    left: int
    to_decide: int
    to_deliver: int
    recorded: int
    in_step: Mapping[str, int]


def left_to_do(
    logs: Collection[Stream], decider: Store, projectors: Mapping[Target, Store], *, in_place: bool, clock: Clock
) -> LeftToDo:
    """By a number of queries that no number of accounts or drivers changes. Raises `StoreFailed`.

    `in_place` says that the services follow each other's logs where they are; else only work in hand is counted.
    """
    read = logs if in_place else ()
    to_decide = _behind(decider, read, _FOLLOWED_BY_THE_DECIDER) + _in_hand(decider, Look, CatchUp, Retry)
    to_deliver = sum(
        _behind(store, read, _FOLLOWED_BY_PROJECTORS) + _in_hand(store, Task, LookUp) + _scans_due(store, target, clock)
        for target, store in projectors.items()
    )
    in_step = decider.count(LinkRow, {"state": "in_step"}, by=["target"])
    return LeftToDo(
        left=to_decide + to_deliver,
        to_decide=to_decide,
        to_deliver=to_deliver,
        recorded=sum(log.end() for log in logs),
        in_step={str(target): count for (target,), count in in_step.items()},
    )


def _behind(store: Store, logs: Collection[Stream], followed: Collection[str]) -> int:
    """How many records of the logs that it follows a service has not taken over yet."""
    return sum(log.end() - store.position(log.name) for log in logs if log_of(log.name) in followed)


def _in_hand(store: Store, *work: type[Row]) -> int:
    return sum(sum(store.count(row).values()) for row in work)


def _scans_due(store: Store, target: Target, clock: Clock) -> int:
    """The rosters that have to be read now, of accounts for which calls are made."""
    stopped = {row.account for row in store.select(BreakerRow, {"is_open": True})}
    due = Agenda(store, target, clock, Share()).due()
    return sum(coming.account not in stopped for coming in due)
