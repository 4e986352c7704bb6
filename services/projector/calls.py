"""One job as calls to a target, and what became of an order whose answer was lost.

How a target's answers become reports.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from domain.driver_link import CreateDecided, DeleteDecided, LinkDecided, ReinstateDecided, RenameDecided, UpdateDecided
from domain.failures import (
    CLASSES,
    LOOK_AFTER,
    LOOK_FOR,
    CallFailure,
    FailureClass,
    Park,
    Reason,
    Rejected,
    Retry,
    TargetFailed,
    Unavailable,
    after_failure,
    spread,
)
from domain.identity import Target, delivery_stream, link_stream
from domain.matching import ObservedDriver
from domain.outcomes import CallAnswered, Outcome
from domain.ports import Answer, Done, Exists, Missing, TargetDrivers
from domain.store import Store, StoreConflict, StoreFailed, Unit, Where
from domain.targets import to_change, unreadable
from services.projector.breaker import Breakers, Sign
from services.projector.deliveries import Job
from services.projector.known import delivery_after, keys_of, shown_after, undelivered, unseen
from services.projector.lookups import Freshness
from services.projector.read_models import DeliveryRow, Order, RosterRow, StartedCall, Task, drivers_of, place_of
from services.runtime.confining import own_trouble
from services.runtime.context import Clock

Pause = Callable[[float], Awaitable[None]]
"""Waits for so many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """There was nothing yet that could be deleted, so no call was needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeUnknown:
    """Whether an order took effect is not known, because looking it up failed."""

    failure: CallFailure


Result = Answer | Withdrawn | OutcomeUnknown | None
"""What became of a job; None: what was started had no effect, and is not due any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Makes the calls of a job. `may_repeat` tells whether its order may still be carried out."""

    target: Target
    drivers: TargetDrivers
    pause: Pause
    may_repeat: Callable[[Job], Awaitable[bool]]

    async def make(self, job: Job) -> Result:
        """Settle what was started, then carry out what is due."""
        if job.started is None:
            return await self._looked_after(job, await carry_out(job.answered, self.drivers))
        settled = await read_back(job.started, self.target, self.drivers)
        if settled is not None or job.order is None:
            return settled
        return await self._looked_after(job, await self._again(job.order))

    async def _looked_after(self, job: Job, result: Result) -> Result:
        """What a job comes to after this try: before every further one it is looked up what became of the last.

        What was answered well and yet is not shown is not tried again.
        """
        if _is_fruitless(result):
            return await self._looked_for(job, result)
        link = link_stream(job.driver[0], self.target, job.driver[1])
        for step, seconds in enumerate(LOOK_AFTER):
            if not _is_unknown(result):
                break
            await self.pause(spread(seconds, link, step))
            settled = await read_back(job.answered, self.target, self.drivers)
            if settled is not None or not await self.may_repeat(job):
                return settled
            result = await self._again(job.answered)
        return await self._looked_for(job, result) if _is_fruitless(result) else result

    async def _looked_for(self, job: Job, result: Result) -> Result:
        """What a job comes to that was answered well: some targets show only a while later what was written."""
        link = link_stream(job.driver[0], self.target, job.driver[1])
        for step, seconds in enumerate(LOOK_FOR):
            await self.pause(spread(seconds, link, step))
            if (settled := await read_back(job.answered, self.target, self.drivers)) is not None:
                return settled
        return result

    async def _again(self, order: Order) -> Result:
        """Carry out what was started before. Where this try fails, the first may still take effect, however late.

        So a refusal of it, or that the driver is missing or somebody else, counts only once it was looked up again.
        """
        result = await carry_out(order, self.drivers)
        if isinstance(result, Done | Withdrawn):
            return result
        failure = failure_of(result)
        if failure is None or CLASSES[failure.reason] is FailureClass.FINAL:
            return await read_back(order, self.target, self.drivers) or result
        return result if _is_unknown(result) else OutcomeUnknown(failure=failure)


def failure_of(result: Result) -> CallFailure | None:
    """Why a job did not do what was asked, if it did not."""
    if isinstance(result, OutcomeUnknown):
        return result.failure
    return result if isinstance(result, Rejected | Unavailable) else None


def _is_unknown(result: Result) -> bool:
    return isinstance(result, Rejected | Unavailable) and CLASSES[result.reason] is FailureClass.UNKNOWN


def _is_fruitless(result: Result) -> bool:
    """Whether the target has answered, and yet does not do it: at once it would not do it either."""
    return isinstance(result, Rejected) and result.reason is Reason.NOT_EFFECTIVE


async def carry_out(order: Order, drivers: TargetDrivers) -> Answer | Withdrawn:
    """Make the calls that an order means; what overrides somebody else's value is read back, to know it again."""
    answer = await _carry_out(order, drivers)
    return await _as_shown(answer, drivers) if order.is_override and isinstance(answer, Done) else answer


