"""In what order a decider consumed its streams, and did the work that it had in hand: a backtest goes by it.

What a decider has consumed is one position for each stream, so nothing else says what it knew when it decided. So each
batch is stored with what followed from it; what nothing followed from left no trace, and needs none.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from domain.store import Row, Unit
from services.runtime.read_models import Events


class Chore(StrEnum):
    """The work in hand that a decider does beside what it consumes."""

    LOOKS = "looks"
    RECONCILIATION = "reconciliation"
    RETRY = "retry"
    PLAN_KEPT = "plan kept"
    PLAN_REFUSED = "plan refused"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow(Row):
    """What of one account a decider handled in one batch; the numbers of an account are in the order of its batches.

    `work` is the log that was consumed, or a `Chore` for a `target`. `handled` are the positions of the account's
    events in the log, the drivers that were looked at, or trigger and reference of a retry. `at` is the moment that
    everything decided in the batch has.
    """

    TABLE: ClassVar[str] = "batches"
    KEY: ClassVar[tuple[str, ...]] = ("account", "number", "work", "target")

    account: str
    number: int
    work: str
    target: str
    at: str
    handled: list[int | str]


class BatchOrder:
    """Numbers the batches of one decider, and stores them with what followed."""

    def __init__(self) -> None:
        self._last = 0

    def consumed(self, unit: Unit, log: str, events: Events, now: datetime) -> None:
        """These events of a log were handled; nothing is stored where nothing followed."""
        if not (unit.events or unit.rows or unit.removed):
            return
        handled: dict[str, list[int | str]] = defaultdict(list)
        for position, event in events:
            handled[event.account].append(position)
        self._keep(unit, now, (((account, log, ""), each) for account, each in handled.items()))

    def done(self, unit: Unit, chore: Chore, pieces: Iterable[tuple[str, str, Sequence[str]]], now: datetime) -> None:
        """Work in hand was done, for each of these accounts and targets on what is named."""
        self._keep(unit, now, (((account, chore, target), [*each]) for account, target, each in pieces))

    def _keep(self, unit: Unit, now: datetime, pieces: Iterable[tuple[tuple[str, str, str], list[int | str]]]) -> None:
        # A clock that was set back must not put a batch before an earlier one.
        self._last = max(self._last + 1, int(now.timestamp() * 1_000_000))
        at = now.isoformat()
        unit.keep(
            BatchRow(account=account, number=self._last, work=str(work), target=target, at=at, handled=handled)
            for (account, work, target), handled in pieces
        )
