"""How a target's answers become reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from domain.driver_link import RenameDecided
from domain.failures import CallFailure, Reason, Rejected, Unavailable
from domain.identity import Target, delivery_stream
from domain.ports import Answer, Done, Exists, Missing
from domain.report import CallAnswered, Outcome
from domain.roster import TargetDriver
from domain.storing import Store, Unit, Where
from services.projector.calling import Withdrawn
from services.projector.jobs import Job
from services.projector.known import delivery_after, keys_of, shown_after, undelivered, unseen
from services.projector.read_models import (
    DeliveryRow,
    Order,
    RosterRow,
    StartedCall,
    Task,
    drivers_of,
    place_of,
)
from services.runtime.clock import Clock

_FIRST_DELAY, _LONGEST_DELAY = 2.0, 300.0
"""Seconds until a call that could not be made is tried again, doubling."""

_MOST_DOUBLINGS = 16
_LONGEST_ASKED_FOR = 86_400.0
"""Seconds for which a target that asks for patience is left alone at most: a day."""

_ABOUT_THE_ACCOUNT = frozenset({Reason.CREDENTIALS, Reason.NOT_CONFIGURED})
"""Refusals that speak of the account's access, not of the driver."""

Result = Answer | Withdrawn | None
"""What became of a job; None: what was started had no effect, and is not due any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """An answer in the words of a report. `is_open`: the call was sent, and may have taken effect."""

    outcome: Outcome
    seen: TargetDriver | None = None
    left: str | None = None
    reason: str = ""
    detail: str = ""
    retry_after: float = 0.0
    is_open: bool = False

    @property
    def keys(self) -> list[str]:
        """The keys of the target that the answer is about."""
        return [key for key in (self.seen.key if self.seen else None, self.left) if key]


class Reporting:
    """Stores answers as reports, with everything that follows from them for this projector."""

    def __init__(self, store: Store, target: Target, clock: Clock) -> None:
        self._store = store
        self._target = target
        self._clock = clock

    def report(self, results: Sequence[tuple[Job, Result]]) -> None:
        """Store a batch of answers in one transaction, but none that is stored already.

        Raises `StoreConflict` when somebody else has stored into the same histories, or has got the accounts.
        """
        results = self._unanswered(results)
        batch = _Batch(self._store, self._target, self._clock())
        said = [(job, _to_said(job.answered, result)) for job, result in results if result is not None]
        batch.load(said)
        for job, each in said:
            batch.add(job, each)
        for job, result in results:
            if result is None:
                batch.unit.remove(StartedCall, _where(job))
        self._store.commit(batch.unit)

    def _unanswered(self, results: Sequence[tuple[Job, Result]]) -> list[tuple[Job, Result]]:
        """The answers to calls that still count as started: a commit can have worked though nobody heard so."""
        where = drivers_of(job.driver for job, _ in results)
        started = {place_of(row): row.body["decision"] for row in self._store.select(StartedCall, where)}
        return [(job, result) for job, result in results if started.get(job.driver) == job.answered.decision]


class _Batch:
    """What a batch of answers changes."""

    def __init__(self, store: Store, target: Target, now: datetime) -> None:
        self.unit = Unit()
        self._store = store
        self._target = target
        self._now = now
        self._deliveries: dict[tuple[str, str], DeliveryRow] = {}
        self._deferred: dict[tuple[str, str], int] = {}
        self._shown: dict[tuple[str, str], RosterRow] = {}

    def load(self, said: Sequence[tuple[Job, _Said]]) -> None:
        """One query for each kind of thing."""
        where = drivers_of(job.driver for job, _ in said)
        self._deliveries = {place_of(row): row for row in self._store.select(DeliveryRow, where)}
        self._deferred = {place_of(row): row.deferred for row in self._store.select(Task, where)}
        keys: Where = {"account": where["account"], "key": sorted({key for _, each in said for key in each.keys})}
        self._shown = {(row.account, row.key): row for row in self._store.select(RosterRow, keys)}

    def add(self, job: Job, said: _Said) -> None:
        """Take over one answer."""
        if said.outcome is Outcome.DEFERRED:
            self._defer(job, said)
            return
        report = self._add_report(job, said)
        self.unit.remove(StartedCall, _where(job))
        self.unit.remove(Task, _where(job))
        for key in keys_of(report):
            known = self._shown.get((report.account, key)) or unseen(report.account, key)
            self.unit.keep([shown_after(known, report)])

    def _defer(self, job: Job, said: _Said) -> None:
        """Try again later; only the first time in a row is worth a report."""
        tries = self._deferred.get(job.driver, 0)
        if tries == 0:
            self._add_report(job, said)
        if not (said.is_open or job.started):
            self.unit.remove(StartedCall, _where(job))
        delay = min(_FIRST_DELAY * 2 ** min(tries, _MOST_DOUBLINGS), _LONGEST_DELAY)
        asked_for = min(said.retry_after, _LONGEST_ASKED_FOR)
        not_before = (self._now + timedelta(seconds=max(delay, asked_for))).isoformat()
        self.unit.keep([Task(**_where(job), not_before=not_before, deferred=tries + 1)])

    def _add_report(self, job: Job, said: _Said) -> CallAnswered:
        known = self._deliveries.get(job.driver) or undelivered(*job.driver)
        report = self._to_report(job, said, known.version + 1)
        delivery = self._deliveries[job.driver] = delivery_after(known, report)
        self.unit.keep([delivery])
        self.unit.events.append(report)
        return report

    def _to_report(self, job: Job, said: _Said, version: int) -> CallAnswered:
        account, driver = job.driver
        return CallAnswered(
            originator_id=delivery_stream(account, self._target, driver),
            originator_version=version,
            at=self._now,
            account=account,
            target=str(self._target),
            driver=driver,
            decision=job.answered.decision,
            outcome=str(said.outcome),
            key=said.seen.key if said.seen else None,
            active=said.seen.active if said.seen else False,
            profile=dict(said.seen.profile) if said.seen else {},
            left=said.left,
            reason=said.reason,
            detail=said.detail,
        )


def _where(job: Job) -> dict[str, str]:
    return {"account": job.driver[0], "driver": job.driver[1]}


def _to_said(order: Order, result: Answer | Withdrawn) -> _Said:
    match result:
        case Withdrawn():
            return _Said(outcome=Outcome.CONFIRMED)
        case Done(seen=seen):
            left = order.key if order.fact == RenameDecided.TOPIC and order.key != seen.key else None
            return _Said(outcome=Outcome.CONFIRMED, seen=seen, left=left)
        case Exists(seen=seen):
            return _Said(outcome=Outcome.EXISTS, seen=seen)
        case Missing(key=key):
            return _Said(outcome=Outcome.MISSING, left=key)
        case Rejected() | Unavailable():
            return _to_failure(result)
    assert_never(result)


def _to_failure(failure: CallFailure) -> _Said:
    is_refused = isinstance(failure, Rejected) and failure.reason not in _ABOUT_THE_ACCOUNT
    return _Said(
        outcome=Outcome.REFUSED if is_refused else Outcome.DEFERRED,
        reason=str(failure.reason),
        detail=failure.detail,
        retry_after=(failure.retry_after or 0.0) if isinstance(failure, Unavailable) else 0.0,
        is_open=failure.reason is Reason.NO_ANSWER,
    )