async def _as_shown(done: Done, drivers: TargetDrivers) -> Done:
    try:
        seen = await drivers.find(done.seen.key, done.seen.profile)
    except TargetFailed:
        return done
    return Done(seen=seen) if seen is not None and seen.active else done


async def _carry_out(order: Order, drivers: TargetDrivers) -> Answer | Withdrawn:
    match order.fact:
        case CreateDecided.TOPIC:
            return await drivers.create(order.desired_key, order.profile)
        case DeleteDecided.TOPIC:
            return await drivers.delete(order.key) if order.key else Withdrawn()
    return await _carry_out_on(order, drivers)


async def _carry_out_on(order: Order, drivers: TargetDrivers) -> Answer:
    """The orders that are about a driver whom the target has already."""
    if order.desired_key is None:
        raise ValueError(f"{order.fact} needs a desired key")
    if order.fact == RenameDecided.TOPIC and order.key is not None:
        return await drivers.rename(order.key, order.desired_key, order.profile)
    if order.fact == ReinstateDecided.TOPIC:
        return await drivers.reinstate(order.desired_key, order.profile)
    if order.fact in (LinkDecided.TOPIC, UpdateDecided.TOPIC):
        return await drivers.update(order.desired_key, order.profile, order.fields)
    raise ValueError(f"no call is known for {order.fact}")


async def read_back(order: Order, target: Target, drivers: TargetDrivers) -> Answer | Withdrawn | OutcomeUnknown | None:
    """Look up whether an order that was started has taken effect; None: it has not, or repeating it is harmless."""
    is_delete = order.fact == DeleteDecided.TOPIC
    try:
        seen = await drivers.find(order.key if is_delete else order.desired_key, order.profile)
        if seen is None:
            return None
        if is_delete:
            return None if seen.active else Done(seen=seen)
        return _settled_write(order, target, seen) or await _settled_rename(order, seen, drivers)
    except TargetFailed as failed:
        return OutcomeUnknown(failure=failed.failure)


def _settled_write(order: Order, target: Target, seen: ObservedDriver) -> Answer | None:
    differing = to_change(target, order.profile, seen.profile)
    if seen.active and not differing and seen.key == (order.desired_key or seen.key):
        return Done(seen=seen) if _is_told_by_reading(order, target) else None
    return Exists(seen=seen) if order.fact == CreateDecided.TOPIC else None


async def _settled_rename(order: Order, seen: ObservedDriver, drivers: TargetDrivers) -> Answer | None:
    """Whoever has the desired key while nobody has the old one was renamed, whatever else the target shows of it.

    A rename that nobody wants any more is not repeated, so this is how its link learns of its key.
    """
    is_rename = order.fact == RenameDecided.TOPIC and order.key != order.desired_key
    if not is_rename or not seen.active or seen.key != order.desired_key:
        return None
    former = await drivers.find(order.key, order.profile)
    return Done(seen=seen) if former is None or former.key == seen.key else None


def _is_told_by_reading(order: Order, target: Target) -> bool:
    """A create or a rename shows; of a field that cannot be read back nobody knows whether it was written."""
    if order.fact in (CreateDecided.TOPIC, RenameDecided.TOPIC):
        return True
    return not set(unreadable(target, order.profile)) & set(order.fields)


_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """An answer in the words of a report."""

    outcome: Outcome
    seen: ObservedDriver | None = None
    left: str | None = None
    reason: str = ""
    detail: str = ""
    is_shown: bool = True

    @property
    def keys(self) -> list[str]:
        """The keys of the target that the answer is about."""
        return [key for key in (self.seen.key if self.seen else None, self.left) if key]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failed:
    """A call that did not do what was asked. `is_open`: it may have taken effect, so it still counts as started."""

    failure: CallFailure
    is_open: bool


_ALONE: Final = "refused for this driver only, while other calls are answered: "


class Reporting:
    """Stores answers as reports, with everything that follows from them for this projector."""

    def __init__(self, store: Store, target: Target, clock: Clock, breakers: Breakers, freshness: Freshness) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._breakers = breakers
        self._freshness = freshness

    def report(self, results: Sequence[tuple[Job, Result]]) -> None:
        """Store a batch of answers in one transaction, but none that is stored already.

        Raises `StoreConflict` when somebody else has stored into the same histories, or has got the accounts.
        """
        results = self._unanswered(results)
        signs = list(_signs(results))
        alone = {(sign.account, sign.subject) for sign in signs if self._breakers.is_alone(sign)}
        batch = _Batch(self._store, self._target, self._clock(), alone)
        said = [(job, _to_said(job, result)) for job, result in results if result is not None]
        batch.load(said)
        for job, each in said:
            batch.add(job, each)
        for job, result in results:
            if result is None:
                batch.unit.remove(StartedCall, _where(job))
        self._breakers.heed(batch.unit, signs)
        self._freshness.note(batch.unit.events)
        self._store.commit(batch.unit)

    def report_safely(self, results: Sequence[tuple[Job, Result]]) -> None:
        """The same; an answer that cannot be stored is one driver's trouble, who is set aside with the reason.

        Raises `StoreConflict` and `StoreFailed`.
        """
        try:
            self.report(results)
        except (StoreConflict, StoreFailed):
            raise
        except Exception as failure:  # noqa: BLE001 - one driver's trouble is its own, whatever it is
            self._report_singly(results, failure)

    def _report_singly(self, results: Sequence[tuple[Job, Result]], failure: Exception) -> None:
        if len(results) > 1:
            for result in results:
                self.report_safely([result])
            return
        ((job, _),) = results
        _log.error("answer cannot be stored", account=job.driver[0], trouble=type(failure).__name__)
        detail = f"the answer of {self._target} cannot be stored ({type(failure).__name__})"
        with own_trouble("answer is given up", account=job.driver[0]):
            self.report([(job, Rejected(reason=Reason.INVALID, detail=detail))])

    def _unanswered(self, results: Sequence[tuple[Job, Result]]) -> list[tuple[Job, Result]]:
        """The answers to calls that still count as started: a commit can have worked though nobody heard so."""
        where = drivers_of(job.driver for job, _ in results)
        started = {place_of(row): row.body["decision"] for row in self._store.select(StartedCall, where)}
        return [(job, result) for job, result in results if started.get(job.driver) == job.answered.decision]


class _Batch:
    """What a batch of answers changes. `alone` are those to whose calls access is refused while others have it."""

    def __init__(self, store: Store, target: Target, now: datetime, alone: Collection[tuple[str, str]]) -> None:
        self.unit = Unit()
        self._store = store
        self._target = target
        self._now = now
        self._alone = alone
        self._deliveries: dict[tuple[str, str], DeliveryRow] = {}
        self._tries: dict[tuple[str, str], int] = {}
        self._shown: dict[tuple[str, str], RosterRow] = {}

    def load(self, said: Sequence[tuple[Job, _Said | _Failed]]) -> None:
        """One query for each kind of thing."""
        where = drivers_of(job.driver for job, _ in said)
        self._deliveries = {place_of(row): row for row in self._store.select(DeliveryRow, where)}
        if failed := [job.driver for job, each in said if isinstance(each, _Failed)]:
            tasks = self._store.select(Task, drivers_of(failed))
            self._tries = {place_of(row): row.deferred for row in tasks}
        named = {key for _, each in said if isinstance(each, _Said) for key in each.keys}
        keys: Where = {"account": where["account"], "key": sorted(named)}
        self._shown = {(row.account, row.key): row for row in self._store.select(RosterRow, keys)}

    def add(self, job: Job, said: _Said | _Failed) -> None:
        """Take over one answer."""
        if isinstance(said, _Failed):
            self._fail(job, said)
        else:
            self.unit.remove(StartedCall, _where(job))
            self._settle(job, said)

    def _settle(self, job: Job, said: _Said) -> None:
        """Report what nobody has to try again."""
        report = self._add_report(job, said)
        self.unit.remove(Task, _where(job))
        for key in keys_of(report):
            known = self._shown.get((report.account, key)) or unseen(report.account, key)
            self.unit.keep([shown_after(known, report)])

    def _fail(self, job: Job, failed: _Failed) -> None:
        """Try again later, or give up; whether an open call has taken effect is looked up even then."""
        if not failed.is_open:
            self.unit.remove(StartedCall, _where(job))
        link, is_alone = link_stream(job.driver[0], self._target, job.driver[1]), job.driver in self._alone
        failure = replace(failed.failure, detail=_ALONE + failed.failure.detail) if is_alone else failed.failure
        match following := after_failure(failure, self._tries.get(job.driver, 0), link, is_alone=is_alone):
            case Park(detail=detail):
                self._settle(job, _Said(outcome=Outcome.REFUSED, reason=str(failure.reason), detail=detail))
            case Retry():
                self._put_off(job, failure, following)

    def _put_off(self, job: Job, failure: CallFailure, retry: Retry) -> None:
        """Only the first time in a row is worth a report, and none at all that the pace had to be lowered."""
        is_first = self._tries.get(job.driver, 0) == 0
        if is_first and CLASSES[failure.reason] is not FailureClass.RATE_LIMITED:
            self._add_report(job, _Said(outcome=Outcome.DEFERRED, reason=str(failure.reason), detail=failure.detail))
        not_before = (self._now + timedelta(seconds=retry.after)).isoformat()
        self.unit.keep([Task(**_where(job), not_before=not_before, deferred=retry.tries)])

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
            is_shown=said.is_shown,
        )


def _where(job: Job) -> dict[str, str]:
    return {"account": job.driver[0], "driver": job.driver[1]}


def _to_said(job: Job, result: Answer | Withdrawn | OutcomeUnknown) -> _Said | _Failed:
    failure = failure_of(result)
    if failure is not None:
        is_open = isinstance(result, OutcomeUnknown) or CLASSES[failure.reason] is FailureClass.UNKNOWN
        return _Failed(failure=failure, is_open=is_open)
    match result:
        case Done(seen=seen, is_shown=is_shown):
            left = _left_by(job.answered, seen)
            return _Said(outcome=Outcome.CONFIRMED, seen=seen, left=left, is_shown=is_shown)
        case Exists(seen=seen):
            return _Said(outcome=Outcome.EXISTS, seen=seen)
        case Missing(key=key):
            return _Said(outcome=Outcome.MISSING, left=key)
    return _Said(outcome=Outcome.CONFIRMED)


def _left_by(order: Order, seen: ObservedDriver) -> str | None:
    return order.key if order.fact == RenameDecided.TOPIC and order.key != seen.key else None


def _signs(results: Sequence[tuple[Job, Result]]) -> Iterator[Sign]:
    """What the results tell of the accounts; nothing was called for what was withdrawn."""
    for job, result in results:
        if not isinstance(result, Withdrawn):
            yield Sign(account=job.driver[0], subject=job.driver[1], failure=failure_of(result), is_call=True)
